use std::sync::{Arc, Weak};

use bytes::Bytes;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi_http::handler::ProxyPre;

use crate::cache::Digest;
use crate::error::Error;
use crate::guest::Guest;
use crate::program::Program;
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
    pub(crate) digest: Digest,
    pub(crate) entry: Entry,
}

#[derive(Clone)]
pub(crate) enum Entry {
    Http(Arc<ProxyPre<Guest>>),
    Command(Arc<Program>),
}

/// Code that somebody still has.
pub(crate) enum WeakEntry {
    Http(Weak<ProxyPre<Guest>>),
    Command(Weak<Program>),
}

impl Entry {
    fn component(&self) -> &Component {
        match self {
            Self::Http(pre) => match &**pre {
                ProxyPre::P2(pre) => pre.instance_pre().component(),
                ProxyPre::P3(pre) => pre.instance_pre().component(),
            },
            Self::Command(pre) => pre.instance_pre().component(),
        }
    }

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
    pub(crate) fn of(
        runtime: &Runtime,
        digest: Digest,
        component: &Component,
    ) -> Result<Self, Error> {
        let linked = runtime.linker().instantiate_pre(component);
        let pre = linked.map_err(|error| Error::Imports { detail: format!("{error:#}") })?;
        let entry =
            entry(&pre).ok_or_else(|| Error::World { found: exports(runtime, component) })?;
        Ok(Self { runtime: runtime.clone(), digest, entry })
    }

    /// The hash of its component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the compiler made, for another process of this program ([`Runtime::adopt`]): as this node has kept it and with
    /// its seal looked at, or out of memory.
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::Lost`].
    pub async fn bytes(&self) -> Result<Bytes, Error> {
        let code = self.clone();
        let read = move || match code.runtime.kept(&code.digest) {
            Some(bytes) => Ok(bytes),
            None => code.entry.component().serialize(),
        };
        let bytes = self.runtime.beside(read).await?;
        let failed = |error| Error::Compile { detail: format!("{error:#}") };
        Ok(bytes.map_err(failed)?.into())
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
    Program::of(pre).map(|program| Entry::Command(Arc::new(program)))
}

/// Names for a message.
fn exports(runtime: &Runtime, component: &Component) -> String {
    const SHOWN: usize = 8;
    let of = component.component_type();
    let names: Vec<String> =
        of.exports(runtime.engine()).map(|(name, _)| name.to_string()).take(SHOWN).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
