//! Cairn and its peers, behind one face: a repository that takes versions and gives them back.
//!
//! Each is used as its manual says it works best for this: files caches on, compression on, the newest
//! repository format of the version in the distribution. Encryption is off, but restic has no way to
//! turn it off; beside it stands Cairn with encryption.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cli::ToolName;
use crate::disk;
use crate::process::{Cost, measure, output};

/// One tool at its work place: a directory with its repository and its caches.
pub(crate) struct Tool {
    pub(crate) name: ToolName,
    cairn: PathBuf,
    place: PathBuf,
}

impl Tool {
    pub(crate) fn new(name: ToolName, cairn: &Path, place: &Path) -> Self {
        Self { name, cairn: cairn.to_owned(), place: place.join(name.label()) }
    }

    /// The program with its version.
    pub(crate) fn version(&self) -> Result<String> {
        let mut command = match self.name {
            ToolName::Cairn | ToolName::CairnEncrypted => Command::new(&self.cairn),
            ToolName::Casync => Command::new("casync"),
            ToolName::Restic | ToolName::ResticMax => Command::new("restic"),
            ToolName::Borg => Command::new("borg"),
        };
        let argument = if self.name.is_restic() { "version" } else { "--version" };
        let said = output(command.arg(argument))
            .context("install the peers with `cargo xtask setup --group test`")?;
        Ok(said.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    fn repository(&self) -> PathBuf {
        self.place.join("repository")
    }

    /// `cairn` on this tool's bucket.
    pub(crate) fn cairn(&self) -> Command {
        let mut command = Command::new(&self.cairn);
        command.env("CAIRN_BUCKET", format!("file://{}", self.repository().display()));
        command.env("XDG_CACHE_HOME", self.place.join("cache"));
        command.env("XDG_STATE_HOME", self.place.join("state"));
        if self.name == ToolName::CairnEncrypted {
            command.env("CAIRN_PASSPHRASE", "of the bench");
        }
        command
    }

    fn restic(&self) -> Command {
        let mut command = Command::new("restic");
        command.env("RESTIC_REPOSITORY", self.repository());
        command.env("RESTIC_PASSWORD", "of the bench");
        command.env("RESTIC_CACHE_DIR", self.place.join("cache"));
        command
    }

    fn borg(&self) -> Command {
        let mut command = Command::new("borg");
        command.env("BORG_REPO", self.repository());
        command.env("BORG_BASE_DIR", self.place.join("cache"));
        command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command
    }

    fn casync(&self, verb: &str, version: &str) -> Command {
        let mut command = Command::new("casync");
        command.arg(verb);
        command.arg(format!("--store={}", self.repository().join("store.castr").display()));
        if verb == "make" {
            command.arg(format!("--cache={}", self.place.join("cache").display()));
        }
        command.arg(self.repository().join(format!("{version}.caidx")));
        command
    }

    /// An empty repository in the place of the one before.
    pub(crate) fn init(&self) -> Result<()> {
        disk::fresh(&self.place)?;
        std::fs::create_dir_all(self.place.join("cache"))?;
        match self.name {
            ToolName::Cairn => output(self.cairn().arg("init")).map(drop),
            ToolName::CairnEncrypted => output(self.cairn().args(["init", "--encrypt"])).map(drop),
            ToolName::Casync => Ok(std::fs::create_dir_all(self.repository())?),
            ToolName::Restic | ToolName::ResticMax => {
                output(self.restic().args(["init", "--repository-version", "2"])).map(drop)
            }
            ToolName::Borg => output(self.borg().args(["init", "-e", "none"])).map(drop),
        }
    }

    /// The command that puts a directory into the repository as a version.
    pub(crate) fn push_command(&self, dir: &Path, version: &str) -> Command {
        let mut command = match self.name {
            ToolName::Cairn | ToolName::CairnEncrypted => {
                let mut command = self.cairn();
                command.args(["push", ".", &format!("data:{version}")]);
                command
            }
            ToolName::Casync => {
                let mut command = self.casync("make", version);
                command.arg(".");
                command
            }
            ToolName::Restic => {
                let mut command = self.restic();
                command.args(["backup", "--compression", "auto", "--tag", version, "."]);
                command
            }
            ToolName::ResticMax => {
                let mut command = self.restic();
                command.args(["backup", "--compression", "max", "--tag", version, "."]);
                command
            }
            ToolName::Borg => {
                let mut command = self.borg();
                command.args(["create", "--compression", "zstd,3", &format!("::{version}"), "."]);
                command
            }
        };
        command.current_dir(dir);
        command
    }

    /// What a person would type for it.
    pub(crate) fn recipe(&self) -> &'static str {
        match self.name {
            ToolName::Cairn => "`push`, level 3 (default)",
            ToolName::CairnEncrypted => "the same in a bucket of `init --encrypt`",
            ToolName::Casync => "`make --cache`, zstd (default), chunks of 64 KiB (default)",
            ToolName::Restic => "repository version 2, `--compression auto` (default)",
            ToolName::ResticMax => "repository version 2, `--compression max`",
            ToolName::Borg => "`init -e none`, `create --compression zstd,3`, files cache on",
        }
    }

    pub(crate) fn push(&self, dir: &Path, version: &str) -> Result<Cost> {
        measure(&mut self.push_command(dir, version))
    }

    /// The command that gets a version back into an empty directory.
    pub(crate) fn restore_command(&self, version: &str, to: &Path) -> Command {
        match self.name {
            ToolName::Cairn | ToolName::CairnEncrypted => {
                let mut command = self.cairn();
                command.args(["pull", &format!("data:{version}")]).arg(to);
                command
            }
            ToolName::Casync => {
                let mut command = self.casync("extract", version);
                command.arg(to);
                command
            }
            ToolName::Restic | ToolName::ResticMax => {
                let mut command = self.restic();
                command.args(["restore", "latest", "--tag", version, "--target"]).arg(to);
                command
            }
            ToolName::Borg => {
                let mut command = self.borg();
                command.args(["extract", &format!("::{version}")]).current_dir(to);
                command
            }
        }
    }

    pub(crate) fn restore(&self, version: &str, to: &Path) -> Result<Cost> {
        disk::fresh(to)?;
        measure(&mut self.restore_command(version, to))
    }

    /// The directory of the bucket, of Cairn's own.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.repository()
    }

    /// Files and bytes of the repository, without caches.
    pub(crate) fn stored(&self) -> Result<(u64, u64)> {
        disk::usage(&self.repository())
    }

    pub(crate) fn warm(&self) -> Result<()> {
        crate::process::warm(&self.repository())
    }
}

impl ToolName {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Cairn => "cairn",
            Self::CairnEncrypted => "cairn, encrypted",
            Self::Casync => "casync",
            Self::Restic => "restic",
            Self::ResticMax => "restic, max",
            Self::Borg => "borg",
        }
    }

    fn is_restic(self) -> bool {
        matches!(self, Self::Restic | Self::ResticMax)
    }
}
