//! Numbers and times for people, JSON for programs.

use std::io::{self, Write as _};

use serde::Serialize;

/// Bytes with a binary unit, three digits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for next in UNITS {
        value /= 1024.0;
        unit = next;
        if value < 1000.0 {
            break;
        }
    }
    let digits = usize::from(value < 10.0) + usize::from(value < 100.0);
    format!("{value:.digits$} {unit}")
}

/// A moment in local time, to the second.
pub(crate) fn time(ns: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_nanosecond(i128::from(ns)) else { return ns.to_string() };
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// An age such as `90s`, `15m`, `12h`, `30d`, `8w` in seconds.
pub(crate) fn age(text: &str) -> anyhow::Result<u64> {
    let wrong = || {
        crate::exit::Usage(format!(
            "{text:?} is no age; write a number and s, m, h, d or w, as 30d"
        ))
    };
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        'w' => 7 * 24 * 3600,
        _ => return Err(wrong().into()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(number.checked_mul(seconds).ok_or_else(wrong)?)
}

/// A time such as `2026-11-22T10:00:00Z`, or how long before `now_ns` (`36h`), in ns since 1970.
pub(crate) fn moment(text: &str, now_ns: i64) -> Option<i64> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(i64::try_from(moment.as_nanosecond()).unwrap_or(i64::MAX));
    }
    let ago = i64::try_from(age(text).ok()?).unwrap_or(i64::MAX);
    Some(now_ns.saturating_sub(ago.saturating_mul(1_000_000_000)))
}

/// Who read our standard output went away, as `head` does. Only this is told from other errors:
/// a connection or a pipe of ours that breaks is a failure.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Writes bytes to standard output.
pub(crate) fn data(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ReaderGone.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

/// Prints a value as a line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    data(&line)
}

/// Prints a line for people.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    data(format!("{text}\n").as_bytes())
}

/// Says something beside the data.
pub(crate) fn note(text: &str) {
    stderr(&format!("cairn: {text}"));
}

/// Writes a line to standard error. Nobody may read it: that is no reason to fail.
pub(crate) fn stderr(line: &str) {
    writeln!(io::stderr().lock(), "{line}").unwrap_or(());
}

/// Control characters in names would act on a terminal: they are shown as escapes.
pub(crate) fn shown(text: &str) -> String {
    if !text.contains(|c: char| c.is_control()) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        let shown = [0, 1023, 1024, 1536, 99_999, 1 << 20, 1 << 40].map(bytes);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "97.7 KiB", "1.00 MiB", "1.00 TiB"]
        );
    }

    #[test]
    fn ages() {
        assert_eq!(age("90s").unwrap(), 90);
        assert_eq!(age("2w").unwrap(), 1_209_600);
        for wrong in ["", "d", "5", "5y", "-1d", "99999999999999999999w", "5é"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_cannot_act_on_a_terminal() {
        assert_eq!(shown("a\u{1b}[31mb"), "a\\u{1b}[31mb");
    }
}
