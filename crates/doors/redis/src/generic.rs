//! Commands on keys, whatever their values are.

use bytes::Bytes;
use cairn_kv::KeyRange;

use crate::error::Error;
use crate::glob::Pattern;
use crate::keys::Keys;
use crate::limits::{ANSWER_BYTES_MAX, COUNTED_MAX, KEYS_MAX, SCAN_MAX};
use crate::reply::{OK, Reply};
use crate::scans::Scans;
use crate::words::{Words, number};

type Answer = Result<Reply, Error>;

/// Entries that SCAN looks at when it is not said how many.
const SCAN_COUNT: usize = 10;
/// The one type that there is.
const STRING: &str = "string";

pub(crate) async fn delete(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let mut count = 0;
    for key in &words[1..] {
        if keys.entry(key).await?.is_some() {
            keys.delete(key)?;
            count += 1;
        }
    }
    Ok(Reply::Number(count))
}

/// `DELEX key [IFEQ value | IFNE value]`
pub(crate) async fn delete_if(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let mut rest = Words::of(words);
    let key = rest.next()?;
    let (option, value) = (rest.option(), rest.maybe());
    let equal = match (option.as_deref(), value) {
        (None, None) => return delete(keys, words).await,
        (Some("ifeq"), Some(_)) => true,
        (Some("ifne"), Some(_)) => false,
        _ => return Err(Error::syntax()),
    };
    if !rest.is_empty() {
        return Err(Error::syntax());
    }
    let Some(found) = keys.value(key).await? else { return Ok(Reply::Number(0)) };
    let made = (Some(&found) == value) == equal;
    if made {
        keys.delete(key)?;
    }
    Ok(Reply::Number(made.into()))
}

pub(crate) async fn exists(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let mut count = 0;
    for key in &words[1..] {
        count += i64::from(keys.entry(key).await?.is_some());
    }
    Ok(Reply::Number(count))
}

pub(crate) async fn kind(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let there = keys.entry(&words[1]).await?.is_some();
    Ok(Reply::Word(if there { STRING } else { "none" }))
}

/// `RENAME key newkey`: the value and the end go with the name.
pub(crate) async fn rename(keys: &mut Keys, words: &[Bytes]) -> Answer {
    // A large value is known by its key: it cannot go to another one (KV-5).
    let entry = keys.small(&words[1]).await?.ok_or_else(|| Error::said("no such key"))?;
    if words[1] != words[2] {
        keys.delete(&words[1])?;
        let end = entry.expires_ms;
        keys.set_end(cairn_kv::Entry { key: words[2].clone(), ..entry }, end)?;
    }
    Ok(OK)
}

/// `RENAMENX key newkey`
pub(crate) async fn rename_if_absent(keys: &mut Keys, words: &[Bytes]) -> Answer {
    if keys.entry(&words[1]).await?.is_some() && keys.entry(&words[2]).await?.is_some() {
        return Ok(Reply::Number(0));
    }
    rename(keys, words).await?;
    Ok(Reply::Number(1))
}

pub(crate) async fn delete_all(keys: &mut Keys, words: &[Bytes]) -> Answer {
    match words[1..] {
        [] => {}
        [ref how] if how.eq_ignore_ascii_case(b"async") || how.eq_ignore_ascii_case(b"sync") => {}
        _ => return Err(Error::syntax()),
    }
    keys.delete_all()?;
    Ok(OK)
}

/// Hands the keys of a range to `take`, in order and page by page, as long as there are no more than `max`.
async fn each(
    keys: &Keys,
    range: KeyRange,
    max: usize,
    mut take: impl FnMut(Vec<Bytes>) -> Result<(), Error>,
) -> Result<usize, Error> {
    let (mut count, mut range) = (0, range);
    loop {
        let (some, over) = keys.some_of(range.clone(), SCAN_MAX).await?;
        let last = some.last().cloned();
        count += some.len();
        if count > max {
            return Err(Error::said(format_args!("there are more than {max} keys: use SCAN")));
        }
        take(some)?;
        match last.filter(|_| !over) {
            Some(last) => range.from = after(&last),
            None => return Ok(count),
        }
    }
}

/// The first key that comes after this one.
fn after(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// `KEYS pattern`
pub(crate) async fn matching(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let mut pattern = Pattern::new(&words[1])?;
    let range = KeyRange::prefix(pattern.prefix().to_vec());
    let (mut found, mut bytes) = (Vec::new(), 0);
    let take = |some: Vec<Bytes>| {
        for key in some {
            if pattern.fits(&key)? {
                bytes += key.len();
                found.push(Reply::Bytes(key));
            }
        }
        if bytes > ANSWER_BYTES_MAX {
            return Err(Error::said("the keys are too many to be told at once: use SCAN"));
        }
        Ok(())
    };
    each(keys, range, KEYS_MAX, take).await?;
    Ok(Reply::List(found))
}

pub(crate) async fn count(keys: &mut Keys, _: &[Bytes]) -> Answer {
    Ok(Reply::count(each(keys, KeyRange::all(), COUNTED_MAX, |_| Ok(())).await?))
}

/// What a SCAN looks for.
struct Sought {
    pattern: Pattern,
    count: usize,
    strings: bool,
}

impl Sought {
    fn read(mut words: Words<'_>) -> Result<Self, Error> {
        let mut sought = Self { pattern: Pattern::new(b"*")?, count: SCAN_COUNT, strings: true };
        while let Some(option) = words.option() {
            match option.as_str() {
                "match" => sought.pattern = Pattern::new(words.next()?)?,
                "count" => {
                    let count = usize::try_from(words.number()?).unwrap_or(0);
                    if count == 0 {
                        return Err(Error::syntax());
                    }
                    sought.count = count.min(SCAN_MAX);
                }
                "type" => sought.strings = words.next()?.eq_ignore_ascii_case(STRING.as_bytes()),
                _ => return Err(Error::syntax()),
            }
        }
        Ok(sought)
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(crate) async fn scan(keys: &Keys, scans: &Scans, words: &[Bytes]) -> Answer {
    let invalid = || Error::said("invalid cursor");
    let cursor = std::str::from_utf8(&words[1]).ok().and_then(|text| text.parse().ok());
    let cursor: u64 = cursor.ok_or_else(invalid)?;
    let mut sought = Sought::read(Words(&words[2..]))?;
    let mut range = KeyRange::prefix(sought.pattern.prefix().to_vec());
    if cursor != 0 {
        let last = scans.take(keys.namespace(), cursor);
        let last = last.ok_or_else(|| Error::said("this cursor is over: begin with 0 again"))?;
        range.from = range.from.max(after(&last));
    }
    let (found, over) = match range.is_empty() {
        true => (Vec::new(), true),
        false => keys.some_of(range, sought.count).await?,
    };
    let next = match found.last().filter(|_| !over) {
        Some(last) => scans.put(keys.namespace(), last, cursor),
        None => 0,
    };
    let mut fitting = Vec::new();
    for key in found.into_iter().filter(|_| sought.strings) {
        if sought.pattern.fits(&key)? {
            fitting.push(Reply::Bytes(key));
        }
    }
    Ok(Reply::List(vec![Reply::text(next.to_string()), Reply::List(fitting)]))
}

/// `SELECT 0`: a namespace has one set of keys.
pub(crate) fn select(words: &[Bytes]) -> Answer {
    match number(&words[1])? {
        0 => Ok(OK),
        _ => {
            Err(Error::said("DB index is out of range: namespaces stand in the place of databases"))
        }
    }
}
