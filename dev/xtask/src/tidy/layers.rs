//! The ladder of crates: an edge goes down, or is listed in `layers.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::repo::{Dependency, Package};
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const RULE: &str = "layers";
const FILE: &str = "layers.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ladder {
    layers: Vec<String>,
    tools: String,
    sideways: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// A crate's place: its layer and its folder's name.
type Place = (String, String);

/// Every edge between our crates goes down the ladder or is listed as sideways.
pub(crate) fn ladder(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(FILE) else {
        return vec![Finding::error(RULE, FILE, 0, "the file is missing")];
    };
    let ladder: Ladder = match toml::from_str(&file.text) {
        Ok(ladder) => ladder,
        Err(error) => return vec![Finding::error(RULE, FILE, 0, error.to_string())],
    };
    let mut findings = ladder.circles();
    for package in &tree.packages {
        let manifest = package.manifest_path.to_string_lossy();
        let complaints = match place(package.manifest_path.parent()) {
            Some(from) if ladder.rank(&from.0).is_some() => ladder.edges(&from, package),
            _ => vec!["its folder is in no layer of layers.toml".to_string()],
        };
        findings.extend(complaints.into_iter().map(|c| Finding::error(RULE, &manifest, 0, c)));
    }
    findings
}

impl Ladder {
    /// How high a layer is; the tools are above all.
    fn rank(&self, layer: &str) -> Option<usize> {
        if layer == self.tools {
            return Some(self.layers.len());
        }
        self.layers.iter().position(|found| found == layer)
    }

    fn edges(&self, from: &Place, package: &Package) -> Vec<String> {
        let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
        ours.filter_map(|dependency| self.edge(from, dependency)).collect()
    }

    /// What is wrong with one edge.
    fn edge(&self, from: &Place, dependency: &Dependency) -> Option<String> {
        let name = &dependency.name;
        let Some(to) = place(dependency.path.as_deref()) else {
            return Some(format!("{name} is outside crates/ and dev/"));
        };
        let testing = dependency.kind.as_deref() == Some("dev");
        if to.0 == self.tools && from.0 != self.tools {
            let complaint =
                || format!("{name} is a tool of {}/: only tests may use it", self.tools);
            return (!testing).then(complaint);
        }
        // A crate's tests may use the crate itself again, with other features.
        if to == *from && testing {
            return None;
        }
        match self.rank(&to.0).cmp(&self.rank(&from.0)) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Greater => {
                Some(format!("the edge to {name} goes up, from {} to {}", from.0, to.0))
            }
            std::cmp::Ordering::Equal => (!self.is_listed(from, &to)).then(|| {
                format!("the edge to {name} goes sideways in {}, and is not in layers.toml", to.0)
            }),
        }
    }

    fn is_listed(&self, from: &Place, to: &Place) -> bool {
        let allowed = self.sideways.get(&from.0).and_then(|crates| crates.get(&from.1));
        allowed.is_some_and(|names| names.contains(&to.1))
    }

    /// Crates from which the listed edges lead back to themselves.
    fn circles(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (layer, crates) in &self.sideways {
            if self.rank(layer).is_none() {
                let message = format!("[sideways.{layer}] is no layer");
                findings.push(Finding::error(RULE, FILE, 0, message));
            }
            for start in crates.keys() {
                let mut reached: Vec<&String> = crates[start].iter().collect();
                let mut next = 0;
                while next < reached.len() {
                    let more = crates.get(reached[next]).into_iter().flatten();
                    let new: Vec<&String> = more.filter(|name| !reached.contains(name)).collect();
                    reached.extend(new);
                    next += 1;
                }
                if reached.contains(&start) {
                    let message = format!("the edges of {start} in {layer} form a circle");
                    findings.push(Finding::error(RULE, FILE, 0, message));
                }
            }
        }
        findings
    }
}

/// The place of the crate in `folder`, relative to the root.
fn place(folder: Option<&Path>) -> Option<Place> {
    let folder = folder?.to_str()?;
    let parts: Vec<&str> = folder.split('/').collect();
    match parts.as_slice() {
        ["crates", layer, name] => Some(((*layer).to_string(), (*name).to_string())),
        ["dev", name] => Some(("dev".to_string(), (*name).to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::sample;

    const LADDER: &str = "layers = [\"core\", \"ground\", \"app\"]\ntools = \"dev\"\n\
        [sideways.core]\ntree = [\"base\"]\n[sideways.dev]\nbench = [\"testkit\"]\n";

    fn package(folder: &str, edges: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(to, kind): &(&str, Option<&str>)| Dependency {
            name: (*to).to_string(),
            kind: kind.map(str::to_string),
            path: Some(to.into()),
        };
        Package {
            name: folder.to_string(),
            version: String::new(),
            manifest_path: format!("{folder}/Cargo.toml").into(),
            dependencies: edges.iter().map(dependency).collect(),
            targets: Vec::new(),
        }
    }

    fn check(folder: &str, to: &str, kind: Option<&str>) -> String {
        let mut tree = sample(&[(FILE, LADDER)]);
        tree.packages = vec![package(folder, &[(to, kind)])];
        let messages: Vec<String> = ladder(&tree).into_iter().map(|f| f.message).collect();
        messages.join("; ")
    }

    #[test]
    fn edges_go_down() {
        assert_eq!(check("crates/ground/env", "crates/core/base", None), "");
        assert_eq!(check("crates/core/tree", "crates/core/base", None), "");
        assert_eq!(check("crates/core/tree", "dev/testkit", Some("dev")), "");
        assert_eq!(check("crates/core/tree", "crates/core/tree", Some("dev")), "");
        assert_eq!(check("dev/bench", "crates/app/node", None), "");
        assert_eq!(check("dev/bench", "dev/testkit", None), "");
    }

    #[test]
    fn other_edges_are_errors() {
        let up = "the edge to crates/ground/env goes up, from core to ground";
        assert_eq!(check("crates/core/base", "crates/ground/env", None), up);
        assert_eq!(check("crates/core/base", "crates/ground/env", Some("dev")), up);
        let sideways =
            "the edge to crates/core/tree goes sideways in core, and is not in layers.toml";
        assert_eq!(check("crates/core/base", "crates/core/tree", None), sideways);
        assert!(check("crates/app/node", "dev/testkit", None).contains("only tests may use it"));
        assert!(check("dev/sim", "dev/bench", None).contains("goes sideways in dev"));
        assert!(check("crates/odd/x", "crates/core/base", None).contains("in no layer"));
        assert!(check("crates/core/base", "vendor/x", None).contains("is outside"));
    }

    #[test]
    fn listed_circles_are_errors() {
        let text = "layers = [\"core\"]\ntools = \"dev\"\n[sideways.core]\n\
            a = [\"b\"]\nb = [\"c\"]\nc = [\"b\"]\n[sideways.odd]\n";
        let found: Vec<String> =
            ladder(&sample(&[(FILE, text)])).into_iter().map(|f| f.message).collect();
        assert_eq!(
            found,
            [
                "the edges of b in core form a circle",
                "the edges of c in core form a circle",
                "[sideways.odd] is no layer"
            ]
        );
    }
}
