//! Logins by identity providers that others wrote: one that takes anybody, and one that keeps to the
//! letter.

use std::process::Command;

use serde_json::Value;

use crate::documented;
use crate::identity::{CONFIDENTIAL, Provider, program};
use crate::lab::Lab;
use crate::process::{Running, until};
use crate::running_node::Node;
use crate::walker::{Page, Walker};

/// A node with a dataset that everybody who is `staff` at the provider `corp` may read.
fn start(lab: &Lab) -> (Node, Lab) {
    lab.write("src/a", "a");
    let node = Node::start(lab);
    let root = lab.through(&node);
    root.ok("push src photos:v1");
    root.ok("grant add group:corp/staff reader photos");
    (node, root)
}

/// Makes the node take logins of the strict provider's client that has a secret.
fn add_confidential(lab: &Lab, root: &Lab, provider: &Provider) {
    let (id, secret) = CONFIDENTIAL;
    lab.write("secret.txt", secret);
    let mut add = root.cairn("--json idp add corp --client-secret-file secret.txt");
    add.args(["--issuer", &provider.issuer, "--client-id", id]);
    let ended = Running::start(add).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let added: Value = serde_json::from_str(&ended.stdout()).unwrap();
    documented::check("idp", &added);
    assert_eq!(added["has_secret"], true);
    assert!(!ended.stdout().contains(secret));
}

fn strict(lab: &Lab, node: &Node) -> Provider {
    Provider::strict(lab, &format!("{}/auth/callback", node.url))
}

/// Who the browser is, for the node.
#[track_caller]
fn who(walker: &Walker, node: &Node) -> Value {
    let page = walker.get(&format!("{}/api/v1/access/whoami", node.url));
    assert_eq!(page.status, 200, "{page:?}");
    serde_json::from_str(&page.body).unwrap()
}

/// Logs in by the strict provider.
#[track_caller]
fn log_in(walker: &Walker, node: &Node, provider: &Provider, user: &str) -> Page {
    let begun = walker.get(&format!("{}/auth/start/corp?next=%2Ffs%2Fphotos%2F", node.url));
    walker.pass(begun, &provider.issuer, user)
}

