//! Values that are too large for a partition's rows: stored as files are, kept by a pin, and referred to by
//! the row of their key.
//!
//! The reference in a row: version 1, the pin's id (16 bytes), the root of its tree (32 bytes), the length
//! (varint).
//!
//! KV-5 A large value can be read in every state that shows it. (1) Its pin is made before its row is
//! committed, and only that commit ever brings its id into the partition; [`crate::Kv::touch`] keeps it
//! where it is. So once a state does not refer to it no later one will. (2) A sweep notes the first such
//! state it sees in the pin, and removes the pin only when the partition refuses all states before that
//! one. (3) A pin younger than [`YOUNG`] may still wait for its commit and is let be; a commit that comes
//! later than [`COMMIT_WITHIN`] is not tried. A crash in between leaves a pin that nothing refers to, which
//! goes the same way. (4) A clone has pins of its own for all that its source has, before anybody sees it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use cairn_base::{ErrorKind, varint};
use cairn_chunk::ChunkId;
use cairn_datasets::{Dataset, Datasets, PinId, PinWriter, Pinned};
use cairn_partition::limits::VALUE_BYTES_MAX;
use cairn_partition::{
    AnyPartition, At, Commit, Committed, Condition, Entry, KeyRange, Name, Op, Scan,
};
use futures::StreamExt as _;

use crate::text::{joined, split};
use crate::{Error, Kv, Namespace, Only, Pieces, Put};

/// The longest value, in bytes.
pub const LARGE_BYTES_MAX: u64 = 1 << 30;
/// Large values that a process stores at a time; each holds some tens of megabytes.
pub const LARGE_WRITES_MAX: usize = 16;
/// A pin that is younger may still wait for its commit.
pub(crate) const YOUNG: Duration = Duration::from_secs(3600);
/// How long after its pin a commit is tried.
const COMMIT_WITHIN: Duration = Duration::from_secs(1800);
const VERSION: u8 = 1;

/// A value, told in pieces.
pub struct Value {
    /// The entry; its value is empty when it is in the pieces.
    pub entry: Entry,
    /// The length of the whole value, in bytes.
    pub size: u64,
    /// The bytes that were asked for.
    pub pieces: Pieces,
}

/// The length of a value that is too large for lists, watches and messages; none for one that is in
/// the entry itself.
#[must_use]
pub fn large_size(entry: &Entry) -> Option<u64> {
    decode(entry.reference.as_ref()?).map(|pinned| pinned.len)
}

/// What stands in an entry for a large value of this length, where no more than that is known of it.
#[must_use]
pub fn large_reference(size: u64) -> Bytes {
    encode(&Pinned { id: PinId([0; 16]), root: ChunkId([0; 32]), len: size })
}

fn encode(pinned: &Pinned) -> Bytes {
    let mut row = Vec::with_capacity(64);
    row.put_u8(VERSION);
    row.put_slice(&pinned.id.0);
    row.put_slice(&pinned.root.0);
    varint::put(&mut row, pinned.len);
    row.into()
}

pub(crate) fn decode(reference: &Bytes) -> Option<Pinned> {
    let mut rest = reference.as_ref();
    if rest.try_get_u8().ok()? != VERSION {
        return None;
    }
    let (mut id, mut root) = ([0; 16], [0; 32]);
    rest.try_copy_to_slice(&mut id).ok()?;
    rest.try_copy_to_slice(&mut root).ok()?;
    let len = varint::take(&mut rest)?;
    rest.is_empty().then_some(Pinned { id: PinId(id), root: ChunkId(root), len })
}

/// Those of `entries` of a namespace's partition whose large values no pin keeps.
///
/// # Errors
/// Of the bucket; for a damaged pin.
pub async fn not_kept(
    datasets: &Datasets,
    partition: &Name,
    entries: Vec<Entry>,
) -> Result<Vec<Entry>, Error> {
    let mut kept = BTreeSet::new();
    if let Some(of) = Namespace::of(partition).filter(|_| !entries.is_empty()) {
        for (of, id) in datasets.pins_of(&dataset(&of)).await? {
            kept.extend(datasets.pin(&of, id).await?.map(|(pin, _)| pin.id(id)));
        }
    }
    let pinned = |entry: &Entry| entry.reference.as_ref().and_then(decode);
    let lost = |entry: &Entry| pinned(entry).is_none_or(|pinned| !kept.contains(&pinned.id));
    Ok(entries.into_iter().filter(lost).collect())
}

/// Whose pins those of a namespace are.
pub(crate) fn dataset(of: &Namespace) -> Dataset {
    Dataset { project: of.project.clone(), name: of.name.clone() }
}

