//! PostgreSQL's own regression suite and its tests of isolation, from the source of the installed release.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::server::{Cluster, MAJOR, Programs};
use crate::{command, repo};

/// Modules of contrib that the suite loads from beside its own.
const MODULES: [&str; 2] = ["autoinc.so", "refint.so"];
/// Where the client's package has the programs that run tests.
const TESTS: &str = "pgxs/src/test";
/// Sessions that the suite opens at once, at most.
const SESSIONS: u32 = 20;

/// A part of it: a program of the client's package, a folder of the source, and its list of tests.
pub(super) struct Part {
    program: &'static str,
    folder: &'static str,
    schedule: &'static str,
}

/// What one session sees.
pub(super) const REGRESSION: Part =
    Part { program: "pg_regress", folder: "regress", schedule: "parallel_schedule" };
/// What several see of each other.
pub(super) const ISOLATION: Part =
    Part { program: "pg_isolation_regress", folder: "isolation", schedule: "isolation_schedule" };

/// The suite, where the server's user can read it.
#[derive(Debug)]
pub(super) struct Suite {
    dir: PathBuf,
    modules: PathBuf,
}

impl Suite {
    /// Brings the suite into a folder; `source` is an extracted source, else the system's package of
    /// the installed release is fetched.
    pub(super) fn bring(programs: &Programs, to: &Path, source: Option<&Path>) -> Result<Self> {
        programs.folder(to)?;
        let fetched = to.join("source");
        let source = if let Some(source) = source {
            source
        } else {
            fetch(programs, &fetched)?;
            &fetched
        };
        let suite = Self { dir: to.join("test"), modules: to.join("modules") };
        std::fs::create_dir_all(&suite.modules)?;
        command::output(Command::new("cp").arg("-a").arg(source.join("src/test")).arg(&suite.dir))
            .context("the source of PostgreSQL has no tests")?;
        compile(source, &to.join("build"), &suite.modules.join("regress.so"))?;
        for module in MODULES {
            std::fs::copy(programs.library.join(module), suite.modules.join(module))
                .with_context(|| format!("postgresql-contrib has no {module}"))?;
        }
        programs.give(to)?;
        Ok(suite)
    }

    /// Runs a part of it and prints what it says in the end. A test that fails is no failure here, as
    /// what it wrote to the log is what counts.
    pub(super) fn run(&self, part: &Part, cluster: &Cluster<'_>) -> Result<()> {
        let Part { program, folder, schedule } = part;
        let output = cluster.dir.join(folder);
        cluster.programs.folder(&output)?;
        let (input, tests) = (self.dir.join(folder), cluster.programs.library.join(TESTS));
        let mut regress = cluster.client(tests.join(folder).join(program));
        regress.args(["--encoding=UTF8", "--no-locale", "--user=postgres"]);
        regress.arg(format!("--bindir={}", cluster.programs.bin.display()));
        regress.arg(format!("--max-connections={SESSIONS}"));
        regress.arg(format!("--host={}", cluster.dir.display()));
        regress.arg(format!("--inputdir={}", input.display()));
        regress.arg(format!("--outputdir={}", output.display()));
        regress.arg(format!("--dlpath={}", self.modules.display()));
        regress.arg(format!("--schedule={}", input.join(schedule).display()));
        let out = regress.stdin(Stdio::null()).output();
        let out = out.with_context(|| format!("cannot start {program}"))?;
        let text = String::from_utf8_lossy(&out.stdout);
        for failed in text.lines().filter(|line| line.contains("FAILED")) {
            eprintln!("pg-verify: {}", failed.trim());
        }
        let Some(verdict) = verdict(&text) else {
            let text = text + String::from_utf8_lossy(&out.stderr);
            bail!("{program} did not come to its end:\n{}", super::server::tail(&text));
        };
        eprintln!("pg-verify: {program}: {verdict}");
        Ok(())
    }
}

/// The line in which `pg_regress` says how the tests went.
fn verdict(output: &str) -> Option<&str> {
    let line = |end: &str| output.lines().map(str::trim).find(|line| line.contains(end));
    line("tests passed").or_else(|| line("tests failed"))
}

