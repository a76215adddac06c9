//! Who may do what: principals, tokens, grants, and the one `authorize()`.
//!
//! A **principal** is somebody or something that acts. To be let in it shows a **token**, its
//! **password**, a **client certificate**, or what an **identity provider** signed for it: then it is a
//! user of that provider, `PROVIDER/NAME`. A **function** of this cluster shows nothing, for the node that
//! runs it says who it is ([`Access::admit_function`]). A **grant** gives a principal, such a user, a **group**, every
//! caller who signed in (`authenticated`), or every caller (`anonymous`) a **role** on the datasets that
//! a **pattern** covers. A door asks two things, in
//! this order:
//!
//! 1. [`Access::admit`]: who sends this request, on the state of this moment: a [`Visit`];
//! 2. [`Visit::authorize`]: whether this caller may do this [`Action`] on this [`Resource`].
//!
//! | role | what it allows |
//! |---|---|
//! | reader | list, read datasets and keys; on everything also metrics |
//! | writer | what a reader may; publish, move and delete tags, delete datasets, set retention; make, change and remove namespaces, change keys |
//! | admin | what a writer may; give and take back roles there, and make tokens of its own; on everything also maintenance, principals and everybody's tokens |
//!
//! # Invariants
//!
//! - ACCESS-1 Every request of every door passes [`Access::admit`] and [`Visit::authorize`]; only a
//!   credential that held makes a caller with a name.
//! - ACCESS-2 A presented credential that does not hold is an error, never an anonymous caller.
//! - ACCESS-3 A token is stored only as its hash, compared in constant time, and shown once.
//! - ACCESS-4 Nothing is allowed without a grant that says so. There are no default credentials.
//! - ACCESS-5 A revoked or expired token stops working everywhere within [`REFRESH_MAX`]; when the
//!   bucket does not answer, nothing is decided on older knowledge.
//! - ACCESS-6 Every decision of the gate is recorded before anybody acts on it, a change again before
//!   it is acknowledged; what cannot be recorded is refused ([`cairn_audit`]). Of reads and changes of keys,
//!   ACCESS-9 says it.
//! - ACCESS-7 Guessing passwords is slowed: after a few wrong ones for an account or from an address the
//!   next is looked at only after a wait that doubles, and an account that is not there costs as much.
//! - ACCESS-8 Nobody gives what he has not: a role is given and taken back only where the giver is admin
//!   of all that it is about, and a token of one's own is no stronger than the credential it was made with.
//! - ACCESS-9 Of uses that are too many for a record each, the first in ten seconds is recorded as ACCESS-6
//!   says of decisions; those that follow are counted, and their number, and of changes the first and
//!   the last commit, are recorded within ten seconds and when the node stops. Refusals are recorded each,
//!   and what cannot be recorded is refused ([`Visit::authorize_counted`]).
//!
//! # Who owns the state, what is durable when, what survives a crash
//!
//! The bucket does, in one small object, [`STATE_KEY`], that changes only by compare-and-swap: all
//! nodes on it agree, and a fresh machine knows every token and grant. A change is durable when its
//! call returns. A node keeps only a copy that is at most [`REFRESH_MAX`] old, so a crash loses
//! nothing but a token that was made and not yet shown; [`Access::recover`] then makes another one.
//! The bytes are described in `state::format`; in an encrypted bucket they are sealed by a
//! [`Seal`].
//!
//! # Absent on purpose
//!
//! When a token was last used: it would be a write per use, or a value that differs from node to
//! node. Who made a grant or a token: that is in the audit log. A limit on failed attempts with
//! tokens: a token is 256 random bits. A role that may give some roles and not others: who is admin of a
//! part may give there what he has.

#![forbid(unsafe_code)]

mod access;
mod base32;
mod caller;
mod certificate;
mod decide;
mod delegate;
mod error;
mod gate;
mod grant;
mod login;
mod pass;
mod password;
mod pattern;
mod principal;
mod provider;
mod request_id;
mod snapshot;
mod standing;
mod state;
mod tally;
mod throttle;
mod token;

pub use access::{Access, CHANGE_ATTEMPTS_MAX, REFRESH_MAX, STATE_KEY, TOKEN_LIFE_MAX};
pub use cairn_bucket::{Plain, Seal, SealError};
pub use caller::{AUTHORIZATION_BYTES_MAX, Caller, Known};
pub use certificate::{CERTIFICATES_MAX, Certificate, Fingerprint};
pub use decide::{Decision, Explanation, Reason, Verdict};
pub use error::Error;
pub use gate::{Origin, Peer, Shown, Visit};
pub use grant::{Action, Grant, GrantId, Role, SCOPES_MAX, Scope, Scopes};
pub use pass::Pass;
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, Password};
pub use pattern::{PATTERN_BYTES_MAX, Pattern, Resource};
pub use principal::{
    ANONYMOUS, AUTHENTICATED, FUNCTIONS, GroupName, Label, Owner, Principal, PrincipalName,
    ProviderName, ROOT, Subject, UserName,
};
pub use provider::{Bearers, ClientSecret, GROUPS_MAX, Provider, Vouched};
pub use request_id::RequestIds;
pub use snapshot::{Snapshot, WhoAmI};
pub use state::{
    GRANTS_MAX, GRANTS_PER_PART_MAX, GRANTS_PER_SUBJECT_MAX, GROUPS_PER_PRINCIPAL_MAX,
    OWN_TOKENS_MAX, PRINCIPALS_MAX, PROVIDERS_MAX, SESSIONS_PER_OWNER_MAX, TOKENS_MAX,
};
pub use tally::{TALLIES_MAX, TALLY_EVERY, Use};
pub use token::{
    NewToken, PlainToken, TOKEN_CHARS, TOKEN_PREFIX, TokenId, TokenInfo, TokenKind, TokenSpec,
};
