use cairn_access::{Seal, SealError};
use cairn_blocks::{EnvelopeKind, Sealer};
use cairn_env::Env;

/// The access state in an envelope of the bucket: sealed where the bucket is.
pub(crate) struct BucketSeal {
    pub(crate) sealer: Sealer,
    pub(crate) env: Env,
}

impl Seal for BucketSeal {
    fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        self.sealer.wrap(EnvelopeKind::Access, name, plain, self.env.rng.as_ref())
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.sealer
            .unwrap(EnvelopeKind::Access, name, sealed)
            .map_err(|error| SealError { kind: error.kind(), detail: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_access::Access;
    use cairn_blocks::{Blocks, Options, Secret};
    use cairn_bucket::Bucket;

    use super::*;

    /// ACCESS-3: in an encrypted bucket not even the names of principals can be read.
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
        assert!(access.authenticate(Some(&header)).await.is_ok());
        let mut flipped = state.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        bucket.put(cairn_access::STATE_KEY, flipped.into()).await.unwrap();
        assert!(Access::open(bucket, env.clone(), seal()).await.is_err());
    }
}
