//! Commands on values.

use bytes::{Bytes, BytesMut};
use cairn_kv::limits::VALUE_BYTES_MAX;

use crate::error::Error;
use crate::expiry::{self, End, Unit};
use crate::keys::Keys;
use crate::reply::{OK, Reply};
use crate::words::{Words, number};

type Answer = Result<Reply, Error>;

pub(crate) async fn get(keys: &mut Keys, words: &[Bytes]) -> Answer {
    Ok(Reply::maybe(keys.value(&words[1]).await?))
}

pub(crate) async fn get_many(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let mut list = Vec::new();
    for key in &words[1..] {
        list.push(Reply::maybe(keys.value(key).await?));
    }
    Ok(Reply::List(list))
}

pub(crate) async fn length(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let entry = keys.entry(&words[1]).await?;
    let length = entry.map_or(0, |entry| match cairn_kv::large_size(&entry) {
        Some(size) => size,
        None => entry.value.len() as u64,
    });
    Ok(Reply::Number(i64::try_from(length).unwrap_or(i64::MAX)))
}

pub(crate) async fn get_and_delete(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let found = keys.value(&words[1]).await?;
    if found.is_some() {
        keys.delete(&words[1])?;
    }
    Ok(Reply::maybe(found))
}

/// `GETEX key [EX seconds | PX ms | EXAT time | PXAT ms | PERSIST]`
pub(crate) async fn get_and_expire(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let mut rest = Words::of(words);
    let key = rest.next()?;
    let (mut time, mut persists) = (None, false);
    while let Some(option) = rest.option() {
        match option.as_str() {
            "persist" if time.is_none() => persists = true,
            option => {
                let unit = expiry::unit(option)?;
                if persists || time.is_some_and(|(before, _)| before != unit) {
                    return Err(Error::syntax());
                }
                time = Some((unit, rest.next()?));
            }
        }
    }
    let Some(entry) = keys.small(key).await? else { return Ok(Reply::Nothing) };
    let value = entry.value.clone();
    if let Some((unit, time)) = time {
        let end = unit.positive(time, keys.now_ms(), "getex")?;
        expiry::apply(keys, entry, end)?;
    } else if persists {
        expiry::apply(keys, entry, End::Never)?;
    }
    Ok(Reply::Bytes(value))
}

pub(crate) async fn range(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let (from, to) = (number(&words[2])?, number(&words[3])?);
    let value = keys.value(&words[1]).await?.unwrap_or_default();
    let len = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    // As in Redis: an end before the first byte counts as the first byte, but for one before its beginning.
    let nothing = from < 0 && to < 0 && from > to;
    let (from, to) = (from_end(from).max(0), from_end(to).max(0).min(len - 1));
    if nothing || from > to {
        return Ok(Reply::Bytes(Bytes::new()));
    }
    let place = |at: i64| usize::try_from(at).unwrap_or(0);
    Ok(Reply::Bytes(value.slice(place(from)..=place(to))))
}

/// When a SET is made.
enum Only<'a> {
    Always,
    Absent,
    Present,
    Equal(&'a Bytes),
    Other(&'a Bytes),
}

/// The options of a SET.
struct Set<'a> {
    only: Only<'a>,
    tells: bool,
    keeps_end: bool,
    time: Option<(Unit, &'a Bytes)>,
    end: Option<End>,
}

impl<'a> Set<'a> {
    fn read(mut words: Words<'a>, now_ms: u64) -> Result<Self, Error> {
        let (only, time, end) = (Only::Always, None, None);
        let mut set = Self { only, tells: false, keeps_end: false, time, end };
        while let Some(option) = words.option() {
            let free = matches!(set.only, Only::Always);
            match option.as_str() {
                // As in Redis, the same may be said twice.
                "nx" if free || matches!(set.only, Only::Absent) => set.only = Only::Absent,
                "xx" if free || matches!(set.only, Only::Present) => set.only = Only::Present,
                "ifeq" if free => set.only = Only::Equal(words.next()?),
                "ifne" if free => set.only = Only::Other(words.next()?),
                "get" => set.tells = true,
                "keepttl" if set.time.is_none() => set.keeps_end = true,
                option => {
                    let unit = expiry::unit(option)?;
                    if set.keeps_end || set.time.is_some_and(|(before, _)| before != unit) {
                        return Err(Error::syntax());
                    }
                    set.time = Some((unit, words.next()?));
                }
            }
        }
        if let Some((unit, time)) = set.time {
            set.end = Some(unit.positive(time, now_ms, "set")?);
        }
        Ok(set)
    }

    /// Whether it can be done without a look at what is there.
    fn is_blind(&self) -> bool {
        matches!(self.only, Only::Always) && !self.tells && !self.keeps_end
    }
}

/// Whether a SET changes what it changes whatever is there.
pub(crate) fn set_is_blind(words: &[Bytes]) -> bool {
    let options = Words(words.get(3..).unwrap_or_default());
    Set::read(options, 0).is_ok_and(|set| set.is_blind())
}

/// `SET key value [NX | XX | IFEQ value | IFNE value] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(crate) async fn set(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let mut rest = Words::of(words);
    let (key, value) = (rest.next()?, rest.next()?);
    let set = Set::read(rest, keys.now_ms())?;
    if set.is_blind() {
        put(keys, key, value.clone(), set.end, None)?;
        return Ok(OK);
    }
    let compares = set.tells || matches!(set.only, Only::Equal(_) | Only::Other(_));
    let found = if compares { keys.small(key).await? } else { keys.entry(key).await? };
    let old = found.as_ref().map(|entry| &entry.value);
    let made = match set.only {
        Only::Always => true,
        Only::Absent => old.is_none(),
        Only::Present => old.is_some(),
        Only::Equal(expected) => old == Some(expected),
        Only::Other(unwanted) => old != Some(unwanted),
    };
    if made {
        let kept = found.as_ref().and_then(|entry| entry.expires_ms).filter(|_| set.keeps_end);
        put(keys, key, value.clone(), set.end, kept)?;
    }
    Ok(match (set.tells, made) {
        (true, _) => Reply::maybe(old.cloned()),
        (false, true) => OK,
        (false, false) => Reply::Nothing,
    })
}

