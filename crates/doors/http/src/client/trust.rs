//! Whom a client believes, and what it shows.

use cairn_egress::reasons;

/// Whom a client trusts, and what it shows of itself.
#[derive(Clone, Default)]
pub struct Trust {
    /// Certificates of authorities, PEM, trusted instead of the system's.
    pub authority: Option<Vec<u8>>,
    /// A client certificate and its private key, PEM.
    pub identity: Option<Vec<u8>>,
    /// Whether everybody is believed: only to fetch a certificate that is compared.
    pub(super) blind: bool,
}

impl Trust {
    /// Trust in these authorities (PEM) instead of the system's, and a client certificate with its key
    /// (PEM) to show.
    #[must_use]
    pub fn new(authority: Option<Vec<u8>>, identity: Option<Vec<u8>>) -> Self {
        Self { authority, identity, blind: false }
    }

    pub(super) fn apply(
        &self,
        builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::ClientBuilder, String> {
        let mut builder = builder.tls_danger_accept_invalid_certs(self.blind);
        if let Some(pem) = &self.authority {
            let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(|e| reasons(&e))?;
            if roots.is_empty() {
                return Err("the file of authorities holds no certificate".to_owned());
            }
            builder = builder.tls_certs_only(roots);
        }
        if let Some(pem) = &self.identity {
            let refused = |_| "the client certificate's file needs a certificate and a key, PEM";
            builder = builder.identity(reqwest::Identity::from_pem(pem).map_err(refused)?);
        }
        Ok(builder)
    }
}
