use super::super::oracle::{Shown, Span};
use super::player::{OPEN_MAX, Player, text};
use super::{When, key};
use crate::{At, Entry, Error, KeyRange, Page, Scan, Seq};

/// A scan that has pages left.
pub(super) struct OpenScan {
    scan: Scan,
    at: Seq,
    last: bytes::Bytes,
}

impl Player<'_> {
    pub(super) async fn get(&mut self, number: u8, when: When) -> Result<(), String> {
        let key = key(number);
        let before_ms = self.now_ms();
        let (at, seq) = self.when(when);
        let oldest = self.partition.status().oldest;
        let found = self.partition.get(&key, at).await;
        let span = Span { before_ms, after_ms: self.now_ms() };
        let Some(seq) = self.state(at, seq, found.as_ref().err(), oldest)? else { return Ok(()) };
        let found = found.map_err(text)?;
        let view = self.oracle.view(seq, self.is_present(at), &KeyRange::one(&key), span);
        compare(&view, &Vec::from_iter(found), usize::MAX, false).map(drop)
    }

    /// The state that is read; `None` when it is forgotten, and nothing more is to be compared.
    fn state(
        &self,
        at: At,
        seq: Option<Seq>,
        error: Option<&Error>,
        oldest: Seq,
    ) -> Result<Option<Seq>, String> {
        let seq = match (at, seq) {
            (At::TimeMs(time_ms), _) => {
                let (first, last) = self.oracle.at_time(time_ms);
                // In this very millisecond more commits may follow.
                if first != last || time_ms >= self.now_ms() {
                    return Ok(None);
                }
                last
            }
            (_, seq) => seq.unwrap(),
        };
        let gone = matches!(error, Some(Error::Gone { .. }));
        match (gone, error) {
            (true, _) if self.may_be_gone(seq) => Ok(None),
            (_, Some(error)) => Err(error.to_string()),
            (_, None) if seq < oldest => Err(format!("it shows what is older than {oldest}")),
            (_, None) => Ok(Some(seq)),
        }
    }

    fn is_present(&self, at: At) -> bool {
        match at {
            At::Durable | At::Newest => true,
            At::Seq(seq) => seq == self.oracle.newest() && seq == self.partition.status().newest,
            At::TimeMs(_) => false,
        }
    }

    pub(super) async fn scan(
        &mut self,
        range: KeyRange,
        reverse: bool,
        limit: u8,
        keys_only: bool,
        when: When,
    ) -> Result<(), String> {
        let before_ms = self.now_ms();
        let (at, seq) = self.when(when);
        let scan = Scan { range, reverse, limit: limit.into(), keys_only, at, cursor: None };
        let oldest = self.partition.status().oldest;
        let found = self.partition.scan(&scan).await;
        let span = Span { before_ms, after_ms: self.now_ms() };
        let Some(seq) = self.state(at, seq, found.as_ref().err(), oldest)? else { return Ok(()) };
        let page = found.map_err(text)?;
        let shows =
            if matches!(at, At::Durable | At::Newest) { page.at >= seq } else { page.at == seq };
        if !shows {
            return Err(format!("a scan of {seq} shows {}", page.at));
        }
        let present = self.is_present(at);
        let mut view = if scan.range.is_empty() {
            Vec::new()
        } else {
            self.oracle.view(seq, present, &scan.range, span)
        };
        if reverse {
            view.reverse();
        }
        self.catch_up(None).await?;
        self.page(scan, &view, page)
    }

    pub(super) async fn more(&mut self, which: u8) -> Result<(), String> {
        if self.scans.is_empty() {
            return Ok(());
        }
        let open = self.scans.swap_remove(usize::from(which) % self.scans.len());
        let before_ms = self.now_ms();
        let oldest = self.partition.status().oldest;
        let found = self.partition.scan(&open.scan).await;
        let span = Span { before_ms, after_ms: self.now_ms() };
        let at = At::Seq(open.at);
        let Some(seq) = self.state(at, Some(open.at), found.as_ref().err(), oldest)? else {
            return Ok(());
        };
        let page = found.map_err(text)?;
        if page.at != seq {
            return Err(format!("a scan of {seq} goes on with {}", page.at));
        }
        let mut view = self.oracle.view(seq, self.is_present(at), &open.scan.range, span);
        if open.scan.reverse {
            view.reverse();
            view.retain(|(entry, _)| entry.key < open.last);
        } else {
            view.retain(|(entry, _)| entry.key > open.last);
        }
        self.page(open.scan, &view, page)
    }

    /// Compares a page, and keeps the scan when it goes on.
    fn page(&mut self, scan: Scan, view: &[(Entry, Shown)], page: Page) -> Result<(), String> {
        let left = compare(view, &page.entries, scan.limit, scan.keys_only)?;
        let goes_on = page.next.is_some();
        let (must, may) = (left.contains(&Shown::Yes), left.iter().any(|one| *one != Shown::No));
        if (must && !goes_on) || (goes_on && !may) {
            return Err(format!("it goes on: {goes_on}; left: {left:?}"));
        }
        if let (Some(next), Some(last)) = (page.next, page.entries.last()) {
            if self.scans.len() == OPEN_MAX {
                self.scans.remove(0);
            }
            let last = last.key.clone();
            let scan = Scan { cursor: Some(next), ..scan };
            self.scans.push(OpenScan { scan, at: page.at, last });
        }
        Ok(())
    }
}

/// Compares entries with what may be shown; gives what is left of it.
pub(super) fn compare(
    view: &[(Entry, Shown)],
    found: &[Entry],
    limit: usize,
    keys_only: bool,
) -> Result<Vec<Shown>, String> {
    let wrong = || Err(format!("it shows {found:?}, and there is {view:?}"));
    if found.len() > limit {
        return wrong();
    }
    let mut view_left = view.iter();
    for entry in found {
        loop {
            let Some((expected, shown)) = view_left.next() else { return wrong() };
            let mut expected = expected.clone();
            if keys_only {
                expected.value = bytes::Bytes::new();
            }
            match shown {
                Shown::Yes if expected == *entry => break,
                Shown::Yes => return wrong(),
                Shown::Either if expected == *entry => break,
                Shown::Either | Shown::No => {}
            }
        }
    }
    let left: Vec<Shown> = view_left.map(|(_, shown)| *shown).collect();
    if found.len() < limit && left.contains(&Shown::Yes) { wrong() } else { Ok(left) }
}
