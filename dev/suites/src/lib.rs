//! Tests that others wrote of their own libraries, run as functions: those of Go's library and of Zig's, which both
//! projects run under other engines. A program is built as its project builds it, deployed as it is, and read as a person
//! reads it: what passed, what was skipped by itself, what failed.
//!
//! `suites.toml` says which ones, and which of their tests are left out and why.

#![forbid(unsafe_code)]

mod told;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use cairn_env::Env;
use cairn_testkit::guests;
use cairn_wasm::{Call, Command, Limits, Options, Runtime, prepare};
use serde::Deserialize;

pub use crate::told::Told;
use crate::world::{Lines, Tree};

/// What each program may use: far more than by default, for some of them measure how fast they are.
const MEMORY_BYTES: u64 = 2 << 30;
const TIME_MS: u64 = 900_000;
const LOG_BYTES: u64 = 64 << 20;
/// What examples of Go print is taken through a temporary file.
const EXAMPLES: &str = "^Example";

/// All suites.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Why tests are left out, by the word for it.
    pub reasons: BTreeMap<String, String>,
    go: Vec<Go>,
    zig: Vec<Zig>,
}

/// The tests of a package of Go's library.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Go {
    package: String,
    /// Whether it is run with the other tests of the repository.
    #[serde(default)]
    quick: bool,
    /// The only tests that are run, where most are left out.
    #[serde(default)]
    only: Vec<String>,
    /// Tests that are left out, by the reason.
    #[serde(default)]
    skip: BTreeMap<String, Vec<String>>,
}

/// Tests of Zig's library.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Zig {
    name: String,
    #[serde(default)]
    quick: bool,
    /// What the names of its tests begin with, or have in them.
    tests: Vec<String>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Suite<'a>(Kind<'a>);

#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    Go(&'a Go),
    Zig(&'a Zig),
}

impl Table {
    /// What `suites.toml` says.
    ///
    /// # Errors
    /// What is wrong in it.
    pub fn read() -> Result<Self> {
        Self::parse(include_str!("../suites.toml"))
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Self = toml::from_str(text)?;
        for go in &table.go {
            for (reason, tests) in &go.skip {
                let package = &go.package;
                ensure!(table.reasons.contains_key(reason), "{package}: no reason {reason:?}");
                let plain = |name: &String| name.chars().all(|c| c.is_alphanumeric() || c == '_');
                let test = tests.iter().find(|name| !plain(name));
                ensure!(test.is_none(), "{package}: {test:?} is no name of a test");
            }
        }
        Ok(table)
    }

    /// All of them.
    pub fn suites(&self) -> impl Iterator<Item = Suite<'_>> {
        let go = self.go.iter().map(|go| Suite(Kind::Go(go)));
        go.chain(self.zig.iter().map(|zig| Suite(Kind::Zig(zig))))
    }

    /// The one with this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn suite(&self, name: &str) -> Result<Suite<'_>> {
        let found = self.suites().find(|suite| suite.name() == name);
        found.with_context(|| format!("there is no suite {name:?}; `--list` lists them"))
    }
}

impl Suite<'_> {
    /// Its name: `go/PACKAGE`, `zig/NAME`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.0 {
            Kind::Go(go) => format!("go/{}", go.package),
            Kind::Zig(zig) => format!("zig/{}", zig.name),
        }
    }

    /// Whether it is run with the other tests of the repository.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        match self.0 {
            Kind::Go(go) => go.quick,
            Kind::Zig(zig) => zig.quick,
        }
    }

    /// How many of its tests are named to be left out, for each reason.
    #[must_use]
    pub fn left_out(&self) -> BTreeMap<&str, usize> {
        match self.0 {
            Kind::Go(go) => {
                go.skip.iter().map(|(reason, tests)| (reason.as_str(), tests.len())).collect()
            }
            Kind::Zig(_) => BTreeMap::new(),
        }
    }

    /// Builds it and runs it to its end; what it says of its tests.
    ///
    /// # Errors
    /// When there is no compiler for it, with what to install; what the compiler says; why the program did not come to its
    /// end.
    pub async fn run(&self, env: &Env) -> Result<Told> {
        match self.0 {
            Kind::Go(go) => {
                let (module, root) = (guests::go_tests(&go.package)?, guests::go_root()?);
                let ended = ended(env, &module, go.arguments(), Some((&root, &go.package))).await?;
                Told::of_go(&ended.output, ended.exit)
            }
            Kind::Zig(zig) => {
                let module = guests::zig_tests(&zig.name, &zig.tests)?;
                let ended = ended(env, &module, Vec::new(), None).await?;
                Told::of_zig(&ended.log, ended.exit)
            }
        }
    }
}