/// A key as a pin names it.
pub(crate) fn owner(key: &[u8]) -> String {
    match split(key) {
        (Some(text), _) => format!("key:{text}"),
        (None, base64) => format!("key_base64:{}", base64.unwrap_or_default()),
    }
}

/// The key that a pin names.
pub(crate) fn owned(owner: &str) -> Option<Bytes> {
    let (what, text) = owner.split_once(':')?;
    match what {
        "key" => joined("key", Some(text.to_owned()), None).ok(),
        "key_base64" => joined("key", None, Some(text.to_owned())).ok(),
        _ => None,
    }
}

/// The entry of a key as it stands, with what is over removed.
pub(crate) async fn present(partition: &AnyPartition, key: &[u8]) -> Result<Option<Entry>, Error> {
    let scan = Scan { limit: 1, keys_only: true, ..Scan::of(KeyRange::one(key)) };
    Ok(partition.scan(&scan).await?.entries.pop())
}

fn too_large(size: u64) -> Error {
    let bytes = |count| usize::try_from(count).unwrap_or(usize::MAX);
    let (what, size, limit, unit) = ("the value", bytes(size), bytes(LARGE_BYTES_MAX), "bytes");
    cairn_partition::Error::TooLarge { what, size, limit, unit }.into()
}

impl Kv {
    /// Gives a key a value that comes in pieces, `size` bytes in all where that is known: up to
    /// [`VALUE_BYTES_MAX`] as [`Kv::put`] does, and up to [`LARGE_BYTES_MAX`] without holding it in memory
    /// (KV-5). [`Put::value`] is what comes before the pieces. To be carried to its end.
    ///
    /// # Errors
    /// As [`Kv::put`], and those of the pieces: then nothing was changed. `TooLarge` over
    /// [`LARGE_BYTES_MAX`]; [`Error::Values`] when it cannot be stored.
    pub async fn write(
        &self,
        of: &Namespace,
        mut put: Put,
        size: Option<u64>,
        mut pieces: Pieces,
    ) -> Result<Committed, Error> {
        if let Some(size) = size.filter(|size| *size > LARGE_BYTES_MAX) {
            return Err(too_large(size));
        }
        let mut first = BytesMut::from(put.value.as_ref());
        while first.len() <= VALUE_BYTES_MAX {
            let Some(piece) = pieces.next().await.transpose()? else {
                put.value = first.freeze();
                return self.put(of, put).await;
            };
            first.extend_from_slice(&piece);
        }
        put.value = Bytes::new();
        cairn_partition::check_key(&put.key)?;
        let partition = self.open(of).await?;
        self.still(&partition, &put).await?;
        let _place = self.places.try_acquire().map_err(|_| {
            let why = format!("{LARGE_WRITES_MAX} large values are being stored: try again later");
            cairn_partition::Error::Busy { why }
        })?;
        let about = size.unwrap_or(LARGE_BYTES_MAX);
        let writer = self.datasets.pin_begin(&dataset(of), about).await?;
        let pinned = Box::pin(taken(writer, first.freeze(), pieces, &owner(&put.key))).await?;
        let since = self.env.clock.monotonic();
        let done = self.refer(&partition, put, &pinned, since).await;
        if done.as_ref().is_err_and(changed_nothing) {
            self.forget(&[(dataset(of), pinned.id)]).await;
        }
        done
    }

    /// Fails early where a condition does not hold already: nobody sends a gigabyte for that.
    async fn still(&self, partition: &AnyPartition, put: &Put) -> Result<(), Error> {
        let expected = match put.only {
            Only::Always => return Ok(()),
            Only::Absent => None,
            Only::Seq(seq) => Some(seq),
        };
        let found = partition.get(&put.key, At::Durable).await?.map(|entry| entry.seq);
        if found == expected {
            return Ok(());
        }
        Err(cairn_partition::Error::Condition { key: put.key.to_vec(), expected, found }.into())
    }

    async fn refer(
        &self,
        partition: &AnyPartition,
        put: Put,
        pinned: &Pinned,
        since: Duration,
    ) -> Result<Committed, Error> {
        let Put { key, ttl, only, durable, .. } = put;
        let expires_ms = ttl.map(|ttl| self.ends(ttl)).transpose()?;
        let condition = |expected| Condition { key: key.clone(), expected };
        let conditions = match only {
            Only::Always => vec![],
            Only::Absent => vec![condition(None)],
            Only::Seq(seq) => vec![condition(Some(seq))],
        };
        let ops = vec![Op::Refer { key: key.clone(), reference: encode(pinned), expires_ms }];
        let commit = Commit { ops, conditions, durable, ..Commit::default() };
        if self.env.clock.monotonic().saturating_sub(since) > COMMIT_WITHIN {
            let why = "the value was stored too long ago to be committed: put it again".to_owned();
            return Err(cairn_partition::Error::Busy { why }.into());
        }
        Ok(partition.commit(commit).await?)
    }

