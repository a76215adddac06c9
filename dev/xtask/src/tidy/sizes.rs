//! Files that can be read in one sitting.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// Lines of production code at which to think again.
const PRODUCTION_LINES_WARN: usize = 500;
/// Lines of production code a file may have.
const PRODUCTION_LINES_MAX: usize = 800;
/// Lines a file of tests may have.
const TEST_LINES_MAX: usize = 1500;

/// No file is too long. Tests at a file's end are not counted.
pub(crate) fn files(tree: &Tree) -> Vec<Finding> {
    const RULE: &str = "file-size";
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_extension(&["rs", "ts", "svelte"])) {
        let count = file.production().count();
        if count > PRODUCTION_LINES_MAX {
            let message = format!("{count} lines of production code, over {PRODUCTION_LINES_MAX}");
            findings.push(Finding::error(RULE, &file.path, 0, message));
        } else if count > PRODUCTION_LINES_WARN {
            let message = format!("{count} lines of production code; could it be two modules?");
            findings.push(Finding::warning(RULE, &file.path, 0, message));
        }
        let count = file.tests().count();
        if count > TEST_LINES_MAX {
            let message = format!("{count} lines of tests, over {TEST_LINES_MAX}");
            findings.push(Finding::error(RULE, &file.path, 0, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::sample;

    fn check(path: &str, production: usize, tests: usize) -> Vec<bool> {
        let tail = if tests > 0 { "#[cfg(test)]\nmod tests {\n" } else { "" };
        let text = format!("{}{tail}{}", "x\n".repeat(production), "y\n".repeat(tests.max(2) - 2));
        files(&sample(&[(path, &text)])).iter().map(|finding| finding.warning).collect()
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(check("a/src/x.rs", 500, 1500), [] as [bool; 0]);
        assert_eq!(check("a/src/x.rs", 501, 0), [true]);
        assert_eq!(check("a/src/x.rs", 801, 0), [false]);
        assert_eq!(check("a/src/x.rs", 1, 1501), [false]);
        assert_eq!(check("a/tests/it/x.rs", 1500, 0), [] as [bool; 0]);
        assert_eq!(check("a/tests/it/x.rs", 1501, 0), [false]);
        assert_eq!(check("docs/long.md", 5000, 0), [] as [bool; 0]);
    }
}
