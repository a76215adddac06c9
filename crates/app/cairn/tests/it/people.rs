//! Users, groups, and what they may do: with curl and with `cairn`.

use std::os::unix::fs::PermissionsExt as _;

use crate::documented;
use crate::lab::Lab;
use crate::process::until;
use crate::running_node::Node;
use crate::walker::Walker;

/// Checks the documents of a command against docs/JSON.md.
#[track_caller]
fn check(lab: &Lab, words: &str, section: &str) -> Vec<serde_json::Value> {
    let documents = lab.json(words);
    assert!(!documents.is_empty(), "{words} prints nothing");
    documents.iter().for_each(|document| documented::check(section, document));
    documents
}

/// A node with a dataset, and alice and bob with passwords.
fn start(lab: &Lab) -> (Node, Lab) {
    lab.write("src/a", "a");
    lab.write("alice.txt", "correct horse\n");
    lab.write("bob.txt", "battery staple");
    let node = Node::start(lab);
    let root = lab.through(&node);
    root.ok("push src photos:v1");
    check(&root, "user add alice --password-file alice.txt", "user");
    check(&root, "user add bob --group staff --group ops --password-file bob.txt", "user");
    (node, root)
}

/// ACCESS-2, ACCESS-4: a password lets in its own user, to what a grant gives and no more.
#[test]
fn a_password_lets_in_whom_it_is_of() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    let file = format!("{}/fs/photos/v1/a", node.url);
    let curl = |user: &str| {
        let curl = Walker::new(&lab, "none");
        let page = curl.go(&file, &["-H", "Accept: */*", "-u", user]);
        (page.status, page.body)
    };
    let (status, said) = curl("alice:correct horse");
    assert_eq!(status, 403, "{said}");
    assert!(said.contains("ask an administrator"), "{said}");
    root.ok("grant add alice reader photos");
    until("the grant", || (curl("alice:correct horse").0 == 200).then_some(()));
    assert_eq!(curl("alice:correct horse").1, "a");
    for wrong in ["alice:correct  horse", "alice:", "bob:correct horse", "nobody:correct horse"] {
        assert_eq!(curl(wrong).0, 401, "{wrong}");
    }
    assert_eq!(curl("bob:battery staple").0, 403);
    // A user who is gone, and a password that was taken away.
    root.ok("user password bob --remove");
    until("the end of the password", || (curl("bob:battery staple").0 == 401).then_some(()));
    check(&root, "user rm alice", "rm");
    until("the end of the user", || (curl("alice:correct horse").0 == 401).then_some(()));
    assert!(!root.ok("grant ls").contains("alice"));
    node.stop();
}

/// A session is kept in a profile that only its owner reads, and ends when it is ended.
#[test]
fn a_login_is_kept_in_a_profile() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    root.ok("grant add alice writer photos*");
    let nobody = lab.as_nobody(&node);
    let said = nobody.fails("login --user alice --password-file bob.txt", 4);
    assert!(said.contains("password"), "{said}");
    nobody.fails("login --user mallory --password-file alice.txt", 4);
    // ACCESS-6: also with a name that nobody can have.
    nobody.fails("login --user a*b --password-file alice.txt", 4);
    until("the records", || {
        let log = root.json("audit --door login --outcome refused");
        (log.iter().map(|line| line["count"].as_u64().unwrap()).sum::<u64>() == 3).then_some(())
    });
    let said = nobody.fails("login", 2);
    assert!(said.contains("--user"), "{said}");
    let words = "login --user alice --password-file alice.txt --save-as work";
    let opened = check(&nobody, words, "login").remove(0);
    assert_eq!((&opened["profile"], &opened["principal"]), (&"work".into(), &"alice".into()));
    let config = lab.path("home/.config/cairn/config.toml");
    assert_eq!(config.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&config).unwrap();
    assert!(!kept.contains("correct horse"), "{kept}");

    let alice = lab.by_profile();
    let who = check(&alice, "whoami", "whoami").remove(0);
    assert_eq!((&who["principal"], &who["token"]["kind"]), (&"alice".into(), &"session".into()));
    alice.ok("push src photos-2026:v1");
    alice.fails("push src other:v1", 4);
    alice.fails("user ls", 4);
    let token = kept.lines().find_map(|line| line.strip_prefix("token = ")).unwrap();
    let token = token.trim_matches('"').to_owned();
    let session = nobody.with("CAIRN_TOKEN", &token);
    session.ok("whoami");
    assert!(root.ok("token ls").contains("alice"));
    check(&root, "token ls", "token ls");

    check(&alice, "logout", "logout");
    assert!(!std::fs::read_to_string(&config).unwrap().contains(&token));
    until("the end of the session", || (session.run("whoami").code == Some(4)).then_some(()));
    assert_eq!(alice.run("ls photos").code, Some(4));
    node.stop();
}

