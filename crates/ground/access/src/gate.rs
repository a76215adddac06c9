//! The gate: what every door asks, in one place (ACCESS-1).
//!
//! A door hands over what a request showed ([`Shown`]) and where it came from ([`Origin`]), and gets a
//! [`Visit`]: the caller and the state of that moment. All that the request does is asked of its visit.

use std::net::IpAddr;
use std::sync::Arc;

use cairn_base::{DatasetName, ProjectName};

use crate::access::Access;
use crate::caller::Caller;
use crate::error::Error;
use crate::grant::{Action, GrantId};
use crate::pattern::Resource;
use crate::snapshot::{Snapshot, WhoAmI};

/// The other side of a connection, as a listener saw it. Listeners put it into the extensions of every
/// request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Option<IpAddr>,
    /// The certificate whose key it proved to hold, in DER.
    pub certificate: Option<Arc<[u8]>>,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The door: `rest`, `fs`, `dav`, `grpc`.
    pub door: &'static str,
    /// The request's id, as in the log.
    pub request: String,
    /// The other side of its connection.
    pub peer: Peer,
}

/// What a request showed of who sends it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// Its `Authorization` header.
    pub authorization: Option<&'a str>,
}

/// A request that was let in: who asks, and what may be done at this moment.
#[derive(Clone, Debug)]
pub struct Visit {
    access: Access,
    snapshot: Snapshot,
    caller: Caller,
    origin: Arc<Origin>,
}

impl Access {
    /// Lets a request in, as somebody or as nobody in particular. What it may do is asked of the
    /// visit.
    ///
    /// # Errors
    /// As [`Access::snapshot`] and [`Snapshot::authenticate`]: a credential that does not hold lets
    /// nobody in (ACCESS-2).
    pub async fn admit(&self, shown: Shown<'_>, origin: Origin) -> Result<Visit, Error> {
        let snapshot = self.snapshot().await?;
        let caller = snapshot.authenticate(shown.authorization)?;
        Ok(Visit { access: self.clone(), snapshot, caller, origin: Arc::new(origin) })
    }
}

impl Visit {
    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The state that this visit is decided on.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where the request came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the caller may do this, as an error when it may not.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn authorize(&self, action: Action, resource: &Resource) -> Result<GrantId, Error> {
        self.snapshot.authorize(&self.caller, action, resource).into_result(action, resource)
    }

    /// Whether lists show the dataset to the caller.
    #[must_use]
    pub fn may_read(&self, project: &ProjectName, name: &DatasetName) -> bool {
        self.snapshot.may_read(&self.caller, project, name)
    }

    /// What the caller may know of itself.
    ///
    /// # Errors
    /// As [`Snapshot::whoami`].
    pub fn whoami(&self) -> Result<WhoAmI, Error> {
        self.snapshot.whoami(&self.caller)
    }

    /// The same visit on the state of now, for what lasts: a stream asks again before each thing it
    /// tells, so that a revoked token ends it within [`crate::REFRESH_MAX`] (ACCESS-5).
    ///
    /// # Errors
    /// As [`Access::snapshot`].
    pub async fn again(&self) -> Result<Self, Error> {
        Ok(Self { snapshot: self.access.snapshot().await?, ..self.clone() })
    }
}
