//! Where a command works: a bucket of its own, or a node.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use cairn_base::{Reference, TagName};
use cairn_blocks::{Blocks, Options, Secret};
use cairn_bucket::Bucket;
use cairn_datasets::{Browser, Dataset, Datasets, Store, Target};
use cairn_env::Env;
use cairn_http::client::{Node, Trust};

use crate::cli::Global;
use crate::exit::Usage;
use crate::output::note;
use crate::profile::{Profile, Profiles};

/// Where a node is when nothing says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:7400";

/// Where a command works.
pub(crate) enum Place {
    /// On a bucket, in this process.
    Bucket(String),
    /// On a node.
    Node {
        /// Its address.
        url: String,
        /// The token for it.
        token: Option<String>,
        /// Whom to trust.
        trust: Trust,
    },
}

pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) env: Env,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        Self { global, env: Env::real() }
    }

    /// What opens an encrypted bucket, when anything was given.
    pub(crate) fn secret(&self) -> anyhow::Result<Option<Secret>> {
        if let Some(file) = &self.global.key_file {
            let bytes =
                std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            return Ok(Some(Secret::KeyFile(bytes.into())));
        }
        let passphrase = match &self.global.passphrase_file {
            Some(file) => Some(read_line(file)?),
            None => std::env::var("CAIRN_PASSPHRASE").ok().filter(|text| !text.is_empty()),
        };
        Ok(passphrase.map(|text| Secret::Passphrase(text.into())))
    }

    /// Whom to trust and what to show, as given or as a profile says.
    pub(crate) fn trust(&self, profile: Option<&Profile>) -> anyhow::Result<Trust> {
        let read = |given: &Option<PathBuf>, kept: Option<&PathBuf>| {
            let file = given.as_ref().or(kept);
            let read = |file: &PathBuf| {
                std::fs::read(file).with_context(|| format!("reading {}", file.display()))
            };
            file.map(read).transpose()
        };
        let authority = read(&self.global.ca_file, profile.and_then(|p| p.ca_file.as_ref()))?;
        let kept = profile.and_then(|p| p.client_cert.as_ref());
        Ok(Trust::new(authority, read(&self.global.client_cert, kept)?))
    }

    /// The token that was given for a node, if any.
    pub(crate) fn given_token(&self) -> anyhow::Result<Option<String>> {
        match &self.global.token_file {
            Some(file) => Ok(Some(read_line(file)?)),
            None => Ok(std::env::var("CAIRN_TOKEN").ok().filter(|token| !token.is_empty())),
        }
    }

    /// Where this command works: what was typed or set wins over a profile.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        let token = self.given_token()?;
        if let Some(url) = &self.global.bucket {
            return Ok(Place::Bucket(bucket_url(url)?));
        }
        if let Some(url) = &self.global.url {
            return Ok(Place::Node { url: url.clone(), token, trust: self.trust(None)? });
        }
        let profiles = Profiles::load()?;
        match profiles.choose(self.global.profile.as_deref())? {
            Some(Profile { bucket: Some(url), .. }) => Ok(Place::Bucket(bucket_url(url)?)),
            Some(profile @ Profile { url: Some(url), token: kept, .. }) => {
                let (token, trust) = (token.or_else(|| kept.clone()), self.trust(Some(profile))?);
                Ok(Place::Node { url: url.clone(), token, trust })
            }
            _ => {
                let (url, trust) = (DEFAULT_URL.to_owned(), self.trust(None)?);
                Ok(Place::Node { url, token, trust })
            }
        }
    }

    /// The bucket that this command works on directly. Only who prepares one makes its directory.
    pub(crate) async fn bucket(&self, prepare: bool) -> anyhow::Result<Bucket> {
        match self.place()? {
            Place::Bucket(url) => {
                let options = cairn_bucket::Options { make: prepare, ..Default::default() };
                Ok(Bucket::open(&url, options, &self.env).await?)
            }
            Place::Node { .. } => Err(Usage(
                "this command works on a bucket: give --bucket URL or CAIRN_BUCKET".to_owned(),
            )
            .into()),
        }
    }

    /// The node that this command talks to.
    pub(crate) fn node(&self) -> anyhow::Result<Node> {
        match self.place()? {
            Place::Node { url, token, trust } => {
                Ok(Node::with_trust(&url, token.as_deref(), &trust, &self.env)?)
            }
            Place::Bucket(_) => Err(Usage(
                "this command talks to a node: give --url or CAIRN_URL, and no --bucket".to_owned(),
            )
            .into()),
        }
    }

    /// The datasets of the bucket. Writers prepare an empty one; readers do not.
    pub(crate) async fn datasets(&self, prepare: bool) -> anyhow::Result<Datasets> {
        let (bucket, secret) = (self.bucket(prepare).await?, self.secret()?);
        let (secret, options) = (secret.as_ref(), Options::default());
        let datasets = if prepare {
            Datasets::open_or_init(bucket, secret, options, &self.env).await?
        } else {
            Datasets::new(Blocks::open(bucket, secret, options, &self.env).await?)
        };
        if secret.is_some() && !datasets.blocks().is_encrypted() {
            let url = datasets.blocks().bucket().url();
            note(&format!("{url} is not encrypted; the passphrase or key file is not used"));
        }
        Ok(datasets)
    }

    /// The store that a reference is in. A host in it wins over everything.
    pub(crate) async fn store(
        &self,
        reference: Option<&Reference>,
        prepare: bool,
    ) -> anyhow::Result<Arc<dyn Store>> {
        if let Some(host) = reference.and_then(|reference| reference.host.as_ref()) {
            return Ok(Arc::new(self.host(host)?));
        }
        match self.place()? {
            Place::Bucket(_) => Ok(Arc::new(self.datasets(prepare).await?)),
            Place::Node { .. } => Ok(Arc::new(self.node()?)),
        }
    }

    /// The namespaces of keys that a reference is among. A host in it wins over everything.
    pub(crate) fn keys(
        &self,
        reference: Option<&Reference>,
    ) -> anyhow::Result<Arc<dyn cairn_kv::Store>> {
        if let Some(host) = reference.and_then(|reference| reference.host.as_ref()) {
            return Ok(Arc::new(self.host(host)?));
        }
        Ok(Arc::new(self.node()?))
    }

    /// [`Context::keys`], or the keys in a bucket, to be read.
    pub(crate) async fn keys_read(
        &self,
        reference: Option<&Reference>,
    ) -> anyhow::Result<Arc<dyn cairn_kv::Store>> {
        let on_node = reference.is_some_and(|reference| reference.host.is_some());
        match self.place()? {
            Place::Bucket(_) if !on_node => {
                Ok(Arc::new(cairn_node::keys_in_bucket(&self.datasets(false).await?)))
            }
            _ => self.keys(reference),
        }
    }

    /// Where a version is edited: a node, or else the datasets of a bucket.
    pub(crate) async fn edited(
        &self,
        reference: &Reference,
        prepare: bool,
    ) -> anyhow::Result<Result<Node, Datasets>> {
        if let Some(host) = &reference.host {
            return Ok(Ok(self.host(host)?));
        }
        Ok(match self.place()? {
            Place::Bucket(_) => Err(self.datasets(prepare).await?),
            Place::Node { .. } => Ok(self.node()?),
        })
    }

    /// The node on a host of a reference, with the token of the profile for it.
    fn host(&self, host: &str) -> anyhow::Result<Node> {
        let at =
            |url: &str| url.split("://").nth(1).map(|rest| rest.trim_end_matches('/').to_owned());
        let profiles = Profiles::load()?;
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:7400") };
        let known = profiles.profile.values().find(|profile| {
            let place = profile.url.as_deref().and_then(at);
            place.is_some_and(|place| place == host || place == with_port)
        });
        let given = self.given_token()?;
        match known {
            Some(profile @ Profile { url: Some(url), token, .. }) => {
                let (token, trust) = (given.or_else(|| token.clone()), self.trust(Some(profile))?);
                Ok(Node::with_trust(url, token.as_deref(), &trust, &self.env)?)
            }
            _ => {
                let (url, trust) = (format!("http://{with_port}"), self.trust(None)?);
                Ok(Node::with_trust(&url, given.as_deref(), &trust, &self.env)?)
            }
        }
    }

    /// A browser of the dataset that a reference names.
    pub(crate) async fn browser(&self, reference: &Reference) -> anyhow::Result<Browser> {
        let store = self.store(Some(reference), false).await?;
        Ok(Browser::new(store, dataset(reference)))
    }
}