#[test]
fn a_browser_logs_in_by_a_provider_that_takes_anybody() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    let provider = Provider::lenient();
    lab.write("secret.txt", "any");
    let add = format!("idp add corp --issuer {} --client-id any", provider.issuer);
    root.ok(&format!("{add} --client-secret-file secret.txt"));
    let walker = Walker::new(&lab, "alice");
    let tell = |user: &str, claims: &str| {
        let url = format!("{}/users/{user}", provider.issuer);
        let put = ["-X", "PUT", "-H", "Content-Type: application/json", "-d", claims];
        assert_eq!(walker.go(&url, &put).status, 204);
    };
    tell("1", r#"{"email": "alice@example.org", "email_verified": true, "groups": ["staff"]}"#);
    tell("2", r#"{"email": "mallory@example.org", "groups": ["staff"]}"#);

    let page = walker.get(&format!("{}/fs/photos/v1/", node.url));
    assert!(page.url.contains("/auth/login?next="), "{page:?}");
    assert!(page.body.contains("Log in with corp"), "{page:?}");
    let start = page.body.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let asked = walker.get(&format!("{}{start}", node.url));
    assert!(asked.url.starts_with(&provider.issuer), "{asked:?}");
    let page = walker.submit(&asked, &[("sub", "1")]);
    let to = format!("{}/fs/photos/v1/", node.url);
    assert_eq!((page.status, page.url), (200, to), "{}", page.body);
    assert!(page.body.contains("href=\"./a\""), "{}", page.body);
    let told = who(&walker, &node);
    assert_eq!(told["principal"], "corp/alice@example.org");
    assert_eq!(told["groups"], serde_json::json!(["corp/staff"]));
    assert_eq!(root.json("idp ls").len(), 1);
    root.json("token ls").iter().for_each(|token| documented::check("token ls", token));

    // What was begun in this browser is not ended in another one, nor twice.
    let begun = Walker::new(&lab, "begun");
    let asked = begun.get(&format!("{}/auth/start/corp", node.url));
    let (other, callback) = (Walker::new(&lab, "other"), format!("{}/auth/callback", node.url));
    let said = other.submit(&asked, &[("sub", "1")]);
    assert_eq!(said.status, 400, "{said:?}");
    assert!(said.body.contains("begin again") && said.url.starts_with(&callback), "{said:?}");
    // Somebody whose address nobody verified, and somebody who says no.
    let asked = begun.get(&format!("{}/auth/start/corp", node.url));
    let said = begun.submit(&asked, &[("sub", "2")]);
    assert_eq!(said.status, 401, "{said:?}");
    assert!(said.body.contains("did not verify the address"), "{said:?}");
    // ACCESS-6: who was turned away at a login, and why, is in the log.
    until("the record", || {
        let log = root.ok("audit --door login --outcome refused");
        (log.contains("did not verify the address") && log.contains("127.0.0.1")).then_some(())
    });
    let asked = begun.get(&format!("{}/auth/start/corp", node.url));
    let said = begun.submit(&asked, &[("action", "deny")]);
    assert!(said.status == 401 && said.body.contains("access_denied"), "{said:?}");
    assert_eq!(begun.cookie("cairn_session"), None);

    // A logout ends the session itself, not only its cookie.
    let session = walker.cookie("cairn_session").unwrap();
    let shown = format!("cookie: cairn_session={session}");
    let url = format!("{}/api/v1/access/whoami", node.url);
    assert_eq!(Walker::new(&lab, "thief").go(&url, &["-H", &shown]).status, 200);
    let page = walker.go(&format!("{}/auth/logout", node.url), &["-i", "-d", ""]);
    assert!(page.body.contains("cairn_session=; Path=/; Max-Age=0; HttpOnly"), "{page:?}");
    until("the end of the session", || {
        (Walker::new(&lab, "thief").go(&url, &["-H", &shown]).status == 401).then_some(())
    });
    // And the end of a provider ends the sessions of its users.
    let asked = walker.get(&format!("{}/auth/start/corp", node.url));
    walker.submit(&asked, &[("sub", "1")]);
    who(&walker, &node);
    root.json("idp rm corp").iter().for_each(|said| documented::check("rm", said));
    until("the end of the session", || (walker.get(&url).status == 401).then_some(()));
    node.stop();
}

/// Behind a proxy browsers come back to its address, over TLS, and may send the form from there.
#[test]
fn a_node_behind_a_proxy_knows_where_browsers_reach_it() {
    let lab = Lab::new();
    let node = Node::up(&lab, "--listen 127.0.0.1:0 --public-url https://cairn.example.org/");
    let provider = Provider::lenient();
    let root = lab.through(&node);
    root.ok(&format!("idp add corp --issuer {} --client-id any", provider.issuer));
    let walker = Walker::new(&lab, "any");
    let start = format!("{}/auth/start/corp", node.url);
    let page = walker.go(&start, &["-i", "--no-location"]);
    assert_eq!(page.status, 303, "{page:?}");
    let back = "redirect_uri=https%3A%2F%2Fcairn.example.org%2Fauth%2Fcallback&";
    assert!(page.body.contains(back) && page.body.contains("; Secure"), "{page:?}");
    let form = format!("{}/auth/login", node.url);
    for (origin, status) in [
        ("https://cairn.example.org", 401),
        (node.url.as_str(), 401),
        ("https://evil.example.org", 403),
        ("null", 403),
    ] {
        let header = format!("Origin: {origin}");
        let page = walker.go(&form, &["-d", "user=x&password=y", "-H", &header]);
        assert_eq!(page.status, status, "{origin}: {page:?}");
    }
    node.stop();
    for wrong in ["cairn.example.org", "ftp://x", "https://", "https://x?y", "https://a@b"] {
        lab.cairn_refuses(&format!("up --public-url {wrong}"));
    }
}

/// OIDC-1, OIDC-4: a confidential client with PKCE; claims at the userinfo endpoint; keys that rotate.
#[test]
fn a_browser_logs_in_by_a_strict_provider() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    let provider = strict(&lab, &node);
    add_confidential(&lab, &root, &provider);
    let alice = Walker::new(&lab, "alice");
    let page = log_in(&alice, &node, &provider, "alice");
    assert_eq!((page.status, page.url), (200, format!("{}/fs/photos/", node.url)), "{}", page.body);
    let told = who(&alice, &node);
    assert_eq!(told["principal"], "corp/alice@example.org");
    assert_eq!(told["groups"], serde_json::json!(["corp/R%26D", "corp/staff"]));
    let said = log_in(&Walker::new(&lab, "u"), &node, &provider, "unverified");
    assert_eq!(said.status, 401, "{said:?}");
    assert!(said.body.contains("did not verify the address"), "{said:?}");

    // New keys: whoever logs in next is believed by them, as soon as they may be asked for.
    let rotated = alice.go(&format!("{}/keys/rotate", provider.issuer), &["-d", ""]);
    assert_eq!(rotated.status, 204);
    until("a login by the new keys", || {
        let page = log_in(&Walker::new(&lab, "b"), &node, &provider, "bob");
        assert!(matches!(page.status, 200 | 401 | 403), "{page:?}");
        (page.status == 200).then_some(())
    });
    // A client whose secret is wrong is told so.
    lab.write("wrong.txt", "wrong");
    let (id, _) = CONFIDENTIAL;
    let mut add = root.cairn("idp add corp --client-secret-file wrong.txt");
    add.args(["--issuer", &provider.issuer, "--client-id", id]);
    assert_eq!(Running::start(add).end().code, Some(0));
    let said = until("the new secret", || {
        let page = log_in(&Walker::new(&lab, "c"), &node, &provider, "carol");
        (page.status != 200).then_some(page)
    });
    assert!(said.body.contains("invalid_client"), "{said:?}");
    // A public client, whose tokens are signed by another algorithm.
    root.ok(&format!("idp add corp --issuer {} --client-id public", provider.issuer));
    until("the public client", || {
        let page = log_in(&Walker::new(&lab, "d"), &node, &provider, "dave");
        (page.status == 200).then_some(())
    });
    // It does not answer.
    let begun = Walker::new(&lab, "e").get(&format!("{}/auth/start/corp", node.url));
    assert!(begun.url.starts_with(&provider.issuer), "{begun:?}");
    provider.kill();
    assert_eq!(who(&alice, &node)["principal"], "corp/alice@example.org", "a session goes on");
    node.stop();
}

