//! The gate: what every door asks, in one place (ACCESS-1).
//!
//! A door hands over what a request showed ([`Shown`]) and where it came from ([`Origin`]), and gets a
//! [`Visit`]: the caller and the state of that moment. All that the request does is asked of its visit,
//! which records what was decided (ACCESS-6).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_audit::{Outcome, Record};
use cairn_base::{DatasetName, ProjectName};

use crate::access::Access;
use crate::caller::{Caller, Credential, Header};
use crate::certificate::Fingerprint;
use crate::decide::{Decision, Reason};
use crate::error::Error;
use crate::grant::{Action, GrantId};
use crate::pattern::Resource;
use crate::principal::{Owner, UserName};
use crate::provider::{Provider, Vouched};
use crate::snapshot::{Snapshot, WhoAmI};
use crate::tally::Use;
use crate::token::{Secret, TokenId, TokenKind};

/// The other side of a connection, as a listener saw it. Listeners put it into the extensions of every
/// request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Option<IpAddr>,
    /// The certificate whose key it proved to hold.
    pub certificate: Option<Fingerprint>,
    /// Whether it talks over TLS.
    pub tls: bool,
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

/// What a request showed of who sends it. The first of these that is there decides alone; after them
/// comes the certificate of its connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// Its `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The token of a session, from its cookie.
    pub session: Option<&'a str>,
}

/// A request that was let in: who asks, and what may be done at this moment.
#[derive(Clone, Debug)]
pub struct Visit {
    access: Access,
    snapshot: Snapshot,
    caller: Caller,
    origin: Arc<Origin>,
    /// What was allowed to this request, and by which grant.
    allowed: Arc<Mutex<Vec<(Action, Resource, GrantId)>>>,
}

/// What a visit remembers of what was allowed, so that a stream that asks again and again is recorded
/// once.
const ALLOWED_MAX: usize = 64;

impl Access {
    /// Lets a request in, as somebody or as nobody in particular. What it may do is asked of the
    /// visit.
    ///
    /// # Errors
    /// As [`Access::snapshot`]; a credential that does not hold lets nobody in (ACCESS-2):
    /// [`Error::asks_for_credential`]; [`Error::Throttled`]; [`Error::ProviderDown`].
    pub async fn admit(&self, shown: Shown<'_>, origin: Origin) -> Result<Visit, Error> {
        let snapshot = self.snapshot().await?;
        let caller = match self.recognise(&snapshot, shown, &origin.peer).await {
            Ok(caller) => caller,
            Err(error) => return Err(self.refuse(&origin, error)),
        };
        let (origin, allowed) = (Arc::new(origin), Arc::default());
        Ok(Visit { access: self.clone(), snapshot, caller, origin, allowed })
    }

    /// Lets a function of this cluster in, `@PROJECT/NAME`, which this node runs: nobody else may say so.
    ///
    /// # Errors
    /// [`Error::Name`]; as [`Access::snapshot`].
    pub async fn admit_function(&self, function: &str, origin: Origin) -> Result<Visit, Error> {
        let function = UserName::of_function(function)?;
        let snapshot = self.snapshot().await?;
        let caller = Caller::known(Owner::User(function), Credential::Function);
        let (origin, allowed) = (Arc::new(origin), Arc::default());
        Ok(Visit { access: self.clone(), snapshot, caller, origin, allowed })
    }

    /// Whom what was shown stands for.
    async fn recognise(
        &self,
        snapshot: &Snapshot,
        shown: Shown<'_>,
        peer: &Peer,
    ) -> Result<Caller, Error> {
        Ok(match (shown.authorization, shown.session, peer.certificate) {
            (Some(header), _, _) => match Header::read(header)? {
                Header::Token(secret) => snapshot.check_token(&secret)?,
                Header::Password(name, password) => {
                    self.check_password(snapshot, &name, password, peer.address).await?
                }
                Header::Bearer(token) => self.check_bearer(snapshot, &token).await?,
            },
            (None, Some(session), _) => {
                snapshot.check_token(&Secret::parse(session.as_bytes())?)?
            }
            (None, None, Some(fingerprint)) => snapshot.check_certificate(fingerprint)?,
            (None, None, None) => Caller::Anonymous,
        })
    }

