//! Names and references: `[HOST[:PORT]/][@PROJECT/]NAME[:TAG][/PATH]`.
//!
//! A name is 1 to [`NAME_BYTES_MAX`] bytes of `A-Z a-z 0-9 . _ -`, and begins with a letter or a
//! digit. So no name escapes a directory, hides a file or needs quoting in a URL or a shell.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::ErrorKind;

/// The longest project, dataset or tag name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// The longest reference that is parsed at all, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 8192;

/// Why a name or a reference was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name is empty.
    #[error("the {what} is empty")]
    Empty {
        /// Which part: project name, name, tag.
        what: &'static str,
    },
    /// A name is longer than [`NAME_BYTES_MAX`].
    #[error("the {what} has {len} bytes, more than {NAME_BYTES_MAX}")]
    Long {
        /// Which part.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A name has a character it may not have.
    #[error(
        "the {what} {name:?} has {found:?} at byte {at}; it may hold A-Z a-z 0-9 . _ - and begins with a letter or a digit"
    )]
    Character {
        /// Which part.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The offending character.
        found: char,
        /// Its offset in bytes.
        at: usize,
    },
    /// A reference has more than one tag, as in `a:b:c`.
    #[error("{reference:?} has more than one tag; a host with a port is written HOST:PORT/NAME")]
    ManyTags {
        /// The reference as given.
        reference: String,
    },
    /// A reference is longer than [`REFERENCE_BYTES_MAX`].
    #[error("the reference has {len} bytes, more than {REFERENCE_BYTES_MAX}")]
    LongReference {
        /// Its length in bytes.
        len: usize,
    },
    /// A path inside a dataset climbs out of it.
    #[error("the path {path:?} has the component {component:?}; write it without `.` and `..`")]
    Escape {
        /// The path as given.
        path: String,
        /// `.` or `..`.
        component: String,
    },
}

impl Error {
    /// Always [`ErrorKind::Invalid`].
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

fn check(what: &'static str, name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::Empty { what });
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::Long { what, len: name.len() });
    }
    for (at, found) in name.char_indices() {
        let inner = at > 0 && matches!(found, '.' | '_' | '-');
        if !found.is_ascii_alphanumeric() && !inner {
            return Err(Error::Character { what, name: name.to_string(), found, at });
        }
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self, Error> {
                check($what, name)?;
                Ok(Self(name.to_string()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// A project: the unit of grants, quotas and deduplication.
    ProjectName,
    "project name"
);
name_type!(
    /// A dataset within a project.
    DatasetName,
    // Functions, schedules, steps of plans and others have such names too.
    "name"
);
name_type!(
    /// A tag of a dataset: a name for one of its versions that can move.
    TagName,
    "tag"
);

impl Default for ProjectName {
    /// `main`.
    fn default() -> Self {
        Self("main".to_string())
    }
}

impl Default for TagName {
    /// `latest`.
    fn default() -> Self {
        Self("latest".to_string())
    }
}

/// A parsed reference. Parts that were not written are `None` (or empty for the path).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `HOST` or `HOST:PORT`, when the first part contains a dot or a port, or is `localhost`.
    pub host: Option<String>,
    /// The project; `main` when not written.
    pub project: ProjectName,
    /// The dataset.
    pub name: DatasetName,
    /// The tag, when written.
    pub tag: Option<TagName>,
    /// The path inside the dataset: components without `.`, `..` or empty ones.
    pub path: Vec<String>,
}

impl Reference {
    /// The tag, or `latest`.
    #[must_use]
    pub fn tag_or_latest(&self) -> TagName {
        self.tag.clone().unwrap_or_default()
    }
}

/// Whether the first part of a reference is a host: `localhost`, or with a dot, and with a decimal
/// port or none. `@PROJECT/` in front makes a dataset of such a name unmistakable.
fn is_host(part: &str) -> bool {
    let (host, port) = part.split_once(':').map_or((part, None), |(h, p)| (h, Some(p)));
    let port_ok = port.is_none_or(|p| !p.is_empty() && p.parse::<u16>().is_ok());
    let host_ok = check("host", host).is_ok();
    port_ok && host_ok && (host == "localhost" || host.contains('.'))
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(Error::LongReference { len: text.len() });
        }
        let mut rest = text;
        let mut host = None;
        if let Some((first, after)) = rest.split_once('/')
            && is_host(first)
            && !after.is_empty()
        {
            host = Some(first.to_string());
            rest = after;
        }
        let mut project = ProjectName::default();
        if let Some(scoped) = rest.strip_prefix('@') {
            let (name, after) = scoped.split_once('/').unwrap_or((scoped, ""));
            project = name.parse()?;
            rest = after;
        }
        let (named, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut parts = named.split(':');
        let name = parts.next().unwrap_or_default().parse()?;
        let tag = parts.next().map(TagName::from_str).transpose()?;
        if parts.next().is_some() {
            return Err(Error::ManyTags { reference: text.to_string() });
        }
        Ok(Self { host, project, name, tag, path: path_components(path)? })
    }
}

/// Splits a path inside a dataset. Empty components are dropped; `.` and `..` are refused.
///
/// # Errors
/// [`Error::Escape`] for `.` and `..`.
pub fn path_components(path: &str) -> Result<Vec<String>, Error> {
    let mut components = Vec::new();
    for component in path.split('/').filter(|c| !c.is_empty()) {
        if component == "." || component == ".." {
            return Err(Error::Escape { path: path.to_string(), component: component.to_string() });
        }
        components.push(component.to_string());
    }
    Ok(components)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        if self.project != ProjectName::default() || is_host(self.name.as_str()) {
            write!(f, "@{}/", self.project)?;
        }
        write!(f, "{}", self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        for component in &self.path {
            write!(f, "/{component}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
