//! Tokens of every kind of evil, and a provider that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod issuer;

use std::time::Duration;

use cairn_access::{Bearers as _, Error, Provider};
use cairn_env::Env;
use cairn_oidc::{Oidc, Polled};
use cairn_testkit::Shifted;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::issuer::{Issuer, Signer};

fn provider(issuer: &Issuer) -> Provider {
    Provider {
        name: "corp".parse().unwrap(),
        issuer: issuer.url(),
        client_id: "cairn".to_owned(),
        client_secret: None,
        scopes: vec!["openid".to_owned()],
        user_claim: "email".to_owned(),
        groups_claim: "groups".to_owned(),
        audiences: vec!["api://cairn".to_owned()],
        created_ms: 0,
    }
}

/// Longer than keys of a provider are believed to be all there are.
const AGAIN: Duration = Duration::from_secs(6);

fn now_s() -> i64 {
    Env::real().clock.wall_ns() / 1_000_000_000
}

/// Claims that hold, with these changes; `null` takes one away.
fn claims(issuer: &Issuer, changes: Value) -> Value {
    let mut claims = json!({
        "iss": issuer.url(), "aud": "cairn", "sub": "4711", "email": "alice@example.org",
        "email_verified": true, "groups": ["staff", "Domain Users"],
        "iat": now_s(), "exp": now_s() + 300,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn refused(oidc: &Oidc, provider: &Provider, token: &str) -> String {
    match oidc.verify(std::slice::from_ref(provider), token).await {
        Ok(vouched) => panic!("believed: {vouched:?}"),
        Err(error) => {
            assert!(error.asks_for_credential(), "{error}");
            error.to_string()
        }
    }
}

#[tokio::test]
async fn a_token_that_holds_says_who_bears_it() {
    let issuer = Issuer::start().await;
    let (clock, env) = Shifted::env();
    let oidc = Oidc::new(&env).unwrap();
    let corp = provider(&issuer);
    for signer in [Signer::ec("a"), Signer::rsa("b"), Signer::ed("c")] {
        issuer.publish(&[&signer]);
        let token = signer.sign(&claims(&issuer, json!({})));
        // The key is new to us: it is fetched.
        clock.forward(AGAIN);
        let vouched = oidc.verify(std::slice::from_ref(&corp), &token).await.unwrap();
        assert_eq!(vouched.user.as_str(), "corp/alice@example.org");
        let groups: Vec<String> = vouched.groups.iter().map(ToString::to_string).collect();
        assert_eq!(groups, ["corp/Domain%20Users", "corp/staff"]);
    }
    let signer = Signer::ec("c");
    issuer.publish(&[&signer]);
    clock.forward(AGAIN);
    for (changes, user) in [
        (json!({"aud": ["other", "api://cairn"]}), "corp/alice@example.org"),
        (json!({"exp": (now_s() + 60) as f64 + 0.5}), "corp/alice@example.org"),
        (json!({"groups": "staff"}), "corp/alice@example.org"),
        (json!({"email_verified": "true"}), "corp/alice@example.org"),
    ] {
        let token = signer.sign(&claims(&issuer, changes));
        let vouched = oidc.verify(std::slice::from_ref(&corp), &token).await.unwrap();
        assert_eq!(vouched.user.as_str(), user);
    }
    let by_subject = Provider { user_claim: "sub".to_owned(), ..corp };
    let token = signer.sign(&claims(&issuer, json!({"email_verified": false})));
    let vouched = oidc.verify(&[by_subject], &token).await.unwrap();
    assert_eq!(vouched.user.as_str(), "corp/4711");
}

/// OIDC-1: no signature, no asymmetric one, or one by a key that the provider does not publish.
#[tokio::test]
async fn oidc_1_a_signature_is_by_a_published_key() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(&Env::real()).unwrap();
    let corp = provider(&issuer);
    let (signer, rsa, evil) = (Signer::ec("a"), Signer::rsa("r"), Signer::ec("a"));
    issuer.publish(&[&signer, &rsa]);
    let good = claims(&issuer, json!({}));
    assert!(oidc.verify(std::slice::from_ref(&corp), &signer.sign(&good)).await.is_ok());
    let part = |value: &Value| issuer::base64(value.to_string().as_bytes());
    let body = part(&good);
    for algorithm in ["none", "None", "NONE", "", "HS256 ", "XS256"] {
        let header = part(&json!({"alg": algorithm, "typ": "JWT"}));
        refused(&oidc, &corp, &format!("{header}.{body}.")).await;
    }
    // A shared secret that everybody knows: the public key itself, or nothing.
    for secret in [rsa.public_pem().into_bytes(), rsa.public_der(), Vec::new()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header { kid: Some("r".to_owned()), ..Header::new(algorithm) };
            let key = EncodingKey::from_secret(&secret);
            let token = jsonwebtoken::encode(&header, &good, &key).unwrap();
            assert!(refused(&oidc, &corp, &token).await.contains("shared secret"));
        }
    }
    // Another key under the same name, and one that the token brings along.
    refused(&oidc, &corp, &evil.sign(&good)).await;
    let header = Header { jwk: Some(evil.jwk()), ..evil.header() };
    refused(&oidc, &corp, &evil.sign_with(&header, &good)).await;
    let header = Header { jku: Some("https://evil.example/keys".to_owned()), ..evil.header() };
    refused(&oidc, &corp, &evil.sign_with(&header, &good)).await;
    // A key of one kind, named for a signature of another.
    let header = Header { kid: Some("r".to_owned()), ..signer.header() };
    refused(&oidc, &corp, &signer.sign_with(&header, &good)).await;
    // A signature that was cut off, changed, or is of other claims.
    let token = signer.sign(&good);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    refused(&oidc, &corp, &format!("{signed}.")).await;
    refused(&oidc, &corp, &format!("{signed}.{}", &signature[1..])).await;
    let (header, _) = signed.split_once('.').unwrap();
    let other = part(&claims(&issuer, json!({"email": "root@example.org"})));
    refused(&oidc, &corp, &format!("{header}.{other}.{signature}")).await;
    // Without a name a key is taken only when no other could be meant.
    let unnamed = Header { kid: None, ..signer.header() };
    let token = signer.sign_with(&unnamed, &good);
    assert!(oidc.verify(std::slice::from_ref(&corp), &token).await.is_ok());
    issuer.publish(&[&signer, &Signer::ec("b")]);
    let fresh = Oidc::new(&Env::real()).unwrap();
    refused(&fresh, &corp, &token).await;
    refused(&oidc, &corp, &"a".repeat(17 * 1024)).await;
}

/// OIDC-2: from this provider, for this client, of this time.
#[tokio::test]
async fn oidc_2_a_token_is_for_us_and_of_this_time() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(&Env::real()).unwrap();
    let (corp, signer) = (provider(&issuer), Signer::ec("a"));
    issuer.publish(&[&signer]);
    for (changes, why) in [
        (json!({"aud": "other"}), "audience"),
        (json!({"aud": ["other"]}), "audience"),
        (json!({"aud": null}), "audience"),
        (json!({"aud": ["cairn "]}), "audience"),
        (json!({"iss": "https://evil.example"}), "issued"),
        (json!({"iss": null}), "issuer"),
        (json!({"iss": format!("{}.evil.example", issuer.url())}), "issued"),
        (json!({"exp": null}), "never expires"),
        (json!({"exp": now_s() - 61}), "expired"),
        (json!({"exp": "tomorrow"}), "no time"),
        (json!({"exp": 1e300}), "no time"),
        (json!({"nbf": now_s() + 120}), "not valid yet"),
        (json!({"iat": now_s() + 120}), "not valid yet"),
        (json!({"email": null}), "no claim email"),
        (json!({"email": ""}), "no claim email"),
        (json!({"email": 7}), "no claim email"),
        (json!({"email": "a".repeat(300)}), "too long"),
        (json!({"email_verified": false}), "did not verify"),
        (json!({"email_verified": null}), "did not verify"),
        (json!({"groups": vec!["g"; 501]}), "more than 500"),
    ] {
        let token = signer.sign(&claims(&issuer, changes.clone()));
        match oidc.verify(std::slice::from_ref(&corp), &token).await {
            Ok(vouched) => panic!("{changes} was believed: {vouched:?}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(why) || why == "too long", "{changes}: {text}");
            }
        }
    }
}

