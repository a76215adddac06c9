//! What a credential stands for at this moment: whom, with which limits, until when.

use std::collections::BTreeSet;

use crate::caller::{Caller, Credential, Known};
use crate::decide::Reason;
use crate::error::Error;
use crate::grant::Scopes;
use crate::principal::{GroupName, Owner};
use crate::snapshot::Snapshot;
use crate::token::{TokenInfo, TokenKind};

/// A credential that holds, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing<'a> {
    /// Whom it stands for.
    pub(crate) owner: Option<&'a Owner>,
    /// The groups that a provider says its user is in.
    pub(crate) groups: &'a BTreeSet<GroupName>,
    /// What it leaves of its owner's rights.
    pub(crate) scopes: &'a Scopes,
    /// When what was made with it ends at the latest, in milliseconds since 1970. A principal's
    /// session sets no end: another one can be had any time.
    pub(crate) lends_until_ms: Option<i64>,
}

static NO_GROUPS: BTreeSet<GroupName> = BTreeSet::new();
static ALL_SCOPES: Scopes = Scopes::All;

impl<'a> Standing<'a> {
    /// Nobody, or somebody without limits.
    fn unlimited(owner: Option<&'a Owner>) -> Self {
        Self { owner, groups: &NO_GROUPS, scopes: &ALL_SCOPES, lends_until_ms: None }
    }

    fn of_token(token: &'a TokenInfo) -> Self {
        let TokenInfo { principal, groups, scopes, kind, expires_ms, .. } = token;
        let again = *kind == TokenKind::Session && principal.principal().is_some();
        let lends_until_ms = expires_ms.filter(|_| !again);
        Self { owner: Some(principal), groups, scopes, lends_until_ms }
    }
}

impl Snapshot {
    /// What the caller's credential stands for in this state, or why it no longer stands for
    /// anything: it is looked up again each time (ACCESS-5).
    pub(crate) fn standing<'a>(&'a self, caller: &'a Caller) -> Result<Standing<'a>, Reason> {
        match caller {
            Caller::Anonymous => Ok(Standing::unlimited(None)),
            Caller::Known(known) => self.standing_of(known),
        }
    }

    fn standing_of<'a>(&'a self, known: &'a Known) -> Result<Standing<'a>, Reason> {
        let state = &self.state;
        let whole = Standing::unlimited(Some(&known.owner));
        let within = |end: Option<i64>| match end {
            Some(end) if end <= self.now_ms => Err(Reason::Expired),
            _ => Ok(()),
        };
        match &known.credential {
            Credential::Token(id) => {
                let token = state.tokens.get(id).map(|token| &token.info);
                let token = token.ok_or(Reason::Revoked)?;
                within(token.expires_ms)?;
                Ok(Standing::of_token(token))
            }
            Credential::Password(hash) => {
                let account = known.owner.principal().and_then(|name| state.principals.get(name));
                let same = account.is_some_and(|account| account.password.as_ref() == Some(hash));
                if same { Ok(whole) } else { Err(Reason::Revoked) }
            }
            Credential::Certificate(fingerprint) => {
                let kept = state.certificates.get(fingerprint);
                let kept = kept.filter(|kept| Some(&kept.principal) == known.owner.principal());
                let end = Some(kept.ok_or(Reason::Revoked)?.expires_ms);
                within(end)?;
                Ok(Standing { lends_until_ms: end, ..whole })
            }
            Credential::Bearer { provider, groups, expires_ms } => {
                if state.providers.get(&provider.name) != Some(provider) {
                    return Err(Reason::Revoked);
                }
                within(Some(*expires_ms))?;
                Ok(Standing { groups, lends_until_ms: Some(*expires_ms), ..whole })
            }
            Credential::Function => Ok(whole),
        }
    }

    /// Whether the credential still stands.
    pub(crate) fn stands(&self, caller: &Caller) -> Result<(), Error> {
        let Err(reason) = self.standing(caller) else { return Ok(()) };
        match caller {
            Caller::Known(known) => Err(match (reason, &known.credential) {
                (Reason::Expired, Credential::Token(id)) => Error::Expired { id: id.clone() },
                _ => Error::Unknown,
            }),
            Caller::Anonymous => Ok(()),
        }
    }
}
