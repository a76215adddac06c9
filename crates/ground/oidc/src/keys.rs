//! A provider's keys.

use cairn_access::Error;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::claims::refused;

/// The most keys of one provider that are looked at.
const KEYS_MAX: usize = 100;

/// The keys by which a provider signs at this time.
pub(crate) struct Keys(Vec<Key>);

pub(crate) struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

/// A set of keys as it is published, of which some may be of kinds that are not known here.
#[derive(Deserialize)]
pub(crate) struct Published {
    keys: Vec<Value>,
}

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The algorithms that a key can have signed by: asymmetric ones that fit its kind (OIDC-1).
fn algorithms(key: &Jwk) -> &'static [Algorithm] {
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => RSA,
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
        // A shared secret is published by nobody who keeps it.
        _ => &[],
    }
}

impl Keys {
    pub(crate) fn read(set: Published) -> Self {
        let known = set.keys.into_iter().take(KEYS_MAX);
        let known = known.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys = JwkSet { keys: known.collect() };
        let usable = |key: &Jwk| {
            let signs = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
            let algorithms = if signs { algorithms(key) } else { &[] };
            let (id, read) = (key.common.key_id.clone(), DecodingKey::from_jwk(key).ok()?);
            (!algorithms.is_empty()).then_some(Key { id, algorithms, key: read })
        };
        Self(keys.keys.iter().filter_map(usable).collect())
    }

    /// The key that a token's header names; without a name, the only one that fits.
    pub(crate) fn find(&self, header: &Header) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.algorithms.contains(&header.alg));
        match &header.kid {
            Some(id) => fitting.find(|key| key.id.as_ref() == Some(id)),
            None => {
                let only = fitting.next();
                only.filter(|_| fitting.next().is_none())
            }
        }
    }
}

impl Key {
    /// The claims of a token that this key signed. Nothing is said of what they claim.
    pub(crate) fn verify(
        &self,
        token: &str,
        algorithm: Algorithm,
    ) -> Result<Map<String, Value>, Error> {
        if !self.algorithms.contains(&algorithm) {
            return Err(refused("its algorithm does not fit its key"));
        }
        let mut validation = Validation::new(algorithm);
        // Times, issuer and audience are checked by the process's own clock and rules.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let verified = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &validation);
        verified.map(|token| token.claims).map_err(|_| refused("its signature does not hold"))
    }
}
