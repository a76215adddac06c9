//! What makes no sense as arguments, for people and for programs.

use crate::exit::Usage;

/// Whether JSON was asked for, also by arguments that make no sense.
pub(crate) fn json_typed() -> bool {
    std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

/// What the parser of arguments says, for a program. To a person it says it itself.
pub(super) fn refused(error: clap::Error) -> Usage {
    if !error.use_stderr() || !json_typed() {
        error.exit();
    }
    Usage(one_line(&error.to_string()))
}

/// Paragraphs of text in one line.
fn one_line(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let paragraph = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let paragraphs: Vec<_> = text.trim().split("\n\n").map(paragraph).collect();
    paragraphs.join("; ")
}