/// The device flow: `cairn login` shows an address, and somebody goes there.
#[test]
fn a_program_logs_in_by_a_strict_provider() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    let provider = strict(&lab, &node);
    add_confidential(&lab, &root, &provider);
    let nobody = lab.as_nobody(&node);
    // What it notes and what it prints, in one stream.
    let login = |words: &str| {
        let cairn = nobody.cairn(words);
        let mut both = Command::new("sh");
        both.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(cairn.get_program());
        both.args(cairn.get_args()).current_dir(cairn.get_current_dir().unwrap()).env_clear();
        both.envs(cairn.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut running = Running::start(both);
        let line = running.line();
        let address = line.split_whitespace().find(|word| word.starts_with("http"));
        let code = running.line().rsplit(' ').next().unwrap().to_owned();
        (running, address.unwrap().to_owned(), code)
    };
    let (running, address, code) = login("login --idp corp");
    assert!(address.contains(&code), "{address} {code}");
    let walker = Walker::new(&lab, "alice");
    let page = walker.pass(walker.get(&address), &provider.issuer, "alice");
    assert!(page.body.contains("Sign-in Success"), "{page:?}");
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{:?}", ended.lines);
    let said = ended.stdout();
    assert!(said.contains("logged in as corp/alice@example.org until"), "{said}");
    let alice = lab.by_profile();
    assert_eq!(alice.ok("cat photos:v1/a"), "a\n");
    let told = alice.json("whoami").remove(0);
    documented::check("whoami", &told);
    assert_eq!(told["groups"], serde_json::json!(["corp/R%26D", "corp/staff"]));

    // Somebody says no.
    let (running, address, _) = login("login");
    let page = walker.get(&address);
    // The first page only passes the code on; the next asks.
    let page = walker.submit(&page, &[]);
    walker.submit(&page, &[("abort", "yes")]);
    let ended = running.end();
    assert_eq!(ended.code, Some(4), "{:?}", ended.lines);
    assert!(ended.stdout().contains("access_denied"), "{:?}", ended.lines);
    until("the record", || {
        let log = root.ok("audit --door login --outcome refused");
        log.contains("access_denied").then_some(())
    });
    node.stop();
}

/// Programs with a token of their own from the provider: a JWT for an audience of ours.
#[test]
fn a_robot_shows_a_token_that_a_provider_signed() {
    let lab = Lab::new();
    let (node, root) = start(&lab);
    let provider = strict(&lab, &node);
    root.ok(&format!(
        "idp add robots --issuer {} --client-id none --user-claim sub --audience urn:cairn",
        provider.issuer
    ));
    root.ok("grant add robots/robot reader photos");
    let token = |audience: &str| {
        let mut curl = Command::new(program("curl"));
        curl.args(["-sS", "-u", "robot:robot+secret", "-d", "grant_type=client_credentials"]);
        curl.arg("-d").arg(format!("resource={audience}"));
        let out = curl.arg(format!("{}/token", provider.issuer)).output().unwrap();
        let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let as_bearer = |token: &str| lab.as_nobody(&node).with("CAIRN_TOKEN", token);
    let robot = as_bearer(&token("urn:cairn"));
    let told = robot.json("whoami").remove(0);
    documented::check("whoami", &told);
    assert_eq!(told["principal"], "robots/robot");
    assert_eq!(robot.ok("cat photos:v1/a"), "a\n");
    robot.fails("push src photos:v2", 4);
    let other = as_bearer(&token("urn:other")).fails("whoami", 4);
    assert!(other.contains("audience"), "{other}");
    let walker = Walker::new(&lab, "any");
    walker.go(&format!("{}/keys/rotate", provider.issuer), &["-d", ""]);
    let fresh = as_bearer(&token("urn:cairn"));
    until("the new keys", || (fresh.run("whoami").code == Some(0)).then_some(()));
    let said = robot.fails("whoami", 4);
    assert!(said.contains("signature"), "{said}");
    root.ok("idp rm robots");
    until("the end of the provider", || (fresh.run("whoami").code == Some(4)).then_some(()));
    node.stop();
}
