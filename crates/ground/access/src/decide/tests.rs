#![allow(clippy::too_many_lines, reason = "each is a table of decisions")]

use std::sync::Arc;

use cairn_env::SeededRng;
use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::grant::Scope;
use crate::principal::{Principal, PrincipalName};
use crate::state::Token;
use crate::token::{Secret, TokenKind};

const NOW_MS: i64 = 1_000_000;

/// A state in which `p` exists, with these grants (`subject role pattern`).
fn state(grants: &[&str]) -> State {
    let mut state = State::default();
    let name: PrincipalName = "p".parse().unwrap();
    state.add_principal(Principal::new(name, 0)).unwrap();
    for line in grants {
        state.add_grant(grant(line)).unwrap();
    }
    state
}

fn grant(line: &str) -> Grant {
    let words: Vec<&str> = line.split(' ').collect();
    Grant {
        subject: words[0].parse().unwrap(),
        role: words[1].parse().unwrap(),
        pattern: words[2].parse().unwrap(),
    }
}

/// A snapshot of `state` and a caller with a token of `p` with these scopes (`role pattern`).
fn signed_in(mut state: State, scopes: &[&str]) -> (Snapshot, Caller) {
    let scopes = scopes.iter().map(|line| {
        let (role, pattern) = line.split_once(' ').unwrap();
        Scope { role: role.parse().unwrap(), pattern: pattern.parse().unwrap() }
    });
    let scopes: Vec<Scope> = scopes.collect();
    let secret = Secret::random(&SeededRng::new(1));
    let info = TokenInfo {
        kind: TokenKind::Api,
        groups: BTreeSet::new(),
        id: secret.id(),
        label: "t".parse().unwrap(),
        principal: "p".parse().unwrap(),
        scopes: if scopes.is_empty() { Scopes::All } else { Scopes::Only(scopes) },
        created_ms: 0,
        expires_ms: Some(NOW_MS + 1),
    };
    state.add_token(NOW_MS, Token { info, hash: secret.hash() }).unwrap();
    let snapshot = Snapshot { state: Arc::new(state), now_ms: NOW_MS };
    let header = format!("Bearer {}", secret.plain().expose());
    let caller = snapshot.authenticate(Some(&header)).unwrap();
    (snapshot, caller)
}

fn anonymous(state: State) -> (Snapshot, Caller) {
    (Snapshot { state: Arc::new(state), now_ms: NOW_MS }, Caller::Anonymous)
}

fn resource(text: &str) -> Resource {
    text.parse::<Pattern>().unwrap().into()
}

fn verdict(snapshot: &Snapshot, caller: &Caller, action: Action, resource: &Resource) -> String {
    match snapshot.authorize(caller, action, resource) {
        Decision::Allowed { .. } => "yes".to_owned(),
        Decision::Denied { reason: Reason::Anonymous } => "sign in".to_owned(),
        Decision::Denied { reason: Reason::NoGrant { .. } } => "-".to_owned(),
        Decision::Denied { reason: Reason::Role { has, .. } } => format!("only {has}"),
        Decision::Denied { reason: Reason::Scope } => "scope".to_owned(),
        Decision::Denied { reason } => format!("{reason:?}"),
    }
}

/// A table of every action on resources of every kind.
fn matrix(snapshot: &Snapshot, caller: &Caller) -> String {
    let resources = ["@lab/a", "@lab/b", "@main/a", "@lab/a*", "@lab/*", "@*/*"].map(resource);
    let mut table = format!("{:18}", "");
    for resource in &resources {
        table += &format!("{:12}", resource.to_string());
    }
    for action in Action::all() {
        table = format!("{}\n{:18}", table.trim_end(), action.to_string());
        for resource in &resources {
            table += &format!("{:12}", verdict(snapshot, caller, action, resource));
        }
    }
    table.trim_end().to_owned() + "\n"
}

fn check(grants: &[&str], scopes: &[&str], expected: expect_test::Expect) {
    let (snapshot, caller) = signed_in(state(grants), scopes);
    expected.assert_eq(&matrix(&snapshot, &caller));
}

