//! Opening: what is on the disk is verified from the first byte to the end, which is found.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cairn_env::Env;

use super::codec::{Bad, FRAME_HEAD_BYTES, GroupHead, SECTOR_BYTES, SegmentHead};
use super::core::{Segment, Spare, State};
use super::disk::{Disk, failed};
use super::engine::{note_frame, segment_name, spare_name};
use super::read::{Reader, Stop};
use super::{LifeId, LogOptions};
use crate::Error;

/// What a scan found.
pub(super) struct Found {
    pub(super) life: LifeId,
    pub(super) state: State,
}

/// Reads all of it, and makes what is missing in an empty directory. Blocks as the disk does.
pub(super) fn scan(disk: &Arc<dyn Disk>, options: &LogOptions, env: &Env) -> Result<Found, Error> {
    let io = |what, error| failed(disk.as_ref(), what, "", &error);
    let mut files = disk.list().map_err(|error| io("list the log", error))?;
    files.sort();
    let mut state = State::default();
    let mut found = VecDeque::new();
    for (name, bytes) in files {
        if let Some(number) = number_of(&name, "spare-") {
            state.spare_next = state.spare_next.max(number);
            let keep = bytes == options.segment_bytes && state.spares.len() < options.spares_max;
            if keep {
                state.spares.push(Spare { name, bytes });
            } else {
                disk.remove(&name).map_err(|error| io("remove a spare of the log", error))?;
            }
        } else if let Some(number) = number_of(&name, "segment-") {
            found.push_back((number, name, bytes));
        }
    }
    if found.is_empty() {
        let mut life = LifeId([0; 16]);
        env.rng.fill(&mut life.0);
        state.segments.push_back(first_segment(disk, options, life, &mut state.spare_next)?);
        return Ok(Found { life, state });
    }
    let mut scan = Scan { disk, env, life: None, state, last: None };
    for (number, name, bytes) in found {
        scan.segment(number, name, bytes)?;
    }
    scan.finish()
}

fn number_of(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    digits.parse().ok()
}

/// The log begins: its first segment carries its life.
fn first_segment(
    disk: &Arc<dyn Disk>,
    options: &LogOptions,
    life: LifeId,
    spare_next: &mut u64,
) -> Result<Segment, Error> {
    let (staged, name) = (spare_name(spare_next), segment_name(1));
    let place = super::codec::Place { life, segment: 1 };
    let head = SegmentHead { place, first_group: 1, bytes: options.segment_bytes };
    let made = disk
        .create(&staged, options.segment_bytes)
        .and_then(|()| disk.write_at(&staged, 0, &head.encode()))
        .and_then(|()| disk.sync(&staged))
        .and_then(|()| disk.rename(&staged, &name))
        .and_then(|()| disk.sync_dir());
    made.map_err(|error| failed(disk.as_ref(), "begin the log", &name, &error))?;
    let used = SECTOR_BYTES as u64;
    let (bytes, held) = (head.bytes, Default::default());
    Ok(Segment { number: 1, name, bytes, first_group: 1, next_group: 1, used, held })
}

struct Scan<'a> {
    disk: &'a Arc<dyn Disk>,
    env: &'a Env,
    life: Option<LifeId>,
    state: State,
    /// Why the last segment ends where it does, for when another one follows it.
    last: Option<Error>,
}