/// A provider changes its keys: the new one is taken at once, the old one no longer for long.
#[tokio::test]
async fn keys_rotate() {
    let issuer = Issuer::start().await;
    let (clock, env) = Shifted::env();
    let oidc = Oidc::new(&env).unwrap();
    let (corp, old, new) = (provider(&issuer), Signer::ec("old"), Signer::ec("new"));
    issuer.publish(&[&old]);
    let verify = async |signer: &Signer| {
        let token = signer.sign(&claims(&issuer, json!({})));
        oidc.verify(std::slice::from_ref(&corp), &token).await
    };
    assert!(verify(&old).await.is_ok());
    let before = issuer.asked();
    for _ in 0..20 {
        assert!(verify(&old).await.is_ok());
        // Somebody makes up names of keys: that does not send us asking again and again.
        assert!(verify(&Signer::ec("made-up")).await.is_err());
    }
    assert!(issuer.asked() <= before + 2, "{} requests", issuer.asked() - before);
    issuer.publish(&[&new]);
    clock.forward(AGAIN);
    assert!(verify(&new).await.is_ok());
    assert!(verify(&old).await.is_err(), "its key is not published any more");
}

#[tokio::test]
async fn a_login_holds_its_own_nonce_and_state() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(&Env::real()).unwrap();
    let (corp, signer) = (provider(&issuer), Signer::ec("a"));
    issuer.publish(&[&signer]);
    let begun = oidc.begin(&corp, "https://node/auth/callback", "/fs/").await.unwrap();
    let pending = begun.pending;
    for part in ["response_type=code", "code_challenge_method=S256", "client_id=cairn"] {
        assert!(begun.url.contains(part), "{}", begun.url);
    }
    assert!(!begun.url.contains(&pending.verifier), "the verifier stays here");
    let finish = async |changes: Value, state: &str| {
        issuer.answer("/token", 200, json!({"id_token": signer.sign(&claims(&issuer, changes))}));
        oidc.finish(&corp, &pending, state, "code", None).await
    };
    let nonce = pending.nonce.as_str();
    let done = finish(json!({"nonce": nonce}), &pending.state).await.unwrap();
    assert_eq!(done.user.as_str(), "corp/alice@example.org");
    let form = issuer.last_body();
    assert!(form.contains(&format!("code_verifier={}", pending.verifier)), "{form}");
    assert!(finish(json!({"nonce": nonce}), "another").await.is_err());
    assert!(finish(json!({"nonce": "another"}), &pending.state).await.is_err());
    assert!(finish(json!({}), &pending.state).await.is_err());
    // A bearer's audience is no login's, and neither is a token for several without saying whose.
    let shared = json!({"nonce": nonce, "aud": "api://cairn"});
    assert!(finish(shared, &pending.state).await.is_err());
    let several = json!({"nonce": nonce, "aud": ["cairn", "other"]});
    assert!(finish(several, &pending.state).await.is_err());
    let ours = json!({"nonce": nonce, "aud": ["cairn", "other"], "azp": "cairn"});
    assert!(finish(ours, &pending.state).await.is_ok());
    let theirs = json!({"nonce": nonce, "azp": "other"});
    assert!(finish(theirs, &pending.state).await.is_err());
}

