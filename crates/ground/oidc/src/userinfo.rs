//! What an id token does not tell, asked for at the userinfo endpoint (OpenID Connect Core 1.0,
//! section 5.3).

use cairn_access::{Error, Provider, Vouched};
use serde_json::{Map, Value};

use crate::claims::{self, Wanted, login_refused};
use crate::flow::{TokenAnswer, refusal};
use crate::provider::Oidc;

impl Oidc {
    /// Who logged in, by what the token endpoint answered. In the code flow the id token holds `nonce`.
    pub(crate) async fn logged_in(
        &self,
        provider: &Provider,
        answer: &TokenAnswer,
        nonce: Option<&str>,
    ) -> Result<Vouched, Error> {
        let token = answer.id_token.as_ref().ok_or_else(|| refusal(answer))?;
        let mut claims = self.check(provider, token, Wanted::Login(nonce)).await?;
        if let (false, Some(access)) = (tells_all(provider, &claims), &answer.access_token) {
            self.ask_further(provider, access, &mut claims).await?;
        }
        claims::vouched(provider, &claims)
    }

    /// Adds what the userinfo endpoint tells, when the provider has one (OIDC-4).
    async fn ask_further(
        &self,
        provider: &Provider,
        access_token: &str,
        claims: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let metadata = self.metadata(provider).await?;
        let Some(endpoint) = metadata.userinfo_endpoint.as_deref() else { return Ok(()) };
        let request = self.request(provider, reqwest::Method::GET, endpoint)?;
        let request = request.bearer_auth(access_token).header("accept", "application/json");
        let told: Map<String, Value> = self.read(provider, endpoint, request).await?;
        let subject = |claims: &Map<String, Value>| {
            claims.get("sub").and_then(Value::as_str).map(str::to_owned)
        };
        if subject(claims).is_none() || subject(&told) != subject(claims) {
            return Err(login_refused("the userinfo endpoint tells of somebody else"));
        }
        add(provider, claims, told);
        Ok(())
    }
}

/// Whether the id token tells who the user is. `email` is told with whether it was verified.
fn tells_user(provider: &Provider, claims: &Map<String, Value>) -> bool {
    let claim = provider.user_claim.as_str();
    claims.contains_key(claim) && (claim != "email" || claims.contains_key("email_verified"))
}

fn tells_all(provider: &Provider, claims: &Map<String, Value>) -> bool {
    tells_user(provider, claims) && claims.contains_key(&provider.groups_claim)
}

/// Takes over what is missing: an address only together with whether it was verified.
fn add(provider: &Provider, claims: &mut Map<String, Value>, mut told: Map<String, Value>) {
    let claim = provider.user_claim.as_str();
    if let (false, Some(user)) = (tells_user(provider, claims), told.remove(claim)) {
        claims.insert(claim.to_owned(), user);
        if claim == "email" {
            let verified = told.remove("email_verified").unwrap_or(Value::Bool(false));
            claims.insert("email_verified".to_owned(), verified);
        }
    }
    let groups = provider.groups_claim.as_str();
    if let (false, Some(told)) = (claims.contains_key(groups), told.remove(groups)) {
        claims.insert(groups.to_owned(), told);
    }
}
