//! Conditional requests, after RFC 9110, section 13.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, header};
use cairn_tree::{Content, Source, Stream, Time};

/// What tells one state of a file from another.
pub struct Validators {
    /// A strong one, with its quotes.
    pub etag: String,
    /// When the content last changed, to the second, where HTTP can say it.
    pub modified: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were none.
    Go,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client thinks.
    Failed,
}

/// The last second that an HTTP date can name: the end of the year 9999.
const DATE_SECS_MAX: u64 = 253_402_300_799;

/// A time since 1970 where HTTP can say it.
fn nameable(secs: i64) -> Option<SystemTime> {
    let secs = u64::try_from(secs).ok().filter(|secs| *secs <= DATE_SECS_MAX);
    secs.map(|secs| UNIX_EPOCH + Duration::from_secs(secs))
}

/// A time since 1970 as HTTP says it.
pub fn http_date(secs: i64) -> Option<String> {
    nameable(secs).map(httpdate::fmt_http_date)
}

impl Validators {
    /// The same stored bytes, put together in the same way, have the same tag. A tag does not rest
    /// on the file's hash, for that is the pusher's word.
    pub fn new(content: &Content, mtime: Time) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("cairn 2026-11 http etag");
        hasher.update(&content.len.to_le_bytes());
        put_stream(&mut hasher, &content.stream);
        match &content.recipe {
            None => hasher.update(b"n"),
            Some(recipe) => {
                hasher.update(b"r");
                put_stream(&mut hasher, recipe);
                &mut hasher
            }
        };
        let hash = hasher.finalize();
        let etag = format!("\"{}\"", hex::encode(&hash.as_bytes()[..16]));
        Self { etag, modified: nameable(mtime.secs) }
    }

    /// `Last-Modified`.
    pub fn last_modified(&self) -> Option<String> {
        self.modified.map(httpdate::fmt_http_date)
    }

    /// The preconditions of a GET or HEAD, in the order of section 13.2.2.
    pub fn check(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(header::IF_MATCH) {
            if !self.matches(headers, &header::IF_MATCH, false) {
                return Verdict::Failed;
            }
        } else if let Some(since) = date(headers, &header::IF_UNMODIFIED_SINCE)
            && self.modified.is_some_and(|modified| modified > since)
        {
            return Verdict::Failed;
        }
        if headers.contains_key(header::IF_NONE_MATCH) {
            if self.matches(headers, &header::IF_NONE_MATCH, true) {
                return Verdict::NotModified;
            }
        } else if let Some(since) = date(headers, &header::IF_MODIFIED_SINCE)
            && self.modified.is_some_and(|modified| modified <= since)
        {
            return Verdict::NotModified;
        }
        Verdict::Go
    }

    /// Whether a `Range` header counts: `If-Range` is not there, or names this very state.
    pub fn range_counts(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::IF_RANGE) else { return true };
        match value.to_str() {
            Ok(text) if text.trim_start().starts_with('"') => text.trim() == self.etag,
            Ok(text) => {
                httpdate::parse_http_date(text.trim()).is_ok_and(|at| self.modified == Some(at))
            }
            Err(_) => false,
        }
    }

    /// Whether a list of tags has ours. A weak one counts only where `weak` says so.
    fn matches(&self, headers: &HeaderMap, name: &HeaderName, weak: bool) -> bool {
        headers.get_all(name).iter().any(|value| {
            value.as_bytes().split(|byte| *byte == b',').any(|tag| {
                let tag = tag.trim_ascii();
                let strong = tag.strip_prefix(b"W/").filter(|_| weak).unwrap_or(tag);
                tag == b"*" || strong == self.etag.as_bytes()
            })
        })
    }
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

fn put_stream(hasher: &mut blake3::Hasher, stream: &Stream) {
    match stream {
        Stream::Empty => {
            hasher.update(b"e");
        }
        Stream::Chunk { id, len } => {
            hasher.update(b"c").update(&id.0).update(&len.to_le_bytes());
        }
        Stream::Map { page, len } => {
            hasher.update(b"m").update(&page.0).update(&len.to_le_bytes());
        }
        Stream::Slices(slices) => {
            hasher.update(b"s").update(&(slices.len() as u64).to_le_bytes());
            for slice in slices {
                match slice.source {
                    Source::Hole => hasher.update(b"h"),
                    Source::Chunk { id, skip } => {
                        hasher.update(b"c").update(&id.0).update(&skip.to_le_bytes())
                    }
                };
                hasher.update(&slice.len.to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators {
        Validators::new(&Content::default(), Time { secs: 784_111_777, nanos: 5 })
    }

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_table() {
        use Verdict::{Failed, Go, NotModified};
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        let it = validators();
        let (tag, weak) = (it.etag.clone(), format!("W/{}", it.etag));
        let list = format!("\"x\", {tag}");
        assert_eq!(it.last_modified().unwrap(), NOW);
        for (given, verdict) in [
            (vec![], Go),
            (vec![(IF_MATCH, tag.as_str())], Go),
            (vec![(IF_MATCH, "*")], Go),
            (vec![(IF_MATCH, list.as_str())], Go),
            (vec![(IF_MATCH, "\"x\"")], Failed),
            (vec![(IF_MATCH, weak.as_str())], Failed),
            (vec![(IF_NONE_MATCH, tag.as_str())], NotModified),
            (vec![(IF_NONE_MATCH, weak.as_str())], NotModified),
            (vec![(IF_NONE_MATCH, "*")], NotModified),
            (vec![(IF_NONE_MATCH, "\"x\"")], Go),
            (vec![(IF_MODIFIED_SINCE, NOW)], NotModified),
            (vec![(IF_MODIFIED_SINCE, AFTER)], NotModified),
            (vec![(IF_MODIFIED_SINCE, BEFORE)], Go),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Go),
            (vec![(IF_UNMODIFIED_SINCE, NOW)], Go),
            (vec![(IF_UNMODIFIED_SINCE, BEFORE)], Failed),
            // The tag decides where both are given.
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, AFTER)], Go),
            (vec![(IF_MATCH, tag.as_str()), (IF_UNMODIFIED_SINCE, BEFORE)], Go),
            (vec![(IF_MATCH, "\"x\""), (IF_NONE_MATCH, tag.as_str())], Failed),
        ] {
            assert_eq!(it.check(&headers(&given)), verdict, "{given:?}");
        }
    }

    #[test]
    fn ranges_count_only_for_the_state_they_are_of() {
        let it = validators();
        let weak = format!("W/{}", it.etag);
        for (value, counts) in [
            (it.etag.as_str(), true),
            ("\"x\"", false),
            (weak.as_str(), false),
            (NOW, true),
            (AFTER, false),
            ("junk", false),
        ] {
            let headers = headers(&[(header::IF_RANGE, value)]);
            assert_eq!(it.range_counts(&headers), counts, "{value}");
        }
        assert!(it.range_counts(&HeaderMap::new()));
    }
}