/// Fetches and extracts the source of the installed release. Archives are kept in the cache.
fn fetch(programs: &Programs, to: &Path) -> Result<()> {
    let version = programs.package_version()?;
    let cache = repo::cache_dir()?.join("postgresql").join(&version);
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let description = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "dsc"))
    };
    if description(&cache).is_none() {
        let sources = tempfile::tempdir().context("cannot make a folder")?;
        let apt = Sources::of_system(sources.path())?;
        // Lists that a mirror does not have are warnings: what counts is whether the source is there.
        command::run(apt.command(&["-qq", "update"]).current_dir(&cache)).unwrap_or_default();
        let package = format!("postgresql-{MAJOR}={version}");
        let get = ["-qq", "source", "--download-only", &package];
        command::run(apt.command(&get).current_dir(&cache)).with_context(|| {
            format!(
                "the source of postgresql-{MAJOR} {version} is not to be had; give an extracted one \
                 by --source DIR"
            )
        })?;
    }
    let description = description(&cache).context("apt-get has brought no .dsc")?;
    let mut extract = Command::new("dpkg-source");
    extract.args(["--no-check", "-x"]).arg(description).arg(to);
    command::output(&mut extract).map(drop)
}

/// Where `apt-get` finds sources: the system's own lists, with `deb-src` for `deb`, in a folder of
/// ours. The system's settings stay as they are.
struct Sources<'a>(&'a Path);

impl<'a> Sources<'a> {
    fn of_system(dir: &'a Path) -> Result<Self> {
        let parts = dir.join("parts");
        for made in [&parts, &dir.join("lists/partial")] {
            std::fs::create_dir_all(made)?;
        }
        let system = Path::new("/etc/apt");
        let entries = std::fs::read_dir(system.join("sources.list.d")).into_iter().flatten();
        let listed = entries.flatten().map(|entry| entry.path());
        for path in listed.chain([system.join("sources.list")]) {
            let (Some(name), Ok(text)) = (path.file_name(), std::fs::read_to_string(&path)) else {
                continue;
            };
            std::fs::write(parts.join(name), as_sources(&text))?;
        }
        Ok(Self(dir))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut apt = Command::new("apt-get");
        for (option, value) in [
            ("Dir::Etc::SourceList", "/dev/null".to_string()),
            ("Dir::Etc::SourceParts", self.0.join("parts").display().to_string()),
            ("Dir::State::Lists", self.0.join("lists").display().to_string()),
            ("APT::Sandbox::User", "root".to_string()),
        ] {
            apt.arg("-o").arg(format!("{option}={value}"));
        }
        apt.args(arguments);
        apt
    }
}

/// A list of packages as a list of their sources, in either of the two formats.
fn as_sources(list: &str) -> String {
    let line = |line: &str| {
        let binary = line.strip_prefix("deb ").map(|rest| format!("deb-src {rest}"));
        let typed = line.strip_prefix("Types:").map(|_| "Types: deb-src".to_string());
        binary.or(typed).unwrap_or_else(|| line.to_string()) + "\n"
    };
    list.lines().map(line).collect()
}

/// Compiles the suite's module with the headers of its source.
fn compile(source: &Path, build: &Path, module: &Path) -> Result<()> {
    std::fs::create_dir_all(build)?;
    let source = std::path::absolute(source)?;
    let mut configure = Command::new(source.join("configure"));
    // What is left out concerns programs, and not what a module sees of the server.
    configure.args(["--quiet", "--without-readline", "--without-zlib", "--without-icu"]);
    command::output(configure.current_dir(build))?;
    let mut headers = Command::new("make");
    command::output(
        headers.args(["-s", "-C", "src/backend", "generated-headers"]).current_dir(build),
    )?;
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-O1", "-w", "-fPIC", "-shared", "-fno-strict-aliasing", "-fwrapv"]);
    for include in [build.join("src/include"), source.join("src/include")] {
        compiler.arg("-I").arg(include);
    }
    compiler.arg("-o").arg(module).arg(source.join("src/test/regress/regress.c"));
    command::output(&mut compiler).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{as_sources, verdict};

    #[test]
    fn lists_of_both_formats_become_lists_of_sources() {
        let line = "# a comment\ndeb http://a b main\ndeb-src http://a b main\n";
        let wanted = "# a comment\ndeb-src http://a b main\ndeb-src http://a b main\n";
        assert_eq!(as_sources(line), wanted);
        let fields = "Types: deb\nURIs: http://a\nSigned-By: /k\n";
        assert_eq!(as_sources(fields), "Types: deb-src\nURIs: http://a\nSigned-By: /k\n");
    }

    #[test]
    fn verdicts_are_found() {
        let all = "test a ... ok\n\n=======\n All 217 tests passed. \n=======\n";
        assert_eq!(verdict(all), Some("All 217 tests passed."));
        let some = "test a ... FAILED\n 1 of 217 tests failed. \n";
        assert_eq!(verdict(some), Some("1 of 217 tests failed."));
        assert_eq!(verdict("psql: error"), None);
    }
}
