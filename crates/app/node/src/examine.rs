//! Examination of a whole cluster: all of it is opened and read, as a node and its callers would.

use std::path::Path;
use std::sync::Arc;

use cairn_access::Access;
use cairn_audit::Verify;
use cairn_backup::Backups;
use cairn_datasets::{Datasets, Verified};
use cairn_env::Env;
use cairn_kv::Kv;
use cairn_partition::log::RealDisk;
use cairn_partition::{
    AnyPartition, At, Entry, KeyRange, Name, Node, NodeOptions, Partitions as _, Readers, Scan, Seq,
};
use serde::Serialize;

use crate::Error;
use crate::seal::BucketSeal;

/// What an examination read, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// Versions of datasets, of which every chunk was read and checked.
    pub versions: u64,
    /// Chunks.
    pub chunks: u64,
    /// Partitions that were opened and read from end to end.
    pub partitions: u64,
    /// Entries that they show.
    pub entries: u64,
    /// Changes that their watches tell.
    pub changes: u64,
    /// Principals of the access state.
    pub principals: u64,
    /// Segments of the audit log, each following the one before.
    pub audit_segments: u64,
    /// What is wrong.
    pub findings: Vec<String>,
}

/// The backups of the cluster whose datasets these are.
#[must_use]
pub fn backups(datasets: &Datasets) -> Backups {
    Backups::new(datasets.clone(), BucketSeal::of(datasets))
}

/// The keys in the bucket of these datasets, to be read beside the nodes that own them.
#[must_use]
pub fn keys_in_bucket(datasets: &Datasets) -> Kv {
    let blocks = datasets.blocks();
    let bucket = blocks.bucket().clone();
    let readers = Readers::new(bucket, BucketSeal::of(datasets), blocks.env());
    Kv::new(Arc::new(readers), datasets)
}

/// Reads all of a cluster that nobody else uses, and that is thrown away: its partitions are taken
/// over, with a log in `scratch`.
///
/// # Errors
/// When the bucket itself fails; what is wrong is among the findings.
pub async fn examine(datasets: &Datasets, scratch: &Path) -> Result<Examined, Error> {
    let mut examined = Examined::default();
    let verified = datasets.verify(Arc::new(|_| {})).await?;
    examined.datasets(&verified);
    let (bucket, env) = (datasets.blocks().bucket().clone(), datasets.blocks().env());
    examined.partitions(datasets, scratch, env).await?;
    match Access::open(bucket, env.clone(), BucketSeal::of(datasets)).await {
        Ok(access) => {
            let state = access.snapshot().await?;
            examined.principals = state.principals().count() as u64;
        }
        Err(error) if error.kind() == cairn_base::ErrorKind::NotFound => {}
        Err(error) => examined.findings.push(format!("access: {error}")),
    }
    let log = crate::audit_log(datasets, env);
    let verified = log.verify(Verify::default(), |_| ()).await?;
    examined.audit_segments = verified.segments;
    let wrong = verified.findings.iter();
    examined.findings.extend(wrong.map(|found| format!("audit {}: {}", found.seq, found.detail)));
    Ok(examined)
}

impl Examined {
    fn datasets(&mut self, verified: &Verified) {
        self.versions = verified.versions;
        self.chunks = verified.blocks.chunks;
        for finding in &verified.blocks.findings {
            let (object, offset, detail) = (&finding.object, finding.offset, &finding.detail);
            self.findings.push(format!("{object} at byte {offset}: {detail}"));
        }
    }

    async fn partitions(
        &mut self,
        datasets: &Datasets,
        scratch: &Path,
        env: &Env,
    ) -> Result<(), Error> {
        let (bucket, seal) = (datasets.blocks().bucket().clone(), BucketSeal::of(datasets));
        let disk = Arc::new(RealDisk::open(scratch)?);
        let options = NodeOptions { name: String::from("examination"), ..NodeOptions::default() };
        let node = Node::open(bucket, seal, disk, options, env).await?;
        for name in node.list("").await? {
            match self.partition(datasets, &node, &name).await {
                Ok(()) => self.partitions += 1,
                Err(error) => self.findings.push(format!("{name}: {error}")),
            }
        }
        Ok(node.close().await?)
    }

    async fn partition(
        &mut self,
        datasets: &Datasets,
        node: &Node,
        name: &Name,
    ) -> Result<(), Error> {
        let partition = node.open(name).await?;
        let large = self.scan(name, &partition).await?;
        // What a pin keeps was read with the datasets.
        for lost in cairn_kv::not_kept(datasets, name, large).await? {
            let key = lost.key.escape_ascii();
            self.findings.push(format!("{name}: the large value of \"{key}\" is not kept"));
        }
        Ok(self.watch(name, &partition).await?)
    }

    /// Every entry, in the order of keys, none from the future. Returns those with large values.
    async fn scan(
        &mut self,
        name: &Name,
        partition: &AnyPartition,
    ) -> Result<Vec<Entry>, cairn_partition::Error> {
        let newest = partition.status().durable;
        let mut scan = Scan { at: At::Durable, ..Scan::of(KeyRange::all()) };
        let (mut before, mut large) = (None, Vec::new());
        loop {
            let page = partition.scan(&scan).await?;
            for entry in &page.entries {
                if before.as_ref().is_some_and(|before| *before >= entry.key) || entry.seq > newest
                {
                    let key = entry.key.escape_ascii();
                    self.findings.push(format!("{name}: \"{key}\" is not where it belongs"));
                }
                before = Some(entry.key.clone());
                self.entries += 1;
            }
            large.extend(page.entries.into_iter().filter(|entry| entry.reference.is_some()));
            match page.next {
                Some(cursor) => scan.cursor = Some(cursor),
                None => return Ok(large),
            }
        }
    }

    /// Every change that a watch tells, in the order of commits.
    async fn watch(
        &mut self,
        name: &Name,
        partition: &AnyPartition,
    ) -> Result<(), cairn_partition::Error> {
        let mut after = partition.status().oldest;
        while after < partition.status().durable {
            let part = partition.changes(after, std::time::Duration::ZERO).await?;
            let mut last = after;
            for change in &part.changes {
                if change.seq < last || change.seq == Seq(0) {
                    let (seq, last) = (change.seq.0, last.0);
                    self.findings.push(format!("{name}: commit {seq} is told after {last}"));
                }
                last = change.seq;
            }
            self.changes += part.changes.len() as u64;
            if part.upto <= after {
                break;
            }
            after = part.upto;
        }
        Ok(())
    }
}
