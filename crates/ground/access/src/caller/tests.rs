use std::sync::Arc;

use cairn_env::SeededRng;
use proptest::prelude::*;

use super::*;
use crate::grant::Action;
use crate::pattern::Resource;
use crate::state::State;

const NOW_MS: i64 = 5;

fn first() -> (Snapshot, String) {
    let secret = Secret::random(&SeededRng::new(1));
    let snapshot = Snapshot { state: Arc::new(State::first(NOW_MS, &secret)), now_ms: NOW_MS };
    (snapshot, secret.plain().expose().to_owned())
}

fn basic(pair: &str) -> String {
    format!("Basic {}", Base64::encode_string(pair.as_bytes()))
}

#[test]
fn bearer_and_basic_let_in() {
    let (snapshot, token) = first();
    for header in [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER   {token} "),
        basic(&format!("root:{token}")),
        basic(&format!(":{token}")),
        basic(&format!("anybody at all:{token}")),
        basic(&format!("x:{token}")).replace("Basic", "bAsIc"),
    ] {
        let caller = snapshot.authenticate(Some(&header)).unwrap();
        assert_eq!(caller.owner().map(Owner::as_str), Some("root"), "{header}");
    }
    assert_eq!(snapshot.authenticate(None).unwrap(), Caller::Anonymous);
}

/// ACCESS-2: the earlier system let a request with a wrong password go on anonymously (its defect
/// 2). Here everything that is shown and does not hold is an error, also where reading is open to
/// all.
#[test]
fn access_2_a_credential_that_does_not_hold_is_never_anonymous() {
    let (snapshot, token) = first();
    let stranger = Secret::random(&SeededRng::new(2)).plain();
    let stranger = stranger.expose();
    let mistyped = format!("{}0", &token[..token.len() - 1]);
    let mistyped = if mistyped == token { token.replace('0', "1") } else { mistyped };
    for (header, expected) in [
        (String::new(), "header"),
        (" ".to_owned(), "header"),
        ("Bearer".to_owned(), "header"),
        ("Bearer ".to_owned(), "header"),
        (token.clone(), "header"),
        ("Basic".to_owned(), "header"),
        ("Basic %%%".to_owned(), "header"),
        ("Basic YQ".to_owned(), "header"),
        (basic("no colon"), "header"),
        (format!("Bearer {}", "x".repeat(AUTHORIZATION_BYTES_MAX)), "header"),
        (basic(&"x".repeat(AUTHORIZATION_BYTES_MAX)), "header"),
        ("Bearer hunter2".to_owned(), "malformed"),
        ("Bearer null".to_owned(), "malformed"),
        (format!("Bearer Bearer {token}"), "malformed"),
        (basic("root:"), "malformed"),
        (basic("root:hunter2"), "malformed"),
        (basic(&format!("{token}:")), "malformed"),
        (basic(&format!("a:b:{token}")), "malformed"),
        (format!("Bearer {mistyped}"), "mistyped"),
        (format!("Bearer {token}x"), "mistyped"),
        (format!("Bearer {token} {token}"), "mistyped"),
        (format!("Bearer {stranger}"), "unknown"),
        (basic(&format!("root:{stranger}")), "unknown"),
        (format!("Token {token}"), "scheme"),
        (format!("Digest {token}"), "scheme"),
        (format!("AWS4-HMAC-SHA256 {token}"), "scheme"),
    ] {
        let error = snapshot.authenticate(Some(&header)).unwrap_err();
        let found = match &error {
            Error::Header { .. } => "header",
            Error::Scheme => "scheme",
            Error::Malformed => "malformed",
            Error::Mistyped => "mistyped",
            Error::Unknown => "unknown",
            other => panic!("{header:?}: {other}"),
        };
        assert_eq!(found, expected, "{header:?}");
        assert!(error.asks_for_credential(), "{header:?}");
        assert_eq!(error.kind(), cairn_base::ErrorKind::Denied, "{header:?}");
    }
}

/// ACCESS-3: the earlier system kept and compared passwords as plain text (its defect 3).
#[test]
fn access_3_errors_and_debug_never_repeat_a_credential() {
    let (snapshot, token) = first();
    let body = &token[6..30];
    let wrong = format!("{token}x");
    for header in [format!("Bearer {wrong}"), basic(&format!("a:{wrong}")), format!("X {token}")] {
        let error = snapshot.authenticate(Some(&header)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(body));
    }
    let caller = snapshot.authenticate(Some(&format!("Bearer {token}"))).unwrap();
    let shown = format!("{snapshot:?} {caller:?} {:?}", snapshot.whoami(&caller).unwrap());
    assert!(!shown.contains(body));
    let stored = snapshot.state.encode().unwrap();
    assert!(!stored.windows(body.len()).any(|window| window == body.as_bytes()));
}

/// A stored hash under the id of another token, as if ids had collided, lets nobody in.
#[test]
fn the_whole_hash_decides() {
    let (snapshot, token) = first();
    let mut state = (*snapshot.state).clone();
    let other = Secret::random(&SeededRng::new(2)).hash();
    for record in state.tokens.values_mut() {
        record.hash = other.clone();
    }
    let snapshot = Snapshot { state: Arc::new(state), now_ms: NOW_MS };
    let error = snapshot.authenticate(Some(&format!("Bearer {token}"))).unwrap_err();
    assert!(matches!(error, Error::Unknown));
}

#[test]
fn an_expired_token_is_told_from_an_unknown_one() {
    let (snapshot, token) = first();
    let mut state = (*snapshot.state).clone();
    for record in state.tokens.values_mut() {
        record.info.expires_ms = Some(NOW_MS + 10);
    }
    let header = format!("Bearer {token}");
    let at =
        |now_ms| Snapshot { state: Arc::new(state.clone()), now_ms }.authenticate(Some(&header));
    assert!(at(NOW_MS + 9).is_ok());
    assert!(matches!(at(NOW_MS + 10), Err(Error::Expired { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// ACCESS-2: whatever is sent, nobody gets in without the token, and nothing panics.
    #[test]
    fn access_2_hostile_headers(header in prop_oneof![
        ".{0,100}",
        "(?i)(bearer|basic|digest) .{0,100}",
        "(?i)basic [A-Za-z0-9+/=]{0,100}",
        "(?i)bearer cairn_[0-9a-z]{50,60}",
    ]) {
        let (snapshot, _) = first();
        prop_assert!(snapshot.authenticate(Some(&header)).is_err());
    }

    #[test]
    fn any_user_name_goes_with_a_token(user in "[^:]{0,100}") {
        let (snapshot, token) = first();
        let caller = snapshot.authenticate(Some(&basic(&format!("{user}:{token}")))).unwrap();
        let decision = snapshot.authorize(&caller, Action::ManageAccess, &Resource::Cluster);
        prop_assert!(decision.is_allowed());
    }
}
