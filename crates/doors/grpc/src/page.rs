//! Pages of lists. A token says after which entry of which list a page begins: one that was given for
//! another list, or by nobody, is refused.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::error::Error;
use crate::limits::{PAGE_MAX, TOKEN_CHARS_MAX};

const MARK_BYTES: usize = 8;

/// A page that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    mark: [u8; MARK_BYTES],
    /// Entries at most.
    pub(crate) limit: usize,
    /// The key of the last entry of the page before.
    pub(crate) after: Option<Vec<u8>>,
}

impl Page {
    /// The page of the list that `parts` name.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn read(size: i32, token: &str, parts: &[&[u8]]) -> Result<Self, Error> {
        let limit = match usize::try_from(size) {
            Ok(0) => PAGE_MAX,
            Ok(size) => size.min(PAGE_MAX),
            Err(_) => return Err(Error::invalid("page_size is 0 or more")),
        };
        let mark = mark(parts);
        if token.is_empty() {
            return Ok(Self { mark, limit, after: None });
        }
        let bad = || {
            Error::invalid(
                "the page_token is not one of this list; send next_page_token of the page before \
                 with the same request, or none to begin anew",
            )
        };
        if token.len() > TOKEN_CHARS_MAX {
            return Err(bad());
        }
        let bytes = Base64UrlUnpadded::decode_vec(token).map_err(|_| bad())?;
        match bytes.split_at_checked(MARK_BYTES) {
            Some((found, after)) if found == mark => {
                Ok(Self { mark, limit, after: Some(after.to_vec()) })
            }
            _ => Err(bad()),
        }
    }

    /// The token of the page after the entry with this key.
    pub(crate) fn token(&self, key: &[u8]) -> String {
        Base64UrlUnpadded::encode_string(&[&self.mark, key].concat())
    }

    /// What the token says of text keys.
    pub(crate) fn after_text(&self) -> String {
        let after = self.after.as_deref().unwrap_or_default();
        String::from_utf8_lossy(after).into_owned()
    }

    /// A page of what comes in order, and the token of the next one.
    pub(crate) fn take<T>(
        &self,
        mut left: impl Iterator<Item = T>,
        key: impl Fn(&T) -> Vec<u8>,
    ) -> (Vec<T>, String) {
        let taken: Vec<T> = left.by_ref().take(self.limit).collect();
        let more = left.next().is_some();
        let token = taken.last().filter(|_| more).map(|last| self.token(&key(last)));
        (taken, token.unwrap_or_default())
    }
}

/// Tells lists apart. The parts are of any bytes, so each has its length before it.
fn mark(parts: &[&[u8]]) -> [u8; MARK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut mark = [0; MARK_BYTES];
    mark.copy_from_slice(&hasher.finalize().as_bytes()[..MARK_BYTES]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GRPC-2: pages have every entry once, and a token is good for its own list alone.
    #[test]
    fn grpc_2_pages_have_every_entry_once() {
        let list: [&[u8]; 2] = [b"tags", b"data"];
        let all: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
        for size in 1..12 {
            let (mut token, mut found, mut pages) = (String::new(), Vec::new(), 0);
            loop {
                let page = Page::read(size, &token, &list).unwrap();
                let after = page.after_text();
                let left = all.iter().filter(|tag| **tag > after);
                let (taken, next) = page.take(left, |tag| tag.as_bytes().to_vec());
                found.extend(taken.into_iter().cloned());
                pages += 1;
                if next.is_empty() {
                    break;
                }
                token = next;
            }
            assert_eq!((&found, pages), (&all, 10_i32.div_euclid(size) + i32::from(10 % size > 0)));
        }
    }

    #[test]
    fn what_is_no_token_of_the_list_is_refused() {
        let list: [&[u8]; 2] = [b"tags", b"data"];
        let token = Page::read(1, "", &list).unwrap().token(b"t1");
        assert_eq!(Page::read(1, &token, &list).unwrap().after.unwrap(), b"t1");
        for other in [[b"tags".as_slice(), b"datb"], [b"tagsd", b"ata"], [b"data", b"tags"]] {
            assert!(Page::read(1, &token, &other).is_err());
        }
        let long = "A".repeat(TOKEN_CHARS_MAX + 1);
        for bad in ["x", "!", "\u{e9}", &token[..8], "AAAAAAAAAAAAAAAA", &long] {
            assert!(matches!(Page::read(1, bad, &list), Err(Error::Invalid { .. })), "{bad}");
        }
        assert!(matches!(Page::read(-1, "", &list), Err(Error::Invalid { .. })));
        assert_eq!(Page::read(i32::MAX, "", &list).unwrap().limit, PAGE_MAX);
        assert_eq!(Page::read(0, "", &list).unwrap().limit, PAGE_MAX);
    }
}