    /// Records that a credential did not hold, also one that a door found wrong by itself. Returns
    /// what to answer.
    pub fn refuse(&self, origin: &Origin, error: Error) -> Error {
        let credential = match &error {
            Error::Expired { id } => format!("token {id}"),
            _ => String::new(),
        };
        let record = Record {
            credential: credential.as_str().into(),
            detail: error.to_string().as_str().into(),
            ..origin.record("authenticate", "", Outcome::Refused)
        };
        match self.audit().record(record) {
            Ok(()) => error,
            Err(full) => full.into(),
        }
    }

    /// Whom a provider's signed token is for.
    async fn check_bearer(&self, snapshot: &Snapshot, token: &str) -> Result<Caller, Error> {
        let providers: Vec<Provider> = snapshot.providers().cloned().collect();
        let Some(bearers) = self.bearers().filter(|_| !providers.is_empty()) else {
            return Err(Error::Malformed);
        };
        let vouched = bearers.verify(&providers, token).await?;
        let provider = snapshot.provider(&vouched.provider)?.clone();
        let Vouched { user, groups, expires_ms, .. } = vouched;
        let credential = Credential::Bearer { provider, groups, expires_ms };
        Ok(Caller::known(Owner::User(user), credential))
    }

    /// Records what is done at no door and asked of no visit: by a node by itself (`node`), or by who
    /// holds the bucket (`bucket`).
    ///
    /// # Errors
    /// [`Error::Audit`]: it was not recorded, and must not be done.
    pub fn record(
        &self,
        door: &'static str,
        action: Action,
        outcome: Outcome,
        detail: &str,
    ) -> Result<(), Error> {
        let origin = Origin { door, ..Origin::default() };
        let about = Resource::Cluster.to_string();
        let record = origin.record(action.as_str(), &about, outcome);
        Ok(self.audit().record(Record { detail: detail.into(), ..record })?)
    }
}

impl Origin {
    pub(crate) fn record(&self, action: &str, resource: &str, outcome: Outcome) -> Record {
        let peer = self.peer.address.map(|address| address.to_string()).unwrap_or_default();
        Record {
            request: self.request.as_str().into(),
            door: self.door.into(),
            peer: peer.as_str().into(),
            action: action.into(),
            resource: resource.into(),
            ..Record::new(outcome)
        }
    }
}

impl Visit {
    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
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

    /// Whether the caller may do this, as an error when it may not. Recorded before it is answered.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::Audit`] when it cannot be recorded, whatever was decided.
    pub fn authorize(&self, action: Action, resource: &Resource) -> Result<GrantId, Error> {
        let decision = self.snapshot.authorize(&self.caller, action, resource);
        let (action_word, about) = (action.as_str(), resource.to_string());
        match &decision {
            Decision::Denied { reason } => {
                self.record(action_word, &about, Outcome::Denied, &reason.to_string())?;
            }
            Decision::Allowed { by } => {
                let decided = (action, resource.clone(), by.clone());
                if !self.allowed().contains(&decided) {
                    self.record(action_word, &about, Outcome::Allowed, by.as_str())?;
                    let mut allowed = self.allowed();
                    if allowed.len() < ALLOWED_MAX {
                        allowed.push(decided);
                    }
                }
            }
        }
        decision.into_result(action, resource)
    }

    /// Whether the caller may do this, of what is done too often for a record each: the first time it is
    /// recorded, and then counted (ACCESS-9). A refusal is recorded as always. Who changes something
    /// tells the [`Use`] what came of it.
    ///
    /// # Errors
    /// As [`Visit::authorize`].
    pub fn authorize_counted(&self, action: Action, resource: &Resource) -> Result<Use, Error> {
        let decision = self.snapshot.authorize(&self.caller, action, resource);
        let (word, about) = (action.as_str(), resource.to_string());
        if let Decision::Denied { reason } = &decision {
            self.record(word, &about, Outcome::Denied, &reason.to_string())?;
        }
        let by = decision.into_result(action, resource)?;
        let record = self.recorded(word, &about, Outcome::Allowed, by.as_str());
        Ok(self.access.tally().note(record, action.only_reads())?)
    }

