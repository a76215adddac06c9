//! Tables: on standard output, as JSON, and in docs/BENCHMARKS.md between markers.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::Common;
use crate::workbench::repository;

const FILE: &str = "docs/BENCHMARKS.md";

/// What one command found.
pub(crate) struct Report {
    /// Names the section; its markers are made of it.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) machine: String,
    pub(crate) command_line: String,
    /// Markdown.
    pub(crate) body: String,
    pub(crate) data: Value,
}

/// Rows of cells as a Markdown table, the first row its head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0).max(3)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            let fill = width - cell.chars().count();
            text.push_str(&format!("| {cell}{} ", " ".repeat(fill)));
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                text.push_str(&format!("|{}", "-".repeat(width + 2)));
            }
            text.push_str("|\n");
        }
    }
    text
}

impl Report {
    /// Prints it, and writes what was asked for.
    pub(crate) fn publish(&self, common: &Common) -> Result<()> {
        let section = self.section(common.provisional);
        println!("{section}");
        if let Some(file) = &common.json {
            let document = json!({
                "name": self.name, "machine": self.machine, "command": self.command_line,
                "provisional": common.provisional, "data": self.data,
            });
            std::fs::write(file, serde_json::to_vec_pretty(&document)?)
                .with_context(|| format!("writing {}", file.display()))?;
        }
        if common.write {
            let file = repository().join(FILE);
            let before = std::fs::read_to_string(&file)
                .with_context(|| format!("reading {}", file.display()))?;
            let after = replaced(&before, self.name, &section)?;
            std::fs::write(&file, after)?;
        }
        Ok(())
    }

    fn section(&self, provisional: bool) -> String {
        let note = if provisional {
            "**Provisional**: the machine was busy with other work; only the ratios within a run mean \
             something, and these figures will be measured again.\n\n"
        } else {
            ""
        };
        format!(
            "## {}\n\n{note}Machine: {}\n\nMade by `{}`.\n\n{}",
            self.title,
            self.machine,
            without_paths(&self.command_line),
            self.body
        )
    }
}

/// Options that name places of one machine say nothing to a reader.
fn without_paths(command_line: &str) -> String {
    let mut kept = Vec::new();
    let mut words = command_line.split(' ');
    while let Some(word) = words.next() {
        if matches!(word, "--json" | "--dir" | "--cairn") {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// Puts `section` between the markers of `name`.
fn replaced(text: &str, name: &str, section: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- bench:{name} -->\n"), format!("<!-- /bench:{name} -->\n"));
    let lost = || format!("{FILE} lacks the markers of {name}");
    let (before, rest) = text.split_once(&begin).with_context(lost)?;
    let (_, after) = rest.split_once(&end).with_context(lost)?;
    Ok(format!("{before}{begin}\n{section}\n{end}{after}"))
}

/// Megabytes, as the anchors were given.
pub(crate) const MB: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_replace_themselves_only() {
        let text = "head\n<!-- bench:a -->\nold\n<!-- /bench:a -->\ntail\n";
        let new = replaced(text, "a", "new\n").unwrap();
        assert_eq!(new, "head\n<!-- bench:a -->\n\nnew\n\n<!-- /bench:a -->\ntail\n");
        assert_eq!(replaced(&new, "a", "new\n").unwrap(), new);
        assert!(replaced(text, "b", "new").is_err());
    }

    #[test]
    fn tables_line_up() {
        let rows = [["a", "long head"], ["longer", "1"]].map(|row| row.map(String::from).to_vec());
        let expected = "| a      | long head |\n|--------|-----------|\n| longer | 1         |\n";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn command_lines_lose_their_places() {
        let shown = without_paths("bench datasets --json /tmp/x --runs 5 --cairn y");
        assert_eq!(shown, "bench datasets --runs 5");
    }
}
