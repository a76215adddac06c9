//! OpenID Connect: people log in by an identity provider, and its signed tokens are taken.
//!
//! The parts of OpenID Connect Core 1.0 and Discovery 1.0 that a relying party needs, with PKCE
//! (RFC 7636) on every code flow, the device flow (RFC 8628) for programs without a browser, and bearer
//! tokens that are JWTs (RFC 7519, with RFC 8725's advice). Many providers put what they know of a person
//! not into the id token but behind the userinfo endpoint: a login asks there for what is missing. A
//! provider's keys are fetched when they are
//! needed and followed as they rotate.
//!
//! # Invariants
//!
//! - OIDC-1 A token is believed only with a signature by a key that the provider publishes at this
//!   time, made by an asymmetric algorithm that fits the key; never without one, and never by a key
//!   that the token brings along.
//! - OIDC-2 It must be from this provider, for this client, and of this time. In the code flow it must
//!   hold the nonce of the very login.
//! - OIDC-3 What a provider sends is bounded in size and in time, and redirects are not followed.
//! - OIDC-4 What the userinfo endpoint tells counts only when it tells the `sub` of the id token, and
//!   only for a user or groups that the id token does not name.
//!
//! # Absent on purpose
//!
//! Encrypted tokens, userinfo as a signed token, the implicit flow, opaque bearer tokens
//! (introspection), refresh tokens: a session is a token of this cluster, which it can revoke within a
//! second.

#![forbid(unsafe_code)]

mod claims;
mod device;
mod flow;
mod keys;
mod provider;
mod userinfo;

pub use device::{DeviceLogin, Polled};
pub use flow::{Begun, Pending};
pub use provider::Oidc;
