//! Reading: which state, and what of it is shown.

use bytes::Bytes;

use super::Shared;
use crate::commit::check_key;
use crate::limits::{PAGE_BYTES_MAX, SCAN_ENTRIES_MAX};
use crate::view::rows::{self, GROUP, Group, Version};
use crate::view::{View, damaged};
use crate::{At, Cursor, Entry, Error, KeyRange, Page, Scan, Seq};

/// What a view says of its partition when it is opened.
pub(super) struct Found {
    pub(super) newest: Seq,
    pub(super) oldest: Seq,
    pub(super) time_ms: u64,
    pub(super) next_end_ms: u64,
    pub(super) ranges: Vec<(Seq, KeyRange)>,
}

impl Found {
    pub(super) async fn in_view(view: &View) -> Result<Self, Error> {
        let last = last_group(view).await?;
        let (newest, time_ms) = last.map_or((Seq(0), 0), |(seq, group)| (seq, group.time_ms));
        let oldest = match view.row(rows::OLDEST).await? {
            None => 0,
            Some(row) => u64::from_le_bytes((*row).try_into().map_err(|_| damaged(rows::OLDEST))?),
        };
        let next_end_ms = next_end(view).await?.unwrap_or(u64::MAX);
        let mut ranges = Vec::new();
        let mut found = view.rows(first(rows::RANGE), first(rows::RANGE + 1), false).await?;
        while let Some((key, row)) = found.next().await? {
            let seq = rows::parse_seq_key(rows::RANGE, &key).ok_or_else(|| damaged(&key))?;
            ranges.push((seq, rows::decode_range(&row).ok_or_else(|| damaged(&key))?));
        }
        Ok(Self { newest, oldest: Seq(oldest), time_ms, next_end_ms, ranges })
    }
}

/// The first row that may be of a kind.
pub(super) fn first(kind: u8) -> Bytes {
    Bytes::copy_from_slice(&[kind])
}

async fn last_group(view: &View) -> Result<Option<(Seq, Group)>, Error> {
    let mut groups = view.rows(first(GROUP), first(GROUP + 1), true).await?;
    groups.next().await?.map(|row| parse_group(&row)).transpose()
}

/// The position of a group's last commit, and what it did.
pub(super) fn parse_group((key, row): &(Bytes, Bytes)) -> Result<(Seq, Group), Error> {
    let last = rows::parse_seq_key(GROUP, key).ok_or_else(|| damaged(key))?;
    Ok((last, rows::decode_group(row, last).ok_or_else(|| damaged(key))?))
}

/// When the next entry is over.
pub(super) async fn next_end(view: &View) -> Result<Option<u64>, Error> {
    let mut ends = view.rows(first(rows::END), first(rows::END + 1), false).await?;
    let Some((row, _)) = ends.next().await? else { return Ok(None) };
    rows::parse_end_key(&row).map(|(ms, _, _)| Some(ms)).ok_or_else(|| damaged(&row))
}

/// A state, and from which time on its entries are over: only the present has such a time.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) at: Seq,
    pub(super) over_ms: Option<u64>,
}