/// ACCESS-4: without a grant, everything is denied, signed in or not.
#[test]
fn access_4_nothing_without_a_grant() {
    check(
        &[],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     -           -           -           -           -           -
            read_dataset      -           -           -           -           -           -
            write_dataset     -           -           -           -           -           -
            delete_dataset    -           -           -           -           -           -
            set_retention     -           -           -           -           -           -
            read_keys         -           -           -           -           -           -
            write_keys        -           -           -           -           -           -
            set_namespace     -           -           -           -           -           -
            remove_namespace  -           -           -           -           -           -
            invoke_function   -           -           -           -           -           -
            read_function     -           -           -           -           -           -
            deploy_function   -           -           -           -           -           -
            remove_function   -           -           -           -           -           -
            read_metrics      -           -           -           -           -           -
            maintain          -           -           -           -           -           -
            manage_access     -           -           -           -           -           -
            list_grants       -           -           -           -           -           -
            manage_grants     -           -           -           -           -           -
            manage_own_tokens -           -           -           -           -           -
            read_audit        -           -           -           -           -           -
        "#]],
    );
    let (snapshot, caller) = anonymous(state(&["p admin @*/*", "authenticated admin @*/*"]));
    expect![[r#"
                          @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
        list_datasets     sign in     sign in     sign in     sign in     sign in     sign in
        read_dataset      sign in     sign in     sign in     sign in     sign in     sign in
        write_dataset     sign in     sign in     sign in     sign in     sign in     sign in
        delete_dataset    sign in     sign in     sign in     sign in     sign in     sign in
        set_retention     sign in     sign in     sign in     sign in     sign in     sign in
        read_keys         sign in     sign in     sign in     sign in     sign in     sign in
        write_keys        sign in     sign in     sign in     sign in     sign in     sign in
        set_namespace     sign in     sign in     sign in     sign in     sign in     sign in
        remove_namespace  sign in     sign in     sign in     sign in     sign in     sign in
        invoke_function   sign in     sign in     sign in     sign in     sign in     sign in
        read_function     sign in     sign in     sign in     sign in     sign in     sign in
        deploy_function   sign in     sign in     sign in     sign in     sign in     sign in
        remove_function   sign in     sign in     sign in     sign in     sign in     sign in
        read_metrics      sign in     sign in     sign in     sign in     sign in     sign in
        maintain          sign in     sign in     sign in     sign in     sign in     sign in
        manage_access     sign in     sign in     sign in     sign in     sign in     sign in
        list_grants       sign in     sign in     sign in     sign in     sign in     sign in
        manage_grants     sign in     sign in     sign in     sign in     sign in     sign in
        manage_own_tokens sign in     sign in     sign in     sign in     sign in     sign in
        read_audit        sign in     sign in     sign in     sign in     sign in     sign in
    "#]]
    .assert_eq(&matrix(&snapshot, &caller));
}

#[test]
fn roles_on_one_dataset() {
    check(
        &["p reader @lab/a"],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         -           -           yes         yes         yes
            read_dataset      yes         -           -           -           -           -
            write_dataset     only reader -           -           -           -           -
            delete_dataset    only reader -           -           -           -           -
            set_retention     only reader -           -           -           -           -
            read_keys         yes         -           -           -           -           -
            write_keys        only reader -           -           -           -           -
            set_namespace     only reader -           -           -           -           -
            remove_namespace  only reader -           -           -           -           -
            invoke_function   only reader -           -           -           -           -
            read_function     yes         -           -           -           -           -
            deploy_function   only reader -           -           -           -           -
            remove_function   only reader -           -           -           -           -
            read_metrics      -           -           -           -           -           -
            maintain          -           -           -           -           -           -
            manage_access     -           -           -           -           -           -
            list_grants       only reader -           -           only reader only reader only reader
            manage_grants     only reader -           -           -           -           -
            manage_own_tokens only reader -           -           only reader only reader only reader
            read_audit        -           -           -           -           -           -
        "#]],
    );
    check(
        &["p writer @lab/a"],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         -           -           yes         yes         yes
            read_dataset      yes         -           -           -           -           -
            write_dataset     yes         -           -           -           -           -
            delete_dataset    yes         -           -           -           -           -
            set_retention     yes         -           -           -           -           -
            read_keys         yes         -           -           -           -           -
            write_keys        yes         -           -           -           -           -
            set_namespace     yes         -           -           -           -           -
            remove_namespace  yes         -           -           -           -           -
            invoke_function   yes         -           -           -           -           -
            read_function     yes         -           -           -           -           -
            deploy_function   yes         -           -           -           -           -
            remove_function   yes         -           -           -           -           -
            read_metrics      -           -           -           -           -           -
            maintain          -           -           -           -           -           -
            manage_access     -           -           -           -           -           -
            list_grants       only writer -           -           only writer only writer only writer
            manage_grants     only writer -           -           -           -           -
            manage_own_tokens only writer -           -           only writer only writer only writer
            read_audit        -           -           -           -           -           -
        "#]],
    );
    check(
        &["p admin @lab/a"],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         -           -           yes         yes         yes
            read_dataset      yes         -           -           -           -           -
            write_dataset     yes         -           -           -           -           -
            delete_dataset    yes         -           -           -           -           -
            set_retention     yes         -           -           -           -           -
            read_keys         yes         -           -           -           -           -
            write_keys        yes         -           -           -           -           -
            set_namespace     yes         -           -           -           -           -
            remove_namespace  yes         -           -           -           -           -
            invoke_function   yes         -           -           -           -           -
            read_function     yes         -           -           -           -           -
            deploy_function   yes         -           -           -           -           -
            remove_function   yes         -           -           -           -           -
            read_metrics      -           -           -           -           -           -
            maintain          -           -           -           -           -           -
            manage_access     -           -           -           -           -           -
            list_grants       yes         -           -           yes         yes         yes
            manage_grants     yes         -           -           -           -           -
            manage_own_tokens yes         -           -           yes         yes         yes
            read_audit        -           -           -           -           -           -
        "#]],
    );
}

#[test]
fn roles_on_a_project() {
    check(
        &["p writer @lab/*"],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         yes         -           yes         yes         yes
            read_dataset      yes         yes         -           yes         yes         -
            write_dataset     yes         yes         -           yes         yes         -
            delete_dataset    yes         yes         -           yes         yes         -
            set_retention     yes         yes         -           yes         yes         -
            read_keys         yes         yes         -           yes         yes         -
            write_keys        yes         yes         -           yes         yes         -
            set_namespace     yes         yes         -           yes         yes         -
            remove_namespace  yes         yes         -           yes         yes         -
            invoke_function   yes         yes         -           yes         yes         -
            read_function     yes         yes         -           yes         yes         -
            deploy_function   yes         yes         -           yes         yes         -
            remove_function   yes         yes         -           yes         yes         -
            read_metrics      -           -           -           -           -           -
            maintain          -           -           -           -           -           -
            manage_access     -           -           -           -           -           -
            list_grants       only writer only writer -           only writer only writer only writer
            manage_grants     only writer only writer -           only writer only writer -
            manage_own_tokens only writer only writer -           only writer only writer only writer
            read_audit        -           -           -           -           -           -
        "#]],
    );
}

#[test]
fn roles_on_everything() {
    check(
        &["p reader @*/*"],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         yes         yes         yes         yes         yes
            read_dataset      yes         yes         yes         yes         yes         yes
            write_dataset     only reader only reader only reader only reader only reader only reader
            delete_dataset    only reader only reader only reader only reader only reader only reader
            set_retention     only reader only reader only reader only reader only reader only reader
            read_keys         yes         yes         yes         yes         yes         yes
            write_keys        only reader only reader only reader only reader only reader only reader
            set_namespace     only reader only reader only reader only reader only reader only reader
            remove_namespace  only reader only reader only reader only reader only reader only reader
            invoke_function   only reader only reader only reader only reader only reader only reader
            read_function     yes         yes         yes         yes         yes         yes
            deploy_function   only reader only reader only reader only reader only reader only reader
            remove_function   only reader only reader only reader only reader only reader only reader
            read_metrics      yes         yes         yes         yes         yes         yes
            maintain          only reader only reader only reader only reader only reader only reader
            manage_access     only reader only reader only reader only reader only reader only reader
            list_grants       only reader only reader only reader only reader only reader only reader
            manage_grants     only reader only reader only reader only reader only reader only reader
            manage_own_tokens only reader only reader only reader only reader only reader only reader
            read_audit        only reader only reader only reader only reader only reader only reader
        "#]],
    );
    check(
        &["p writer @*/*"],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         yes         yes         yes         yes         yes
            read_dataset      yes         yes         yes         yes         yes         yes
            write_dataset     yes         yes         yes         yes         yes         yes
            delete_dataset    yes         yes         yes         yes         yes         yes
            set_retention     yes         yes         yes         yes         yes         yes
            read_keys         yes         yes         yes         yes         yes         yes
            write_keys        yes         yes         yes         yes         yes         yes
            set_namespace     yes         yes         yes         yes         yes         yes
            remove_namespace  yes         yes         yes         yes         yes         yes
            invoke_function   yes         yes         yes         yes         yes         yes
            read_function     yes         yes         yes         yes         yes         yes
            deploy_function   yes         yes         yes         yes         yes         yes
            remove_function   yes         yes         yes         yes         yes         yes
            read_metrics      yes         yes         yes         yes         yes         yes
            maintain          only writer only writer only writer only writer only writer only writer
            manage_access     only writer only writer only writer only writer only writer only writer
            list_grants       only writer only writer only writer only writer only writer only writer
            manage_grants     only writer only writer only writer only writer only writer only writer
            manage_own_tokens only writer only writer only writer only writer only writer only writer
            read_audit        only writer only writer only writer only writer only writer only writer
        "#]],
    );
    check(
        &["p admin @*/*"],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         yes         yes         yes         yes         yes
            read_dataset      yes         yes         yes         yes         yes         yes
            write_dataset     yes         yes         yes         yes         yes         yes
            delete_dataset    yes         yes         yes         yes         yes         yes
            set_retention     yes         yes         yes         yes         yes         yes
            read_keys         yes         yes         yes         yes         yes         yes
            write_keys        yes         yes         yes         yes         yes         yes
            set_namespace     yes         yes         yes         yes         yes         yes
            remove_namespace  yes         yes         yes         yes         yes         yes
            invoke_function   yes         yes         yes         yes         yes         yes
            read_function     yes         yes         yes         yes         yes         yes
            deploy_function   yes         yes         yes         yes         yes         yes
            remove_function   yes         yes         yes         yes         yes         yes
            read_metrics      yes         yes         yes         yes         yes         yes
            maintain          yes         yes         yes         yes         yes         yes
            manage_access     yes         yes         yes         yes         yes         yes
            list_grants       yes         yes         yes         yes         yes         yes
            manage_grants     yes         yes         yes         yes         yes         yes
            manage_own_tokens yes         yes         yes         yes         yes         yes
            read_audit        yes         yes         yes         yes         yes         yes
        "#]],
    );
}

#[test]
fn grants_add_up() {
    check(
        &["p reader @*/*", "authenticated writer @lab/b"],
        &[],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         yes         yes         yes         yes         yes
            read_dataset      yes         yes         yes         yes         yes         yes
            write_dataset     only reader yes         only reader only reader only reader only reader
            delete_dataset    only reader yes         only reader only reader only reader only reader
            set_retention     only reader yes         only reader only reader only reader only reader
            read_keys         yes         yes         yes         yes         yes         yes
            write_keys        only reader yes         only reader only reader only reader only reader
            set_namespace     only reader yes         only reader only reader only reader only reader
            remove_namespace  only reader yes         only reader only reader only reader only reader
            invoke_function   only reader yes         only reader only reader only reader only reader
            read_function     yes         yes         yes         yes         yes         yes
            deploy_function   only reader yes         only reader only reader only reader only reader
            remove_function   only reader yes         only reader only reader only reader only reader
            read_metrics      yes         yes         yes         yes         yes         yes
            maintain          only reader only reader only reader only reader only reader only reader
            manage_access     only reader only reader only reader only reader only reader only reader
            list_grants       only reader only writer only reader only reader only writer only writer
            manage_grants     only reader only writer only reader only reader only reader only reader
            manage_own_tokens only reader only writer only reader only reader only writer only writer
            read_audit        only reader only reader only reader only reader only reader only reader
        "#]],
    );
}

/// A scope leaves of the principal's rights only what it covers, and never adds one.
#[test]
fn scopes_limit() {
    check(
        &["p admin @*/*"],
        &["reader @lab/*"],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         yes         scope       yes         yes         yes
            read_dataset      yes         yes         scope       yes         yes         scope
            write_dataset     scope       scope       scope       scope       scope       scope
            delete_dataset    scope       scope       scope       scope       scope       scope
            set_retention     scope       scope       scope       scope       scope       scope
            read_keys         yes         yes         scope       yes         yes         scope
            write_keys        scope       scope       scope       scope       scope       scope
            set_namespace     scope       scope       scope       scope       scope       scope
            remove_namespace  scope       scope       scope       scope       scope       scope
            invoke_function   scope       scope       scope       scope       scope       scope
            read_function     yes         yes         scope       yes         yes         scope
            deploy_function   scope       scope       scope       scope       scope       scope
            remove_function   scope       scope       scope       scope       scope       scope
            read_metrics      scope       scope       scope       scope       scope       scope
            maintain          scope       scope       scope       scope       scope       scope
            manage_access     scope       scope       scope       scope       scope       scope
            list_grants       scope       scope       scope       scope       scope       scope
            manage_grants     scope       scope       scope       scope       scope       scope
            manage_own_tokens scope       scope       scope       scope       scope       scope
            read_audit        scope       scope       scope       scope       scope       scope
        "#]],
    );
    check(
        &["p reader @lab/a"],
        &["admin @*/*"],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     yes         -           -           yes         yes         yes
            read_dataset      yes         -           -           -           -           -
            write_dataset     only reader -           -           -           -           -
            delete_dataset    only reader -           -           -           -           -
            set_retention     only reader -           -           -           -           -
            read_keys         yes         -           -           -           -           -
            write_keys        only reader -           -           -           -           -
            set_namespace     only reader -           -           -           -           -
            remove_namespace  only reader -           -           -           -           -
            invoke_function   only reader -           -           -           -           -
            read_function     yes         -           -           -           -           -
            deploy_function   only reader -           -           -           -           -
            remove_function   only reader -           -           -           -           -
            read_metrics      -           -           -           -           -           -
            maintain          -           -           -           -           -           -
            manage_access     -           -           -           -           -           -
            list_grants       only reader -           -           only reader only reader only reader
            manage_grants     only reader -           -           -           -           -
            manage_own_tokens only reader -           -           only reader only reader only reader
            read_audit        -           -           -           -           -           -
        "#]],
    );
    check(
        &["p admin @*/*", "anonymous reader @main/*"],
        &["writer @lab/b"],
        expect![[r#"
                              @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
            list_datasets     scope       yes         yes         scope       yes         yes
            read_dataset      scope       yes         yes         scope       scope       scope
            write_dataset     scope       yes         scope       scope       scope       scope
            delete_dataset    scope       yes         scope       scope       scope       scope
            set_retention     scope       yes         scope       scope       scope       scope
            read_keys         scope       yes         yes         scope       scope       scope
            write_keys        scope       yes         scope       scope       scope       scope
            set_namespace     scope       yes         scope       scope       scope       scope
            remove_namespace  scope       yes         scope       scope       scope       scope
            invoke_function   scope       yes         scope       scope       scope       scope
            read_function     scope       yes         yes         scope       scope       scope
            deploy_function   scope       yes         scope       scope       scope       scope
            remove_function   scope       yes         scope       scope       scope       scope
            read_metrics      scope       scope       scope       scope       scope       scope
            maintain          scope       scope       scope       scope       scope       scope
            manage_access     scope       scope       scope       scope       scope       scope
            list_grants       scope       scope       scope       scope       scope       scope
            manage_grants     scope       scope       scope       scope       scope       scope
            manage_own_tokens scope       scope       scope       scope       scope       scope
            read_audit        scope       scope       scope       scope       scope       scope
        "#]],
    );
}

#[test]
fn anonymous_reads_what_a_grant_opens() {
    let (snapshot, caller) = anonymous(state(&["anonymous reader @lab/a*"]));
    expect![[r#"
                          @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
        list_datasets     yes         sign in     sign in     yes         yes         yes
        read_dataset      yes         sign in     sign in     yes         sign in     sign in
        write_dataset     sign in     sign in     sign in     sign in     sign in     sign in
        delete_dataset    sign in     sign in     sign in     sign in     sign in     sign in
        set_retention     sign in     sign in     sign in     sign in     sign in     sign in
        read_keys         yes         sign in     sign in     yes         sign in     sign in
        write_keys        sign in     sign in     sign in     sign in     sign in     sign in
        set_namespace     sign in     sign in     sign in     sign in     sign in     sign in
        remove_namespace  sign in     sign in     sign in     sign in     sign in     sign in
        invoke_function   sign in     sign in     sign in     sign in     sign in     sign in
        read_function     yes         sign in     sign in     yes         sign in     sign in
        deploy_function   sign in     sign in     sign in     sign in     sign in     sign in
        remove_function   sign in     sign in     sign in     sign in     sign in     sign in
        read_metrics      sign in     sign in     sign in     sign in     sign in     sign in
        maintain          sign in     sign in     sign in     sign in     sign in     sign in
        manage_access     sign in     sign in     sign in     sign in     sign in     sign in
        list_grants       sign in     sign in     sign in     sign in     sign in     sign in
        manage_grants     sign in     sign in     sign in     sign in     sign in     sign in
        manage_own_tokens sign in     sign in     sign in     sign in     sign in     sign in
        read_audit        sign in     sign in     sign in     sign in     sign in     sign in
    "#]]
    .assert_eq(&matrix(&snapshot, &caller));
    let may_read = |project: &str, name: &str| {
        snapshot.may_read(&Caller::Anonymous, &project.parse().unwrap(), &name.parse().unwrap())
    };
    let (everything, caller) = anonymous(state(&["anonymous reader @*/*"]));
    expect![[r#"
                          @lab/a      @lab/b      @main/a     @lab/a*     @lab/*      @*/*
        list_datasets     yes         yes         yes         yes         yes         yes
        read_dataset      yes         yes         yes         yes         yes         yes
        write_dataset     sign in     sign in     sign in     sign in     sign in     sign in
        delete_dataset    sign in     sign in     sign in     sign in     sign in     sign in
        set_retention     sign in     sign in     sign in     sign in     sign in     sign in
        read_keys         yes         yes         yes         yes         yes         yes
        write_keys        sign in     sign in     sign in     sign in     sign in     sign in
        set_namespace     sign in     sign in     sign in     sign in     sign in     sign in
        remove_namespace  sign in     sign in     sign in     sign in     sign in     sign in
        invoke_function   sign in     sign in     sign in     sign in     sign in     sign in
        read_function     yes         yes         yes         yes         yes         yes
        deploy_function   sign in     sign in     sign in     sign in     sign in     sign in
        remove_function   sign in     sign in     sign in     sign in     sign in     sign in
        read_metrics      sign in     sign in     sign in     sign in     sign in     sign in
        maintain          sign in     sign in     sign in     sign in     sign in     sign in
        manage_access     sign in     sign in     sign in     sign in     sign in     sign in
        list_grants       sign in     sign in     sign in     sign in     sign in     sign in
        manage_grants     sign in     sign in     sign in     sign in     sign in     sign in
        manage_own_tokens sign in     sign in     sign in     sign in     sign in     sign in
        read_audit        sign in     sign in     sign in     sign in     sign in     sign in
    "#]]
    .assert_eq(&matrix(&everything, &caller));
    assert!(may_read("lab", "abc"));
    assert!(!may_read("lab", "b"));
    assert!(!may_read("main", "a"));
}

/// ACCESS-5: a caller who was let in is denied once the token is gone or its time is over.
#[test]
fn access_5_the_token_is_looked_up_at_every_decision() {
    let (snapshot, caller) = signed_in(state(&["p admin @*/*", "anonymous reader @*/*"]), &[]);
    let read =
        |snapshot: &Snapshot| verdict(snapshot, &caller, Action::ReadDataset, &resource("@lab/a"));
    assert_eq!(read(&snapshot), "yes");
    let later = Snapshot { now_ms: NOW_MS + 1, ..snapshot.clone() };
    assert_eq!(read(&later), "Expired");
    assert!(matches!(later.whoami(&caller), Err(Error::Expired { .. })));
    let mut revoked = (*snapshot.state).clone();
    revoked.tokens.clear();
    let revoked = Snapshot { state: Arc::new(revoked), now_ms: NOW_MS };
    assert_eq!(read(&revoked), "Revoked");
    assert!(matches!(revoked.whoami(&caller), Err(Error::Unknown)));
}

#[test]
fn an_explanation_names_every_grant() {
    let grants = ["p reader @lab/*", "p writer @main/*", "authenticated writer @lab/a"];
    let (snapshot, _) = signed_in(state(&grants), &[]);
    let explain = |who: &str, action, on: &str| {
        let explained = snapshot.explain(&who.parse().unwrap(), action, &resource(on)).unwrap();
        let mut text = match explained.decision {
            Decision::Allowed { by } => format!("allowed by {by}"),
            Decision::Denied { reason } => format!("denied: {reason}"),
        };
        for (grant, verdict) in &explained.grants {
            text += &format!("\n{} {grant}: {verdict:?}", grant.id());
        }
        text + "\n"
    };
    expect![[r#"
        allowed by 7w5aqkw51ek8kefr
        b527g9psmh046kpq p is reader on @lab/*: RoleTooWeak
        pzvfrv3g30pm8s08 p is writer on @main/*: ElsewhereOnly
        7w5aqkw51ek8kefr authenticated is writer on @lab/a: Allows
    "#]]
    .assert_eq(&explain("p", Action::WriteDataset, "@lab/a"));
    expect![[r#"
        denied: you are reader there and it takes writer; ask an administrator for it
        b527g9psmh046kpq p is reader on @lab/*: RoleTooWeak
        pzvfrv3g30pm8s08 p is writer on @main/*: ElsewhereOnly
        7w5aqkw51ek8kefr authenticated is writer on @lab/a: ElsewhereOnly
    "#]]
    .assert_eq(&explain("p", Action::WriteDataset, "@lab/b"));
    expect![[r#"
        denied: it is not open to everybody; show a token
    "#]]
    .assert_eq(&explain("anonymous", Action::ReadDataset, "@lab/b"));
    expect![[r#"
        allowed by 7w5aqkw51ek8kefr
        7w5aqkw51ek8kefr authenticated is writer on @lab/a: Allows
    "#]]
    .assert_eq(&explain("authenticated", Action::WriteDataset, "@lab/a"));
    let nobody = "nobody".parse().unwrap();
    let error = snapshot.explain(&nobody, Action::ReadDataset, &Resource::Cluster).unwrap_err();
    assert!(matches!(error, Error::NoPrincipal { .. }));
}

#[test]
fn a_denial_says_what_to_do() {
    let (snapshot, caller) = signed_in(state(&["p reader @lab/a"]), &[]);
    let on = resource("@lab/a");
    let decision = snapshot.authorize(&caller, Action::WriteDataset, &on);
    let error = decision.into_result(Action::WriteDataset, &on).unwrap_err();
    assert!(!error.asks_for_credential());
    let shown = error.to_string();
    let (what, why) = shown.split_once(": ").unwrap();
    assert_eq!(what, "write_dataset on @lab/a is denied");
    assert_eq!(why, "you are reader there and it takes writer; ask an administrator for it");
    let decision = snapshot.authorize(&Caller::Anonymous, Action::WriteDataset, &on);
    let error = decision.into_result(Action::WriteDataset, &on).unwrap_err();
    assert!(error.asks_for_credential());
    expect!["write_dataset on @lab/a is denied: it is not open to everybody; show a token"]
        .assert_eq(&error.to_string());
}

/// The rule in one sentence: some grant to one of the caller's subjects has the role and the place,
/// and so has some scope, unless the grant is to everybody.
fn model(grants: &[Grant], scopes: Option<&[Scope]>, action: Action, on: &Resource) -> bool {
    let cluster = matches!(
        action,
        Action::ReadMetrics | Action::Maintain | Action::ManageAccess | Action::ReadAudit
    );
    let about = |pattern: &Pattern| match action {
        Action::ListDatasets | Action::ListGrants | Action::ManageOwnTokens => pattern.touches(on),
        _ if cluster => *pattern == Pattern::everything(),
        _ => pattern.covers(on),
    };
    let enough = |role: Role| match action.needs() {
        Role::Invoker => role != Role::Reader,
        needs => role >= needs,
    };
    grants.iter().any(|grant| {
        let fits = enough(grant.role) && about(&grant.pattern);
        let mine = grant.subject.to_string() == "p" || grant.subject == Subject::Authenticated;
        let scoped = scopes.is_none_or(|scopes| {
            scopes.iter().any(|scope| enough(scope.role) && about(&scope.pattern))
        });
        fits && (grant.subject == Subject::Anonymous && !cluster || mine && scoped)
    })
}

fn any_pattern() -> impl Strategy<Value = String> {
    "@(\\*|[ab]\\*?)/(\\*|[ab]\\*?)"
}

fn any_grant() -> impl Strategy<Value = String> {
    let subject = prop_oneof![Just("p"), Just("q"), Just("authenticated")];
    let role = prop_oneof![Just("invoker"), Just("reader"), Just("writer"), Just("admin")];
    let named = (subject, role, any_pattern()).prop_map(|(s, r, p)| format!("{s} {r} {p}"));
    prop_oneof![3 => named, 1 => any_pattern().prop_map(|p| format!("anonymous reader {p}"))]
}

fn any_scope() -> impl Strategy<Value = String> {
    let role = prop_oneof![Just("invoker"), Just("reader"), Just("writer"), Just("admin")];
    (role, any_pattern()).prop_map(|(role, pattern)| format!("{role} {pattern}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// ACCESS-8: a token whose scopes are within those of another may nothing that the other may not.
    #[test]
    fn access_8_narrower_scopes_allow_no_more(
        grants in proptest::collection::vec(any_grant(), 1..6),
        wide in proptest::collection::vec(any_scope(), 1..4),
        narrow in proptest::collection::vec(any_scope(), 1..3),
        on in "@(\\*|[abc]\\*?)/(\\*|[abc]{1,2}\\*?)",
    ) {
        let mut state = state(&[]);
        state.add_principal(Principal::new("q".parse().unwrap(), 0)).unwrap();
        for line in &grants {
            state.add_grant(grant(line)).unwrap();
        }
        let may = |scopes: &[String], action| {
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let (snapshot, caller) = signed_in(state.clone(), &scopes);
            let scopes = snapshot.tokens().next().unwrap().scopes.clone();
            (scopes, snapshot.authorize(&caller, action, &resource(&on)).is_allowed())
        };
        for action in Action::all() {
            let ((wide, may_wide), (narrow, may_narrow)) = (may(&wide, action), may(&narrow, action));
            prop_assert!(!wide.includes(&narrow) || !may_narrow || may_wide, "{}", action);
        }
    }

    /// ACCESS-1 and ACCESS-4: whatever is asked is decided, and by this rule.
    #[test]
    fn access_1_decisions_agree_with_the_rule(
        grants in proptest::collection::vec(any_grant(), 0..6),
        scopes in proptest::collection::vec(any_scope(), 0..3),
        on in "@(\\*|[abc]\\*?)/(\\*|[abc]{1,2}\\*?)",
    ) {
        let mut state = state(&[]);
        let other: PrincipalName = "q".parse().unwrap();
        state.add_principal(Principal::new(other, 0)).unwrap();
        let grants: Vec<Grant> = grants.iter().map(|line| grant(line)).collect();
        for grant in &grants {
            state.add_grant(grant.clone()).unwrap();
        }
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let (snapshot, caller) = signed_in(state, &scopes);
        let token = snapshot.tokens().next().unwrap();
        let limits = match &token.scopes {
            Scopes::All => None,
            Scopes::Only(list) => Some(list.as_slice()),
        };
        let on = resource(&on);
        for action in Action::all() {
            let decision = snapshot.authorize(&caller, action, &on);
            prop_assert_eq!(decision.is_allowed(), model(&grants, limits, action, &on));
            let open: Vec<Grant> =
                grants.iter().filter(|g| g.subject == Subject::Anonymous).cloned().collect();
            let decision = snapshot.authorize(&Caller::Anonymous, action, &on);
            prop_assert_eq!(decision.is_allowed(), model(&open, None, action, &on));
            if let Decision::Allowed { by } = decision {
                prop_assert!(open.iter().any(|grant| grant.id() == by));
            }
        }
    }
}
