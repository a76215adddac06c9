//! A shipped log that no node has written: frames of one partition, copied from the logs of its owners.

use std::sync::Arc;

use bytes::Bytes;
use cairn_bucket::{Bucket, Seal};

use super::LifeId;
use super::codec::FrameHead;
use super::object::{self, ObjectHead, key};
use super::replay::Frame;
use super::ship::ShipOptions;
use super::store::{Store, bucket_failed};
use crate::{Error, PartitionId};

/// Writes the log `life`, an object at a time.
pub(crate) struct Copy {
    store: Store,
    partition: PartitionId,
    wall_ns: i64,
    frames: Vec<(FrameHead, Vec<u8>)>,
    bytes: u64,
    /// The keys of the objects that were written.
    written: Vec<String>,
}

impl Copy {
    /// Copies frames of `partition` at `wall_ns`, in ns since 1970.
    pub(crate) fn new(
        (bucket, seal): (Bucket, Arc<dyn Seal>),
        life: LifeId,
        partition: PartitionId,
        wall_ns: i64,
    ) -> Self {
        let (frames, written) = (Vec::new(), Vec::new());
        let store = Store { bucket, seal, life };
        Self { store, partition, wall_ns, frames, bytes: 0, written }
    }

    /// The frame that is next.
    pub(crate) async fn push(&mut self, frame: Frame) -> Result<(), Error> {
        let Frame { epoch, id, first_seq, last_seq, payload } = frame;
        let len = u32::try_from(payload.len()).expect("frames are bounded");
        let partition = self.partition;
        let head = FrameHead { partition, epoch, id, first_seq, last_seq, len };
        self.bytes += u64::from(len);
        self.frames.push((head, payload.to_vec()));
        if self.bytes >= ShipOptions::default().object_bytes { self.write().await } else { Ok(()) }
    }

    /// Writes what is left. Returns the keys of all objects; none when there was no frame.
    pub(crate) async fn finish(mut self) -> Result<Vec<String>, Error> {
        if !self.frames.is_empty() {
            self.write().await?;
        }
        Ok(self.written)
    }

    async fn write(&mut self) -> Result<(), Error> {
        let number = self.written.len() as u64 + 1;
        // Each object is a group of its own.
        let (life, first_group, last_group) = (self.store.life, number, number);
        let (wall_ns, mark, floor) = (self.wall_ns, 0, 1);
        let head = ObjectHead { life, number, first_group, last_group, wall_ns, mark, floor };
        let plain = object::encode(&head, std::mem::take(&mut self.frames));
        self.bytes = 0;
        let key = key(life, number);
        let sealed = Bytes::from(self.store.seal.seal(&key, &plain));
        self.store.bucket.put(&key, sealed).await.map_err(|error| bucket_failed(&error))?;
        self.written.push(key);
        Ok(())
    }
}