/// A plain path is a directory of this machine.
pub(crate) fn bucket_url(text: &str) -> anyhow::Result<String> {
    if text.contains("://") {
        return Ok(text.to_owned());
    }
    let path = std::path::absolute(text)?;
    Ok(format!("file://{}", path.display()))
}

pub(crate) fn read_line(file: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

pub(crate) fn dataset(reference: &Reference) -> Dataset {
    Dataset { project: reference.project.clone(), name: reference.name.clone() }
}

pub(crate) fn target(reference: &Reference) -> Target {
    Target { dataset: dataset(reference), tag: reference.tag_or_latest() }
}

/// A reference without a path.
pub(crate) fn version_reference(text: &str) -> anyhow::Result<Reference> {
    let reference: Reference = text.parse()?;
    if !reference.path.is_empty() {
        let path = reference.path.join("/");
        return Err(
            Usage(format!("{text:?} has the path {path:?}; only NAME[:TAG] fits here")).into()
        );
    }
    Ok(reference)
}

/// A reference and the path in it, whose names may be any bytes.
pub(crate) fn path_reference(text: &OsStr) -> anyhow::Result<(Reference, Vec<Vec<u8>>)> {
    let bytes = text.as_bytes();
    // All but the names of files is ASCII: what is no text begins after a slash.
    let text_end = match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) => bytes[..error.valid_up_to()].iter().rposition(|b| *b == b'/').unwrap_or(0),
    };
    let (head, rest) = bytes.split_at(text_end);
    let reference: Reference = String::from_utf8_lossy(head).parse()?;
    let mut path: Vec<Vec<u8>> =
        reference.path.iter().map(|name| name.clone().into_bytes()).collect();
    for name in rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        if matches!(name, b"." | b"..") {
            let (path, component) =
                (String::from_utf8_lossy(rest).into(), String::from_utf8_lossy(name).into());
            return Err(cairn_base::name::Error::Escape { path, component }.into());
        }
        path.push(name.to_vec());
    }
    Ok((reference, path))
}

/// A reference with a tag that was written out.
pub(crate) fn tagged(text: &str) -> anyhow::Result<(Reference, TagName)> {
    let reference = version_reference(text)?;
    let tag = reference
        .tag
        .clone()
        .ok_or_else(|| Usage(format!("{text:?} has no tag; write {text}:TAG")))?;
    Ok((reference, tag))
}

fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(below_home)))
        .map(|path| path.join("cairn"))
}

/// Where the profiles are.
pub(crate) fn config_dir() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config")
}

/// Where a node without a `--data-dir` keeps its bucket.
pub(crate) fn data_dir() -> Option<PathBuf> {
    xdg("XDG_DATA_HOME", ".local/share")
}

/// Where caches go that may be deleted at any time.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    xdg("XDG_CACHE_HOME", ".cache")
}

/// Where the memory of pulls goes.
pub(crate) fn state_dir() -> Option<PathBuf> {
    xdg("XDG_STATE_HOME", ".local/state")
}
