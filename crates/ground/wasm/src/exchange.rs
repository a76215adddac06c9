//! The host functions of My Own Cluster, on what a guest has here: exchange buffers, which are of one call, keys and
//! objects of the function's own, requests to others. `prepare` adds what turns imports of a module "core" into them.

mod buffers;
mod calls;
mod host;
mod kept;

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_env::Env;

use self::buffers::{Buffer, Head};
use crate::blobs::Container;
use crate::guest::Guest;
use crate::stores::Store;

pub(crate) use self::host::add_to_linker;

/// What is answered where something was not done.
const FAILED: i32 = 0xffff;
/// The buffers that a call has from its beginning.
const INPUT: i32 = 1;
const OUTPUT: i32 = 2;

/// The exchange of one instance.
pub(crate) struct Exchange {
    env: Env,
    buffers: BTreeMap<i32, Buffer>,
    /// How many there were.
    created: u32,
    head: Head,
    store: Option<Arc<dyn Store>>,
    objects: Option<Arc<dyn Container>>,
}

impl Exchange {
    pub(crate) fn new(env: &Env) -> Self {
        let (buffers, head) = (BTreeMap::new(), Head::default());
        Self { env: env.clone(), buffers, created: 0, head, store: None, objects: None }
    }
}

impl Guest {
    /// What the function was given by this name, the call's before the release's.
    fn environment(&self, name: &str) -> Option<&str> {
        let of_call = self.called.as_ref()?;
        let found = of_call.environment.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// It was not done, and the guest's log says why and what to use instead.
    fn undone(&self, what: &str, why: &str) -> i32 {
        self.say(&format!("{what} was not done: {why}"));
        FAILED
    }
}

/// What names an export for the adapter.
pub(crate) fn entry_hash(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    // 0 is none.
    u64::from_le_bytes(first) | 1
}
