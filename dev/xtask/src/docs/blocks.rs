//! The blocks of a Markdown file that are meant to run.

use anyhow::{Result, bail};

/// One block to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    /// Whether it begins in a directory of its own.
    pub(crate) fresh: bool,
    /// What the shell is given.
    pub(crate) text: String,
    /// What must be printed, in order, with the lines that say so.
    pub(crate) expected: Vec<(usize, String)>,
}

/// The blocks marked `sh test` of a Markdown text.
///
/// # Errors
/// A fence that does not end; a word after `sh test` that means nothing.
pub(crate) fn parse(text: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((begin, line)) = lines.next() {
        let Some((fence, info)) = opening(line) else { continue };
        let mut block = block_of(begin, info)?;
        loop {
            let Some((number, line)) = lines.next() else {
                bail!("line {begin}: the fence does not end");
            };
            if line.trim().len() >= fence.len() && line.trim().chars().all(|c| fence.contains(c)) {
                break;
            }
            if let Some(block) = &mut block {
                if let Some((_, expected)) = line.split_once("# => ") {
                    block.expected.push((number, expected.trim().to_string()));
                }
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
        blocks.extend(block);
    }
    Ok(blocks)
}

/// The fence and the info string of a line that opens a block.
fn opening(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let fence =
        ['`', '~'].into_iter().find(|mark| line.starts_with(&mark.to_string().repeat(3)))?;
    let info = line.trim_start_matches(fence);
    let length = line.len() - info.len();
    // Inline code may look like a fence that ends on its own line.
    (!info.contains(fence)).then(|| (&line[..length], info.trim()))
}

fn block_of(line: usize, info: &str) -> Result<Option<Block>> {
    let words: Vec<&str> = info.split_whitespace().collect();
    let fresh = match words.as_slice() {
        ["sh", "test"] => false,
        ["sh", "test", "fresh"] => true,
        ["sh", "test", more @ ..] => {
            bail!("line {line}: {:?} means nothing after `sh test`", more.join(" "))
        }
        _ => return Ok(None),
    };
    Ok(Some(Block { line, fresh, text: String::new(), expected: Vec::new() }))
}

/// The first expectation that `printed` does not meet, with its line.
pub(crate) fn unmet<'a>(block: &'a Block, printed: &str) -> Option<(usize, &'a str)> {
    let mut rest = printed;
    for (line, expected) in &block.expected {
        match rest.split_once(expected.as_str()) {
            Some((_, after)) => rest = after,
            None => return Some((*line, expected)),
        }
    }
    None
}