impl Go {
    fn arguments(&self) -> Vec<String> {
        let whole = |name: &String| format!("^{name}$");
        let skip: Vec<String> = self.skip.values().flatten().map(whole).collect();
        let skip = [vec![EXAMPLES.to_owned()], skip].concat().join("|");
        let mut arguments =
            vec!["-test.short".to_owned(), "-test.v".to_owned(), format!("-test.skip={skip}")];
        if !self.only.is_empty() {
            let only: Vec<String> = self.only.iter().map(whole).collect();
            arguments.push(format!("-test.run={}", only.join("|")));
        }
        arguments
    }
}

/// How a program ended.
struct Ended {
    output: String,
    log: String,
    exit: i32,
}

/// Runs a program. One of Go has the sources of its library as files, and begins in its package's folder.
async fn ended(
    env: &Env,
    module: &Path,
    arguments: Vec<String>,
    go: Option<(&Path, &str)>,
) -> Result<Ended> {
    let bytes = std::fs::read(module).context("cannot read what was built")?;
    let component = prepare(&bytes).context("it cannot be deployed")?.component;
    drop(std::fs::remove_file(module));
    let runtime = Runtime::start(Options::default(), env)?;
    let digest = *blake3::hash(&component).as_bytes();
    let code = runtime.code(digest, component).await.context("it cannot be compiled")?;
    let lines = Arc::new(Lines::default());
    let mut world = world::world(Arc::clone(&lines));
    if let Some((root, package)) = go {
        world.files = Arc::new(Tree(root.to_owned()));
        world.environment = [
            ("GOROOT", "/data"),
            ("PWD", &*format!("/data/src/{package}")),
            ("ZONEINFO", "/data/lib/time/zoneinfo.zip"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    }
    let limits = Limits {
        memory_bytes: MEMORY_BYTES,
        cpu_ms: TIME_MS,
        wall_ms: TIME_MS,
        log_bytes: LOG_BYTES,
        ..Limits::default()
    };
    let arguments = [vec!["tests".to_owned()], arguments].concat();
    let call = Call { arguments, ..Call::default() };
    let done = match Command::new(&code, limits, world)?.run(call).await {
        Ok(done) => done,
        Err(failure) => bail!("{failure}\n{}", lines.last()),
    };
    let output = String::from_utf8_lossy(&done.output).into_owned();
    Ok(Ended { output, log: lines.text(), exit: done.exit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_good() {
        let table = Table::read().unwrap();
        assert!(table.suites().any(|suite| suite.is_quick()));
        assert!(table.suite("go/strconv").is_ok() && table.suite("go/none").is_err());
    }

    #[test]
    fn a_test_is_left_out_for_a_reason() {
        let text = |skip: &str| {
            format!(
                "go = [{{ package = \"a\", skip = {{ {skip} }} }}]\nzig = []\n[reasons]\nx = \"y\""
            )
        };
        let table = Table::parse(&text("x = [\"TestA\", \"TestB\"]")).unwrap();
        let suite = table.suite("go/a").unwrap();
        assert_eq!(suite.left_out(), [("x", 2)].into());
        let Kind::Go(go) = suite.0 else { panic!("it is of Go") };
        let skip = "-test.skip=^Example|^TestA$|^TestB$";
        assert_eq!(go.arguments(), ["-test.short", "-test.v", skip]);
        for bad in ["y = [\"TestA\"]", "x = [\"Test.*\"]"] {
            assert!(Table::parse(&text(bad)).is_err(), "{bad}");
        }
    }
}
