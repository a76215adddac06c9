//! What rows of a project say, and what their changes do to what is known of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_kv::{Change, What};

use super::{Live, Project, Routes};
use crate::agenda::Key;
use crate::error::Error;
use crate::logs::Journal;
use crate::model::{Function, Target};
use crate::registry::text;
use crate::routes::Pattern;
use crate::rows::{self, FunctionRow, RouteRow};
use crate::slot::{Filters, Slot};

/// The filters of functions, by name.
type FiltersOf = BTreeMap<DatasetName, Filters>;

impl Live {
    /// What is known of a project is this from now on; requests see all of it, or what was before.
    pub(super) fn put_all(&self, project: &Project, kept: &[(String, Bytes)]) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        forget_routes(&mut routes, &project.name);
        let names: BTreeSet<_> =
            kept.iter().filter_map(|(key, _)| key.strip_prefix(rows::FUNCTIONS)).collect();
        project.slots().retain(|name, slot| {
            let stays = names.contains(name.as_str());
            if !stays {
                slot.journal.end();
            }
            stays
        });
        let scheduled = kept.iter().filter_map(|(key, _)| scheduled(project, key)).collect();
        self.agenda.replace(&project.name, scheduled);
        let triggered = kept.iter().filter_map(|(key, _)| triggered(project, key)).collect();
        self.triggers.replace(&project.name, triggered);
        let called = kept.iter().filter_map(|(key, _)| called(project, key)).collect();
        self.calls.replace(&project.name, called);
        let asked = kept.iter().filter_map(|(key, _)| asked(project, key)).collect();
        self.plans.replace(&project.name, asked);
        let mut filters = FiltersOf::new();
        for (of, priority, filter) in kept.iter().filter_map(|(key, _)| rows::filtered(key)) {
            filters.entry(of).or_default().insert((priority, filter));
        }
        // A release answers only behind the filters that its function has (WEB-3): they are there before it.
        for (name, slot) in project.slots().iter() {
            let all = filters.get(name).cloned().unwrap_or_default();
            slot.change_filters(|known| *known = all);
        }
        for (key, value) in kept {
            self.put(&mut routes, project, (key, value), &filters);
        }
    }

    pub(super) fn apply(&self, project: &Project, changes: &[Change]) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let (mut added, mut removed) = (FiltersOf::new(), FiltersOf::new());
        for change in changes {
            let (key, to) = match &change.what {
                What::Put(entry) => (&entry.key, &mut added),
                What::Deleted { key, .. } => (key, &mut removed),
                What::RangeDeleted(_) => continue,
            };
            if let Some((of, priority, filter)) = rows::filtered(&text(key)) {
                to.entry(of).or_default().insert((priority, filter));
            }
        }
        // Filters that are added are there before what else changes, and those that are removed after it (WEB-3).
        for (of, filters) in &added {
            if let Some(slot) = project.slots().get(of) {
                slot.change_filters(|all| all.extend(filters.iter().cloned()));
            }
        }
        for change in changes {
            match &change.what {
                What::Put(entry) => {
                    let key = text(&entry.key);
                    self.put(&mut routes, project, (&key, &entry.value), &added);
                }
                What::Deleted { key, .. } => self.deleted(&mut routes, project, &text(key)),
                // Of what is deleted in ranges it is seen that it is gone when its time comes.
                What::RangeDeleted(_) => {}
            }
        }
        for (of, filters) in &removed {
            if let Some(slot) = project.slots().get(of) {
                slot.change_filters(|all| all.retain(|one| !filters.contains(one)));
            }
        }
    }

    fn put(
        &self,
        routes: &mut Routes,
        project: &Project,
        (key, value): (&str, &[u8]),
        filters: &FiltersOf,
    ) {
        let done = if let Some(name) = key.strip_prefix(rows::FUNCTIONS) {
            self.put_function(project, name, (key, value), filters)
        } else if key.starts_with(rows::ROUTES) {
            put_route(routes, project, key, value)
        } else if let Some(rest) = key.strip_prefix(rows::COMPILING) {
            if let Some((name, number)) = rows::numbered(rest) {
                (self.undecided)(Function { project: project.name.clone(), name }, number);
            }
            Ok(())
        } else {
            scheduled(project, key).into_iter().for_each(|key| self.agenda.put(key));
            triggered(project, key).into_iter().for_each(|key| self.triggers.put(key));
            called(project, key).into_iter().for_each(|call| self.calls.put_new(call));
            asked(project, key).into_iter().for_each(|plan| self.plans.put_new(plan));
            Ok(())
        };
        if let Err(error) = done {
            tracing::error!(project = %project.name, %error, "a function is left out");
        }
    }

    fn put_function(
        &self,
        project: &Project,
        name: &str,
        (key, value): (&str, &[u8]),
        filters: &FiltersOf,
    ) -> Result<(), Error> {
        let row: FunctionRow = rows::decode(key, value)?;
        let name = rows::name(key, name)?;
        let mut slots = project.slots();
        // One of the same name that was made anew counts its releases anew.
        if let Some(before) = slots.get(&name).filter(|before| before.made_ms != row.made_ms) {
            before.switch(None);
            before.journal.end();
            slots.remove(&name);
        }
        let slot = slots.entry(name.clone()).or_insert_with(|| {
            let filters = filters.get(&name).cloned().unwrap_or_default();
            let of = Function { project: project.name.clone(), name };
            let journal = Journal::new(Arc::clone(&self.env.clock));
            Arc::new(Slot::new(of, row.made_ms, journal, filters))
        });
        slot.switch(row.current);
        Ok(())
    }

    fn deleted(&self, routes: &mut Routes, project: &Project, key: &str) {
        if let Some(name) = key.strip_prefix(rows::FUNCTIONS) {
            let Ok(name) = name.parse::<DatasetName>() else { return };
            if let Some(slot) = project.slots().remove(&name) {
                slot.switch(None);
                slot.journal.end();
            }
        } else if let Some(Ok(pattern)) = key.strip_prefix(rows::ROUTES).map(Pattern::of_shape) {
            let ours = |target: &Target| target.function.project == project.name;
            if routes.same(&pattern).is_some_and(|(_, target)| ours(target)) {
                routes.remove(&pattern);
            }
        } else if let Some(schedule) = scheduled(project, key) {
            self.agenda.remove(&schedule);
        } else if let Some(trigger) = triggered(project, key) {
            self.triggers.remove(&trigger);
        } else if let Some(call) = called(project, key) {
            self.calls.remove(&call);
        } else if let Some(plan) = asked(project, key) {
            self.plans.remove(&plan);
        }
    }
}

