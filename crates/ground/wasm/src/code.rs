use std::sync::{Arc, Weak};

use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::handler::ProxyPre;

use crate::error::Error;
use crate::guest::Guest;
use crate::runtime::Runtime;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It answers HTTP requests.
    Http,
    /// It is a program: arguments and standard input in, standard output and an exit code out.
    Command,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Command => "command",
        }
    }
}

/// Compiled code, ready to be run. Cheap to clone.
#[derive(Clone)]
pub struct Code {
    pub(crate) runtime: Runtime,
    pub(crate) entry: Entry,
}

#[derive(Clone)]
pub(crate) enum Entry {
    Http(Arc<ProxyPre<Guest>>),
    Command(Arc<CommandPre<Guest>>),
}

/// Code that somebody still has.
pub(crate) enum WeakEntry {
    Http(Weak<ProxyPre<Guest>>),
    Command(Weak<CommandPre<Guest>>),
}

impl Entry {
    pub(crate) fn downgrade(&self) -> WeakEntry {
        match self {
            Self::Http(pre) => WeakEntry::Http(Arc::downgrade(pre)),
            Self::Command(pre) => WeakEntry::Command(Arc::downgrade(pre)),
        }
    }
}

impl WeakEntry {
    pub(crate) fn upgrade(&self) -> Option<Entry> {
        match self {
            Self::Http(pre) => pre.upgrade().map(Entry::Http),
            Self::Command(pre) => pre.upgrade().map(Entry::Command),
        }
    }
}

impl Code {
    pub(crate) fn of(runtime: &Runtime, component: &Component) -> Result<Self, Error> {
        let linked = runtime.linker().instantiate_pre(component);
        let pre = linked.map_err(|error| Error::Imports { detail: format!("{error:#}") })?;
        let entry =
            entry(&pre).ok_or_else(|| Error::World { found: exports(runtime, component) })?;
        Ok(Self { runtime: runtime.clone(), entry })
    }

    /// How it is called.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.entry {
            Entry::Http(_) => Kind::Http,
            Entry::Command(_) => Kind::Command,
        }
    }
}

/// What can be run of a component: the newest version that it has.
fn entry(pre: &InstancePre<Guest>) -> Option<Entry> {
    use wasmtime_wasi_http::{p2, p3};
    if let Ok(service) = p3::bindings::ServicePre::new(pre.clone()) {
        return Some(Entry::Http(Arc::new(ProxyPre::P3(service))));
    }
    if let Ok(proxy) = p2::bindings::ProxyPre::new(pre.clone()) {
        return Some(Entry::Http(Arc::new(ProxyPre::P2(proxy))));
    }
    let command = CommandPre::new(pre.clone()).ok()?;
    Some(Entry::Command(Arc::new(command)))
}

/// Names for a message.
fn exports(runtime: &Runtime, component: &Component) -> String {
    const SHOWN: usize = 8;
    let of = component.component_type();
    let names: Vec<String> =
        of.exports(runtime.engine()).map(|(name, _)| name.to_string()).take(SHOWN).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