    /// The value of a key, in pieces.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::NoNamespace`]; [`Error::Partition`]; [`Error::Values`].
    pub async fn read(&self, of: &Namespace, key: &[u8], at: At) -> Result<Value, Error> {
        let found = self.get(of, key, at).await?;
        let entry =
            found.ok_or_else(|| Error::NoKey { namespace: of.clone(), key: key.to_vec() })?;
        let Some(size) = large_size(&entry) else {
            let size = entry.value.len() as u64;
            let value = entry.value.clone();
            let pieces = Box::pin(futures::stream::iter([Ok(value)]));
            return Ok(Value { entry: Entry { value: Bytes::new(), ..entry }, size, pieces });
        };
        let pieces = self.large(of, &entry, 0..size).await?;
        Ok(Value { entry, size, pieces })
    }

    /// The bytes `range` of the large value of an entry. The range must lie inside it.
    ///
    /// # Errors
    /// [`Error::Values`]; [`Error::NotKept`] for a past one that is gone meanwhile.
    pub async fn large(
        &self,
        of: &Namespace,
        entry: &Entry,
        range: Range<u64>,
    ) -> Result<Pieces, Error> {
        let reference = entry.reference.as_ref();
        let Some(pinned) = reference.and_then(decode) else {
            let key = entry.key.escape_ascii().to_string();
            let why = format!("what stands for the value of {key} was written by a newer version");
            return Err(Error::Invalid { why });
        };
        let opened = self.datasets.pinned(&dataset(of), &pinned, range).await;
        let content = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound || is_missing(&error) => {
                return Err(self.lost(of, entry, error).await);
            }
            other => other?,
        };
        Ok(Box::pin(futures::stream::try_unfold(content, |mut content| async move {
            Ok(content.next().await?.map(|piece| (piece, content)))
        })))
    }

    /// Why a value is not there: it is past, or damage.
    async fn lost(&self, of: &Namespace, entry: &Entry, error: cairn_datasets::Error) -> Error {
        let now = self.get(of, &entry.key, At::Durable).await;
        if now.is_ok_and(|now| now.is_some_and(|now| now.reference == entry.reference)) {
            return error.into();
        }
        Error::NotKept { key: entry.key.to_vec() }
    }
}

fn is_missing(error: &cairn_datasets::Error) -> bool {
    matches!(error, cairn_datasets::Error::Blocks(cairn_blocks::Error::MissingChunk { .. }))
}

/// Stores what comes and pins it. What goes wrong gives all of it up.
async fn taken(
    writer: PinWriter,
    first: Bytes,
    mut pieces: Pieces,
    owner: &str,
) -> Result<Pinned, Error> {
    let mut writer = writer.write(&first).await?;
    loop {
        let failed = match pieces.next().await {
            None => return Ok(writer.pin(owner).await?),
            Some(Ok(piece)) if writer.len() + piece.len() as u64 <= LARGE_BYTES_MAX => {
                writer = writer.write(&piece).await?;
                continue;
            }
            Some(Ok(piece)) => too_large(writer.len() + piece.len() as u64),
            Some(Err(error)) => error,
        };
        writer.abandon().await?;
        return Err(failed);
    }
}

/// Whether an error of a commit says that it was not made and will not be.
fn changed_nothing(error: &Error) -> bool {
    use cairn_partition::Error as Refused;
    match error {
        Error::Partition(error) => matches!(
            error,
            Refused::Condition { .. } | Refused::TooLarge { .. } | Refused::Missing { .. }
        ),
        Error::Invalid { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_one_form() {
        let pinned = Pinned { id: PinId([7; 16]), root: ChunkId([9; 32]), len: LARGE_BYTES_MAX };
        let reference = encode(&pinned);
        assert!(reference.len() <= cairn_partition::limits::REFERENCE_BYTES_MAX);
        assert_eq!(decode(&reference), Some(pinned));
        for len in 0..reference.len() {
            assert_eq!(decode(&reference.slice(..len)), None);
        }
        let longer = [&reference[..], b"x"].concat();
        assert_eq!(decode(&longer.into()), None);
        let later = [&[2], &reference[1..]].concat();
        assert_eq!(decode(&later.into()), None);
    }

    #[test]
    fn pins_name_keys_of_any_bytes() {
        for key in [&b"text: with"[..], b"\xff\0", b"key_base64:", "ä".as_bytes()] {
            assert_eq!(owned(&owner(key)).as_deref(), Some(key));
        }
        assert_eq!(owned("something"), None);
    }
}
