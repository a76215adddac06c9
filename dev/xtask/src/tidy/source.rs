//! What may not stand in Rust sources.

use crate::tidy::Finding;
use crate::tidy::text::has_word;
use crate::tidy::tree::{Source, Tree};

/// Why a sleep in a test is right: the line, or the one above it, says one of these.
const SLEEP_EXCUSES: [&str; 2] = ["// tidy: paused time", "// tidy: foreign process"];

/// Nothing unfinished, switched off or left over from debugging.
pub(crate) fn placeholders(tree: &Tree) -> Vec<Finding> {
    const RULE: &str = "placeholder";
    const FORBIDDEN: [&str; 4] = ["todo!(", "unimplemented!(", "dbg!(", "#[ignore"];
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (number, line) in file.lines() {
            for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
                findings.push(Finding::error(RULE, &file.path, number, format!("no `{word}`")));
            }
        }
    }
    for file in tree.texts() {
        for (number, line) in file.lines() {
            for word in ["FIXME", "XXX", "TODO"].iter().filter(|word| has_word(line, word)) {
                let message = format!("no {word}: do it, or write it down where it is planned");
                findings.push(Finding::error(RULE, &file.path, number, message));
            }
        }
    }
    findings
}

/// A test waits for an event, never for time.
pub(crate) fn sleeps(tree: &Tree) -> Vec<Finding> {
    const FORBIDDEN: [&str; 3] = ["thread::sleep(", "time::sleep(", "sleep(Duration::"];
    let mut findings = Vec::new();
    for file in tree.rust() {
        let mut above = "";
        for (number, line) in file.tests() {
            let excused = |text: &str| SLEEP_EXCUSES.iter().any(|excuse| text.contains(excuse));
            // The clock of the seam only passes when a simulation lets it.
            let sleeps =
                FORBIDDEN.iter().any(|call| line.contains(call)) && !line.contains("clock.sleep(");
            if sleeps && !is_comment(line) && !excused(line) && !excused(above) {
                let message = format!(
                    "a test waits for an event, never for time; if it must: `{}` or `{}`",
                    SLEEP_EXCUSES[0], SLEEP_EXCUSES[1]
                );
                findings.push(Finding::error("sleep", &file.path, number, message));
            }
            above = line;
        }
    }
    findings
}

/// Clock and tasks come from `cairn_env` in the lower layers, even where clippy was told to allow,
/// and no choice between futures is left to chance: a simulation must repeat.
pub(crate) fn seams(tree: &Tree) -> Vec<Finding> {
    const LAYERS: [&str; 3] = ["crates/core/", "crates/ground/", "crates/engines/"];
    const FORBIDDEN: [&str; 3] = ["SystemTime::now", "Instant::now", "tokio::spawn"];
    let mut findings = Vec::new();
    for file in tree.rust() {
        let below = LAYERS.iter().any(|layer| file.path.starts_with(layer));
        let ships = file.path.contains("/src/");
        if !below || !ships || file.path.starts_with("crates/ground/env/") {
            continue;
        }
        for (number, line) in file.production().filter(|(_, line)| !is_comment(line)) {
            for call in FORBIDDEN.iter().filter(|call| line.contains(**call)) {
                let message = format!("no `{call}` here: take it from cairn_env::Env");
                findings.push(Finding::error("seam", &file.path, number, message));
            }
        }
        let mut selects = false;
        for (number, line) in file.production() {
            if selects && line.trim() != "biased;" {
                let message = "`select!` begins with `biased;` here: otherwise it throws dice";
                findings.push(Finding::error("seam", &file.path, number, message));
            }
            selects = line.contains("select! {") && !is_comment(line);
        }
    }
    findings
}

/// An allowed lint says why.
pub(crate) fn allow_reasons(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (number, attribute) in allows(file) {
            if !attribute.contains("reason") {
                let message = "give a `reason = \"…\"` within allow(…) or expect(…)";
                findings.push(Finding::error("allow-reason", &file.path, number, message));
            }
        }
    }
    findings
}

/// The attributes that allow or expect lints, whole, with the line they begin on.
fn allows(file: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut offset = 0;
    for (number, line) in file.text.split_inclusive('\n').enumerate() {
        let begun = line.trim_start();
        let opens = ["#[allow(", "#![allow(", "#[expect(", "#![expect("];
        if opens.iter().any(|open| begun.starts_with(open)) {
            let rest = &file.text[offset..];
            let end = rest.find(")]").map_or(rest.len(), |at| at + 2);
            found.push((number + 1, &rest[..end]));
        }
        offset += line.len();
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::sample;

    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&sample(&[(path, text)])).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn placeholders_are_found() {
        let bad = "todo!()\nok\ndbg!(x)\n#[ignore = \"slow\"]\nunimplemented!()\n// FIXME later\n";
        assert_eq!(lines(placeholders, "crates/a/src/x.rs", bad), [1, 3, 4, 5, 6]);
        assert_eq!(lines(placeholders, "run.sh", "# XXX\nmktemp aXXXXXX\n"), [1]);
        assert_eq!(lines(placeholders, "crates/a/src/x.rs", "let todos = 1;\n"), [] as [usize; 0]);
    }

    #[test]
    fn sleeps_in_tests_are_found() {
        let bad = "thread::sleep(x);\n// thread::sleep(x)\ntokio::time::sleep(y).await;\n";
        assert_eq!(lines(sleeps, "crates/a/tests/it/x.rs", bad), [1, 3]);
        assert_eq!(lines(sleeps, "crates/a/src/x.rs", bad), [] as [usize; 0]);
        let tail = format!("#[cfg(test)]\nmod tests {{\n{bad}}}\n");
        assert_eq!(lines(sleeps, "crates/a/src/x.rs", &tail), [3, 5]);
        let seam = "env.clock.sleep(Duration::from_secs(1)).await;\n";
        assert_eq!(lines(sleeps, "crates/a/tests/it/x.rs", seam), [] as [usize; 0]);
        let excused = "time::sleep(x); // tidy: paused time\n// tidy: foreign process\n\
            thread::sleep(x);\n";
        assert_eq!(lines(sleeps, "crates/a/tests/it/x.rs", excused), [] as [usize; 0]);
    }

    #[test]
    fn the_lower_layers_use_the_seams() {
        let bad = "let t = Instant::now();\n// Instant::now\ntokio::spawn(x);\n\
            #[cfg(test)]\nmod tests {\nInstant::now();\n}\n";
        for layer in ["core", "ground", "engines"] {
            assert_eq!(lines(seams, &format!("crates/{layer}/x/src/lib.rs"), bad), [1, 3]);
        }
        let select = "tokio::select! {\n    biased;\n}\ntokio::select! {\n    a = b => c,\n}\n";
        assert_eq!(lines(seams, "crates/engines/x/src/lib.rs", select), [5]);
        assert_eq!(lines(seams, "crates/app/node/src/lib.rs", select), [] as [usize; 0]);
        assert_eq!(lines(seams, "crates/ground/env/src/clock.rs", bad), [] as [usize; 0]);
        assert_eq!(lines(seams, "crates/app/node/src/lib.rs", bad), [] as [usize; 0]);
        assert_eq!(lines(seams, "crates/core/x/examples/measure.rs", bad), [] as [usize; 0]);
    }

    #[test]
    fn allowed_lints_say_why() {
        let bad = "#[allow(x)]\n#![allow(\n    y,\n    reason = \"because\"\n)]\n\
            #[expect(z, reason = \"because\")]\n    #[expect(\n    z\n)]\n";
        assert_eq!(lines(allow_reasons, "crates/a/src/x.rs", bad), [1, 7]);
    }
}