/// One signs out everywhere, from any of one's machines.
#[test]
fn a_user_signs_out_everywhere() {
    let lab = Lab::new();
    let (node, _) = start(&lab);
    let nobody = lab.as_nobody(&node);
    nobody.ok("login --user alice --password-file alice.txt --save-as one");
    nobody.ok("login --user alice --password-file alice.txt --save-as two");
    let alice = lab.by_profile();
    alice.ok("--profile one whoami");
    let ended = check(&alice, "--profile two logout --everywhere", "logout").remove(0);
    assert_eq!(ended["ended"], 2);
    until("the end", || (alice.run("--profile one whoami").code == Some(4)).then_some(()));
    node.stop();
}

/// A user changes its own password, which ends what the old one opened.
#[test]
fn a_user_changes_its_password() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    let nobody = lab.as_nobody(&node);
    nobody.ok("login --user alice --password-file alice.txt");
    let alice = lab.by_profile();
    lab.write("short.txt", "short");
    lab.write("new.txt", "brand new horse");
    let said =
        alice.fails("user password --current-password-file alice.txt --password-file short.txt", 2);
    assert!(said.contains("10"), "{said}");
    alice.fails("user password --current-password-file bob.txt --password-file new.txt", 4);
    check(
        &alice,
        "user password --current-password-file alice.txt --password-file new.txt",
        "user",
    );
    until("the end of the session", || (alice.run("whoami").code == Some(4)).then_some(()));
    nobody.fails("login --user alice --password-file alice.txt", 4);
    nobody.ok("login --user alice --password-file new.txt");
    check(&root, "user password alice --password-file alice.txt", "user");
    until("the end of the session", || (alice.run("whoami").code == Some(4)).then_some(()));
    nobody.ok("login --user alice --password-file alice.txt");
    node.stop();
}

/// ACCESS-4: what a group is given its members have, and `access explain` says why.
#[test]
fn groups_give_what_they_are_given() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    check(&root, "grant add group:staff reader photos*", "grant");
    let nobody = lab.as_nobody(&node);
    nobody.ok("login --user bob --password-file bob.txt --save-as bob");
    nobody.ok("login --user alice --password-file alice.txt --save-as alice");
    let (alice, bob) = (
        lab.by_profile().with("CAIRN_PROFILE", "alice"),
        lab.by_profile().with("CAIRN_PROFILE", "bob"),
    );
    let who = check(&bob, "whoami", "whoami").remove(0);
    assert_eq!(who["groups"], serde_json::json!(["ops", "staff"]));
    bob.ok("cat photos:v1/a");
    bob.fails("push src photos:v2", 4);
    alice.fails("cat photos:v1/a", 4);
    let users = check(&root, "user ls", "user ls");
    assert!(users.iter().any(|user| user["name"] == "bob" && user["has_password"] == true));

    let explain = |words: &str| check(&root, &format!("access explain {words}"), "access explain");
    let allowed = explain("bob read_dataset photos").remove(0);
    assert_eq!((&allowed["allowed"], &allowed["needs"]), (&true.into(), &"reader".into()));
    let grants = root.json("grant ls");
    let staff = grants.iter().find(|grant| grant["grant"]["subject"] == "group:staff").unwrap();
    assert_eq!(allowed["by"], staff["id"]);
    let weak = explain("bob write_dataset photos").remove(0);
    assert_eq!(weak["allowed"], false);
    assert!(weak.to_string().contains("role_too_weak"), "{weak}");
    assert!(explain("bob read_dataset other")[0].to_string().contains("elsewhere_only"));
    assert_eq!(explain("alice read_dataset photos")[0]["allowed"], false);
    assert_eq!(explain("group:staff read_dataset photos")[0]["allowed"], true);
    let text = root.ok("access explain alice read_dataset photos");
    assert!(text.starts_with("denied: "), "{text}");
    assert!(root.fails("access explain alice fly photos", 2).contains("invoke_function"));
    let said = root.fails("grant add function/alice reader photos", 2);
    assert!(said.contains("write function/@PROJECT/NAME"), "{said}");

    check(&root, "user groups alice staff", "user");
    until("the group", || (alice.run("cat photos:v1/a").code == Some(0)).then_some(()));
    let log = root.ok("audit --action manage_access --outcome changed");
    assert!(log.contains("alice is in staff"), "{log}");
    check(&root, "user groups bob", "user");
    until("the end of the group", || (bob.run("cat photos:v1/a").code == Some(4)).then_some(()));
    node.stop();
}

