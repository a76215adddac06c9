use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! meter {
    ($($(#[$doc:meta])* $field:ident),* $(,)?) => {
        /// Counters of work in progress, written by a push or pull and read by whoever shows them.
        #[derive(Debug, Default)]
        pub struct Meter {
            $($(#[$doc])* pub $field: Counter,)*
        }
    };
}

meter! {
    /// Files done.
    files,
    /// Bytes of files done.
    bytes,
    /// Files expected in all, where that is known.
    files_expected,
    /// Bytes expected in all, where that is known.
    bytes_expected,
    /// Bytes that had to be moved: new chunks of a push, fetched chunks of a pull.
    moved,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
