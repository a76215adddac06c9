use cairn_env::SeededRng;

use super::*;
use crate::grant::Scope;

const NOW_MS: i64 = 1_000;

fn secret(seed: u64) -> Secret {
    Secret::random(&SeededRng::new(seed))
}

fn token(seed: u64, principal: &str, expires_ms: Option<i64>) -> Token {
    let secret = secret(seed);
    let info = TokenInfo {
        kind: TokenKind::Api,
        groups: BTreeSet::new(),
        id: secret.id(),
        label: "t".parse().unwrap(),
        principal: principal.parse().unwrap(),
        scopes: Scopes::All,
        created_ms: NOW_MS,
        expires_ms,
    };
    Token { info, hash: secret.hash() }
}

fn grant(subject: &str, role: Role, pattern: &str) -> Grant {
    Grant { subject: subject.parse().unwrap(), role, pattern: pattern.parse().unwrap() }
}

fn with_principal(name: &str) -> State {
    let mut state = State::first(NOW_MS, &secret(1));
    let name = name.parse().unwrap();
    state.add_principal(Principal::new(name, NOW_MS)).unwrap();
    state
}

#[test]
fn the_last_admin_stays() {
    let mut state = with_principal("ci");
    let before = state.clone();
    let root = secret(1).id();
    let everything = grant("root", Role::Admin, "@*/*").id();
    assert!(matches!(state.revoke_token(NOW_MS, &root), Err(Error::LastAdmin)));
    assert!(matches!(state.remove_grant(NOW_MS, &everything), Err(Error::LastAdmin)));
    assert!(matches!(
        state.remove_principal(NOW_MS, &PrincipalName::root()),
        Err(Error::LastAdmin)
    ));
    assert_eq!(state, before);
    // A token of somebody who is no admin, or one that is limited or expired, is no way back in.
    state.add_token(NOW_MS, token(2, "ci", None)).unwrap();
    state.add_token(NOW_MS, token(3, "root", Some(NOW_MS))).unwrap();
    let mut limited = token(4, "root", None);
    let scope = Scope { role: Role::Admin, pattern: "@lab/*".parse().unwrap() };
    limited.info.scopes = Scopes::Only(vec![scope]);
    state.add_token(NOW_MS, limited).unwrap();
    assert!(matches!(state.revoke_token(NOW_MS, &root), Err(Error::LastAdmin)));
    state.add_grant(grant("ci", Role::Admin, "@*/*")).unwrap();
    state.revoke_token(NOW_MS, &root).unwrap();
}

#[test]
fn a_principal_goes_with_its_tokens_and_grants() {
    let mut state = with_principal("ci");
    let before = state.clone();
    state.add_token(NOW_MS, token(2, "ci", None)).unwrap();
    state.add_grant(grant("ci", Role::Writer, "@lab/*")).unwrap();
    let mut without = before.clone();
    let name = "ci".parse().unwrap();
    state.remove_principal(NOW_MS, &name).unwrap();
    without.principals.remove(&name);
    assert_eq!(state, without);
    assert!(matches!(state.remove_principal(NOW_MS, &name), Err(Error::NoPrincipal { .. })));
}

#[test]
fn what_refers_to_nobody_is_refused() {
    let mut state = with_principal("ci");
    let before = state.clone();
    let error = state.add_token(NOW_MS, token(2, "cj", None)).unwrap_err();
    assert!(matches!(error, Error::NoPrincipal { .. }));
    let error = state.add_grant(grant("cj", Role::Reader, "*")).unwrap_err();
    assert!(matches!(error, Error::NoPrincipal { .. }));
    let error = state.add_grant(grant("anonymous", Role::Writer, "*")).unwrap_err();
    assert!(matches!(error, Error::AnonymousRole));
    let missing = token(9, "ci", None).info.id;
    assert!(matches!(state.revoke_token(NOW_MS, &missing), Err(Error::NoToken { .. })));
    let missing = grant("ci", Role::Reader, "x").id();
    assert!(matches!(state.remove_grant(NOW_MS, &missing), Err(Error::NoGrant { .. })));
    let twice = Principal::new("ci".parse().unwrap(), NOW_MS);
    assert!(matches!(state.add_principal(twice), Err(Error::PrincipalExists { .. })));
    assert_eq!(state, before);
}

