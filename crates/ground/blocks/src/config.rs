//! `cairn.json`: what makes a bucket a Cairn bucket. Written once, never changed.
//!
//! JSON, so that a person can read it. `checksum` is the BLAKE3 of the document with an empty
//! checksum. In a plain bucket the master secret stands in it: there it only separates the chunk ids
//! of buckets and projects. In an encrypted one it is wrapped: AES-256-GCM under a key that argon2id
//! makes from a passphrase, or BLAKE3 from a key file.

use bytes::Bytes;
use cairn_bucket::Bucket;
use cairn_env::Env;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::seal::{Cipher, Master};

/// The object's key.
pub const CONFIG_KEY: &str = "cairn.json";
/// Says that a backup is being copied into the bucket: it becomes a Cairn bucket when it is whole.
pub const UNFINISHED_KEY: &str = "restoring";
const VERSION: u32 = 1;
const KEY_FILE_BYTES_MIN: usize = 32;
const CONFIG_BYTES_MAX: usize = 64 * 1024;
const WRAP_CONTEXT: &[u8] = b"cairn master 1";

/// What opens an encrypted bucket.
#[derive(Clone)]
pub enum Secret {
    /// A passphrase, stretched with argon2id.
    Passphrase(Zeroizing<String>),
    /// The bytes of a key file, at least 32.
    KeyFile(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    format: String,
    version: u32,
    /// Random, tells buckets apart.
    pub(crate) id: String,
    created_ns: i64,
    master: StoredMaster,
    checksum: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredMaster {
    Plain { secret: String },
    Passphrase { kdf: Argon, salt: String, wrapped: String },
    KeyFile { salt: String, wrapped: String },
}

/// Parameters of argon2id (RFC 9106), bounded when read so that a forged file cannot ask for all
/// memory.
#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct Argon {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

const ARGON: Argon = Argon { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

impl Argon {
    fn stretch(self, passphrase: &str, salt: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        if self.memory_kib > 1024 * 1024 || self.passes > 64 || self.lanes > 16 {
            return None;
        }
        let params =
            argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        let argon =
            argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        argon.hash_password_into(passphrase.as_bytes(), salt, key.as_mut()).ok()?;
        Some(key)
    }
}

fn key_from_file(bytes: &[u8], salt: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    if bytes.len() < KEY_FILE_BYTES_MIN {
        return Err(Error::KeyFile { len: bytes.len() });
    }
    let base = Zeroizing::new(blake3::derive_key("cairn key file 1", bytes));
    Ok(Zeroizing::new(*blake3::keyed_hash(&base, salt).as_bytes()))
}

fn checksum(config: &Config) -> String {
    let bare = Config {
        format: config.format.clone(),
        version: config.version,
        id: config.id.clone(),
        created_ns: config.created_ns,
        master: match &config.master {
            StoredMaster::Plain { secret } => StoredMaster::Plain { secret: secret.clone() },
            StoredMaster::Passphrase { kdf, salt, wrapped } => {
                StoredMaster::Passphrase { kdf: *kdf, salt: salt.clone(), wrapped: wrapped.clone() }
            }
            StoredMaster::KeyFile { salt, wrapped } => {
                StoredMaster::KeyFile { salt: salt.clone(), wrapped: wrapped.clone() }
            }
        },
        checksum: String::new(),
    };
    let bytes = serde_json::to_vec(&bare).expect("a config is plain data");
    blake3::hash(&bytes).to_hex().to_string()
}

/// Makes a bucket a Cairn bucket. Of two that do so at once, one wins and the other gets
/// [`Error::AlreadyInitialised`].
pub(crate) async fn create(
    bucket: &Bucket,
    secret: Option<&Secret>,
    env: &Env,
) -> Result<Config, Error> {
    bucket.probe().await?;
    let mut master = Zeroizing::new([0; 32]);
    env.rng.fill(master.as_mut());
    let mut id = [0; 16];
    env.rng.fill(&mut id);
    let mut config = Config {
        format: "cairn".to_owned(),
        version: VERSION,
        id: hex::encode(id),
        created_ns: env.clock.wall_ns(),
        master: wrap(&master, secret, env)?,
        checksum: String::new(),
    };
    config.checksum = checksum(&config);
    let bytes = serde_json::to_vec_pretty(&config).expect("a config is plain data");
    match bucket.create(CONFIG_KEY, Bytes::from(bytes)).await {
        Ok(_) => Ok(config),
        Err(error) if error.kind() == cairn_base::ErrorKind::Conflict => {
            Err(Error::AlreadyInitialised { url: bucket.url().to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

fn wrap(master: &[u8; 32], secret: Option<&Secret>, env: &Env) -> Result<StoredMaster, Error> {
    let mut salt = [0; 32];
    env.rng.fill(&mut salt);
    let sealed = |key: &[u8; 32]| {
        let mut bytes = master.to_vec();
        Cipher::new(key).seal(0, WRAP_CONTEXT, &mut bytes);
        hex::encode(bytes)
    };
    match secret {
        None => Ok(StoredMaster::Plain { secret: hex::encode(master) }),
        Some(Secret::Passphrase(passphrase)) if passphrase.is_empty() => {
            Err(Error::EmptyPassphrase)
        }
        Some(Secret::Passphrase(passphrase)) => {
            let key = ARGON.stretch(passphrase, &salt).expect("these parameters are allowed");
            let salt = hex::encode(salt);
            Ok(StoredMaster::Passphrase { kdf: ARGON, salt, wrapped: sealed(&key) })
        }
        Some(Secret::KeyFile(bytes)) => {
            let key = key_from_file(bytes, &salt)?;
            Ok(StoredMaster::KeyFile { salt: hex::encode(salt), wrapped: sealed(&key) })
        }
    }
}

/// Reads the config of a bucket.
pub(crate) async fn load(bucket: &Bucket) -> Result<Config, Error> {
    let object = match bucket.get(CONFIG_KEY).await {
        Ok(object) => object,
        Err(error) if error.kind() == cairn_base::ErrorKind::NotFound => {
            return Err(Error::NotInitialised { url: bucket.url().to_owned() });
        }
        Err(error) => return Err(error.into()),
    };
    decode(&object.bytes)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Config, Error> {
    let corrupt = |detail: String| Error::corrupt(CONFIG_KEY, 0, detail);
    if bytes.len() > CONFIG_BYTES_MAX {
        return Err(corrupt(format!("{} bytes are too many", bytes.len())));
    }
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or_default();
    if version > u64::from(VERSION) {
        let found = u32::try_from(version).unwrap_or(u32::MAX);
        return Err(Error::LaterVersion { object: CONFIG_KEY.into(), found, known: VERSION });
    }
    let config: Config =
        serde_json::from_value(value).map_err(|error| corrupt(error.to_string()))?;
    if config.checksum != checksum(&config) {
        return Err(corrupt("checksum mismatch".to_owned()));
    }
    Ok(config)
}

impl Config {
    /// Whether objects are sealed.
    pub(crate) fn encrypted(&self) -> bool {
        !matches!(self.master, StoredMaster::Plain { .. })
    }

    /// The master secret. With argon2id it takes a few tenths of a second and 64 MiB.
    pub(crate) fn unlock(&self, secret: Option<&Secret>, url: &str) -> Result<Master, Error> {
        let wrong = || Error::WrongSecret { url: url.to_owned() };
        let (key, wrapped) = match (&self.master, secret) {
            (StoredMaster::Plain { secret }, _) => {
                let mut master = [0; 32];
                hex::decode_to_slice(secret, &mut master)
                    .map_err(|error| Error::corrupt(CONFIG_KEY, 0, error.to_string()))?;
                return Ok(Master::new(master));
            }
            (_, None) => return Err(Error::Locked { url: url.to_owned() }),
            (
                StoredMaster::Passphrase { kdf, salt, wrapped },
                Some(Secret::Passphrase(passphrase)),
            ) => {
                let salt = hex::decode(salt).map_err(|_| wrong())?;
                (kdf.stretch(passphrase, &salt).ok_or_else(wrong)?, wrapped)
            }
            (StoredMaster::KeyFile { salt, wrapped }, Some(Secret::KeyFile(bytes))) => {
                let salt = hex::decode(salt).map_err(|_| wrong())?;
                (key_from_file(bytes, &salt)?, wrapped)
            }
            _ => return Err(wrong()),
        };
        let sealed = hex::decode(wrapped).map_err(|_| wrong())?;
        let plain = Cipher::new(&key).open(0, WRAP_CONTEXT, &sealed).map_err(|_| wrong())?;
        let plain = Zeroizing::new(plain);
        let master = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| wrong())?;
        Ok(Master::new(master))
    }
}
