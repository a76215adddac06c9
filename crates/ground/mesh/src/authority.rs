//! The cluster's certificate authority.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_access::Seal;
use cairn_bucket::{Bucket, Version};
use cairn_env::Env;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use crate::certificate;
use crate::error::Error;
use crate::store::{AUTHORITY_KEY, Stored};

/// How long a certificate that a node makes for its own listeners is valid; it makes another one at
/// two thirds.
pub const SERVER_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// How long the certificate of a node that joined is valid.
pub const NODE_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// How long the authority itself is valid.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Clocks of clients may be behind by so much.
const BACKDATED: Duration = Duration::from_secs(3600);
const CHANGE_ATTEMPTS_MAX: u32 = 16;

/// A certificate with its key.
pub struct Identity {
    /// The chain, its own certificate first, PEM.
    pub chain_pem: String,
    /// The private key, PKCS #8 PEM.
    pub key_pem: Zeroizing<String>,
    /// Until when it is valid, in milliseconds since 1970.
    pub expires_ms: i64,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

/// The certificate authority of the cluster on one bucket. Cheap to clone.
#[derive(Clone)]
pub struct Authority {
    shared: Arc<Shared>,
}

struct Shared {
    bucket: Bucket,
    env: Env,
    seal: Arc<dyn Seal>,
    certificate_pem: String,
    sha256: [u8; 32],
    key_pem: Zeroizing<String>,
    /// One change at a time, so that a node does not contend with itself.
    changing: tokio::sync::Mutex<()>,
}

impl Authority {
    /// Opens the authority of a bucket, and makes one where there is none. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`], [`Error::LaterVersion`], [`Error::Seal`],
    /// [`Error::Make`].
    pub async fn open_or_make(
        bucket: Bucket,
        env: Env,
        seal: Arc<dyn Seal>,
    ) -> Result<Self, Error> {
        let read = async || match bucket.get(AUTHORITY_KEY).await {
            Ok(object) => Ok(Some(Stored::decode(&seal.open(AUTHORITY_KEY, &object.bytes)?)?)),
            Err(cairn_bucket::Error::Missing { .. }) => Ok(None),
            Err(error) => Err(Error::from(error)),
        };
        let stored = match read().await? {
            Some(stored) => stored,
            None => {
                let made = make(&env)?;
                let sealed = seal.seal(AUTHORITY_KEY, &made.encode()?);
                match bucket.create(AUTHORITY_KEY, sealed.into()).await {
                    Ok(_) => made,
                    // Whoever won, what is there now is the cluster's.
                    Err(
                        cairn_bucket::Error::Exists { .. } | cairn_bucket::Error::InDoubt { .. },
                    ) => {
                        let missing = || Error::Corrupt { detail: "it vanished".to_owned() };
                        read().await?.ok_or_else(missing)?
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let der = certificate::chain(stored.certificate.as_bytes())?;
        let shared = Shared {
            bucket,
            env,
            seal,
            sha256: certificate::sha256(&der[0]),
            certificate_pem: stored.certificate,
            key_pem: Zeroizing::new(stored.key),
            changing: tokio::sync::Mutex::default(),
        };
        let authority = Self { shared: Arc::new(shared) };
        authority.issuer()?;
        Ok(authority)
    }

    /// The authority's certificate, PEM: what clients trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.shared.certificate_pem
    }

    /// The SHA-256 of the authority's certificate.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.shared.sha256
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.shared.env.clock.wall_ns().div_euclid(1_000_000)
    }

    /// A certificate with a fresh key, for a listener of this process: valid for these names and
    /// addresses.
    ///
    /// # Errors
    /// [`Error::Make`] for a name that no certificate can hold.
    pub fn for_server(&self, names: &[String], addresses: &[IpAddr]) -> Result<Identity, Error> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, "cairn");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (certificate, expires_ms) = self.sign(params, &key, SERVER_LIFE)?;
        let chain_pem = format!("{certificate}{}", self.certificate_pem());
        let key_pem = Zeroizing::new(key.serialize_pem());
        Ok(Identity { chain_pem, key_pem, expires_ms })
    }

