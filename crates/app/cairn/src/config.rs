//! The settings of a node, from a file and the environment.
//!
//! Precedence, the strongest first: what is typed, `CAIRN__SECTION__KEY` in the environment,
//! `cairn.toml` in the working directory, `config.toml` in the user's configuration directory (beside
//! the profiles), the default. `--config FILE` stands for both files. A key that is not known is an
//! error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use cairn_http::{Options, Waits};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::command::cache;
use crate::context::config_dir;
use crate::exit::Usage;

/// What the names of settings in the environment begin with.
const PREFIX: &str = "CAIRN__";
/// The sections that hold no settings of a node: profiles in the user's file, functions in a project's.
const OTHERS: [&str; 4] = ["default", "profile", "functions", "files"];

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) node: NodeConfig,
    pub(crate) tls: TlsConfig,
    pub(crate) cache: CacheConfig,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NodeConfig {
    /// Where to listen.
    pub(crate) listen: Vec<SocketAddr>,
    /// Where to listen for clients of Redis.
    pub(crate) redis: Vec<SocketAddr>,
    /// Where functions answer requests.
    pub(crate) web: Vec<SocketAddr>,
    /// Where browsers reach the node, when that is not where it listens.
    pub(crate) public_url: Option<String>,
    /// Whether it collects in the background.
    pub(crate) collect: bool,
    /// Whether webhooks may go to addresses of this machine and its networks.
    pub(crate) hooks_to_private: bool,
    /// Whether functions may send requests to addresses of this machine and its networks.
    pub(crate) functions_to_private: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        let listen = vec![SocketAddr::from(([127, 0, 0, 1], 7400))];
        Self {
            listen,
            redis: Vec::new(),
            web: Vec::new(),
            public_url: None,
            collect: true,
            hooks_to_private: false,
            functions_to_private: false,
        }
    }
}

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// A certificate chain, PEM.
    pub(crate) cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub(crate) key: Option<PathBuf>,
    /// Names of a certificate by the cluster's authority.
    pub(crate) names: Vec<String>,
    /// Plain HTTP also beyond loopback.
    pub(crate) plain_http: bool,
}

/// `[cache]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CacheConfig {
    /// Where what was read of a bucket that is far away is kept.
    pub(crate) dir: Option<PathBuf>,
    /// How much that may be; 0 for nothing.
    pub(crate) size: Option<ByteCount>,
}

/// Bytes: a number, or a text as `20G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct ByteCount(pub(crate) u64);

impl TryFrom<Value> for ByteCount {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => cache::size(&text).map(Self),
            // What is no number is refused in the same words.
            other => cache::size(&other.to_string()).map(Self),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Requests that are worked on at a time.
    pub(crate) requests: usize,
    /// Connections at a time.
    pub(crate) connections: usize,
    /// How long the headers of a request may take, and how long an idle connection is kept.
    pub(crate) headers_wait_seconds: u64,
    /// How long a body may stand still.
    pub(crate) body_wait_seconds: u64,
    /// How long a client may take nothing of an answer.
    pub(crate) write_wait_seconds: u64,
    /// How long requests may go on after the node was asked to stop.
    pub(crate) shutdown_wait_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let Options { requests_max, connections_max, waits, .. } = Options::default();
        Self {
            requests: requests_max,
            connections: connections_max,
            headers_wait_seconds: waits.headers.as_secs(),
            body_wait_seconds: waits.body.as_secs(),
            write_wait_seconds: waits.write.as_secs(),
            shutdown_wait_seconds: waits.shutdown.as_secs(),
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// What is said: a level, or a filter as `cairn_http=debug,warn`.
    pub(crate) filter: String,
    /// How it is said.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "warn".to_owned(), format: LogFormat::Text }
    }
}

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object on each line.
    Json,
}

/// Settings, and where each that is not a default comes from.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// By the name of the setting, `section.key`.
    pub(crate) origins: BTreeMap<String, String>,
}

impl Loaded {
    /// Reads the files and the environment.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut merged = Merged::default();
        match file {
            Some(file) => merged.add_file(file, true)?,
            None => {
                if let Some(directory) = config_dir() {
                    merged.add_file(&directory.join("config.toml"), false)?;
                }
                merged.add_file(Path::new("cairn.toml"), false)?;
            }
        }
        for (name, value) in std::env::vars_os() {
            if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
                && let Some(path) = name.strip_prefix(PREFIX)
            {
                merged.add_variable(name, path, value)?;
            }
        }
        merged.read()
    }
}

/// Tables over tables.
#[derive(Default)]
struct Merged {
    table: Table,
    origins: BTreeMap<String, String>,
}