/// RFC 9207: who says that it is another provider is refused, and so is silence of one that would say it.
#[tokio::test]
async fn the_answer_is_of_the_provider_that_was_asked() {
    let issuer = Issuer::start().await;
    let (corp, signer) = (provider(&issuer), Signer::ec("a"));
    issuer.publish(&[&signer]);
    let mut metadata = issuer.metadata();
    for (says_so, shown, holds) in [
        (false, None, true),
        (false, Some(issuer.url()), true),
        (false, Some("https://evil.example".to_owned()), false),
        (true, Some(issuer.url()), true),
        (true, None, false),
    ] {
        metadata["authorization_response_iss_parameter_supported"] = json!(says_so);
        issuer.answer("/.well-known/openid-configuration", 200, metadata.clone());
        let oidc = Oidc::new(&Env::real()).unwrap();
        let pending = oidc.begin(&corp, "https://node/auth/callback", "/").await.unwrap().pending;
        let token = signer.sign(&claims(&issuer, json!({"nonce": pending.nonce})));
        issuer.answer("/token", 200, json!({"id_token": token}));
        let done = oidc.finish(&corp, &pending, &pending.state, "code", shown.as_deref()).await;
        assert_eq!(done.is_ok(), holds, "{says_so} {shown:?} {done:?}");
    }
}

