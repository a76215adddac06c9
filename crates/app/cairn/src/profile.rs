//! Named profiles: where nodes and buckets are, and the tokens for them, in
//! `$XDG_CONFIG_HOME/cairn/config.toml`, which only its owner can read.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::context::config_dir;
use crate::exit::Usage;

/// The file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Profiles {
    /// The profile that is used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
    #[serde(default)]
    pub(crate) profile: BTreeMap<String, Profile>,
    /// The settings of a node, which are in the same file.
    #[serde(flatten)]
    settings: toml::Table,
}

/// One of them: a node, or a bucket.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bucket: Option<String>,
    /// Certificates that the node's is signed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// A client certificate and its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
}

fn path() -> anyhow::Result<PathBuf> {
    let directory = config_dir().ok_or_else(|| {
        Usage("set HOME or XDG_CONFIG_HOME: profiles are kept below it".to_owned())
    })?;
    Ok(directory.join("config.toml"))
}

impl Profiles {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let Some(path) = config_dir().map(|directory| directory.join("config.toml")) else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|error| Usage(format!("{} is wrong: {error}", path.display())).into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Replaces the file in one step.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let path = path()?;
        let directory = path.parent().expect("it was joined to a directory");
        let failed = || format!("writing {}", path.display());
        std::fs::create_dir_all(directory).with_context(failed)?;
        let staged = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = std::fs::File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
        file.write_all(toml::to_string_pretty(self)?.as_bytes()).with_context(failed)?;
        file.sync_all().with_context(failed)?;
        std::fs::rename(&staged, &path).with_context(failed)
    }

    /// The profile of that name, or the default one, if any.
    pub(crate) fn choose(&self, name: Option<&str>) -> anyhow::Result<Option<&Profile>> {
        let Some(name) = name.or(self.default.as_deref()) else { return Ok(None) };
        let known = self.profile.get(name);
        let profile = known.ok_or_else(|| {
            let names: Vec<&str> = self.profile.keys().map(String::as_str).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Usage(format!("there is no profile {name:?}; there are: {names}"))
        })?;
        Ok(Some(profile))
    }
}
