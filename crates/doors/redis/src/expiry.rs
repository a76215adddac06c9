//! How long keys live.

use bytes::Bytes;
use cairn_kv::{Entry, TTL_MAX};

use crate::error::Error;
use crate::keys::Keys;
use crate::reply::Reply;
use crate::words::{Words, number};

type Answer = Result<Reply, Error>;

/// When a key is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Never,
    /// In milliseconds since 1970.
    At(u64),
    /// It is over already.
    Past,
}

/// How a time is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Ms,
    SecondsSince1970,
    MsSince1970,
}

impl Unit {
    /// The end that a word says, where a time of nought or less makes no sense.
    pub(crate) fn positive(self, word: &[u8], now_ms: u64, command: &str) -> Result<End, Error> {
        let number = number(word)?;
        if number <= 0 {
            return Err(Error::said(format_args!("invalid expire time in '{command}' command")));
        }
        self.end(number, now_ms, command)
    }

    /// The end that a number says.
    fn end(self, number: i64, now_ms: u64, command: &str) -> Result<End, Error> {
        let invalid = || Error::said(format_args!("invalid expire time in '{command}' command"));
        let seconds = matches!(self, Self::Seconds | Self::SecondsSince1970);
        let scale = if seconds { 1000 } else { 1 };
        let ms = i128::from(number) * scale;
        let relative = matches!(self, Self::Seconds | Self::Ms);
        let at = if relative { ms + i128::from(now_ms) } else { ms };
        if at <= i128::from(now_ms) {
            return Ok(End::Past);
        }
        let at = u64::try_from(at).map_err(|_| invalid())?;
        if u128::from(at - now_ms) > TTL_MAX.as_millis() {
            return Err(invalid());
        }
        Ok(End::At(at))
    }
}

/// The unit of an option of SET or GETEX.
pub(crate) fn unit(option: &str) -> Result<Unit, Error> {
    match option {
        "ex" => Ok(Unit::Seconds),
        "px" => Ok(Unit::Ms),
        "exat" => Ok(Unit::SecondsSince1970),
        "pxat" => Ok(Unit::MsSince1970),
        _ => Err(Error::syntax()),
    }
}

/// Gives an entry this end.
pub(crate) fn apply(keys: &mut Keys, entry: Entry, end: End) -> Result<(), Error> {
    match end {
        End::Never if entry.expires_ms.is_none() => Ok(()),
        End::Never => keys.set_end(entry, None),
        End::At(ms) => keys.set_end(entry, Some(ms)),
        End::Past => keys.delete(&entry.key),
    }
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`, and those that say it in another unit.
async fn expire(keys: &mut Keys, words: &[Bytes], unit: Unit) -> Answer {
    let command = crate::words::name(&words[0]);
    let end = unit.end(number(&words[2])?, keys.now_ms(), &command)?;
    let mut rest = Words(&words[3..]);
    let (mut absent, mut present, mut later, mut earlier) = (false, false, false, false);
    while let Some(option) = rest.option() {
        match option.as_str() {
            "nx" => absent = true,
            "xx" => present = true,
            "gt" => later = true,
            "lt" => earlier = true,
            other => return Err(Error::said(format_args!("Unsupported option {other}"))),
        }
    }
    if absent && (present || later || earlier) || later && earlier {
        return Err(Error::said("NX and XX, GT or LT options at the same time are not compatible"));
    }
    let Some(entry) = keys.entry(&words[1]).await? else { return Ok(Reply::Number(0)) };
    let new = match end {
        End::At(ms) => ms,
        End::Past => 0,
        End::Never => u64::MAX,
    };
    // A key without an end counts as one that ends never.
    let old = entry.expires_ms.unwrap_or(u64::MAX);
    let refused = absent && entry.expires_ms.is_some()
        || present && entry.expires_ms.is_none()
        || later && new <= old
        || earlier && new >= old;
    if refused {
        return Ok(Reply::Number(0));
    }
    apply(keys, entry, end)?;
    Ok(Reply::Number(1))
}

pub(crate) async fn in_seconds(keys: &mut Keys, words: &[Bytes]) -> Answer {
    expire(keys, words, Unit::Seconds).await
}

pub(crate) async fn in_ms(keys: &mut Keys, words: &[Bytes]) -> Answer {
    expire(keys, words, Unit::Ms).await
}

pub(crate) async fn at_second(keys: &mut Keys, words: &[Bytes]) -> Answer {
    expire(keys, words, Unit::SecondsSince1970).await
}

pub(crate) async fn at_ms(keys: &mut Keys, words: &[Bytes]) -> Answer {
    expire(keys, words, Unit::MsSince1970).await
}

pub(crate) async fn persist(keys: &mut Keys, words: &[Bytes]) -> Answer {
    let entry = keys.entry(&words[1]).await?.filter(|entry| entry.expires_ms.is_some());
    let Some(entry) = entry else { return Ok(Reply::Number(0)) };
    apply(keys, entry, End::Never)?;
    Ok(Reply::Number(1))
}

/// −2 without the key, −1 without an end, or what `said` makes of the end.
async fn told(keys: &mut Keys, key: &[u8], said: fn(u64, u64) -> u64) -> Answer {
    let now_ms = keys.now_ms();
    Ok(Reply::Number(match keys.entry(key).await? {
        None => -2,
        Some(entry) => match entry.expires_ms {
            None => -1,
            Some(end) => i64::try_from(said(end, now_ms)).unwrap_or(i64::MAX),
        },
    }))
}

pub(crate) async fn left_seconds(keys: &mut Keys, words: &[Bytes]) -> Answer {
    told(keys, &words[1], |end, now| (end.saturating_sub(now) + 500) / 1000).await
}

pub(crate) async fn left_ms(keys: &mut Keys, words: &[Bytes]) -> Answer {
    told(keys, &words[1], u64::saturating_sub).await
}

pub(crate) async fn end_second(keys: &mut Keys, words: &[Bytes]) -> Answer {
    told(keys, &words[1], |end, _| end.saturating_add(500) / 1000).await
}

pub(crate) async fn end_ms(keys: &mut Keys, words: &[Bytes]) -> Answer {
    told(keys, &words[1], |end, _| end).await
}
