//! What a token claims, and whether it is believed.

use std::collections::BTreeSet;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use cairn_access::{Error, GROUPS_MAX, GroupName, Provider, UserName, Vouched};
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Map, Value};

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Clocks of a provider and of this machine may differ by so many seconds.
const LEEWAY_S: i64 = 60;

/// For what a token is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// To act, by a program.
    Bearer,
    /// To log in: it is an id token, and in the code flow holds this nonce.
    Login(Option<&'a str>),
}

pub(crate) fn refused(reason: impl Into<String>) -> Error {
    Error::Bearer { reason: reason.into() }
}

pub(crate) fn login_refused(reason: impl Into<String>) -> Error {
    Error::LoginRefused { reason: reason.into() }
}

/// The header of a token, with an algorithm that is asymmetric (OIDC-1).
pub(crate) fn header(token: &str) -> Result<Header, Error> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(refused("it is longer than 16 KiB"));
    }
    // `none` and unknown algorithms cannot be read at all.
    let header = jsonwebtoken::decode_header(token)
        .map_err(|_| refused("its header cannot be read, or names no signature"))?;
    if matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
        return Err(refused("it is signed by a shared secret"));
    }
    Ok(header)
}

/// Who the token says issued it. Nothing of it is verified.
pub(crate) fn issuer(token: &str) -> Result<String, Error> {
    header(token)?;
    let claims: Map<String, Value> = jsonwebtoken::dangerous::insecure_decode_claims(token)
        .map_err(|_| refused("its claims cannot be read"))?;
    text(&claims, "iss").map(str::to_owned).ok_or_else(|| refused("it has no issuer"))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// A time in seconds since 1970; providers write whole and broken numbers.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Error> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        let broken = value.as_f64().filter(|seconds| (0.0..1e12).contains(seconds));
        broken.map(|seconds| {
            #[allow(clippy::cast_possible_truncation, reason = "within the range checked above")]
            let whole = seconds as i64;
            whole
        })
    });
    whole.map(Some).ok_or_else(|| refused(format!("its {name} is no time")))
}

/// One text or several.
fn texts<'a>(claims: &'a Map<String, Value>, name: &str) -> Vec<&'a str> {
    match claims.get(name) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn expires_s(claims: &Map<String, Value>) -> Result<i64, Error> {
    seconds(claims, "exp")?.ok_or_else(|| refused("it never expires"))
}

/// Whether a token that was verified is from this provider, for this client and of this time (OIDC-2).
pub(crate) fn check(
    provider: &Provider,
    claims: &Map<String, Value>,
    wanted: Wanted<'_>,
    now_s: i64,
) -> Result<(), Error> {
    if text(claims, "iss").map(|issuer| issuer.trim_end_matches('/')) != Some(&provider.issuer) {
        return Err(refused("another issuer made it"));
    }
    check_audience(provider, claims, wanted)?;
    if expires_s(claims)? <= now_s.saturating_sub(LEEWAY_S) {
        return Err(refused("it has expired; log in again"));
    }
    let early = now_s.saturating_add(LEEWAY_S);
    for name in ["nbf", "iat"] {
        if seconds(claims, name)?.is_some_and(|from| from > early) {
            return Err(refused("it is not valid yet; look at the clocks"));
        }
    }
    if let Wanted::Login(Some(nonce)) = wanted {
        let shown = text(claims, "nonce").unwrap_or_default();
        if verify_slices_are_equal(shown.as_bytes(), nonce.as_bytes()).is_err() {
            return Err(refused("it is of another login"));
        }
    }
    Ok(())
}

/// Who claims that were checked say somebody is.
pub(crate) fn vouched(provider: &Provider, claims: &Map<String, Value>) -> Result<Vouched, Error> {
    Ok(Vouched {
        provider: provider.name.clone(),
        user: user(provider, claims)?,
        groups: groups(provider, claims)?,
        expires_ms: expires_s(claims)?.saturating_add(LEEWAY_S).saturating_mul(1000),
    })
}

/// A login's token is for this client alone; a bearer's for it or for an audience that was allowed.
fn check_audience(
    provider: &Provider,
    claims: &Map<String, Value>,
    wanted: Wanted<'_>,
) -> Result<(), Error> {
    let audiences = texts(claims, "aud");
    let mine = audiences.contains(&provider.client_id.as_str());
    let presenter = text(claims, "azp");
    let ours = match wanted {
        Wanted::Bearer => {
            mine || provider.audiences.iter().any(|known| audiences.contains(&known.as_str()))
        }
        Wanted::Login(_) => {
            mine && presenter.map_or(audiences.len() == 1, |azp| azp == provider.client_id)
        }
    };
    if ours { Ok(()) } else { Err(refused("it is for another audience")) }
}

fn user(provider: &Provider, claims: &Map<String, Value>) -> Result<UserName, Error> {
    let claim = provider.user_claim.as_str();
    let name = text(claims, claim).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        refused(format!(
            "it has no claim {claim}; set another one with `cairn idp add --user-claim`"
        ))
    })?;
    let verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    };
    if claim == "email" && !verified {
        return Err(refused(
            "the provider did not verify the address; use `--user-claim sub` or another claim",
        ));
    }
    UserName::of(&provider.name, name)
}

fn groups(provider: &Provider, claims: &Map<String, Value>) -> Result<BTreeSet<GroupName>, Error> {
    let named = texts(claims, &provider.groups_claim);
    if named.len() > GROUPS_MAX {
        return Err(refused(format!("it names more than {GROUPS_MAX} groups")));
    }
    // A group whose name cannot be kept gives nobody anything.
    Ok(named.into_iter().filter_map(|group| GroupName::of(&provider.name, group).ok()).collect())
}
