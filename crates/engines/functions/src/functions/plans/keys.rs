//! The keys that a step takes, as they are when it is begun.

use bytes::Bytes;
use cairn_kv::{At, KeyRange, Namespace, Pieces};
use futures::StreamExt as _;

use super::super::{Functions, Shared};
use super::Halt;
use crate::agenda::Key;
use crate::error::Error;
use crate::plans::{Cut, RUNS_MAX, Step};
use crate::registry::is_elsewhere;

impl Functions {
    /// The parts of a step's keys. They are kept as what runs made is, so that a plan that is taken up again goes on with the
    /// same ones, and parts that were there before are the same.
    pub(super) async fn parts_of_keys(
        &self,
        key: &Key<String>,
        (name, step): (&str, &Step),
        (of, range): (&Namespace, KeyRange),
    ) -> Result<Vec<String>, Halt> {
        let registry = &self.shared.registry;
        // No step is called so.
        let known = format!("{name}/keys");
        if let Some(parts) = registry.step(key, &known).await? {
            return Ok(parts);
        }
        let mut lines = self.lines_of(of, range).await?;
        let (mut cut, mut parts) = (Cut::new(step.split_keys), Vec::new());
        while let Some(piece) = lines.next().await {
            for part in cut.push(&piece.map_err(Error::from)?).map_err(Error::from)? {
                parts.push(self.keep_part(key, part).await?);
            }
            if parts.len() > RUNS_MAX {
                let why =
                    format!("its keys have more than {RUNS_MAX} parts: choose a larger split_keys");
                return Err(Halt::Failed(format!("step {name}: {why}")));
            }
        }
        if let Some(part) = cut.last() {
            parts.push(self.keep_part(key, part).await?);
        }
        if parts.is_empty() {
            return Err(Halt::Failed(format!("step {name}: there are no such keys in {of}")));
        }
        registry.keep_step(key, &known, &parts).await?;
        Ok(parts)
    }

    async fn keep_part(&self, key: &Key<String>, part: Bytes) -> Result<String, Error> {
        let registry = &self.shared.registry;
        let mut hasher = blake3::Hasher::new_derive_key("cairn part of keys 1");
        let id = hex::encode(&hasher.update(&part).finalize().as_bytes()[..16]);
        if registry.made(&key.0, &id).await?.is_none() {
            registry.keep_made(&key.0, &id, part).await?;
        }
        Ok(id)
    }

    /// The keys as lines, here or in the bucket, all of one state.
    async fn lines_of(&self, of: &Namespace, range: KeyRange) -> Result<Pieces, Error> {
        let Shared { kv, kv_in_bucket, .. } = &*self.shared;
        match kv.export(of, range.clone(), At::Durable).await {
            Err(error) if is_elsewhere(&error) => {
                Ok(kv_in_bucket.export(of, range, At::Durable).await?)
            }
            found => Ok(found?),
        }
    }
}
