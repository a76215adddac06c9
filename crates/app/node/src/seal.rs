use std::sync::Arc;

use cairn_access::{Seal, SealError};
use cairn_blocks::{EnvelopeKind, Sealer};
use cairn_datasets::Datasets;
use cairn_env::Env;

/// The access state, the audit log and all of partitions in envelopes of the bucket: sealed where the
/// bucket is, and with a checksum everywhere.
pub(crate) struct BucketSeal {
    pub(crate) sealer: Sealer,
    pub(crate) env: Env,
}

impl BucketSeal {
    /// Of the bucket that datasets are in.
    pub(crate) fn of(datasets: &Datasets) -> Arc<Self> {
        let blocks = datasets.blocks();
        Arc::new(Self { sealer: blocks.sealer().clone(), env: blocks.env().clone() })
    }
}

impl Seal for BucketSeal {
    fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        self.sealer.wrap(kind(name), name, plain, self.env.rng.as_ref())
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.sealer
            .unwrap(kind(name), name, sealed)
            .map_err(|error| SealError { kind: error.kind(), detail: error.to_string() })
    }
}

fn kind(name: &str) -> EnvelopeKind {
    match name.split_once('/').map(|(first, _)| first) {
        Some(cairn_audit::PREFIX) => EnvelopeKind::Audit,
        Some("log") => EnvelopeKind::Log,
        Some("partitions") => EnvelopeKind::Partition,
        _ => EnvelopeKind::Access,
    }
}

#[cfg(test)]
mod tests {
    use cairn_access::{Access, Action, Origin, Resource, Shown};
    use cairn_audit::{Filter, Log};
    use cairn_blocks::{Blocks, Options, Secret};
    use cairn_bucket::Bucket;
    use futures::TryStreamExt as _;

    use super::*;

    #[test]
    fn every_prefix_has_its_kind() {
        let kinds = [
            (cairn_access::STATE_KEY, EnvelopeKind::Access),
            ("mesh/authority", EnvelopeKind::Access),
            ("audit/0000000000000/001", EnvelopeKind::Audit),
            ("auditor", EnvelopeKind::Access),
            ("log/00ff/00000000000000000001", EnvelopeKind::Log),
            ("partitions/owners/kv/main", EnvelopeKind::Partition),
            ("partitions/leases/00ff", EnvelopeKind::Partition),
            ("partitions/views/00ff/manifest/1#00#0#last", EnvelopeKind::Partition),
        ];
        for (name, wanted) in kinds {
            assert_eq!(kind(name), wanted, "{name}");
        }
    }

    /// ACCESS-3: in an encrypted bucket not even the names of principals can be read, nor who did what.
    #[tokio::test]
    async fn access_3_the_state_is_sealed_with_the_bucket() {
        let env = Env::real();
        let secret = Secret::KeyFile(vec![3; 32].into());
        let bucket = Bucket::memory(&env);
        let blocks =
            Blocks::init(bucket.clone(), Some(&secret), Options::default(), &env).await.unwrap();
        let seal = || Arc::new(BucketSeal { sealer: blocks.sealer().clone(), env: env.clone() });
        let (_, token) = Access::bootstrap(bucket.clone(), env.clone(), seal()).await.unwrap();
        let token = token.unwrap();
        let state = bucket.get(cairn_access::STATE_KEY).await.unwrap().bytes;
        assert!(!state.windows(4).any(|window| window == b"root"));
        let access = Access::open(bucket.clone(), env.clone(), seal()).await.unwrap();
        let header = format!("Bearer {}", token.token.expose());
        let visit = access
            .admit(Shown { authorization: Some(&header), ..Shown::default() }, Origin::default());
        visit.await.unwrap().authorize(Action::Maintain, &Resource::Cluster).unwrap();
        access.audit().commit().await.unwrap();
        let log = Log::new(bucket.clone(), env.clone(), seal());
        let read: Vec<_> =
            log.read(0, Filter::default()).await.unwrap().try_collect().await.unwrap();
        assert!(format!("{read:?}").contains("maintain"));
        let segment = bucket.get("audit/0000000000000/001").await.unwrap().bytes;
        assert!(!segment.windows(4).any(|window| window == b"CRNL"), "not even its mark is seen");
        let mut flipped = state.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        bucket.put(cairn_access::STATE_KEY, flipped.into()).await.unwrap();
        assert!(Access::open(bucket, env.clone(), seal()).await.is_err());
    }
}