/// ACCESS-8: who is admin of a project gives roles on it, to whom there is, and makes tokens of its own.
#[test]
fn an_admin_of_a_project_gives_roles_on_it() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    root.ok("push src @lab/raw:v1");
    root.ok("grant add alice admin @lab/*");
    let nobody = lab.as_nobody(&node);
    nobody.ok("login --user alice --password-file alice.txt --save-as alice");
    nobody.ok("login --user bob --password-file bob.txt --save-as bob");
    let (alice, bob) = (
        lab.by_profile().with("CAIRN_PROFILE", "alice"),
        lab.by_profile().with("CAIRN_PROFILE", "bob"),
    );
    bob.fails("cat @lab/raw:v1/a", 4);
    let given = check(&alice, "grant add bob reader @lab/raw", "grant").remove(0);
    until("the grant", || (bob.run("cat @lab/raw:v1/a").code == Some(0)).then_some(()));
    let said = alice.fails("grant add bob reader photos", 4);
    assert!(said.contains("manage_grants on @main/photos is denied"), "{said}");
    let said = alice.fails("grant add nobody reader @lab/raw", 3);
    assert!(said.contains("there is no principal nobody"), "{said}");
    let said = bob.fails("grant add bob writer @lab/raw", 4);
    assert!(said.contains("admin"), "{said}");
    for refused in ["user ls", "user rm bob", "idp ls", "cert ls", "audit", "token create bob"] {
        alice.fails(refused, 4);
    }
    // She sees the grants on her project, and takes them back; of others not even that they are there.
    assert_eq!(check(&alice, "grant ls", "grant").len(), 2);
    let photos = root.json("grant add bob reader photos").remove(0);
    for (id, code) in [(&photos["id"], 4), (&given["id"], 0)] {
        let ended = alice.run(&format!("grant rm {}", id.as_str().unwrap()));
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    }
    until("its end", || (bob.run("cat @lab/raw:v1/a").code == Some(4)).then_some(()));
    let explain = |words: &str| {
        check(&root, &format!("access explain {words}"), "access explain")[0]["allowed"] == true
    };
    assert!(explain("alice manage_grants @lab/raw*") && explain("alice manage_own_tokens @*/*"));
    assert!(!explain("alice manage_grants @la*/raw") && !explain("bob manage_grants @lab/raw"));

    let made = check(&alice, "token create alice --only writer:@lab/raw", "token create").remove(0);
    let program = nobody.with("CAIRN_TOKEN", made["token"].as_str().unwrap());
    program.ok("push src @lab/raw:v2");
    program.fails("grant ls", 4);
    program.fails("token create alice", 4);
    let log = root.ok("audit --action manage_grants --caller alice");
    assert!(log.contains("bob is reader on @lab/raw") && log.contains("denied"), "{log}");
    node.stop();
}