/// Gives a key a value, to an end, or to the end that it had.
fn put(
    keys: &mut Keys,
    key: &Bytes,
    value: Bytes,
    end: Option<End>,
    kept: Option<u64>,
) -> Result<(), Error> {
    match end {
        // Its time is over before it has begun.
        Some(End::Past) => keys.delete(key),
        Some(End::At(ms)) => keys.put(key, value, Some(ms)),
        Some(End::Never) | None => keys.put(key, value, kept),
    }
}

pub(crate) async fn set_if_absent(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let absent = keys.entry(&words[1]).await?.is_none();
    if absent {
        keys.put(&words[1], words[2].clone(), None)?;
    }
    Ok(Reply::Number(absent.into()))
}

/// `SETEX key seconds value`
pub(crate) async fn set_for_seconds(keys: &mut Keys, words: &[Bytes]) -> Answer {
    set_for(keys, words, Unit::Seconds, "setex")
}

/// `PSETEX key milliseconds value`
pub(crate) async fn set_for_ms(keys: &mut Keys, words: &[Bytes]) -> Answer {
    set_for(keys, words, Unit::Ms, "psetex")
}

fn set_for(keys: &mut Keys, words: &[Bytes], unit: Unit, command: &str) -> Answer {
    let end = unit.positive(&words[2], keys.now_ms(), command)?;
    put(keys, &words[1], words[3].clone(), Some(end), None)?;
    Ok(OK)
}

pub(crate) async fn get_and_set(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let old = keys.value(&words[1]).await?;
    keys.put(&words[1], words[2].clone(), None)?;
    Ok(Reply::maybe(old))
}

fn pairs(words: &[Bytes]) -> Result<impl Iterator<Item = (&Bytes, &Bytes)>, Error> {
    let (pairs, []) = words[1..].as_chunks::<2>() else {
        let name = crate::words::name(&words[0]);
        return Err(Error::said(format_args!("wrong number of arguments for '{name}' command")));
    };
    Ok(pairs.iter().map(|[key, value]| (key, value)))
}

pub(crate) async fn set_many(keys: &mut Keys, words: &[Bytes]) -> Answer {
    for (key, value) in pairs(words)? {
        keys.put(key, value.clone(), None)?;
    }
    Ok(OK)
}

pub(crate) async fn set_many_if_absent(keys: &mut Keys, words: &[Bytes]) -> Answer {
    for (key, _) in pairs(words)? {
        if keys.entry(key).await?.is_some() {
            return Ok(Reply::Number(0));
        }
    }
    set_many(keys, words).await?;
    Ok(Reply::Number(1))
}

pub(crate) async fn append(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let found = keys.small(&words[1]).await?;
    let end = found.as_ref().and_then(|entry| entry.expires_ms);
    let old = found.map(|entry| entry.value).unwrap_or_default();
    let mut value = BytesMut::with_capacity(old.len() + words[2].len());
    value.extend_from_slice(&old);
    value.extend_from_slice(&words[2]);
    let length = value.len();
    keys.put(&words[1], value.freeze(), end)?;
    Ok(Reply::count(length))
}

/// `SETRANGE key offset value`
pub(crate) async fn overwrite(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let (key, piece) = (&words[1], &words[3]);
    let offset = usize::try_from(number(&words[2])?);
    let offset = offset.map_err(|_| Error::said("offset is out of range"))?;
    let found = keys.small(key).await?;
    let old = found.as_ref().map(|entry| entry.value.clone()).unwrap_or_default();
    let length = old.len().max(offset.saturating_add(piece.len()));
    if piece.is_empty() {
        return Ok(Reply::count(old.len()));
    }
    if length > VALUE_BYTES_MAX {
        let max = VALUE_BYTES_MAX >> 20;
        return Err(Error::said(format_args!("the value would have more than {max} MiB")));
    }
    let mut value = BytesMut::zeroed(length);
    value[..old.len()].copy_from_slice(&old);
    value[offset..offset + piece.len()].copy_from_slice(piece);
    keys.put(key, value.freeze(), found.and_then(|entry| entry.expires_ms))?;
    Ok(Reply::count(length))
}

pub(crate) async fn increment(keys: &mut Keys, words: &[Bytes]) -> Answer {
    add(keys, &words[1], 1).await
}

pub(crate) async fn decrement(keys: &mut Keys, words: &[Bytes]) -> Answer {
    add(keys, &words[1], -1).await
}

pub(crate) async fn increment_by(keys: &mut Keys, words: &[Bytes]) -> Answer {
    add(keys, &words[1], number(&words[2])?).await
}

pub(crate) async fn decrement_by(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let by = number(&words[2])?.checked_neg();
    add(keys, &words[1], by.ok_or_else(|| Error::said("decrement would overflow"))?).await
}

/// A key that is not there counts as nought; the end of one that is there stays.
async fn add(keys: &mut Keys, key: &Bytes, by: i64) -> Answer {
    let found = keys.small(key).await?;
    let old = found.as_ref().map_or(Ok(0), |entry| number(&entry.value))?;
    let sum = old.checked_add(by);
    let sum = sum.ok_or_else(|| Error::said("increment or decrement would overflow"))?;
    keys.put(key, Bytes::from(sum.to_string()), found.and_then(|entry| entry.expires_ms))?;
    Ok(Reply::Number(sum))
}
