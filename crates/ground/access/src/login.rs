//! Logging in: passwords that are checked, and sessions that are opened and closed.
//!
//! Guessing is slowed (ACCESS-7). A session is a token, so that it is revoked as one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_audit::{Outcome, Record};
use cairn_env::Rng;

use crate::access::Access;
use crate::caller::{Caller, Credential};
use crate::error::Error;
use crate::gate::{Origin, Shown, Visit};
use crate::grant::Scopes;
use crate::password::{Password, Remembered, waste};
use crate::principal::{GroupName, Label, Owner, PrincipalName};
use crate::snapshot::Snapshot;
use crate::throttle::Throttle;
use crate::token::{NewToken, TokenKind, TokenSpec};

/// Passwords are checked so many at a time: each takes 19 MiB.
const CHECKS_MAX: usize = 4;
/// So many more may wait for that.
const CHECKS_WAIT_MAX: usize = 64;

/// What slows down who guesses passwords.
pub(crate) struct Guessing {
    throttle: Throttle,
    remembered: Arc<Remembered>,
    checks: tokio::sync::Semaphore,
    waiting: tokio::sync::Semaphore,
}

impl Guessing {
    pub(crate) fn new(rng: &dyn Rng) -> Self {
        Self {
            throttle: Throttle::default(),
            remembered: Arc::new(Remembered::new(rng)),
            checks: tokio::sync::Semaphore::new(CHECKS_MAX),
            waiting: tokio::sync::Semaphore::new(CHECKS_MAX + CHECKS_WAIT_MAX),
        }
    }
}

/// Where a login came from: its own door, whichever it was shown at.
fn at_login(origin: &Origin) -> Origin {
    Origin { door: "login", ..origin.clone() }
}

impl Access {
    /// Who has this name and password, for who logs in or wants to change it. A refusal is recorded.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::Throttled`], and as [`Access::snapshot`].
    pub async fn check_own_password(
        &self,
        name: &str,
        password: Password,
        origin: &Origin,
    ) -> Result<Caller, Error> {
        let snapshot = self.snapshot().await?;
        match self.check_password(&snapshot, name, password, origin.peer.address).await {
            Ok(caller) => Ok(caller),
            Err(error) => Err(self.refuse_login(origin, error)),
        }
    }

    /// Records that a login was refused, also one by an identity provider. Returns what to answer.
    pub fn refuse_login(&self, origin: &Origin, error: Error) -> Error {
        self.refuse(&at_login(origin), error)
    }

    /// Whom a token of this cluster stands for, for who logs in with it instead of a password.
    ///
    /// # Errors
    /// As [`Access::admit`].
    pub async fn check_own_token(&self, token: &str, origin: &Origin) -> Result<Caller, Error> {
        let shown = Shown { session: Some(token), ..Shown::default() };
        let visit = self.admit(shown, at_login(origin)).await?;
        let caller = visit.caller();
        let with = format!("with {}", caller.credential());
        self.record_login(origin, caller.name(), Outcome::Allowed, &with)?;
        Ok(caller.clone())
    }

    /// Who has this name and password. Both answers take as long, and wrong ones ever longer.
    pub(crate) async fn check_password(
        &self,
        snapshot: &Snapshot,
        name: &str,
        password: Password,
        address: Option<IpAddr>,
    ) -> Result<Caller, Error> {
        let guessing = self.guessing();
        let known = name.parse::<PrincipalName>().ok();
        let hash = known.as_ref().and_then(|name| snapshot.state.principals.get(name));
        let hash = hash.and_then(|account| account.password.clone());
        let known = known.zip(hash);
        if let Some((name, hash)) = &known
            && guessing.remembered.knows(name, hash, &password)
        {
            return Ok(Caller::known(name.clone().into(), Credential::Password(hash.clone())));
        }
        let now = self.env().clock.monotonic();
        if let Some(wait) = guessing.throttle.wait(name, address, now) {
            return Err(Error::Throttled { seconds: wait.as_secs() + 1 });
        }
        let busy = || Error::Throttled { seconds: 1 };
        let _waiting = guessing.waiting.try_acquire().map_err(|_| busy())?;
        let _turn = guessing.checks.acquire().await.map_err(|_| busy())?;
        let remembered = Arc::clone(&guessing.remembered);
        let check = move || match known {
            Some((name, hash)) if hash.is_of(&password) => {
                remembered.keep(&name, &hash, &password);
                Some(Caller::known(name.into(), Credential::Password(hash)))
            }
            Some(_) => None,
            None => {
                waste(&password);
                None
            }
        };
        match self.env().spawn.run(check).await? {
            Some(caller) => {
                guessing.throttle.succeeded(name, address);
                Ok(caller)
            }
            None => {
                guessing.throttle.failed(name, address, self.env().clock.monotonic());
                Err(Error::WrongPassword)
            }
        }
    }

    /// Makes a token for somebody who logged in, for `life`. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoPrincipal`] and [`Error::NoProvider`] when it went meanwhile, and as every change.
    pub async fn open_session(
        &self,
        owner: Owner,
        groups: BTreeSet<GroupName>,
        life: Duration,
        origin: &Origin,
    ) -> Result<NewToken, Error> {
        let spec = TokenSpec {
            principal: owner,
            kind: TokenKind::Session,
            groups,
            label: Label::session(),
            scopes: Scopes::All,
            expires_in: Some(life),
        };
        let who = spec.principal.as_str().to_owned();
        self.record_login(origin, &who, Outcome::Allowed, "")?;
        self.audit().commit().await?;
        let made = self.create_token(spec).await?;
        self.record_login(
            origin,
            &who,
            Outcome::Changed,
            &format!("opened session {}", made.info.id),
        )?;
        self.audit().commit().await.map_err(Error::Unrecorded)?;
        Ok(made)
    }

    fn record_login(
        &self,
        origin: &Origin,
        who: &str,
        outcome: Outcome,
        detail: &str,
    ) -> Result<(), Error> {
        let record = at_login(origin).record("log_in", "", outcome);
        Ok(self.audit().record(Record { caller: who.into(), detail: detail.into(), ..record })?)
    }

    /// Ends the session by which somebody came. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoSession`] when it was no session but another credential; and as every change.
    pub async fn close_session(&self, visit: &Visit) -> Result<(), Error> {
        let Some(id) = visit.session() else { return Err(Error::NoSession) };
        let (origin, who) = (visit.origin(), visit.caller().name());
        self.record_login(origin, who, Outcome::Allowed, "to log out")?;
        self.audit().commit().await?;
        self.revoke_token(&id).await?;
        self.record_login(origin, who, Outcome::Changed, &format!("closed session {id}"))?;
        self.audit().commit().await.map_err(Error::Unrecorded)
    }
}