impl Scan<'_> {
    fn corrupt(&self, name: &str, offset: u64, why: &str) -> Error {
        Error::Corrupt { what: self.disk.describe(name), offset, why: why.to_owned() }
    }

    /// One segment, and how it follows the one before.
    fn segment(&mut self, number: u64, name: String, bytes: u64) -> Result<(), Error> {
        let head = self.head(&name, bytes)?;
        let life = *self.life.get_or_insert(head.place.life);
        let checks = [
            (head.place.life == life, "it belongs to another log"),
            (head.place.segment == number, "it is another segment than its name says"),
            (head.bytes == bytes, "the file has another length than it was made with"),
        ];
        if let Some((_, why)) = checks.iter().find(|(holds, _)| !holds) {
            return Err(self.corrupt(&name, 0, why));
        }
        if let Some(before) = self.state.segments.back() {
            if before.number + 1 != number {
                let missing = before.number + 1;
                let why = format!("segment {missing} is missing between {} and it", before.number);
                return Err(self.corrupt(&name, 0, &why));
            }
            if before.next_group != head.first_group {
                let at = before.used;
                let why = "groups are missing that the next segment follows";
                let error = self.corrupt(&before.name, at, why);
                return Err(self.last.take().unwrap_or(error));
            }
        }
        let first_group = head.first_group;
        let (used, held) = (SECTOR_BYTES as u64, Default::default());
        let segment =
            Segment { number, name, bytes, first_group, next_group: first_group, used, held };
        self.state.segments.push_back(segment);
        self.groups(head)
    }

    fn head(&self, name: &str, bytes: u64) -> Result<SegmentHead, Error> {
        if bytes < SECTOR_BYTES as u64 {
            return Err(self.corrupt(name, 0, "the file is shorter than its header"));
        }
        let mut sector = vec![0; SECTOR_BYTES];
        let read = self.disk.read_at(name, 0, &mut sector);
        read.map_err(|error| failed(self.disk.as_ref(), "read the log", name, &error))?;
        SegmentHead::decode(&sector).map_err(|Bad(why)| self.corrupt(name, 0, why))
    }

    /// The groups of the segment that was put last.
    fn groups(&mut self, head: SegmentHead) -> Result<(), Error> {
        let mut segment = self.state.segments.pop_back().expect("it was put there");
        let mut reader = Reader::new(self.disk, &segment.name, head.place, head.bytes);
        let mut rewritten = None;
        let stop = loop {
            let at = segment.used;
            match self.group(&mut reader, &mut segment) {
                Ok(group) => rewritten = Some((at, group.bytes())),
                Err(Stop::Bad(offset, bad)) => break (offset, bad),
                Err(stop) => return Err(stop.corrupt(&reader)),
            }
        };
        let (offset, bad) = stop;
        let error = reader.corrupt(offset, bad);
        if let Some(later) = later_group(&mut reader, &segment)? {
            let Error::Corrupt { what, offset, why } = error else { return Err(error) };
            let why = format!("{why}, and group {later} follows it");
            return Err(Error::Corrupt { what, offset, why });
        }
        if let Some((at, len)) = rewritten {
            // Nobody may have synced it, or a sync of it failed: it lasts once it was written again.
            reader.rewrite(at, len)?;
        }
        self.last = Some(error);
        self.state.segments.push_back(segment);
        Ok(())
    }

    /// The next group of the segment.
    fn group(&mut self, reader: &mut Reader, segment: &mut Segment) -> Result<GroupHead, Stop> {
        let at = segment.used;
        let group = reader.group(at)?;
        if group.number != segment.next_group {
            return Err(Stop::Bad(at, Bad("the group has not the number that follows")));
        }
        let mut frames = Vec::new();
        let look = |head: &super::codec::FrameHead| {
            frames.push((head.partition, head.epoch, head.id, head.len));
            false
        };
        reader.frames(at, &group, look, |_, _| {})?;
        let clock = &self.env.clock;
        let age = clock.wall_ns().saturating_sub(group.wall_ns);
        let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
        let made = clock.monotonic().saturating_sub(age);
        let to = at + group.bytes();
        for (partition, epoch, id, len) in frames {
            note_frame(segment, partition, id, (at, to));
            let bytes = FRAME_HEAD_BYTES as u64 + u64::from(len);
            self.state.part(partition).state().add(epoch, id, bytes, made);
        }
        (segment.used, segment.next_group) = (to, group.number + 1);
        Ok(group)
    }

    fn finish(self) -> Result<Found, Error> {
        let life = self.life.expect("there is a segment");
        let synced = self.disk.sync_dir();
        synced.map_err(|error| failed(self.disk.as_ref(), "sync the log", "", &error))?;
        Ok(Found { life, state: self.state })
    }
}

/// A group behind the end that shows that the end is none: each group is written after the one before
/// it was synced.
fn later_group(reader: &mut Reader, segment: &Segment) -> Result<Option<u64>, Error> {
    let step = SECTOR_BYTES as u64;
    let begin = match reader.group(segment.used) {
        Ok(group) if group.number == segment.next_group => segment.used + group.bytes(),
        Ok(_) => segment.used,
        Err(Stop::Bad(..)) => segment.used + step,
        Err(stop) => return Err(stop.corrupt(reader)),
    };
    let mut at = begin;
    while at < segment.bytes {
        match reader.group(at) {
            Ok(group) if group.number >= segment.next_group => return Ok(Some(group.number)),
            Ok(_) | Err(Stop::Bad(..)) => at += step,
            Err(stop) => return Err(stop.corrupt(reader)),
        }
    }
    Ok(None)
}
