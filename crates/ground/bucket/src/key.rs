use object_store::path::Path;

use crate::Error;

/// The longest key, in bytes: what S3 takes, less room for a prefix.
pub const KEY_BYTES_MAX: usize = 900;
/// The longest part of a key between two slashes, in bytes: what filesystems take.
pub const PART_BYTES_MAX: usize = 255;
/// The first part of a key that nobody may use: `file://` keeps its own files there.
pub const RESERVED: &str = ".cairn-bucket";

/// Checks a key: parts of printable characters between single slashes.
pub(crate) fn key_path(key: &str) -> Result<Path, Error> {
    match fault(key) {
        None => Path::parse(key).map_err(|error| invalid(key, &error.to_string())),
        Some(reason) => Err(invalid(key, reason)),
    }
}

/// Checks a prefix: a key, or nothing for the whole bucket. One slash at the end is allowed.
pub(crate) fn prefix_path(prefix: &str) -> Result<Option<Path>, Error> {
    let trimmed = prefix.strip_suffix('/').unwrap_or(prefix);
    if trimmed.is_empty() && prefix.is_empty() { Ok(None) } else { key_path(trimmed).map(Some) }
}

fn invalid(key: &str, reason: &str) -> Error {
    // A hostile key may be megabytes long.
    let mut shown: String = key.chars().take(80).collect();
    if shown.len() < key.len() {
        shown.push('…');
    }
    Error::Key { key: shown, reason: reason.to_owned() }
}

/// Why `key` cannot be a key on some backend, or `None`.
pub(crate) fn fault(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("it is empty");
    }
    if key.len() > KEY_BYTES_MAX {
        return Some("it is longer than 900 bytes");
    }
    if key.chars().any(char::is_control) {
        return Some("it contains a control character");
    }
    if key.contains('\\') {
        return Some("it contains a backslash, which some stores take for a slash");
    }
    for part in key.split('/') {
        match part {
            "" => return Some("it begins or ends with a slash, or has two in a row"),
            "." | ".." => return Some("a part of it is `.` or `..`"),
            _ if part.len() > PART_BYTES_MAX => return Some("a part of it exceeds 255 bytes"),
            _ => {}
        }
    }
    let first = key.split('/').next().unwrap_or(key);
    (first == RESERVED)
        .then_some("it begins with `.cairn-bucket`, which the store keeps for itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_taken() {
        for key in ["a", "a/b", "ä/ö", "a b", "a%2Fb", "...", ".x", "a/.cairn-bucket", "~{}"] {
            assert_eq!(key_path(key).unwrap().as_ref(), key);
        }
        assert_eq!(key_path(&"x".repeat(255)).unwrap().as_ref().len(), 255);
    }

    #[test]
    fn keys_that_are_refused() {
        let long = "x".repeat(256);
        let longer = "x/".repeat(KEY_BYTES_MAX);
        let bad = [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0b", "a\nb", "\u{85}",
            "a\\b",
        ];
        for key in bad.into_iter().chain([long.as_str(), longer.as_str(), ".cairn-bucket/locks"]) {
            let error = key_path(key).unwrap_err();
            assert_eq!(error.kind(), cairn_base::ErrorKind::Invalid, "{key:?}");
            assert!(error.to_string().len() < 600);
        }
    }

    #[test]
    fn prefixes() {
        assert_eq!(prefix_path("").unwrap(), None);
        assert_eq!(prefix_path("a/").unwrap(), prefix_path("a").unwrap());
        for prefix in ["/", "//", "a//", "../a"] {
            assert!(prefix_path(prefix).is_err(), "{prefix:?}");
        }
    }
}
