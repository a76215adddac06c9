use std::sync::Arc;

use cairn_access::{Access, Error, Plain, STATE_KEY, Seal, SealError};
use cairn_base::ErrorKind;
use cairn_bucket::Bucket;
use cairn_env::Env;

use crate::{show, simulate};

/// Encryption by a BLAKE3 key stream with a tag, bound to the object's name. Good enough to tell
/// whether the state goes through its seal; not for use.
struct Keyed([u8; 32]);

const TAG_BYTES: usize = 32;

impl Keyed {
    fn mask(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut stream = vec![0; bytes.len()];
        blake3::Hasher::new_keyed(&self.0).update(name.as_bytes()).finalize_xof().fill(&mut stream);
        bytes.iter().zip(stream).map(|(a, b)| a ^ b).collect()
    }

    fn tag(&self, bytes: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, bytes)
    }
}

impl Seal for Keyed {
    fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        let mut sealed = self.mask(name, plain);
        let tag = self.tag(&sealed);
        sealed.extend_from_slice(tag.as_bytes());
        sealed
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let refused =
            || SealError { kind: ErrorKind::Denied, detail: "the key is another one".to_owned() };
        let at = sealed.len().checked_sub(TAG_BYTES).ok_or_else(refused)?;
        let (body, tag) = sealed.split_at(at);
        if self.tag(body) != *tag {
            return Err(refused());
        }
        Ok(self.mask(name, body))
    }
}

async fn start(bucket: &Bucket, env: &Env, seal: impl Seal) -> Result<Access, Error> {
    let (access, _) = Access::bootstrap(bucket.clone(), env.clone(), Arc::new(seal)).await?;
    Ok(access)
}

#[test]
fn a_sealed_state_is_read_with_its_key_only() {
    simulate(1, async |env| {
        let bucket = Bucket::memory(&env);
        let access = start(&bucket, &env, Keyed([1; 32])).await.unwrap();
        let token = access.recover().await.unwrap();
        assert!(show(&access, &token).await.is_ok());
        let stored = bucket.get(STATE_KEY).await.unwrap().bytes;
        assert!(!stored.windows(4).any(|window| window == b"root"));

        let again = start(&bucket, &env, Keyed([1; 32])).await.unwrap();
        assert!(show(&again, &token).await.is_ok());
        let error = start(&bucket, &env, Keyed([2; 32])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(!error.asks_for_credential());
        let error = start(&bucket, &env, Plain).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(bucket.get(STATE_KEY).await.unwrap().bytes, stored);
    });
}

#[test]
fn a_plain_state_does_not_pass_for_a_sealed_one() {
    simulate(2, async |env| {
        let bucket = Bucket::memory(&env);
        start(&bucket, &env, Plain).await.unwrap();
        let error = start(&bucket, &env, Keyed([1; 32])).await.unwrap_err();
        assert!(matches!(error, Error::Seal(_)));
    });
}
