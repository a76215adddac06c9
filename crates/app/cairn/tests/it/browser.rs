//! Logins in a real browser: Chromium without a screen, driven from outside.

use std::process::Command;

use crate::identity::{CONFIDENTIAL, Provider, program, script};
use crate::lab::Lab;
use crate::process::Running;
use crate::running_node::Node;

#[test]
fn people_log_in_and_out_in_a_browser() {
    let lab = Lab::new();
    lab.write("src/deep/photo.txt", "a picture of words");
    lab.write("password.txt", "battery staple");
    let node = Node::start(&lab);
    let root = lab.through(&node);
    root.ok("push src photos:v1");
    root.ok("user add bob --password-file password.txt");
    root.ok("grant add authenticated reader photos");
    let secure = Node::up(&lab, "--listen 127.0.0.1:0 --tls-name localhost");
    let provider = Provider::strict(&lab, &format!("{}/auth/callback", node.url));
    let (id, secret) = CONFIDENTIAL;
    lab.write("secret.txt", secret);
    let mut add = root.cairn("idp add corp --client-secret-file secret.txt");
    add.args(["--issuer", &provider.issuer, "--client-id", id]);
    assert_eq!(Running::start(add).end().code, Some(0));

    let script = script(&lab, "browser.mjs", include_str!("identity/browser.mjs"));
    let mut browser = Command::new(program("node"));
    browser.arg(script).arg(program("chromium")).args([&node.url, &provider.issuer, &secure.url]);
    browser.env("HOME", lab.path("browser"));
    let ended = Running::start(browser).end();
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout(), ended.stderr);
    let steps = ["by a provider", "logout", "by a password", "over TLS", "nothing was refused"];
    assert_eq!(ended.lines, steps);
    node.stop();
    secure.stop();
}
