use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_base::ProjectName;
use tokio::sync::watch;

use crate::model::Function;

/// What is one function's, by its name.
pub(crate) type Key<N> = (Function, N);

/// When what is to be looked at, schedules or calls, of the projects whose partitions this node has.
pub(crate) struct Agenda<N> {
    kept: Mutex<Kept<N>>,
    changed: watch::Sender<()>,
}

struct Kept<N> {
    entries: BTreeMap<Key<N>, Entry>,
    /// Projects whose partitions this node has.
    ours: BTreeSet<ProjectName>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    /// In milliseconds since 1970.
    at_ms: u64,
    /// Somebody looks at it, or runs it.
    taken: bool,
    /// It was removed meanwhile.
    removed: bool,
}

impl<N: Ord + Clone> Agenda<N> {
    pub(crate) fn new() -> Self {
        let kept = Mutex::new(Kept { entries: BTreeMap::new(), ours: BTreeSet::new() });
        Self { kept, changed: watch::Sender::new(()) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<N>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when something is to be looked at earlier than it was.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Something is there, or was changed: it is looked at as soon as it can be.
    pub(crate) fn put(&self, key: Key<N>) {
        let mut kept = self.kept();
        let entry = kept.entries.entry(key).or_default();
        (entry.at_ms, entry.removed) = (0, false);
        drop(kept);
        self.changed.send_replace(());
    }

    /// Something is there. Where it is known already that changes nothing.
    pub(crate) fn put_new(&self, key: Key<N>) {
        self.kept().entries.entry(key).or_default().removed = false;
        self.changed.send_replace(());
    }

    /// It is there no more. While somebody has it nobody else takes it, also when it is there again.
    pub(crate) fn remove(&self, key: &Key<N>) {
        let mut kept = self.kept();
        if let Some(entry) = kept.entries.get_mut(key) {
            entry.removed = true;
            if !entry.taken {
                kept.entries.remove(key);
            }
        }
    }

    /// These are all that a project has.
    pub(crate) fn replace(&self, project: &ProjectName, keys: BTreeSet<Key<N>>) {
        let mut kept = self.kept();
        kept.entries.retain(|key, entry| {
            let others = key.0.project != *project;
            entry.removed = !others && !keys.contains(key);
            entry.taken || !entry.removed
        });
        for key in keys {
            kept.entries.entry(key).or_default();
        }
        drop(kept);
        self.changed.send_replace(());
    }

    /// This node has the partition of a project, or has it no more.
    pub(crate) fn own(&self, project: &ProjectName, ours: bool) {
        let mut kept = self.kept();
        if ours {
            kept.ours.insert(project.clone());
        } else {
            kept.ours.remove(project);
        }
        drop(kept);
        self.changed.send_replace(());
    }

    /// Takes what is to be looked at now; [`Agenda::put_back`] ends that.
    pub(crate) fn take(&self, now_ms: u64) -> Vec<Key<N>> {
        let mut kept = self.kept();
        let Kept { entries, ours } = &mut *kept;
        let due = entries.iter_mut().filter(|(key, entry)| {
            entry.at_ms <= now_ms && !entry.taken && ours.contains(&key.0.project)
        });
        let taken = due.map(|(key, entry)| {
            // What changes from now on is looked at again.
            (entry.taken, entry.at_ms) = (true, u64::MAX);
            key.clone()
        });
        taken.collect()
    }

    /// What was taken is to be looked at again then, or earlier when it was changed meanwhile.
    pub(crate) fn put_back(&self, key: &Key<N>, at_ms: u64) {
        let mut kept = self.kept();
        if let Some(entry) = kept.entries.get_mut(key) {
            (entry.taken, entry.at_ms) = (false, entry.at_ms.min(at_ms));
            if entry.removed {
                kept.entries.remove(key);
            }
        }
        drop(kept);
        self.changed.send_replace(());
    }

    /// Of what was taken there is no more to be done, unless it was changed meanwhile.
    pub(crate) fn done(&self, key: &Key<N>) {
        let changed = self.kept().entries.get(key).is_some_and(|entry| entry.at_ms == 0);
        if !changed {
            self.remove(key);
        }
        self.put_back(key, u64::MAX);
    }

    /// Ends when this node does not have the partition of a project any more.
    pub(crate) async fn lost(&self, project: &ProjectName) {
        let mut changed = self.changed();
        while self.kept().ours.contains(project) && changed.changed().await.is_ok() {}
    }

    /// How much a project has.
    pub(crate) fn count(&self, project: &ProjectName) -> usize {
        let kept = self.kept();
        kept.entries.keys().filter(|key| key.0.project == *project).count()
    }

    /// When something is to be looked at next.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let kept = self.kept();
        let waits = kept.entries.iter();
        let ours = waits.filter(|(key, entry)| !entry.taken && kept.ours.contains(&key.0.project));
        ours.map(|(_, entry)| entry.at_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(project: &str, name: &str) -> Key<u32> {
        (Function { project: project.parse().unwrap(), name: name.parse().unwrap() }, 1)
    }

    #[test]
    fn what_is_there_is_taken_once_at_a_time_and_where_its_project_is() {
        let agenda = Agenda::new();
        let (ours, theirs) = (key("ours", "a"), key("theirs", "a"));
        agenda.own(&ours.0.project, true);
        agenda.put(ours.clone());
        agenda.put(theirs.clone());
        assert_eq!(agenda.take(0), std::slice::from_ref(&ours));
        assert_eq!((agenda.take(0), agenda.next_ms()), (Vec::new(), None));
        agenda.put_back(&ours, 10);
        assert_eq!((agenda.take(9), agenda.next_ms()), (Vec::new(), Some(10)));
        assert_eq!(agenda.take(10), std::slice::from_ref(&ours));
        // It is still under way when all of the project is read again.
        agenda.replace(&ours.0.project, BTreeSet::from([ours.clone()]));
        assert_eq!(agenda.take(99), []);
        // What was changed meanwhile is looked at at once.
        agenda.put(ours.clone());
        agenda.put_back(&ours, 1000);
        assert_eq!(agenda.take(99), std::slice::from_ref(&ours));
        // It is there again while it is under way: it is taken once that is over.
        agenda.remove(&ours);
        agenda.put(ours.clone());
        assert_eq!(agenda.take(99), []);
        agenda.put_back(&ours, 1000);
        assert_eq!(agenda.take(99), std::slice::from_ref(&ours));
        agenda.done(&ours);
        assert_eq!((agenda.take(99), agenda.count(&ours.0.project)), (Vec::new(), 0));
        agenda.own(&theirs.0.project, true);
        assert_eq!(agenda.take(99), [theirs]);
    }
}
