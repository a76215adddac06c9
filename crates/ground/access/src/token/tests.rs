use cairn_env::SeededRng;
use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn secret(seed: u64) -> Secret {
    Secret::random(&SeededRng::new(seed))
}

fn refusal(text: &[u8]) -> &'static str {
    match Secret::parse(text) {
        Ok(_) => "accepted",
        Err(Error::Malformed) => "malformed",
        Err(Error::Mistyped) => "mistyped",
        Err(_) => "another error",
    }
}

/// The format is a promise to stored hashes, scanners and people's key rings.
#[test]
fn golden_token() {
    let secret = Secret::fixed(7);
    expect!["cairn_0w3ge1r70w3ge1r70w3ge1r70w3ge1r70w3ge1r70w3ge1r70w3z5tf5"]
        .assert_eq(secret.plain().expose());
    expect!["v1mjr9ygesnbtzaj"].assert_eq(secret.id().as_str());
    expect![[r#""68e8f5ee946270cb5919fdb77857531f064e99ed73900738b87bcea263116e17""#]]
        .assert_eq(&serde_json::to_string(&secret.hash()).unwrap());
}

#[test]
fn what_is_printed_is_read() {
    for seed in 0..64 {
        let secret = secret(seed);
        let plain = secret.plain();
        assert_eq!(plain.expose().len(), TOKEN_CHARS);
        let read = Secret::parse(plain.expose().as_bytes()).unwrap();
        assert!(read.hash().is(&secret.hash()));
        assert_eq!(read.id(), secret.id());
    }
}

#[test]
fn what_is_no_token_is_told_from_a_typo() {
    let plain = secret(1).plain();
    let good = plain.expose();
    let upper = good.replace("cairn_", "CAIRN_").to_uppercase();
    for (text, expected) in [
        ("", "malformed"),
        ("hunter2", "malformed"),
        ("cairn", "malformed"),
        (upper.as_str(), "malformed"),
        ("cairn_", "mistyped"),
        (&good[..TOKEN_CHARS - 1], "mistyped"),
        (&format!("{good}0"), "mistyped"),
        (&format!("{}u", &good[..TOKEN_CHARS - 1]), "mistyped"),
    ] {
        assert_eq!(refusal(text.as_bytes()), expected, "{text:?}");
    }
}

/// ACCESS-3: neither the secret nor the hash appears where values are printed.
#[test]
fn access_3_debug_shows_no_secret() {
    let secret = secret(3);
    let plain = secret.plain();
    let shown = format!("{secret:?} {plain:?} {:?}", secret.hash());
    assert_eq!(shown, "Secret PlainToken TokenHash");
}

#[test]
fn id_hash_and_checksum_are_independent() {
    let secret = secret(4);
    let hash = serde_json::to_string(&secret.hash()).unwrap();
    let id = base32::decode(secret.id().as_str().as_bytes()).unwrap();
    assert_ne!(TokenHash(blake3::derive_key(HASH_CONTEXT, &id)), secret.hash());
    let id_hex = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(!hash.contains(&id_hex));
    assert_ne!(blake3::derive_key(CHECKSUM_CONTEXT, secret.0.as_ref()), secret.hash().0);
}

proptest! {
    /// Any one character of a token replaced by another is caught before a look-up.
    #[test]
    fn a_typo_is_caught(seed in any::<u64>(), at in 0..TOKEN_CHARS, with in 0_u8..128) {
        let plain = secret(seed).plain();
        let mut text = plain.expose().as_bytes().to_vec();
        prop_assume!(text[at] != with);
        text[at] = with;
        let expected = if at < TOKEN_PREFIX.len() { "malformed" } else { "mistyped" };
        prop_assert_eq!(refusal(&text), expected);
    }

    #[test]
    fn hostile_text_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_ne!(refusal(&text), "accepted");
    }

    #[test]
    fn hostile_bodies_never_panic(body in "[0-9a-z]{56}") {
        let verdict = refusal(format!("{TOKEN_PREFIX}{body}").as_bytes());
        prop_assert_eq!(verdict, "mistyped");
    }

    #[test]
    fn an_id_is_sixteen_characters_of_the_alphabet(text in ".{0,20}") {
        let ok = text.parse::<TokenId>().is_ok();
        let alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
        let expected = text.len() == 16 && text.chars().all(|c| alphabet.contains(c));
        prop_assert_eq!(ok, expected);
    }
}