/// OIDC-4: userinfo fills gaps, of the very person, and replaces nothing.
#[tokio::test]
async fn oidc_4_userinfo_tells_what_the_id_token_does_not() {
    let issuer = Issuer::start().await;
    let (corp, signer) = (provider(&issuer), Signer::ec("a"));
    issuer.publish(&[&signer]);
    let mut metadata = issuer.metadata();
    metadata["userinfo_endpoint"] = json!(format!("{}/userinfo", issuer.url()));
    issuer.answer("/.well-known/openid-configuration", 200, metadata);
    let oidc = Oidc::new(&Env::real()).unwrap();
    let login = async |changes: Value, told: Value| {
        let token = signer.sign(&claims(&issuer, changes));
        issuer.answer("/token", 200, json!({"id_token": token, "access_token": "opaque"}));
        issuer.answer("/userinfo", 200, told);
        match oidc.poll_device(&corp, "d").await? {
            Polled::Done(vouched) => {
                let groups = vouched.groups.iter().map(ToString::to_string).collect::<Vec<_>>();
                Ok::<_, Error>((vouched.user.as_str().to_owned(), groups.join(" ")))
            }
            other => panic!("{other:?}"),
        }
    };
    let nothing = json!({"email": null, "email_verified": null, "groups": null});
    let bob = json!({"sub": "4711", "email": "bob@example.org", "email_verified": true,
                     "groups": ["ops"]});
    let (bobs, alices) = ("corp/bob@example.org", "corp/alice@example.org");
    let told = login(nothing.clone(), bob.clone()).await.unwrap();
    assert_eq!(told, (bobs.to_owned(), "corp/ops".to_owned()));
    // What the id token tells stays.
    let told = login(json!({"groups": null}), bob.clone()).await.unwrap();
    assert_eq!(told, (alices.to_owned(), "corp/ops".to_owned()));
    let told = login(json!({"groups": ["a"]}), bob.clone()).await.unwrap();
    assert_eq!(told, (alices.to_owned(), "corp/a".to_owned()));
    // An address and its being verified come from one place.
    let told = login(json!({"email_verified": null}), bob.clone()).await.unwrap();
    assert_eq!(told.0, bobs);
    let unverified = json!({"sub": "4711", "email": "root@example.org"});
    assert!(login(json!({"email": null}), unverified).await.is_err());
    let only_verified = json!({"sub": "4711", "email_verified": true});
    assert!(login(json!({"email_verified": null}), only_verified).await.is_err());
    let denied = json!({"sub": "4711", "email": "a@b", "email_verified": false});
    assert!(login(nothing.clone(), denied).await.is_err());
    // Of somebody else, or of nobody.
    for sub in [json!("4712"), json!(null), json!(4711), json!("")] {
        let mut other = bob.clone();
        other["sub"] = sub;
        assert!(login(nothing.clone(), other.clone()).await.is_err());
        let mut unnamed = nothing.clone();
        unnamed["sub"] = json!(null);
        assert!(login(unnamed, other).await.is_err());
    }
    // It does not answer.
    issuer.answer("/userinfo", 500, bob);
    let token = signer.sign(&claims(&issuer, nothing));
    issuer.answer("/token", 200, json!({"id_token": token, "access_token": "opaque"}));
    let error = oidc.poll_device(&corp, "d").await.unwrap_err();
    assert!(matches!(error, Error::ProviderDown { .. }), "{error}");
}

