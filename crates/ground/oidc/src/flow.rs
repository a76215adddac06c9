//! The code flow with PKCE: a browser goes to the provider and comes back with a code.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use cairn_access::{Error, Provider, Vouched};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::claims::login_refused;
use crate::provider::{Oidc, down};

/// A login that was begun: what its browser keeps until it comes back. It is for that browser alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// By which provider.
    pub provider: String,
    /// What must come back with the code.
    pub state: String,
    /// What the id token must hold.
    pub nonce: String,
    /// The secret of which the provider knows the hash (PKCE).
    pub verifier: String,
    /// Where the provider sends the browser back to.
    pub redirect: String,
    /// Where to go afterwards: a path on this node.
    pub next: String,
}

/// A login that was begun.
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What it keeps.
    pub pending: Pending,
}

/// What a provider's token endpoint answers (RFC 6749, section 5).
#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    #[serde(default)]
    pub(crate) id_token: Option<String>,
    #[serde(default)]
    pub(crate) access_token: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) error_description: Option<String>,
}

impl Oidc {
    fn random(&self) -> String {
        let mut bytes = [0; 32];
        self.env().rng.fill(&mut bytes);
        Base64UrlUnpadded::encode_string(&bytes)
    }

    /// Begins a login in a browser.
    ///
    /// # Errors
    /// [`Error::ProviderDown`].
    pub async fn begin(
        &self,
        provider: &Provider,
        redirect: &str,
        next: &str,
    ) -> Result<Begun, Error> {
        let metadata = self.metadata(provider).await?;
        let pending = Pending {
            provider: provider.name.to_string(),
            state: self.random(),
            nonce: self.random(),
            verifier: self.random(),
            redirect: redirect.to_owned(),
            next: next.to_owned(),
        };
        let challenge = challenge(&pending.verifier);
        let endpoint = Url::parse(&metadata.authorization_endpoint);
        let mut url = endpoint.map_err(|_| down(provider, "it names no address for logins"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(down(provider, "it names no address for logins"));
        }
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", &provider.scopes.join(" "))
            .append_pair("state", &pending.state)
            .append_pair("nonce", &pending.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(Begun { url: url.into(), pending })
    }

    /// Ends a login with what the browser brought back: the `code`, the `state`, and the `iss` with which
    /// a provider says that it was the one (RFC 9207).
    ///
    /// # Errors
    /// [`Error::LoginRefused`] and [`Error::Bearer`] when it does not hold; [`Error::ProviderDown`].
    pub async fn finish(
        &self,
        provider: &Provider,
        pending: &Pending,
        state: &str,
        code: &str,
        issuer: Option<&str>,
    ) -> Result<Vouched, Error> {
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(
            pending.state.as_bytes(),
            state.as_bytes(),
        );
        if same.is_err() || pending.provider != provider.name.as_str() {
            return Err(login_refused("it is the answer to another login; begin again"));
        }
        let metadata = self.metadata(provider).await?;
        let another = match issuer {
            Some(issuer) => issuer.trim_end_matches('/') != provider.issuer,
            None => metadata.authorization_response_iss_parameter_supported,
        };
        if another {
            return Err(login_refused("another provider answered; begin again"));
        }
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &pending.redirect),
            ("code_verifier", &pending.verifier),
        ];
        let answer: TokenAnswer = self.token(provider, &metadata.token_endpoint, &form).await?;
        self.logged_in(provider, &answer, Some(&pending.nonce)).await
    }

    /// Asks a provider's endpoint as its client: with the secret, or by name alone.
    pub(crate) async fn token<T: serde::de::DeserializeOwned>(
        &self,
        provider: &Provider,
        endpoint: &str,
        form: &[(&str, &str)],
    ) -> Result<T, Error> {
        let mut form = form.to_vec();
        form.push(("client_id", &provider.client_id));
        let request = self.request(provider, reqwest::Method::POST, endpoint)?;
        let request = match &provider.client_secret {
            None => request,
            // RFC 6749, section 2.3.1: both are form-encoded before they become Basic.
            Some(secret) => {
                request.basic_auth(encoded(&provider.client_id), Some(encoded(secret.expose())))
            }
        };
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        let (status, body) = self.answer(provider, request).await?;
        if status >= 500 {
            return Err(down(provider, format!("it answered with {status}")));
        }
        serde_json::from_slice(&body)
            .map_err(|_| down(provider, format!("it answered with {status} and no JSON it should")))
    }
}

/// What a provider says when it gives no token, shown without control characters.
pub(crate) fn refusal(answer: &TokenAnswer) -> Error {
    let error = answer.error.as_deref().unwrap_or("it gave no id token; is `openid` a scope?");
    let mut text = error.to_owned();
    if let Some(description) = &answer.error_description {
        text = format!("{text}: {description}");
    }
    let shown: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    login_refused(format!("the provider says: {shown}"))
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The hash of a verifier (RFC 7636, section 4.2).
fn challenge(verifier: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    Base64UrlUnpadded::encode_string(hash.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_as_in_the_rfc() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