impl Shared {
    pub(super) async fn get(&self, key: &[u8], at: At) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        self.check()?;
        let state = self.state(at).await?;
        let present = matches!(at, At::Durable);
        let found = match self.warm.get(key).filter(|_| present) {
            Some(found) => found,
            None => {
                let found = self.view.version(key, state.at).await?;
                if present {
                    self.warm.keep(key, state.at, &found);
                }
                found
            }
        };
        let Some((seq, version)) = found else { return Ok(None) };
        Ok(self.shown(Bytes::copy_from_slice(key), seq, version, state))
    }

    /// What `state` shows of `key`.
    pub(super) async fn entry(&self, key: &[u8], state: State) -> Result<Option<Entry>, Error> {
        let found = self.view.version(key, state.at).await?;
        let Some((seq, version)) = found else { return Ok(None) };
        Ok(self.shown(Bytes::copy_from_slice(key), seq, version, state))
    }

    fn shown(&self, key: Bytes, seq: Seq, version: Version, state: State) -> Option<Entry> {
        let (value, reference, expires_ms) = version.parts()?;
        let over = state.over_ms.zip(expires_ms).is_some_and(|(now, end)| end <= now);
        if over || self.ranges.hide(&key, seq, state.at) {
            return None;
        }
        Some(Entry { key, value, reference, seq, expires_ms })
    }

    pub(super) async fn state(&self, at: At) -> Result<State, Error> {
        let (durable, now_ms) = (self.durable(), self.now_ms());
        let at = match at {
            At::Durable => durable,
            At::Newest => return Ok(State { at: self.newest(), over_ms: Some(now_ms) }),
            At::Seq(asked) if asked > durable => {
                return Err(Error::Future { asked, last: durable });
            }
            At::Seq(asked) => self.kept(asked, durable).await?,
            At::TimeMs(time_ms) => self.state_at(time_ms).await?,
        };
        Ok(State { at, over_ms: (at == durable).then_some(now_ms) })
    }

    /// Fails when the state is older than the history that is kept: when it was not the present at
    /// any time within the window.
    async fn kept(&self, asked: Seq, durable: Seq) -> Result<Seq, Error> {
        let oldest = self.horizon.get();
        if asked < oldest {
            return Err(Error::Gone { asked, oldest });
        }
        if asked < durable && self.time_of(asked.next()).await? < self.window_begins_ms() {
            let oldest = self.oldest().await?;
            return Err(Error::Gone { asked, oldest });
        }
        Ok(asked)
    }

    fn window_begins_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.settings().history_ms)
    }

    /// The oldest state that was the present within the window.
    pub(super) async fn oldest(&self) -> Result<Seq, Error> {
        let before = self.window_begins_ms().saturating_sub(1);
        Ok(self.last_at(before).await?.max(self.horizon.get()))
    }

    async fn time_of(&self, seq: Seq) -> Result<u64, Error> {
        if let Some(time_ms) = self.tail().time_of(seq) {
            return Ok(time_ms);
        }
        let group = self.group_of(seq).await?;
        // What is newer than all groups is being written now.
        Ok(group.map_or_else(|| self.now_ms(), |(_, group)| group.time_ms))
    }

    async fn group_of(&self, seq: Seq) -> Result<Option<(Seq, Group)>, Error> {
        let mut groups = self.view.rows(rows::group_key(seq), first(GROUP + 1), false).await?;
        groups.next().await?.map(|row| parse_group(&row)).transpose()
    }

    pub(super) async fn state_at(&self, time_ms: u64) -> Result<Seq, Error> {
        let found = self.last_at(time_ms).await?.min(self.durable());
        let oldest = self.oldest().await?;
        if found < oldest {
            return Err(Error::Gone { asked: found, oldest });
        }
        Ok(found)
    }

    /// The last commit at or before a time, as far as the horizon.
    async fn last_at(&self, time_ms: u64) -> Result<Seq, Error> {
        let (mut low, mut high) = (self.horizon.get(), self.newest());
        // All to `low` are at or before that time, or beyond the horizon; all after `high` are later.
        while low < high {
            let middle = Seq(low.0 + (high.0 - low.0).div_ceil(2));
            let Some((last, group)) = self.group_of(middle).await? else { break };
            if group.time_ms <= time_ms {
                low = last.min(high);
            } else {
                high = Seq(last.0.saturating_sub(group.commits)).max(low);
            }
        }
        Ok(low)
    }

    pub(super) async fn scan(&self, scan: &Scan) -> Result<Page, Error> {
        scan.range.check()?;
        self.check()?;
        let opened = scan.cursor.as_ref().map(|cursor| cursor.open(self.id, scan)).transpose()?;
        let (state, last) = match opened {
            Some((at, last)) => (self.state(At::Seq(at)).await?, Some(last)),
            None => {
                // What is over is deleted first, so that all pages show one state.
                if matches!(scan.at, At::Durable) && self.ends_are_due() {
                    self.settle().await?;
                }
                (self.state(scan.at).await?, None)
            }
        };
        let range = left_over(&scan.range, last, scan.reverse);
        self.page(scan, &range, state).await
    }

    async fn page(&self, scan: &Scan, range: &KeyRange, state: State) -> Result<Page, Error> {
        let mut page = Page { entries: Vec::new(), at: state.at, next: None };
        let limit = scan.limit.clamp(1, SCAN_ENTRIES_MAX);
        let mut bytes = 0;
        let mut entries = Entries::open(self, range, scan.reverse, state).await?;
        while let Some(mut entry) = entries.next().await? {
            if page.entries.len() == limit || bytes >= PAGE_BYTES_MAX {
                let last = page.entries.last().map(|entry| entry.key.clone()).unwrap_or_default();
                page.next = Some(Cursor::new(self.id, scan, state.at, &last));
                break;
            }
            if scan.keys_only {
                entry.value = Bytes::new();
            }
            bytes += entry.key.len() + entry.value.len();
            page.entries.push(entry);
        }
        Ok(page)
    }
}

