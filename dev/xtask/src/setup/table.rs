//! `setup.toml`, read and checked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// All entries by kind, in the order of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// What each group is for.
    pub(crate) groups: BTreeMap<String, String>,
    /// System packages.
    #[serde(default)]
    pub(crate) apt: Vec<Tool>,
    /// Python packages.
    #[serde(default)]
    pub(crate) pip: Vec<Tool>,
    /// Node packages.
    #[serde(default)]
    pub(crate) npm: Vec<Tool>,
    /// Crates with programs.
    #[serde(default)]
    pub(crate) cargo: Vec<Tool>,
    /// Go packages with programs.
    #[serde(default)]
    pub(crate) go: Vec<Tool>,
}

/// One entry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    /// Its name in its registry.
    pub(crate) package: String,
    /// The exact version; system packages have none.
    pub(crate) version: Option<String>,
    /// The program it brings.
    pub(crate) command: Option<String>,
    /// The features of a crate that it is built with, instead of its own choice.
    #[serde(default)]
    pub(crate) features: Vec<String>,
    /// A crate that is built with optimisation: others are compared with what it does.
    #[serde(default)]
    pub(crate) optimised: bool,
    /// The group it belongs to.
    pub(crate) group: String,
    /// What needs it.
    pub(crate) why: String,
}

impl Tool {
    /// The version, which [`Table::parse`] has checked to be there.
    pub(crate) fn pinned(&self) -> Result<&str> {
        self.version.as_deref().with_context(|| format!("{} has no version", self.package))
    }

    /// The program, which [`Table::parse`] has checked to be there for cargo and go.
    pub(crate) fn program(&self) -> Result<&str> {
        self.command.as_deref().with_context(|| format!("{} has no command", self.package))
    }
}

impl Table {
    /// Reads a table and refuses entries that cannot be installed.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let table: Self = toml::from_str(text)?;
        for (kind, tools) in table.kinds() {
            for tool in tools {
                table.check(kind, tool).with_context(|| format!("{kind} {:?}", tool.package))?;
            }
        }
        Ok(table)
    }

    fn check(&self, kind: &str, tool: &Tool) -> Result<()> {
        if !self.groups.contains_key(&tool.group) {
            bail!("the group {:?} is not in [groups]", tool.group);
        }
        if tool.why.trim().is_empty() {
            bail!("it does not say why it is needed");
        }
        if tool.package.is_empty() || tool.package.starts_with('-') {
            bail!("this is no name of a package");
        }
        match (kind, &tool.version) {
            ("apt", Some(_)) => bail!("a system package has no version here"),
            ("apt", None) => {}
            (_, None) => bail!("it needs an exact version"),
            (_, Some(_)) => {}
        }
        if matches!(kind, "cargo" | "go") {
            tool.program()?;
        }
        if kind != "cargo" && (tool.optimised || !tool.features.is_empty()) {
            bail!("only crates have features and are optimised");
        }
        Ok(())
    }

    fn kinds(&self) -> [(&'static str, &Vec<Tool>); 5] {
        [
            ("apt", &self.apt),
            ("pip", &self.pip),
            ("npm", &self.npm),
            ("cargo", &self.cargo),
            ("go", &self.go),
        ]
    }

    /// The entries of `groups`; of all groups when none is named.
    pub(crate) fn only(mut self, groups: &[&str]) -> Result<Self> {
        for group in groups {
            if !self.groups.contains_key(*group) {
                let known: Vec<&str> = self.groups.keys().map(String::as_str).collect();
                bail!("there is no group {group:?}; the groups are {}", known.join(", "));
            }
        }
        if !groups.is_empty() {
            let all = [&mut self.apt, &mut self.pip, &mut self.npm, &mut self.cargo, &mut self.go];
            for tools in all {
                tools.retain(|tool| groups.contains(&tool.group.as_str()));
            }
        }
        Ok(self)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.kinds().iter().map(|(_, tools)| tools.len()).sum()
    }

    /// The table for people.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for (group, purpose) in &self.groups {
            writeln!(text, "{group}: {purpose}").expect("writing to a string does not fail");
            for (kind, tools) in self.kinds() {
                for tool in tools.iter().filter(|tool| tool.group == *group) {
                    let version = tool.version.as_deref().unwrap_or("");
                    let name = format!("{} {version}", tool.package);
                    writeln!(text, "  {kind:<6}{:<24}{}", name.trim_end(), tool.why)
                        .expect("writing to a string does not fail");
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, lines: &str) -> String {
        format!("[groups]\ntest = \"x\"\nbench = \"y\"\n[[{kind}]]\n{lines}\n")
    }

    #[test]
    fn the_committed_table_is_good() {
        let table = Table::parse(include_str!("../../setup.toml")).unwrap();
        assert!(table.len() > 15);
        assert!(table.render().contains("apt   casync"));
        assert_eq!(table.only(&["lint"]).unwrap().len(), 1);
    }

    #[test]
    fn entries_that_cannot_be_installed_are_refused() {
        let why = "why = \"w\"\ngroup = \"test\"\n";
        let cases = [
            (
                "apt",
                "package = \"a\"\nwhy = \"w\"\ngroup = \"none\"".to_string(),
                "not in [groups]",
            ),
            ("apt", "package = \"a\"\nwhy = \" \"\ngroup = \"test\"".to_string(), "say why"),
            ("apt", format!("package = \"--purge\"\n{why}"), "no name of a package"),
            ("apt", format!("package = \"a\"\nversion = \"1\"\n{why}"), "has no version here"),
            ("pip", format!("package = \"a\"\n{why}"), "exact version"),
            ("go", format!("package = \"a\"\nversion = \"v1\"\n{why}"), "no command"),
            ("apt", format!("package = \"a\"\nurl = \"x\"\n{why}"), "unknown field"),
        ];
        for (kind, lines, expected) in cases {
            let error = format!("{:#}", Table::parse(&entry(kind, &lines)).unwrap_err());
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }

    #[test]
    fn unknown_groups_name_the_known_ones() {
        let table = Table::parse("[groups]\na = \"x\"\nb = \"y\"").unwrap();
        let error = table.only(&["c"]).unwrap_err().to_string();
        assert_eq!(error, "there is no group \"c\"; the groups are a, b");
    }
}
