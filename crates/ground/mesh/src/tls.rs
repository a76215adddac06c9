//! What a listener shows and asks for: rustls with aws-lc-rs, TLS 1.2 and 1.3.
//!
//! The certificate comes from files, which are read again when they change, or from the cluster's
//! authority, which makes another one before it expires. Clients may show a certificate of their own:
//! here it is only checked that they hold its key; whom it stands for says the access state.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cairn_env::Env;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

use crate::authority::{Authority, SERVER_LIFE};
use crate::certificate;
use crate::error::Error;

/// How often files are looked at, and how often a certificate's age.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The largest file of certificates or keys, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where a listener's certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From files, PEM: the chain, and the private key.
    Files {
        /// The chain, its own certificate first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// From the cluster's authority, for these names and addresses.
    Cluster {
        /// Who signs it.
        authority: Authority,
        /// Names of the node.
        names: Vec<String>,
        /// Addresses of the node.
        addresses: Vec<IpAddr>,
    },
}

/// Whether clients are asked for a certificate at this moment.
pub type Asks = Arc<dyn Fn() -> bool + Send + Sync>;

/// TLS for listeners. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    source: Source,
    env: Env,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.source).finish()
    }
}

impl ServerTls {
    /// Reads or makes the certificate.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Certificate`], [`Error::Key`], [`Error::Make`].
    pub fn new(source: Source, asks: Asks, env: &Env) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let loaded = load(&source, &provider)?;
        let current = Arc::new(Current(RwLock::new(loaded)));
        let verifier = AnyClient { provider: Arc::clone(&provider), asks };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Make { detail: error.to_string() })?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::clone(&current) as _);
        let mut config = config;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), current, source, env: env.clone() })
    }

    /// What a listener answers handshakes with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The SHA-256 of the certificate that is shown now.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.current.read().fingerprint
    }

    /// Until when the certificate that is shown now is valid, in milliseconds since 1970.
    #[must_use]
    pub fn expires_ms(&self) -> i64 {
        self.current.read().expires_ms
    }

    /// Whether another certificate is made before this one expires.
    #[must_use]
    pub fn renews_itself(&self) -> bool {
        matches!(self.source, Source::Cluster { .. })
    }

    /// Looks for ever whether the certificate must be read or made again. What fails is said, and the
    /// certificate stays as it is (MESH-3).
    pub async fn keep_fresh(&self) {
        loop {
            self.env.clock.sleep(LOOK_EVERY).await;
            self.look();
        }
    }

    /// Reads or makes the certificate again, if it must be.
    pub fn look(&self) {
        let shown = self.current.read();
        let now_ms = self.env.clock.wall_ns().div_euclid(1_000_000);
        let due = match &self.source {
            Source::Files { .. } => true,
            Source::Cluster { .. } => {
                let third = i64::try_from(SERVER_LIFE.as_millis() / 3).unwrap_or(0);
                now_ms > shown.expires_ms.saturating_sub(third)
            }
        };
        if !due {
            return;
        }
        match load(&self.source, self.config.crypto_provider()) {
            Ok(loaded) if loaded.fingerprint != shown.fingerprint => {
                tracing::info!(fingerprint = %hex::encode(loaded.fingerprint), "a new certificate");
                self.current.replace(loaded);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the certificate stays as it is"),
        }
    }
}

/// The certificate that is shown.
struct Current(RwLock<Loaded>);

#[derive(Clone)]
struct Loaded {
    key: Arc<CertifiedKey>,
    fingerprint: [u8; 32],
    expires_ms: i64,
}

impl Current {
    fn read(&self) -> Loaded {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, loaded: Loaded) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&hex::encode(self.read().fingerprint)).finish()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.read().key)
    }
}

fn load(source: &Source, provider: &Arc<CryptoProvider>) -> Result<Loaded, Error> {
    let (chain, key) = match source {
        Source::Files { certificate, key } => (read_file(certificate)?, read_file(key)?),
        Source::Cluster { authority, names, addresses } => {
            let identity = authority.for_server(names, addresses)?;
            (identity.chain_pem.into_bytes(), identity.key_pem.as_bytes().to_vec())
        }
    };
    let key = zeroize::Zeroizing::new(key);
    let chain = certificate::chain(&chain)?;
    let read = certificate::read(&chain[0])?;
    let refuse = |detail: String| Error::Key { detail };
    let parsed = PrivateKeyDer::from_pem_slice(&key);
    // What the parser says could repeat a part of the key.
    let parsed = parsed.map_err(|_| refuse("it is not PEM (BEGIN PRIVATE KEY)".to_owned()))?;
    let certified = CertifiedKey::from_der(chain, parsed, provider)
        .map_err(|error| refuse(error.to_string()))?;
    Ok(Loaded { key: Arc::new(certified), fingerprint: read.sha256, expires_ms: read.not_after_ms })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        let detail = format!("{} is longer than {FILE_BYTES_MAX} bytes", path.display());
        return Err(Error::Certificate { detail });
    }
    std::fs::read(path).map_err(failed)
}

/// Takes any certificate whose key the client proves to hold.
struct AnyClient {
    provider: Arc<CryptoProvider>,
    asks: Asks,
}

impl fmt::Debug for AnyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyClient")
    }
}

impl ClientCertVerifier for AnyClient {
    fn offer_client_auth(&self) -> bool {
        (self.asks)()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match certificate::read(end_entity) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(_) => Err(rustls::CertificateError::BadEncoding.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
