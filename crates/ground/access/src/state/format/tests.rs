use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::grant::{Role, Scope};
use crate::principal::Subject;
use crate::token::Secret;

/// A state with something of everything.
fn sample() -> State {
    let mut state = State::first(1_000, &Secret::fixed(1));
    let name: PrincipalName = "ci".parse().unwrap();
    state.add_principal(Principal::new(name.clone(), 2_000)).unwrap();
    let secret = Secret::fixed(2);
    let info = TokenInfo {
        kind: TokenKind::Api,
        groups: BTreeSet::new(),
        id: secret.id(),
        label: "laptop".parse().unwrap(),
        principal: name.clone().into(),
        scopes: Scopes::Only(vec![Scope {
            role: Role::Reader,
            pattern: "@lab/raw-*".parse().unwrap(),
        }]),
        created_ms: 3_000,
        expires_ms: Some(4_000),
    };
    state.add_token(3_000, Token { info, hash: secret.hash() }).unwrap();
    for (subject, role, pattern) in [
        (Subject::Principal(name), Role::Writer, "@lab/*"),
        (Subject::Anonymous, Role::Reader, "public"),
        (Subject::Authenticated, Role::Reader, "@lab/*"),
    ] {
        state.add_grant(Grant { subject, role, pattern: pattern.parse().unwrap() }).unwrap();
    }
    state
}

fn is_corrupt(bytes: &[u8]) -> bool {
    matches!(State::decode(bytes), Err(Error::Corrupt { .. }))
}