pub(super) fn forget_routes(routes: &mut Routes, of: &ProjectName) {
    let gone = routes.patterns(|target| target.function.project == *of);
    gone.iter().for_each(|pattern| routes.remove(pattern));
}

fn put_route(routes: &mut Routes, project: &Project, key: &str, value: &[u8]) -> Result<(), Error> {
    let row: RouteRow = rows::decode(key, value)?;
    let pattern: Pattern = row.pattern.parse()?;
    let name = rows::name(key, &row.function)?;
    let function = Function { project: project.name.clone(), name };
    let RouteRow { pattern: text, files, auth, made_ms, .. } = row;
    let target = Arc::new(Target { function, files, pattern: text, auth, made_ms });
    let Err((before, other)) = routes.insert(pattern.clone(), target) else { return Ok(()) };
    let first = |target: &Target| (target.made_ms, target.function.clone());
    let same_project = other.function.project == project.name;
    let now = routes.same(&pattern).map(|(_, target)| first(target));
    // Two projects have made it at the same time: all nodes take the one that was first.
    if !same_project && now.is_some_and(|now| first(&other) < now) {
        tracing::warn!(pattern = %before, to = %other.function, "two projects have one route");
        drop(routes.insert(before, other));
    }
    Ok(())
}

/// The call that a key is for.
fn called(project: &Project, key: &str) -> Option<Key<String>> {
    let (name, id) = rows::called(key)?;
    Some((Function { project: project.name.clone(), name }, id))
}

/// The plan that a key is for.
fn asked(project: &Project, key: &str) -> Option<Key<String>> {
    let (name, id) = rows::asked(key)?;
    Some((Function { project: project.name.clone(), name }, id))
}

/// The schedule that a key is for.
fn scheduled(project: &Project, key: &str) -> Option<Key<DatasetName>> {
    let (name, schedule) = rows::scheduled(key)?;
    Some((Function { project: project.name.clone(), name }, schedule))
}

/// The trigger that a key is for.
fn triggered(project: &Project, key: &str) -> Option<Key<DatasetName>> {
    let (name, trigger) = rows::triggered(key)?;
    Some((Function { project: project.name.clone(), name }, trigger))
}