/// What is left of a range after the entry `last`.
fn left_over(range: &KeyRange, last: Option<Bytes>, reverse: bool) -> KeyRange {
    let mut left = range.clone();
    match last {
        None => {}
        Some(last) if reverse => left.to = Some(last),
        Some(last) => left.from = KeyRange::one(&last).to.unwrap_or_default(),
    }
    left
}

/// The entries of a range in one state.
pub(super) struct Entries<'a> {
    shared: &'a Shared,
    state: State,
    reverse: bool,
    rows: crate::view::Rows,
    /// The row that was read and is not used yet.
    ahead: Option<(Bytes, Bytes)>,
}

impl<'a> Entries<'a> {
    pub(super) async fn open(
        shared: &'a Shared,
        range: &KeyRange,
        reverse: bool,
        state: State,
    ) -> Result<Self, Error> {
        let from = rows::keys_from(&range.from);
        let to = range.to.as_ref().map_or_else(rows::keys_end, |to| rows::keys_from(to));
        let mut rows = shared.view.rows(from, to, reverse).await?;
        let ahead = rows.next().await?;
        Ok(Self { shared, state, reverse, rows, ahead })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        while let Some(found) = self.next_key().await? {
            let Some((row, value)) = found else { continue };
            let (key, seq) = rows::parse_version_key(&row).ok_or_else(|| damaged(&row))?;
            let version = rows::decode_version(value).ok_or_else(|| damaged(&row))?;
            let entry = self.shared.shown(key, seq, version, self.state);
            if entry.is_some() {
                return Ok(entry);
            }
        }
        Ok(None)
    }

    /// The row of the next key that the state has; `Some(None)` when the state has none of the key,
    /// `None` after the last key.
    async fn next_key(&mut self) -> Result<Option<Option<(Bytes, Bytes)>>, Error> {
        let Some(mut row) = self.ahead.take() else { return Ok(None) };
        let mut seen = None;
        loop {
            let (_, seq) = rows::parse_version_key(&row.0).ok_or_else(|| damaged(&row.0))?;
            // Forward the newest come first, and the first one counts; back the last one does.
            let counts = seq <= self.state.at && (self.reverse || seen.is_none());
            let next = self.rows.next().await?;
            let same = next
                .as_ref()
                .is_some_and(|next| rows::without_seq(&next.0) == rows::without_seq(&row.0));
            if counts {
                seen = Some(row);
            }
            match next {
                Some(next) if same => row = next,
                next => {
                    self.ahead = next;
                    return Ok(Some(seen));
                }
            }
        }
    }
}
