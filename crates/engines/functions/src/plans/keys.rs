//! Keys as lines in parts. Where a part ends is said by the lines themselves, so that a key that comes or goes changes the
//! part that it is in and few after it, and the others are as they were.

use bytes::{Bytes, BytesMut};
use cairn_base::ProjectName;
use cairn_kv::{KeyRange, Lines, Namespace};

use super::{SPLIT_KEYS, Step};
use crate::error::Error;

/// Bytes after which a part ends, however few keys it has.
const PART_BYTES_MAX: usize = 8 << 20;

impl Step {
    /// The namespace whose keys it takes, and which of them.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn keys_of(&self, project: &ProjectName) -> Result<Option<(Namespace, KeyRange)>, Error> {
        let Some(keys) = &self.keys else { return Ok(None) };
        let named = || {
            let (project, rest) = match keys.strip_prefix('@') {
                Some(named) => {
                    let (project, rest) = named.split_once('/')?;
                    (project.parse().ok()?, rest)
                }
                None => (project.clone(), keys.as_str()),
            };
            let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let of = Namespace { project, name: name.parse().ok()? };
            let range = KeyRange::prefix(Bytes::copy_from_slice(prefix.as_bytes()));
            (!of.is_own()).then_some((of, range))
        };
        let why = || format!("keys: {keys:?} is no [@PROJECT/]NAMESPACE[/PREFIX]");
        named().map(Some).ok_or_else(|| Error::Invalid { why: why() })
    }
}

/// Cuts lines into parts.
pub(crate) struct Cut {
    lines: Lines,
    part: BytesMut,
    keys: u32,
    /// A part has so many keys at least, and four times as many at most.
    least: u32,
}

impl Cut {
    /// Parts of about `keys` lines.
    pub(crate) fn new(keys: Option<u32>) -> Self {
        let least = keys.unwrap_or(SPLIT_KEYS).div_ceil(2);
        Self { lines: Lines::default(), part: BytesMut::new(), keys: 0, least }
    }

    /// Takes the next bytes; the parts that end with them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, cairn_kv::Error> {
        let mut parts = Vec::new();
        self.lines.push(bytes);
        while let Some(line) = self.lines.next_line()? {
            self.part.extend_from_slice(&line);
            self.part.extend_from_slice(b"\n");
            self.keys += 1;
            if self.ends(&line) {
                self.keys = 0;
                parts.push(self.part.split().freeze());
            }
        }
        Ok(parts)
    }

    /// Of lines after the least number, one of as many ends a part: by its hash.
    fn ends(&self, line: &[u8]) -> bool {
        let most = self.least.saturating_mul(4);
        let chosen = || {
            let hash = blake3::hash(line);
            let (number, _) = hash.as_bytes().split_first_chunk().expect("it is longer");
            u32::from_le_bytes(*number).is_multiple_of(self.least)
        };
        self.keys >= most
            || self.part.len() >= PART_BYTES_MAX
            || (self.keys >= self.least && chosen())
    }

    /// What is left.
    pub(crate) fn last(self) -> Option<Bytes> {
        Some(self.part.freeze()).filter(|part| !part.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn parts(lines: &[String], keys: u32, piece: usize) -> Vec<Bytes> {
        let mut cut = Cut::new(Some(keys));
        let text = lines.concat();
        let pieces = text.as_bytes().chunks(piece);
        let mut parts: Vec<Bytes> = pieces.flat_map(|piece| cut.push(piece).unwrap()).collect();
        parts.extend(cut.last());
        parts
    }

    #[test]
    fn parts_have_all_lines_in_their_order() {
        let lines: Vec<String> =
            (0..5000).map(|at| format!("{{\"key\":\"k{at:05}\"}}\n")).collect();
        for (keys, piece) in [(1, 7), (10, 1000), (100, 1 << 20), (100_000, 333)] {
            let parts = parts(&lines, keys, piece);
            assert_eq!(parts.concat(), lines.concat().as_bytes());
            let most = 4 * keys.div_ceil(2) as usize;
            let of = |part: &Bytes| part.iter().filter(|byte| **byte == b'\n').count();
            assert!(parts.iter().all(|part| (1..=most).contains(&of(part))), "{keys}");
            let about = 5000_usize.div_ceil(keys as usize);
            assert!(
                (about.div_ceil(2)..=2 * about).contains(&parts.len()),
                "{keys}: {}",
                parts.len()
            );
        }
    }

    #[test]
    fn a_key_more_changes_few_parts() {
        let mut lines: Vec<String> =
            (0..5000).map(|at| format!("{{\"key\":\"k{at:05}\"}}\n")).collect();
        let before: BTreeSet<Bytes> = parts(&lines, 50, 4096).into_iter().collect();
        lines.insert(2500, "{\"key\":\"k02499x\"}\n".to_owned());
        let after: BTreeSet<Bytes> = parts(&lines, 50, 4096).into_iter().collect();
        assert!(after.difference(&before).count() <= 4, "{}", after.difference(&before).count());
    }

    #[test]
    fn keys_are_of_a_namespace_that_doors_reach() {
        let project = "main".parse().unwrap();
        let of = |keys: &str| {
            let step = Step { keys: Some(keys.to_owned()), ..Step::default() };
            step.keys_of(&project).map(|found| {
                let (of, range) = found.unwrap();
                format!("@{}/{} {}", of.project, of.name, String::from_utf8_lossy(&range.from))
            })
        };
        assert_eq!(of("carts").unwrap(), "@main/carts ");
        assert_eq!(of("@shop/carts/eu/de").unwrap(), "@shop/carts eu/de");
        for wrong in ["", "@shop", "/x", "cairn.functions", "@main/cairn.functions/plan", "a b"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