#[tokio::test]
async fn a_device_login_waits_and_ends() {
    let issuer = Issuer::start().await;
    let oidc = Oidc::new(&Env::real()).unwrap();
    let (corp, signer) = (provider(&issuer), Signer::ec("a"));
    issuer.publish(&[&signer]);
    issuer.answer(
        "/device",
        200,
        json!({"device_code": "d", "user_code": "AB-CD", "verification_uri": "https://id/d",
               "expires_in": 60, "interval": 100_000}),
    );
    let begun = oidc.begin_device(&corp).await.unwrap();
    assert_eq!((begun.user_code.as_str(), begun.interval_s), ("AB-CD", 60));
    let poll = async |status, answer: Value| {
        issuer.answer("/token", status, answer);
        oidc.poll_device(&corp, "d").await
    };
    let pending = poll(400, json!({"error": "authorization_pending"})).await;
    assert_eq!(pending.unwrap(), Polled::Pending);
    assert_eq!(poll(400, json!({"error": "slow_down"})).await.unwrap(), Polled::SlowDown);
    let denied = poll(400, json!({"error": "access_denied", "error_description": "no\u{1b}[1m"}));
    let denied = denied.await.unwrap_err().to_string();
    assert!(denied.contains("access_denied: no[1m"), "{denied:?}");
    let token = signer.sign(&claims(&issuer, json!({})));
    assert!(matches!(poll(200, json!({"id_token": token})).await.unwrap(), Polled::Done(_)));
}

/// OIDC-3: what a provider sends is bounded, and leads nowhere else.
#[tokio::test]
async fn oidc_3_a_provider_that_misbehaves_is_down() {
    let issuer = Issuer::start().await;
    let (corp, signer) = (provider(&issuer), Signer::ec("a"));
    let token = signer.sign(&claims(&issuer, json!({})));
    let metadata = "/.well-known/openid-configuration";
    let good = issuer.metadata();
    for (path, status, answer) in [
        (metadata, 500, json!({})),
        (metadata, 302, json!({})),
        (metadata, 200, json!([])),
        (metadata, 200, json!({"issuer": issuer.url()})),
        (metadata, 200, {
            let mut other = good.clone();
            other["issuer"] = json!("https://evil.example");
            other
        }),
        (metadata, 200, {
            let mut elsewhere = good.clone();
            elsewhere["jwks_uri"] = json!("file:///etc/passwd");
            elsewhere
        }),
        ("/keys", 404, json!({})),
        ("/keys", 200, json!({"keys": "none"})),
        ("/keys", 200, json!({"keys": ["x".repeat(2 * 1024 * 1024)]})),
    ] {
        let fresh = Oidc::new(&Env::real()).unwrap();
        issuer.publish(&[&signer]);
        issuer.answer(metadata, 200, good.clone());
        issuer.answer(path, status, answer);
        let error = fresh.verify(std::slice::from_ref(&corp), &token).await.unwrap_err();
        assert!(matches!(error, Error::ProviderDown { .. }), "{path} {status}: {error}");
    }
    let silent = Provider { issuer: "http://127.0.0.1:1".to_owned(), ..corp };
    let away = Signer::ec("a").sign(&json!({"iss": "http://127.0.0.1:1"}));
    let fresh = Oidc::new(&Env::real()).unwrap();
    let error = fresh.verify(&[silent], &away).await.unwrap_err();
    assert!(matches!(error, Error::ProviderDown { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_tokens_never_panic(
        parts in prop::collection::vec("[A-Za-z0-9_=-]{0,40}", 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let refused = runtime.block_on(async {
            let oidc = Oidc::new(&Env::real()).unwrap();
            oidc.verify(&[], &parts.join(".")).await.is_err()
        });
        prop_assert!(refused);
    }
}
