//! The changes of an edit as a tree, as they are put into a version.

use std::collections::BTreeMap;

use cairn_tree::{Content, Entry, Time};

/// A file that is put.
pub(super) struct Put {
    pub(super) content: Content,
    pub(super) mtime: Time,
    pub(super) executable: Option<bool>,
}

/// What happens at a path and below it.
#[derive(Default)]
pub(super) struct Plan {
    /// What is there is taken out, before anything is put.
    pub(super) removed: bool,
    /// The file that is put there.
    pub(super) put: Option<Put>,
    /// The entry that takes the place of what is there.
    pub(super) entry: Option<Entry>,
    /// What happens below, by name.
    pub(super) below: BTreeMap<Vec<u8>, Plan>,
    /// The newest file that is put there or below; none when none is.
    pub(super) newest: Option<Time>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        !self.removed && self.put.is_none() && self.entry.is_none() && self.below.is_empty()
    }

    pub(super) fn remove(&mut self, path: &[Vec<u8>]) {
        self.at(path, None).removed = true;
    }

    pub(super) fn put(&mut self, path: &[Vec<u8>], put: Put) {
        let mtime = put.mtime;
        self.at(path, Some(mtime)).put = Some(put);
    }

    pub(super) fn set(&mut self, path: &[Vec<u8>], entry: Entry) {
        self.at(path, None).entry = Some(entry);
    }

    fn at(&mut self, path: &[Vec<u8>], newest: Option<Time>) -> &mut Self {
        let mut plan = self;
        plan.newest = plan.newest.max(newest);
        for name in path {
            plan = plan.below.entry(name.clone()).or_default();
            plan.newest = plan.newest.max(newest);
        }
        plan
    }

    /// Whether what the version has at this path does not stay as it is.
    pub(super) fn touches(&self, path: &[Vec<u8>]) -> bool {
        let mut plan = self;
        for name in path {
            match plan.below.get(name) {
                None => return false,
                Some(next) if next.removed => return true,
                Some(next) => plan = next,
            }
        }
        plan.put.is_some()
    }
}
