//! Status of transactions, their times, and multixacts: what is beside relations in a data directory
//! (`access/transam/clog.c`, `commit_ts.c`, `multixact.c`).
//!
//! - `pg_xact`: two bits a transaction, 1 committed, 2 aborted.
//! - `pg_commit_ts`: 10 bytes a transaction, `i64` microseconds since 2000 and `u16` origin; the rest of
//!   a page that does not hold a whole entry is unused.
//! - `pg_multixact/offsets`: `u32` a multixact, its first member.
//! - `pg_multixact/members`: groups of four bytes of status and four `u32` transactions.

use std::path::Path;

use cairn_pgwal::PAGE_BYTES;
use cairn_pgwal::effects::{Effect, Finished, Member};

use super::slru::Slru;
use crate::error::Error;

const STATUSES_PER_PAGE: u32 = PAGE_BYTES as u32 * 4;
const COMMITTED: u8 = 1;
const ABORTED: u8 = 2;

const TIME_BYTES: u32 = 10;
const TIMES_PER_PAGE: u32 = PAGE_BYTES as u32 / TIME_BYTES;

const OFFSETS_PER_PAGE: u32 = PAGE_BYTES as u32 / 4;

const GROUP_MEMBERS: u32 = 4;
const GROUP_BYTES: u32 = GROUP_MEMBERS + GROUP_MEMBERS * 4;
const GROUPS_PER_PAGE: u32 = PAGE_BYTES as u32 / GROUP_BYTES;
const MEMBERS_PER_PAGE: u32 = GROUPS_PER_PAGE * GROUP_MEMBERS;

/// How many pages there are when all ids are in use.
const fn pages(per_page: u32) -> u64 {
    (1_u64 << 32).div_ceil(per_page as u64)
}

#[derive(Debug)]
pub(super) struct Status {
    transactions: Slru,
    times: Slru,
    offsets: Slru,
    members: Slru,
    /// A page of offsets that got its first entry before the record that makes the page.
    early_offsets: Option<u32>,
    /// The page of offsets that was made last.
    last_offsets: Option<u32>,
    track_times: bool,
}

impl Status {
    pub(super) fn new(directory: &Path, track_times: bool) -> Self {
        Self {
            transactions: Slru::new(directory.join("pg_xact")),
            times: Slru::new(directory.join("pg_commit_ts")),
            offsets: Slru::new(directory.join("pg_multixact/offsets")),
            members: Slru::new(directory.join("pg_multixact/members")),
            early_offsets: None,
            last_offsets: None,
            track_times,
        }
    }

    pub(super) fn apply(&mut self, effect: &Effect<'_>) -> Result<(), Error> {
        match effect {
            Effect::Finished(finished) => self.finished(finished),
            Effect::StatusPage { page } => self.transactions.zero(*page),
            Effect::StatusTruncated { page, .. } => {
                self.transactions.truncate(*page, pages(STATUSES_PER_PAGE))
            }
            Effect::TimestampPage { page } => self.times.zero(*page),
            Effect::TimestampsTruncated { page, .. } => {
                self.times.truncate(*page, pages(TIMES_PER_PAGE))
            }
            Effect::Parameters(parameters) => {
                self.track_times = parameters.track_commit_timestamp;
                if self.track_times { Ok(()) } else { self.times.clear() }
            }
            Effect::OffsetPage { page } => self.offset_page(*page),
            Effect::MemberPage { page } => self.members.zero(*page),
            Effect::MultiXact { id, offset, members } => self.multixact(*id, *offset, members),
            Effect::MultiXactsTruncated { oldest, first_member, oldest_member, .. } => {
                let gone = first_member / MEMBERS_PER_PAGE..oldest_member / MEMBERS_PER_PAGE;
                self.members.remove(gone, pages(MEMBERS_PER_PAGE))?;
                // The page of the oldest may not be there yet, but that of the one before is.
                let before = if *oldest <= 1 { u32::MAX } else { oldest - 1 };
                self.offsets.truncate(before / OFFSETS_PER_PAGE, pages(OFFSETS_PER_PAGE))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        for slru in [&mut self.transactions, &mut self.times, &mut self.offsets, &mut self.members]
        {
            slru.flush()?;
        }
        Ok(())
    }

    fn finished(&mut self, finished: &Finished<'_>) -> Result<(), Error> {
        let status = if finished.committed { COMMITTED } else { ABORTED };
        for xid in finished.subtransactions.iter().chain([&finished.xid]) {
            if *xid == 0 {
                continue;
            }
            let page = self.transactions.page(xid / STATUSES_PER_PAGE)?;
            let at = xid % STATUSES_PER_PAGE;
            let (byte, shift) = (at as usize / 4, at % 4 * 2);
            page[byte] = page[byte] & !(3 << shift) | status << shift;
            if finished.committed && self.track_times {
                self.time(*xid, finished)?;
            }
        }
        Ok(())
    }

    fn time(&mut self, xid: u32, finished: &Finished<'_>) -> Result<(), Error> {
        let (time, origin) = match finished.origin {
            Some(origin) => (origin.time, origin.number),
            None => (finished.time, 0),
        };
        let page = self.times.page(xid / TIMES_PER_PAGE)?;
        let at = (xid % TIMES_PER_PAGE * TIME_BYTES) as usize;
        page[at..at + 8].copy_from_slice(&time.to_le_bytes());
        page[at + 8..at + 10].copy_from_slice(&origin.to_le_bytes());
        Ok(())
    }

    fn offset_page(&mut self, page: u32) -> Result<(), Error> {
        self.last_offsets = Some(page);
        if self.early_offsets.take() == Some(page) {
            return Ok(());
        }
        self.offsets.zero(page)
    }

    /// The members of a multixact, where they begin, and so where those of the next one do. Minor
    /// releases before 15.15 made the next one's page only with its own record.
    fn multixact(&mut self, id: u32, offset: u32, members: &[Member]) -> Result<(), Error> {
        let next = id.wrapping_add(1).max(1);
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let (page, next_page) = (id / OFFSETS_PER_PAGE, next / OFFSETS_PER_PAGE);
        if next_page != page && self.last_offsets.is_none_or(|last| last == page) {
            self.early_offsets = Some(next_page);
        }
        self.offset(id, offset)?;
        self.offset(next, offset.wrapping_add(count).max(1))?;
        for (index, member) in (0..).zip(members) {
            self.member(offset.wrapping_add(index), *member)?;
        }
        Ok(())
    }

    fn offset(&mut self, id: u32, offset: u32) -> Result<(), Error> {
        let page = self.offsets.page(id / OFFSETS_PER_PAGE)?;
        let at = (id % OFFSETS_PER_PAGE * 4) as usize;
        page[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        Ok(())
    }

    fn member(&mut self, number: u32, member: Member) -> Result<(), Error> {
        let page = self.members.page(number / MEMBERS_PER_PAGE)?;
        let group = number / GROUP_MEMBERS % GROUPS_PER_PAGE * GROUP_BYTES;
        let within = number % GROUP_MEMBERS;
        let at = (group + GROUP_MEMBERS + within * 4) as usize;
        page[(group + within) as usize] = member.status;
        page[at..at + 4].copy_from_slice(&member.xid.to_le_bytes());
        Ok(())
    }
}
