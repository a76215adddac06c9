//! What doors share that let callers ask functions without a route.

use cairn_access::{Action, Error, Visit};
use cairn_env::Rng;
use http::HeaderName;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::calls::ID_BYTES;
use crate::functions::Reached;

/// Arguments of one call.
pub const ARGUMENTS_MAX: usize = 256;
/// Bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 255;
/// Headers that are between two machines, and not for a function.
const BETWEEN: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

impl Reached {
    /// Whether a caller may ask it without passing its filters: where it has some, that is for those who may remove
    /// them.
    ///
    /// # Errors
    /// When it may not.
    pub fn past_filters(&self, visit: &Visit) -> Result<(), Error> {
        match self.filters().is_empty() {
            true => Ok(()),
            false => visit.authorize(Action::DeployFunction, &self.function().resource()).map(drop),
        }
    }
}

/// Whether a function may be asked with a header of this name, by who asks it without a route.
#[must_use]
pub fn takes_header(name: &HeaderName) -> bool {
    !BETWEEN.contains(name) && !crate::inside::is_ours(name)
}

/// An id that nobody has, of a call or a plan.
#[must_use]
pub fn new_id(rng: &dyn Rng) -> String {
    let mut bytes = [0; ID_BYTES];
    rng.fill(&mut bytes);
    hex::encode(bytes)
}
