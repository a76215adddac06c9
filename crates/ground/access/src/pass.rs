//! What is asked again and again: the same credential, for the same action on the same resource.
//!
//! A decision that allowed something is kept with the state that it was made on, and holds for as long as that
//! state is the newest and the credential stands in it (ACCESS-5); each use is counted as ever (ACCESS-9). A refusal
//! is never kept, and of credentials only tokens are, and that none was shown.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cairn_env::Rng;

use crate::access::Access;
use crate::caller::{Caller, Credential};
use crate::error::Error;
use crate::gate::{Origin, Shown};
use crate::grant::Action;
use crate::pattern::Resource;
use crate::state::State;
use crate::tally::Use;

/// Decisions that are kept; then all are forgotten.
const PASSES_MAX: usize = 4096;

/// A use that was allowed.
pub struct Pass {
    caller: Caller,
    used: Use,
    /// Not the state itself, which may be large.
    state: Weak<State>,
}

impl Pass {
    /// Who it was allowed to.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// The decisions of a node that are kept. What was shown is known by a hash under a key of this process alone.
pub(crate) struct Passes {
    key: [u8; 32],
    kept: Mutex<BTreeMap<[u8; 32], Arc<Pass>>>,
}

impl Passes {
    pub(crate) fn new(rng: &dyn Rng) -> Self {
        let mut key = [0; 32];
        rng.fill(&mut key);
        Self { key, kept: Mutex::default() }
    }

    fn find(&self, question: &[u8; 32]) -> Option<Arc<Pass>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(question).cloned()
    }

    fn keep(&self, question: [u8; 32], pass: &Arc<Pass>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= PASSES_MAX {
            kept.clear();
        }
        kept.insert(question, Arc::clone(pass));
    }

    /// All that a decision and its record depend on but the request's id and the state.
    fn question(
        &self,
        shown: Shown<'_>,
        origin: &Origin,
        action: Action,
        resource: &Resource,
    ) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // A length first, so that nothing is told by where one part ends and the next begins.
        let mut add = |part: Option<&[u8]>| {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hasher.update(&length.to_le_bytes()).update(part.unwrap_or_default());
        };
        add(shown.authorization.map(str::as_bytes));
        add(Some(origin.door.as_bytes()));
        let address = origin.peer.address.map(|address| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        });
        add(address.as_ref().map(<[u8; 16]>::as_slice));
        add(Some(action.as_str().as_bytes()));
        match resource {
            Resource::Dataset(project, name) => {
                add(Some(project.as_str().as_bytes()));
                add(Some(name.as_str().as_bytes()));
            }
            other => add(Some(other.to_string().as_bytes())),
        }
        *hasher.finalize().as_bytes()
    }
}

impl Access {
    /// Lets a request in and decides whether it may do what it asks for, as [`Access::admit`] and
    /// [`crate::Visit::authorize_counted`] do, and faster when the same was allowed before.
    ///
    /// # Errors
    /// As theirs.
    pub async fn pass(
        &self,
        shown: Shown<'_>,
        origin: Origin,
        action: Action,
        resource: &Resource,
    ) -> Result<Arc<Pass>, Error> {
        let plain = shown.session.is_none() && origin.peer.certificate.is_none();
        let question = plain.then(|| self.passes().question(shown, &origin, action, resource));
        if let Some(pass) = question.and_then(|question| self.passes().find(&question)) {
            let snapshot = self.snapshot().await?;
            let same = std::ptr::eq(Arc::as_ptr(&snapshot.state), pass.state.as_ptr());
            if same && snapshot.standing(&pass.caller).is_ok() {
                pass.used.again_for(&origin.request)?;
                return Ok(pass);
            }
        }
        let visit = self.admit(shown, origin).await?;
        let used = visit.authorize_counted(action, resource)?;
        let (caller, state) = (visit.caller().clone(), Arc::downgrade(&visit.snapshot().state));
        let pass = Arc::new(Pass { caller, used, state });
        if let Some(question) = question.filter(|_| pass.may_be_kept()) {
            self.passes().keep(question, &pass);
        }
        Ok(pass)
    }
}

impl Pass {
    fn may_be_kept(&self) -> bool {
        match &self.caller {
            Caller::Anonymous => true,
            Caller::Known(known) => matches!(known.credential, Credential::Token(_)),
        }
    }
}