    /// Signs a certificate for a key, valid from now on: its PEM, and until when.
    pub(crate) fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl rcgen::PublicKeyData,
        life: Duration,
    ) -> Result<(String, i64), Error> {
        let now = self.now_ms();
        let life_ms = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        validity(&mut params, now, life_ms)?;
        params.is_ca = IsCa::NoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(self.serial().into());
        let signed = params.signed_by(key, &self.issuer()?).map_err(failed)?;
        Ok((signed.pem(), now.saturating_add(life_ms)))
    }

    /// A serial number: 126 random bits, positive and of 16 bytes whatever they are.
    fn serial(&self) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        self.shared.env.rng.fill(&mut bytes);
        bytes[0] = bytes[0] & 0x7f | 0x40;
        bytes
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, Error> {
        let key = KeyPair::from_pem(&self.shared.key_pem)
            .map_err(|_| Error::Corrupt { detail: "its private key cannot be read".to_owned() })?;
        Issuer::from_ca_cert_pem(self.certificate_pem(), key).map_err(|error| Error::Corrupt {
            detail: format!("its certificate cannot be used: {error}"),
        })
    }

    async fn read(&self) -> Result<(Stored, Version), Error> {
        let object = self.shared.bucket.get(AUTHORITY_KEY).await?;
        let plain = self.shared.seal.open(AUTHORITY_KEY, &object.bytes)?;
        Ok((Stored::decode(&plain)?, object.version))
    }

    /// What is stored now.
    pub(crate) async fn stored(&self) -> Result<Stored, Error> {
        Ok(self.read().await?.0)
    }

    /// Makes a change by compare-and-swap, beginning again when somebody else was faster. What is
    /// applied twice must be seen by `apply` itself.
    pub(crate) async fn change<T>(
        &self,
        apply: impl Fn(&mut Stored) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let shared = &*self.shared;
        let _turn = shared.changing.lock().await;
        for attempt in 0..CHANGE_ATTEMPTS_MAX {
            if attempt > 0 {
                shared.env.clock.sleep(Duration::from_millis(4 << attempt.min(6))).await;
            }
            let (mut stored, version) = self.read().await?;
            let answer = apply(&mut stored)?;
            let sealed = shared.seal.seal(AUTHORITY_KEY, &stored.encode()?);
            match shared.bucket.replace(AUTHORITY_KEY, sealed.into(), &version).await {
                Ok(_) => return Ok(answer),
                Err(cairn_bucket::Error::Changed { .. }) => {}
                Err(cairn_bucket::Error::InDoubt { .. }) => {
                    if self.stored().await? == stored {
                        return Ok(answer);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended { attempts: CHANGE_ATTEMPTS_MAX })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").field(&hex::encode(self.sha256())).finish()
    }
}

fn failed(error: rcgen::Error) -> Error {
    Error::Make { detail: error.to_string() }
}

fn validity(params: &mut CertificateParams, now_ms: i64, life_ms: i64) -> Result<(), Error> {
    let backdated = i64::try_from(BACKDATED.as_secs()).unwrap_or(0);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |seconds: i64| {
        let after = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        after.try_into().ok().and_then(|after| epoch.checked_add(after))
    };
    let out_of_time = || Error::Make { detail: "the clock is out of range".to_owned() };
    let seconds = now_ms.div_euclid(1000);
    params.not_before = at(seconds - backdated).ok_or_else(out_of_time)?;
    params.not_after = at(seconds.saturating_add(life_ms / 1000)).ok_or_else(out_of_time)?;
    Ok(())
}

/// A new authority.
fn make(env: &Env) -> Result<Stored, Error> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "cairn cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now_ms = env.clock.wall_ns().div_euclid(1_000_000);
    let life_ms = i64::try_from(AUTHORITY_LIFE.as_millis()).unwrap_or(i64::MAX);
    validity(&mut params, now_ms, life_ms)?;
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    let key = key.serialize_pem();
    Ok(Stored { certificate, key, joins: Vec::new(), nodes: Vec::new() })
}