    /// Whether somebody asks whose credential holds, as an error when it is nobody in particular.
    /// Recorded as `sign_in`.
    ///
    /// # Errors
    /// [`Error::Denied`], as [`Snapshot::whoami`], and [`Error::Audit`].
    pub fn sign_in(&self) -> Result<(), Error> {
        self.whoami()?;
        if self.caller.owner().is_some() {
            return self.record("sign_in", "", Outcome::Allowed, "");
        }
        let (action, resource, reason) =
            (Action::ListDatasets, Resource::Cluster, Reason::Anonymous);
        self.record("sign_in", "", Outcome::Denied, &reason.to_string())?;
        Err(Error::Denied { action, resource, reason })
    }

    /// Makes a change: writes to the audit log that it was allowed, does the work, and writes what came
    /// of it before it answers (ACCESS-6). `detail` says what was changed. Ask [`Visit::authorize`]
    /// before. Run it where it is not dropped half way when its client goes.
    ///
    /// # Errors
    /// Those of the work; [`Error::Audit`]: the log cannot be written and nothing was done;
    /// [`Error::Unrecorded`]: it was done, and the log does not have it.
    pub async fn change<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        detail: impl FnOnce(&T) -> String,
    ) -> Result<T, E>
    where
        E: From<Error> + ToString,
    {
        let audit = self.access.audit();
        audit.commit().await.map_err(Error::Audit)?;
        let done = work.await;
        let (outcome, told) = match &done {
            Ok(done) => (Outcome::Changed, detail(done)),
            Err(error) => (Outcome::Failed, error.to_string()),
        };
        // What only was read on the way is no change.
        let changing: Vec<_> = self
            .allowed()
            .iter()
            .filter(|(action, ..)| !action.only_reads())
            .map(|(action, resource, _)| (action.as_str(), resource.to_string()))
            .collect();
        let own = [("own_account", String::new())];
        // Without a rule, it is what belongs to whoever asks.
        let changing = if changing.is_empty() { &own[..] } else { &changing[..] };
        let recorded = changing
            .iter()
            .try_for_each(|(action, about)| self.record(action, about, outcome, &told));
        // Who asked knows that it failed, and the log that it was tried.
        let done = done?;
        let committed = match recorded {
            Ok(()) => audit.commit().await,
            Err(Error::Audit(error)) => Err(error),
            Err(error) => return Err(error.into()),
        };
        committed.map_err(Error::Unrecorded)?;
        Ok(done)
    }

    fn record(
        &self,
        action: &str,
        resource: &str,
        outcome: Outcome,
        detail: &str,
    ) -> Result<(), Error> {
        let record = self.recorded(action, resource, outcome, detail);
        Ok(self.access.audit().record(record)?)
    }

    fn recorded(&self, action: &str, resource: &str, outcome: Outcome, detail: &str) -> Record {
        let credential = match self.caller {
            Caller::Anonymous => String::new(),
            Caller::Known(_) => self.caller.credential(),
        };
        Record {
            caller: self.caller.name().into(),
            credential: credential.as_str().into(),
            detail: detail.into(),
            ..self.origin.record(action, resource, outcome)
        }
    }

    fn allowed(&self) -> MutexGuard<'_, Vec<(Action, Resource, GrantId)>> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller may, for an answer that says more to who may: nothing is recorded.
    #[must_use]
    pub fn may(&self, action: Action, resource: &Resource) -> bool {
        self.snapshot.authorize(&self.caller, action, resource).is_allowed()
    }

    /// Whether lists show the dataset to the caller.
    #[must_use]
    pub fn may_read(&self, project: &ProjectName, name: &DatasetName) -> bool {
        self.snapshot.may_read(&self.caller, project, name)
    }

    /// The session's token, when it is by a session that the caller came.
    pub(crate) fn session(&self) -> Option<TokenId> {
        let Caller::Known(known) = &self.caller else { return None };
        let Credential::Token(id) = &known.credential else { return None };
        let token = self.snapshot.state.tokens.get(id)?;
        (token.info.kind == TokenKind::Session).then(|| id.clone())
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
