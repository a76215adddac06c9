//! What may not stand in any tracked text.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// Where one machine keeps things: the product's text must hold on every machine.
const MACHINE_PATHS: [&str; 3] = ["/work/", "/root/", "/home/"];

/// How the work was organised: the product's text speaks of the product.
const WORKPLACE_WORDS: [&str; 11] = [
    "another engineer",
    "other engineers",
    "the brief",
    "your task",
    "my task",
    "as instructed",
    "subagent",
    "sub-agent",
    "language model",
    "the reviewer",
    "pair programmer",
];

/// No absolute path of a machine.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.texts() {
        for (number, line) in file.lines() {
            for path in MACHINE_PATHS.iter().filter(|path| has_absolute(line, path)) {
                let message = format!("{path} is a path of one machine");
                findings.push(Finding::error("machine-path", &file.path, number, message));
            }
        }
    }
    findings
}

/// No word about how the work was organised.
pub(crate) fn workplace_words(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.texts() {
        for (number, line) in file.lines() {
            let lower = line.to_lowercase();
            for words in WORKPLACE_WORDS.iter().filter(|words| has_word(&lower, words)) {
                let message = format!("{words:?} speaks of the work, not of the product");
                findings.push(Finding::error("workplace", &file.path, number, message));
            }
        }
    }
    findings
}

/// Whether `line` has `word` with no letter, digit or underscore on either side.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(inner) && !after.is_some_and(inner)
    })
}

/// Whether `path` begins in `line` at an absolute path, not within a longer one.
fn has_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}~)*]>$@".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::sample;

    #[test]
    fn machine_paths_are_found() {
        let count = |line: &str| machine_paths(&sample(&[("docs/a.md", line)])).len();
        assert_eq!(count("see /root/x"), 1);
        assert_eq!(count("\"/home/me\" and /work/main"), 2);
        assert_eq!(count("crates/root/x, {}/work/x, $HOME/home/x, ../home/x, ~/work/x"), 0);
    }

    #[test]
    fn workplace_words_are_found() {
        let count = |line: &str| workplace_words(&sample(&[("src/a.rs", line)])).len();
        assert_eq!(count("// Left for Another Engineer to do"), 1);
        assert_eq!(count("/// the brief: do it"), 1);
        assert_eq!(count("// the session of a client, the briefest"), 0);
    }

    #[test]
    fn words_have_borders() {
        assert!(has_word("a XXX b", "XXX"));
        assert!(has_word("XXX", "XXX"));
        assert!(!has_word("aXXX XXX_ XXXX", "XXX"));
    }
}