/// Version 1, for ever: these bytes are in people's buckets.
#[test]
fn golden_state_of_version_1() {
    let bytes = sample().encode().unwrap();
    let golden = include_bytes!("golden_1.bin");
    assert_eq!(State::decode(golden).unwrap(), sample());
    assert!(bytes == golden, "the bytes that are written have changed");
    let json = std::str::from_utf8(open(golden).unwrap()).unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    expect![[r#"
        {
          "grants": [
            {
              "pattern": "@main/public",
              "role": "reader",
              "subject": "anonymous"
            },
            {
              "pattern": "@lab/*",
              "role": "reader",
              "subject": "authenticated"
            },
            {
              "pattern": "@lab/*",
              "role": "writer",
              "subject": "ci"
            },
            {
              "pattern": "@*/*",
              "role": "admin",
              "subject": "root"
            }
          ],
          "principals": [
            {
              "created_ms": 2000,
              "name": "ci"
            },
            {
              "created_ms": 1000,
              "name": "root"
            }
          ],
          "tokens": [
            {
              "created_ms": 1000,
              "expires_ms": null,
              "hash": "e04c6913e66321f610120ce93f0247e0ee64e5f35843d99211954a432a5c482c",
              "id": "pkkkefvh3ad4varv",
              "label": "root",
              "principal": "root",
              "scopes": "all"
            },
            {
              "created_ms": 3000,
              "expires_ms": 4000,
              "hash": "a0b68d4dbf807cd33479339524d3f91a9c49eb3846f5db6204d7cfd83b1aa32a",
              "id": "zmfvm70bhfpv9hq7",
              "label": "laptop",
              "principal": "ci",
              "scopes": {
                "only": [
                  {
                    "pattern": "@lab/raw-*",
                    "role": "reader"
                  }
                ]
              }
            }
          ],
          "version": 1
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&json).unwrap());
}

/// A state with something of everything that version 2 brought.
fn sample_2() -> State {
    let mut state = sample();
    let name: PrincipalName = "ci".parse().unwrap();
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$\
                3EKiWQIk5Fsu7ZIVd7VwPMcwdQ5VfZ2QwcBQb9LzYzA";
    let hash = PasswordHash::try_from(hash.to_owned()).unwrap();
    state.set_password(0, &name, Some(&hash)).unwrap();
    state.set_groups(0, &name, &["staff".parse().unwrap()].into()).unwrap();
    let provider = Provider {
        name: "corp".parse().unwrap(),
        issuer: "https://id.example.org".to_owned(),
        client_id: "cairn".to_owned(),
        client_secret: Some(crate::ClientSecret::new("shared".to_owned())),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        user_claim: "email".to_owned(),
        groups_claim: "groups".to_owned(),
        audiences: vec!["api".to_owned()],
        created_ms: 5_000,
    };
    state.set_provider(provider).unwrap();
    let certificate = Certificate {
        fingerprint: crate::Fingerprint([3; 32]),
        principal: name,
        label: "robot".parse().unwrap(),
        created_ms: 6_000,
        expires_ms: 7_000,
    };
    state.add_certificate(certificate).unwrap();
    let secret = Secret::fixed(3);
    let info = TokenInfo {
        id: secret.id(),
        label: Label::session(),
        principal: "corp/alice@example.org".parse().unwrap(),
        kind: TokenKind::Session,
        groups: ["corp/Domain%20Users".parse().unwrap()].into(),
        scopes: Scopes::All,
        created_ms: 8_000,
        expires_ms: Some(9_000),
    };
    state.add_token(8_000, Token { info, hash: secret.hash() }).unwrap();
    for (subject, role, pattern) in [
        ("corp/alice@example.org", Role::Writer, "@lab/*"),
        ("group:staff", Role::Reader, "@lab/*"),
        ("group:corp/Domain%20Users", Role::Reader, "@lab/*"),
    ] {
        let (subject, pattern) = (subject.parse().unwrap(), pattern.parse().unwrap());
        state.add_grant(Grant { subject, role, pattern }).unwrap();
    }
    state
}

/// Version 2, for ever.
#[test]
fn golden_state_of_version_2() {
    let bytes = sample_2().encode().unwrap();
    let golden = include_bytes!("golden_2.bin");
    assert_eq!(State::decode(golden).unwrap(), sample_2());
    assert!(bytes == golden, "the bytes that are written have changed");
    assert_eq!(bytes[4], 2);
    let json = std::str::from_utf8(open(golden).unwrap()).unwrap();
    for secret in ["cairn_", "correct horse"] {
        assert!(!json.contains(secret), "ACCESS-3");
    }
}

#[test]
fn what_is_written_is_read() {
    for state in [State::default(), sample(), sample_2()] {
        assert_eq!(State::decode(&state.encode().unwrap()).unwrap(), state);
    }
}

/// A flipped bit or a lost end is damage, never another permission.
#[test]
fn every_flipped_bit_is_corrupt() {
    let bytes = sample().encode().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(is_corrupt(&bad), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(is_corrupt(&bytes[..len]), "length {len}");
    }
    assert!(is_corrupt(&[bytes.as_slice(), &[0]].concat()));
    assert!(is_corrupt(&vec![0; STATE_BYTES_MAX + 1]));
}

fn check(json: &str, expected: Expect) {
    let text = match State::decode(&envelope(VERSION, json.as_bytes()).unwrap()) {
        Ok(_) => "accepted".to_owned(),
        Err(Error::Corrupt { offset, detail }) => format!("corrupt at {offset}: {detail}"),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&text);
}

/// A checksum that fits makes no bad state a good one.
#[test]
fn what_does_not_belong_is_refused() {
    let rest = r#""tokens":[],"grants":[]"#;
    check(&format!(r#"{{"version":1,"principals":[],{rest}}}"#), expect!["accepted"]);
    check(
        &format!(r#"{{"version":1,"principals":[],{rest},"more":1}}"#),
        expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 59"],
    );
    check(
        &format!(r#"{{"version":1,"version":1,"principals":[],{rest}}}"#),
        expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 22"],
    );
    check(
        &format!(r#"{{"version":3,"principals":[],{rest},"more":1}}"#),
        expect!["access/state has format version 3, this program reads up to 2; update cairn"],
    );
    check(
        &format!(r#"{{"version":0,"principals":[],{rest}}}"#),
        expect!["corrupt at 4: version 0"],
    );
    check(
        r#"{"version":1,"principals":[]}"#,
        expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 29"],
    );
    check("", expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 0"]);
    check("[]", expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 2"]);
    check(
        &"[".repeat(100_000),
        expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 1"],
    );
}

/// What a faulty program wrote is held to the same rules as a change.
#[test]
fn what_breaks_the_rules_is_refused() {
    let rest = r#""tokens":[],"grants":[]"#;
    let one = r#"{"name":"a","created_ms":0}"#;
    check(
        &format!(r#"{{"version":1,"principals":[{one},{one}],{rest}}}"#),
        expect!["corrupt at 12: there is a principal a already"],
    );
    let bad = r#"{"name":"anonymous","created_ms":0}"#;
    check(
        &format!(r#"{{"version":1,"principals":[{bad}],{rest}}}"#),
        expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 46"],
    );
    let grants = |grant: &str| {
        format!(r#"{{"version":1,"principals":[{one}],"tokens":[],"grants":[{grant}]}}"#)
    };
    check(&grants(r#"{"subject":"a","role":"admin","pattern":"@*/*"}"#), expect!["accepted"]);
    check(
        &grants(r#"{"subject":"b","role":"admin","pattern":"@*/*"}"#),
        expect!["corrupt at 12: there is no principal b; create it first"],
    );
    check(
        &grants(r#"{"subject":"a","role":"owner","pattern":"@*/*"}"#),
        expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 107"],
    );
    check(
        &grants(r#"{"subject":"a","role":"admin","pattern":"@*"}"#),
        expect!["corrupt at 12: not the JSON that belongs here, at line 1 column 123"],
    );
    check(
        &grants(r#"{"subject":"anonymous","role":"writer","pattern":"a"}"#),
        expect![
            "corrupt at 12: anonymous callers can only read; grant it to `authenticated` instead"
        ],
    );
}

#[test]
fn a_later_layout_is_told_from_damage() {
    let later = envelope(3, b"{}").unwrap();
    assert!(matches!(State::decode(&later), Err(Error::LaterVersion { found: 3, known: 2 })));
}

#[test]
fn a_state_too_large_is_not_written() {
    let json = vec![b' '; STATE_BYTES_MAX - HEADER_BYTES - HASH_BYTES + 1];
    assert!(matches!(envelope(VERSION, &json), Err(Error::TooMany { .. })));
    assert!(envelope(VERSION, &json[1..]).is_ok());
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(is_corrupt(&bytes));
    }

    /// Damage that a checksum cannot see, because whoever made it wrote the checksum too.
    #[test]
    fn hostile_json_never_panics(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let golden = include_bytes!("golden_1.bin");
        let mut json = open(golden).unwrap().to_vec();
        let at = at.index(json.len());
        json[at] = with;
        let bytes = envelope(VERSION, &json).unwrap();
        if let Ok(state) = State::decode(&bytes) {
            prop_assert!(State::decode(&state.encode().unwrap()).is_ok());
        }
    }
}