impl Merged {
    fn add_file(&mut self, file: &Path, required: bool) -> anyhow::Result<()> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                return Ok(());
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        let table: Table =
            text.parse().map_err(|error| Usage(format!("{} is wrong: {error}", file.display())))?;
        let sections = table.into_iter().filter(|(name, _)| !OTHERS.contains(&name.as_str()));
        for (section, values) in sections {
            let Value::Table(values) = values else {
                let file = file.display();
                return Err(
                    Usage(format!("{file}: {section} is no section; write [{section}]")).into()
                );
            };
            for (key, value) in values {
                self.set(&section, &key, value, file.display().to_string())?;
            }
        }
        Ok(())
    }

    /// `SECTION__KEY`, a value as in TOML or a text without quotes.
    fn add_variable(&mut self, name: &str, path: &str, value: &str) -> anyhow::Result<()> {
        let path = path.to_ascii_lowercase();
        let (section, key) = path
            .split_once("__")
            .ok_or_else(|| Usage(format!("{name} names no setting; write {PREFIX}SECTION__KEY")))?;
        let parsed = format!("v = {value}").parse::<Table>().ok();
        let parsed = parsed.and_then(|mut table| table.remove("v"));
        let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
        self.set(section, key, value, name.to_owned())
    }

    fn set(&mut self, section: &str, key: &str, value: Value, from: String) -> anyhow::Result<()> {
        check_name(section, key, &from)?;
        let values = self.table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(values) = values {
            values.insert(key.to_owned(), value);
        }
        self.origins.insert(format!("{section}.{key}"), from);
        Ok(())
    }

    fn read(self) -> anyhow::Result<Loaded> {
        let Self { table, origins } = self;
        let mut config = Config::default();
        // One by one, so that an error says where its setting comes from.
        for (name, from) in &origins {
            let (section, key) = name.split_once('.').unwrap_or_default();
            let value = table.get(section).and_then(|values| values.get(key)).cloned();
            let mut whole = known()?;
            if let (Some(Value::Table(values)), Some(value)) = (whole.get_mut(section), value) {
                values.insert(key.to_owned(), value);
            }
            let read: Result<Config, _> = whole.try_into();
            read.map_err(|error| {
                Usage(format!("{name} from {from} is wrong: {}", error.message()))
            })?;
        }
        if !table.is_empty() {
            config = table.try_into()?;
        }
        config.check()?;
        Ok(Loaded { config, origins })
    }
}

/// The defaults, as a table. What is not set has no value in it.
fn known() -> anyhow::Result<Table> {
    Ok(Table::try_from(Config::default())?)
}

/// All names of settings. JSON has those too that have no value.
fn names() -> Vec<String> {
    let all = serde_json::to_value(Config::default()).unwrap_or_default();
    let sections = all.as_object().into_iter().flatten();
    let names = sections.flat_map(|(section, values)| {
        let keys = values.as_object().into_iter().flat_map(serde_json::Map::keys);
        keys.map(move |key| format!("{section}.{key}"))
    });
    names.collect()
}

fn check_name(section: &str, key: &str, from: &str) -> anyhow::Result<()> {
    let (name, names) = (format!("{section}.{key}"), names());
    if names.contains(&name) {
        return Ok(());
    }
    let near = names.iter().map(|known| (strsim::damerau_levenshtein(known, &name), known));
    let near = near.min().filter(|(distance, _)| *distance <= 4);
    let hint = near.map_or_else(
        || "`cairn config show` lists all".to_owned(),
        |(_, near)| format!("did you mean {near}?"),
    );
    Err(Usage(format!("{from}: there is no setting {name}; {hint}")).into())
}

