//! Starting programs: what is run is printed, and a failure names it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let mut words = vec![program_name(command)];
    words.extend(command.get_args().map(|arg| quote(&arg.to_string_lossy())));
    words.join(" ")
}

/// Prints the command, runs it on our own streams and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", show(command));
    let status = command.status().with_context(|| format!("cannot start `{}`", show(command)))?;
    if !status.success() {
        bail!("`{}` failed with {status}", show(command));
    }
    Ok(())
}

/// Runs the command quietly and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", show(command)))?;
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        bail!("`{}` failed with {}: {}", show(command), out.status, stderr.trim());
    }
    String::from_utf8(out.stdout).with_context(|| format!("`{}` printed no UTF-8", show(command)))
}

/// Runs the command, prints its standard output as it comes and hands each line to `see`.
/// Returns whether it succeeded.
pub(crate) fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<bool> {
    eprintln!("+ {}", show(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", show(command)))?;
    let stdout = child.stdout.take().context("the child has no standard output")?;
    for line in BufReader::new(stdout).split(b'\n') {
        // A test may print any bytes.
        let line = line.context("reading the child's output")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        see(&line);
    }
    Ok(child.wait().context("waiting for the child")?.success())
}

fn program_name(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    // `CARGO` is the path of a toolchain's cargo: not what anyone types.
    if program.ends_with("/cargo") { "cargo".to_string() } else { quote(&program) }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_commands_can_be_typed() {
        let mut command = Command::new("/a/b/bin/cargo");
        command.args(["test", "it's a name", "", "--x=y"]);
        assert_eq!(show(&command), r"cargo test 'it'\''s a name' '' --x=y");
    }

    #[test]
    fn failures_name_the_command() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c 'exit 3'` failed with exit status: 3");
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 4"])).unwrap_err();
        assert!(error.to_string().ends_with("exit status: 4: why"), "{error}");
    }

    #[test]
    fn watched_output_arrives_line_by_line() {
        let mut seen = Vec::new();
        let good = watch(Command::new("sh").args(["-c", r"printf 'a\n\377\nb'; exit 1"]), |line| {
            seen.push(line.to_string());
        });
        assert!(!good.unwrap());
        assert_eq!(seen, ["a", "\u{fffd}", "b"]);
    }
}
