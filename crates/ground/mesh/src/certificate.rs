//! Certificates as others give them to us.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::Error;

/// The longest certificate that is read, in bytes of DER.
pub const CERTIFICATE_BYTES_MAX: usize = 32 * 1024;
/// The most certificates of one chain.
pub const CHAIN_MAX: usize = 10;

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The SHA-256 of its DER.
    pub sha256: [u8; 32],
    /// From when on it is valid, in milliseconds since 1970.
    pub not_before_ms: i64,
    /// Until when it is valid, in milliseconds since 1970.
    pub not_after_ms: i64,
}

/// The SHA-256 of a certificate in DER.
#[must_use]
pub fn sha256(der: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Reads a certificate in DER.
///
/// # Errors
/// [`Error::Certificate`].
pub fn read(der: &[u8]) -> Result<Read, Error> {
    let refuse = |detail: String| Error::Certificate { detail };
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(refuse(format!("it is longer than {CERTIFICATE_BYTES_MAX} bytes")));
    }
    let (rest, parsed) =
        X509Certificate::from_der(der).map_err(|error| refuse(error.to_string()))?;
    if !rest.is_empty() {
        return Err(refuse("something follows it".to_owned()));
    }
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    let validity = parsed.validity();
    Ok(Read {
        sha256: sha256(der),
        not_before_ms: ms(validity.not_before.timestamp()),
        not_after_ms: ms(validity.not_after.timestamp()),
    })
}

/// Reads the first certificate of a PEM text.
///
/// # Errors
/// [`Error::Certificate`].
pub fn read_pem(pem: &[u8]) -> Result<Read, Error> {
    let chain = chain(pem)?;
    read(&chain[0])
}

/// The certificates of a PEM text, the first of which is somebody's own: at least one.
///
/// # Errors
/// [`Error::Certificate`].
pub fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refuse = |detail: String| Error::Certificate { detail };
    let certificates = CertificateDer::pem_slice_iter(pem).take(CHAIN_MAX + 1);
    let certificates =
        certificates.collect::<Result<Vec<_>, _>>().map_err(|error| refuse(error.to_string()))?;
    match certificates.len() {
        0 => Err(refuse("there is none in it".to_owned())),
        1..=CHAIN_MAX => Ok(certificates),
        _ => Err(refuse(format!("there are more than {CHAIN_MAX} in it"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_read_is_what_was_made() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a.example.org".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2027, 1, 2);
        let made = params.self_signed(&key).unwrap();
        let read = read_pem(made.pem().as_bytes()).unwrap();
        assert_eq!(read.sha256, sha256(made.der()));
        assert_eq!(read.not_before_ms, 1_767_312_000_000);
        assert_eq!(read.not_after_ms, 1_798_848_000_000);
        let twice = made.pem().repeat(CHAIN_MAX + 1);
        assert!(chain(twice.as_bytes()).is_err());
        for bad in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            assert!(read_pem(bad.as_bytes()).is_err(), "{bad}");
        }
        let key_only = key.serialize_pem();
        let error = read_pem(key_only.as_bytes()).unwrap_err().to_string();
        assert!(!error.contains(key_only.lines().nth(1).unwrap()), "no key in an error");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(read(&bytes).is_err());
            prop_assert!(read_pem(&bytes).is_err());
        }

        /// A flipped byte of a real certificate is read or refused, never a panic.
        #[test]
        fn damaged_certificates_never_panic(at in any::<prop::sample::Index>(), with: u8) {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
            let mut der = params.self_signed(&key).unwrap().der().to_vec();
            let at = at.index(der.len());
            der[at] = with;
            drop(read(&der));
        }
    }
}