impl Config {
    fn check(&self) -> anyhow::Result<()> {
        let wrong = |text: &str| Err(Usage(text.to_owned()).into());
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return wrong("tls.cert and tls.key go together; give both or none");
        }
        if let Some(url) = &self.node.public_url {
            crate::cli::public_url(url).map_err(Usage)?;
        }
        let limits = &self.limits;
        if !(1..=65_536).contains(&limits.requests) || !(1..=1 << 20).contains(&limits.connections)
        {
            return wrong("limits.requests is 1 to 65536, limits.connections 1 to 1048576");
        }
        let waits = [
            limits.headers_wait_seconds,
            limits.body_wait_seconds,
            limits.write_wait_seconds,
            limits.shutdown_wait_seconds,
        ];
        if waits.iter().any(|seconds| !(1..=86_400).contains(seconds)) {
            return wrong("the waits of [limits] are 1 to 86400 seconds");
        }
        Ok(())
    }

    /// What the door takes of it.
    pub(crate) fn options(&self) -> Options {
        let limits = &self.limits;
        Options {
            requests_max: limits.requests,
            connections_max: limits.connections,
            waits: Waits {
                headers: Duration::from_secs(limits.headers_wait_seconds),
                body: Duration::from_secs(limits.body_wait_seconds),
                write: Duration::from_secs(limits.write_wait_seconds),
                shutdown: Duration::from_secs(limits.shutdown_wait_seconds),
            },
            public_url: self.node.public_url.clone(),
            hooks_to_private: self.node.hooks_to_private,
            ..Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(files: &[(&str, &str)], variables: &[(&str, &str)]) -> anyhow::Result<Loaded> {
        let dir = tempfile::tempdir()?;
        let mut merged = Merged::default();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::write(&path, text)?;
            merged.add_file(&path, true)?;
        }
        for (name, value) in variables {
            merged.add_variable(name, &name[PREFIX.len()..], value)?;
        }
        merged.read()
    }

    #[test]
    fn the_stronger_wins_and_says_where_it_is_from() {
        let user = "[limits]\nrequests = 7\nconnections = 9\n[profile.x]\nurl = \"http://x\"\n";
        let project = "[limits]\nrequests = 8\n[node]\nlisten = [\"[::1]:1\"]\n";
        let variables = [
            ("CAIRN__LIMITS__CONNECTIONS", "10"),
            ("CAIRN__LOG__FORMAT", "json"),
            ("CAIRN__NODE__PUBLIC_URL", "https://cairn.example.org"),
            ("CAIRN__NODE__COLLECT", "false"),
            ("CAIRN__NODE__HOOKS_TO_PRIVATE", "true"),
            ("CAIRN__CACHE__SIZE", "20G"),
            ("CAIRN__CACHE__DIR", "/srv/cache"),
        ];
        let loaded = load(&[("user", user), ("project", project)], &variables).unwrap();
        let Config { limits, node, log, .. } = &loaded.config;
        assert_eq!((limits.requests, limits.connections), (8, 10));
        assert_eq!(limits.body_wait_seconds, Limits::default().body_wait_seconds);
        assert_eq!(node.public_url.as_deref(), Some("https://cairn.example.org"));
        assert!(!node.collect);
        assert!(loaded.config.options().hooks_to_private);
        let cache = CacheConfig { dir: Some("/srv/cache".into()), size: Some(ByteCount(20 << 30)) };
        assert_eq!(loaded.config.cache, cache);
        assert_eq!(node.listen, ["[::1]:1".parse().unwrap()]);
        assert_eq!(log.format, LogFormat::Json);
        assert!(loaded.origins["limits.requests"].ends_with("project"));
        assert_eq!(loaded.origins["limits.connections"], "CAIRN__LIMITS__CONNECTIONS");
        assert!(!loaded.origins.contains_key("limits.body_wait_seconds"));
        assert_eq!(loaded.config.options().requests_max, 8);
    }

    #[test]
    fn what_is_wrong_says_what_and_where() {
        for (text, why) in [
            (
                "[limits]\nrequest = 1",
                "there is no setting limits.request; did you mean limits.requests?",
            ),
            ("[limit]\nrequests = 1", "did you mean limits.requests?"),
            ("[other]\nthing = 1", "`cairn config show` lists all"),
            ("limits = 1", "is no section"),
            ("[limits]\nrequests = \"many\"", "limits.requests from"),
            ("[limits]\nrequests = -1", "limits.requests from"),
            ("[limits]\nrequests = 0", "1 to 65536"),
            ("[limits]\nbody_wait_seconds = 0", "1 to 86400"),
            ("[tls]\ncert = \"a\"", "go together"),
            ("[log]\nformat = \"xml\"", "log.format from"),
            ("[cache]\nsize = \"much\"", "write it as 500M"),
            ("[cache]\nsize = -1", "write it as 500M"),
            ("[cache]\nsize = true", "write it as 500M"),
            ("[limits", "is wrong"),
        ] {
            let error = load(&[("f", text)], &[]).unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
            assert!(error.is::<Usage>(), "{text}: {error}");
        }
        assert!(load(&[], &[("CAIRN__LIMITS", "1")]).is_err());
        assert_eq!(load(&[("f", "")], &[]).unwrap().config, Config::default());
        let sized = load(&[("f", "[cache]\nsize = 0")], &[]).unwrap();
        assert_eq!(sized.config.cache.size, Some(ByteCount(0)));
    }

    #[test]
    fn every_setting_has_a_name() {
        for name in names() {
            let (section, key) = name.split_once('.').unwrap();
            assert!(check_name(section, key, "test").is_ok(), "{name}");
        }
        for unset in ["node.public_url", "tls.cert", "tls.key", "cache.dir", "cache.size"] {
            assert!(names().contains(&unset.to_owned()), "{unset}");
        }
    }
}
