//! An identity provider that says what a test tells it, and keys that sign anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cairn_env::Env;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Default)]
struct State {
    answers: BTreeMap<String, (u16, Value)>,
    asked: usize,
    last_body: String,
}

pub(crate) struct Issuer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        issuer.answer("/.well-known/openid-configuration", 200, issuer.metadata());
        let state = Arc::clone(&issuer.state);
        let env = Env::real();
        let spawn = Arc::clone(&env.spawn);
        env.spawn.task(Box::pin(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn.task(Box::pin(answer(stream, Arc::clone(&state))));
            }
        }));
        issuer
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn metadata(&self) -> Value {
        let url = self.url();
        json!({
            "issuer": url, "authorization_endpoint": format!("{url}/login"),
            "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/keys"),
            "device_authorization_endpoint": format!("{url}/device"),
        })
    }

    pub(crate) fn answer(&self, path: &str, status: u16, body: Value) {
        self.state.lock().unwrap().answers.insert(path.to_owned(), (status, body));
    }

    pub(crate) fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Jwk> = signers.iter().map(|signer| signer.jwk()).collect();
        self.answer("/keys", 200, json!({ "keys": keys }));
    }

    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    pub(crate) fn last_body(&self) -> String {
        self.state.lock().unwrap().last_body.clone()
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut piece).await else { return };
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, answer) = {
            let mut state = state.lock().unwrap();
            state.asked += 1;
            state.last_body = body.to_owned();
            state.answers.get(&path).cloned().unwrap_or((404, json!({})))
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\nconnection: close\r\n\
             location: /keys\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        // Who asked may have had enough.
        drop(stream.write_all(head.as_bytes()).await);
        drop(stream.write_all(answer.as_bytes()).await);
        return;
    }
}

/// A key with a name.
pub(crate) struct Signer {
    id: String,
    algorithm: Algorithm,
    pair: rcgen::KeyPair,
    key: EncodingKey,
}

impl Signer {
    fn new(id: &str, algorithm: Algorithm, kind: &'static rcgen::SignatureAlgorithm) -> Self {
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        let pem = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
        };
        Self { id: id.to_owned(), algorithm, pair, key: key.unwrap() }
    }

    pub(crate) fn ec(id: &str) -> Self {
        Self::new(id, Algorithm::ES256, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn rsa(id: &str) -> Self {
        Self::new(id, Algorithm::RS256, &rcgen::PKCS_RSA_SHA256)
    }

    pub(crate) fn ed(id: &str) -> Self {
        Self::new(id, Algorithm::EdDSA, &rcgen::PKCS_ED25519)
    }

    pub(crate) fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    pub(crate) fn public_der(&self) -> Vec<u8> {
        rcgen::PublicKeyData::subject_public_key_info(&self.pair)
    }

    pub(crate) fn jwk(&self) -> Jwk {
        if self.algorithm == Algorithm::EdDSA {
            let x = base64(self.pair.public_key_raw());
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id});
            return serde_json::from_value(jwk).unwrap();
        }
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        jwk
    }

    pub(crate) fn header(&self) -> Header {
        Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }
}

/// Base64 as in tokens.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64ct::Encoding as _;
    base64ct::Base64UrlUnpadded::encode_string(bytes)
}