#[test]
fn a_grant_twice_is_one_grant() {
    let mut state = with_principal("ci");
    let first = state.add_grant(grant("ci", Role::Reader, "*")).unwrap();
    let once = state.clone();
    assert_eq!(state.add_grant(grant("ci", Role::Reader, "@main/**")).unwrap(), first);
    assert_eq!(state, once);
}

#[test]
fn scopes_are_bounded() {
    let mut state = with_principal("ci");
    let scope = Scope { role: Role::Reader, pattern: Pattern::everything() };
    let mut one = token(2, "ci", None);
    one.info.scopes = Scopes::Only(Vec::new());
    assert!(matches!(state.add_token(NOW_MS, one.clone()), Err(Error::NoScope)));
    one.info.scopes = Scopes::Only(vec![scope.clone(); SCOPES_MAX + 1]);
    assert!(matches!(state.add_token(NOW_MS, one.clone()), Err(Error::TooMany { .. })));
    one.info.scopes = Scopes::Only(vec![scope; SCOPES_MAX]);
    state.add_token(NOW_MS, one).unwrap();
}

#[test]
fn tokens_are_bounded_and_expired_ones_make_room() {
    let mut state = with_principal("ci");
    for seed in 2..=u64::try_from(TOKENS_MAX).unwrap() {
        let expires_ms = (seed == 7).then_some(NOW_MS + 1);
        state.add_token(NOW_MS, token(seed, "ci", expires_ms)).unwrap();
    }
    assert_eq!(state.tokens.len(), TOKENS_MAX);
    let more = token(1 << 40, "ci", None);
    let error = state.add_token(NOW_MS, more.clone()).unwrap_err();
    assert!(matches!(error, Error::TooMany { max: TOKENS_MAX, .. }));
    state.add_token(NOW_MS + 1, more).unwrap();
    assert_eq!(state.tokens.len(), TOKENS_MAX);
    // The fullest state of plain tokens fits and is read back.
    assert_eq!(State::decode(&state.encode().unwrap()).unwrap(), state);
}

#[test]
fn grants_and_principals_are_bounded() {
    let mut state = State::first(NOW_MS, &secret(1));
    for index in 1..PRINCIPALS_MAX {
        let name = format!("p{index}").parse().unwrap();
        state.add_principal(Principal::new(name, NOW_MS)).unwrap();
    }
    let more = Principal::new("more".parse().unwrap(), NOW_MS);
    assert!(matches!(state.add_principal(more), Err(Error::TooMany { .. })));
    for index in 0..GRANTS_PER_SUBJECT_MAX {
        state.add_grant(grant("p1", Role::Reader, &format!("n{index}"))).unwrap();
    }
    let error = state.add_grant(grant("p1", Role::Reader, "more")).unwrap_err();
    assert!(matches!(error, Error::TooMany { max: GRANTS_PER_SUBJECT_MAX, .. }));
    for index in 0..GRANTS_MAX - GRANTS_PER_SUBJECT_MAX - 1 {
        let subject = format!("p{}", 2 + index % 100);
        let grant = grant(&subject, Role::Reader, &format!("n{index}"));
        state.insert_grant(grant.id(), grant).unwrap();
    }
    let error = state.add_grant(grant("p500", Role::Reader, "more")).unwrap_err();
    assert!(matches!(error, Error::TooMany { max: GRANTS_MAX, .. }));
    assert_eq!(State::decode(&state.encode().unwrap()).unwrap(), state);
}

#[test]
fn recovery_gives_root_back() {
    let mut state = State::default();
    let first = state.recover(NOW_MS, &secret(1)).unwrap();
    assert_eq!(state, State::first(NOW_MS, &secret(1)));
    let second = state.recover(NOW_MS, &secret(2)).unwrap();
    assert_eq!(state.tokens.len(), 2);
    state.revoke_token(NOW_MS, &first.id).unwrap();
    assert!(state.administered(NOW_MS));
    assert_eq!(second.principal, PrincipalName::root().into());
}
