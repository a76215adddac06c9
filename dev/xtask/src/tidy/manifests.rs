//! What every crate shares by inheritance, and how it opens.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// Every member inherits version, edition, licence and lints from the workspace.
pub(crate) fn inherited(tree: &Tree) -> Vec<Finding> {
    const RULE: &str = "inherited";
    let mut findings = Vec::new();
    for package in &tree.packages {
        let path = package.manifest_path.to_string_lossy();
        let Some(file) = tree.file(&path) else { continue };
        let manifest: toml::Table = match toml::from_str(&file.text) {
            Ok(manifest) => manifest,
            Err(error) => {
                findings.push(Finding::error(RULE, &path, 0, error.to_string()));
                continue;
            }
        };
        let inherits = |table: Option<&toml::Value>| {
            table.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool)
                == Some(true)
        };
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !inherits(manifest.get("package").and_then(|package| package.get(key))) {
                let message = format!("write `{key}.workspace = true`");
                findings.push(Finding::error(RULE, &path, 0, message));
            }
        }
        if !inherits(manifest.get("lints")) {
            let message = "write `workspace = true` under [lints]";
            findings.push(Finding::error(RULE, &path, 0, message));
        }
    }
    findings
}

/// Every library and program opens with `//!` that says something.
pub(crate) fn opening_docs(tree: &Tree) -> Vec<Finding> {
    const RULE: &str = "opening-docs";
    let mut findings = Vec::new();
    for target in tree.packages.iter().flat_map(|package| &package.targets) {
        if !target.kind.iter().any(|kind| kind == "bin" || kind.ends_with("lib")) {
            continue;
        }
        let path = target.src_path.to_string_lossy();
        let Some(file) = tree.file(&path) else { continue };
        let first = file.text.lines().next().unwrap_or_default();
        let said = first.strip_prefix("//!").map(str::trim).unwrap_or_default();
        if said.is_empty() || said == "Placeholder." {
            let message = "begin with `//!`: what it is, why, and what is durable when";
            findings.push(Finding::error(RULE, &path, 1, message));
        }
    }
    findings
}

/// Every fuzz target has committed seeds.
pub(crate) fn fuzz_seeds(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in &tree.paths {
        let name = path.strip_prefix("fuzz/src/bin/").and_then(|name| name.strip_suffix(".rs"));
        let Some(name) = name else { continue };
        let seeds = format!("fuzz/seeds/{name}/");
        if !tree.paths.iter().any(|path| path.starts_with(&seeds)) {
            let message = format!("it has no seeds; add a few inputs to {seeds}");
            findings.push(Finding::error("fuzz-seeds", path, 0, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::{Package, Target};
    use crate::tidy::tree::sample;

    fn tree(manifest: &str, main: &str, kind: &str) -> Tree {
        let mut tree = sample(&[("a/Cargo.toml", manifest), ("a/src/lib.rs", main)]);
        tree.packages = vec![Package {
            name: "a".to_string(),
            version: String::new(),
            manifest_path: "a/Cargo.toml".into(),
            dependencies: Vec::new(),
            targets: vec![Target { kind: vec![kind.to_string()], src_path: "a/src/lib.rs".into() }],
        }];
        tree
    }

    #[test]
    fn manifests_inherit() {
        let good = "[package]\nversion.workspace = true\nedition.workspace = true\n\
            rust-version.workspace = true\nlicense.workspace = true\n\
            publish = { workspace = true }\n[lints]\nworkspace = true\n";
        assert_eq!(inherited(&tree(good, "", "lib")), []);
        let own = good.replace("version.workspace = true\nedition", "version = \"1.0.0\"\nedition");
        let findings = inherited(&tree(&own, "", "lib"));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].message, "write `version.workspace = true`");
        let bare = good.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(inherited(&tree(&bare, "", "lib")).len(), 1);
    }

    #[test]
    fn crates_open_with_docs() {
        assert_eq!(opening_docs(&tree("", "//! What.\n", "lib")), []);
        assert_eq!(opening_docs(&tree("", "use x;\n", "test")), []);
        for bad in ["use x;\n//! Late.\n", "//!\n", "//! Placeholder.\n", ""] {
            assert_eq!(opening_docs(&tree("", bad, "proc-macro-lib")).len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn fuzz_targets_have_seeds() {
        let target = ("fuzz/src/bin/x.rs", "");
        assert_eq!(fuzz_seeds(&sample(&[target, ("fuzz/seeds/x/1", "")])), []);
        assert_eq!(fuzz_seeds(&sample(&[target, ("fuzz/seeds/xy/1", "")])).len(), 1);
    }
}
