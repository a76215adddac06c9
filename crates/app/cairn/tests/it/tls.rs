//! TLS, client certificates and nodes that join: with certificates that OpenSSL made, and curl.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::documented;
use crate::identity::program;
use crate::lab::Lab;
use crate::process::until;
use crate::running_node::Node;

/// curl's exit codes.
const CANNOT_VERIFY: i32 = 60;

fn curl(lab: &Lab, words: &str) -> Output {
    let mut curl = Command::new(program("curl"));
    curl.args(["-sS", "-w", "%{http_code}"]).args(words.split_whitespace());
    curl.current_dir(lab.path(".")).output().unwrap()
}

/// What curl was answered, with the status at its end.
#[track_caller]
fn answer(lab: &Lab, words: &str) -> String {
    let out = curl(lab, words);
    assert!(out.status.success(), "{words}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[track_caller]
fn openssl(lab: &Lab, words: &str) -> String {
    let mut openssl = Command::new(program("openssl"));
    let out = openssl.args(words.split_whitespace()).current_dir(lab.path(".")).output().unwrap();
    assert!(out.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A certificate and its key by an authority of its own: `NAME.crt`, `NAME.key`, `NAME.pem` with both,
/// and the authority's `NAME-ca.crt`.
fn make_certificate(lab: &Lab, name: &str) {
    let made = |what: &str| {
        openssl(
            lab,
            &format!("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes {what}"),
        );
    };
    let ca = format!("{name}-ca");
    made(&format!("-days 3 -subj /CN={ca} -keyout {ca}.key -out {ca}.crt"));
    made(&format!(
        "-days 2 -subj /CN={name} -keyout {name}.key -out {name}.crt -CA {ca}.crt -CAkey {ca}.key \
         -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost"
    ));
    let read = |ending: &str| std::fs::read_to_string(lab.path(&format!("{name}.{ending}")));
    lab.write(&format!("{name}.pem"), format!("{}{}", read("crt").unwrap(), read("key").unwrap()));
}

fn port(node: &Node) -> &str {
    node.url.rsplit(':').next().unwrap()
}

/// Who asks for TLS gets a certificate of the cluster's authority, which is trusted by its hash.
#[test]
fn a_node_speaks_tls_by_the_authority_of_its_cluster() {
    let lab = Lab::new();
    lab.write("src/a", "a");
    let node = Node::up(&lab, "--listen 127.0.0.1:0 --tls-name localhost");
    assert!(node.url.starts_with("https://"), "{}", node.url);
    let url = format!("https://localhost:{}", port(&node));
    assert_eq!(curl(&lab, &format!("{url}/livez")).status.code(), Some(CANNOT_VERIFY));
    let root = lab.through(&node).with("CAIRN_URL", &url);
    let said = root.fails("ls", 6);
    assert!(said.contains("certificate"), "{said}");

    // Nothing but the authority of that hash is taken.
    let wrong = "0".repeat(64);
    let nobody = lab.as_nobody(&node).with("CAIRN_URL", &url);
    let refused = nobody.run(&format!("cluster ca --sha256 {wrong}"));
    assert_ne!(refused.code, Some(0));
    assert_eq!(refused.stdout(), "");
    let pem = nobody.ok(&format!("cluster ca --sha256 {}", node.authority));
    lab.write("ca.crt", &pem);
    let fingerprint = openssl(&lab, "x509 -in ca.crt -noout -fingerprint -sha256");
    let fingerprint = fingerprint.split('=').nth(1).unwrap().trim().replace(':', "");
    assert_eq!(fingerprint.to_lowercase(), node.authority);
    for host in [url.clone(), node.url.clone()] {
        assert!(answer(&lab, &format!("--cacert ca.crt {host}/livez")).ends_with("200"));
    }
    let trusting = root.with("CAIRN_CA_FILE", "ca.crt");
    trusting.ok("push src d:v1");
    assert_eq!(trusting.ok("cat d:v1/a"), "a\n");
    trusting.json("cluster ca").iter().for_each(|said| documented::check("cluster ca", said));
    lab.write("other.txt", "");
    root.with("CAIRN_CA_FILE", "other.txt").fails("ls", 2);

    // Over HTTP/2 too, a page of ours may send its form, and one of another site may not.
    let form = format!("--cacert ca.crt --http2 -d user=x&password=y {url}/auth/login -H");
    let send = |origin: &str| {
        let mut arguments: Vec<&str> = form.split(' ').collect();
        let header = format!("Origin: {origin}");
        arguments.push(&header);
        let mut curl = Command::new(program("curl"));
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]);
        let out = curl.args(arguments).current_dir(lab.path(".")).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(send(&url), "2 401");
    // The refusal is there each time, although nobody wanted the body.
    for _ in 0..20 {
        assert_eq!(send("https://evil.example"), "2 403");
    }

    // Plain HTTP to a TLS port gets an answer that says what to do.
    let plain = answer(&lab, &format!("http://localhost:{}/livez", port(&node)));
    assert!(plain.ends_with("400") && plain.contains("https"), "{plain}");
    // A name that the certificate does not hold.
    let elsewhere = format!(
        "--cacert ca.crt --resolve other:{0}:127.0.0.1 https://other:{0}/livez",
        port(&node)
    );
    assert_eq!(curl(&lab, &elsewhere).status.code(), Some(CANNOT_VERIFY));
    node.stop();
}

#[test]
fn beyond_loopback_a_node_speaks_tls() {
    let lab = Lab::new();
    let node = Node::up(&lab, "--listen 0.0.0.0:0");
    assert!(node.url.starts_with("https://0.0.0.0:"), "{}", node.url);
    let at = format!("127.0.0.1:{}", port(&node));
    let nobody = lab.as_nobody(&node).with("CAIRN_URL", &format!("https://{at}"));
    lab.write("ca.crt", nobody.ok(&format!("cluster ca --sha256 {}", node.authority)));
    assert!(answer(&lab, &format!("--cacert ca.crt https://{at}/livez")).ends_with("200"));
    node.stop();
    let plain = Node::up(&lab, "--listen 0.0.0.0:0 --plain-http");
    assert!(plain.url.starts_with("http://0.0.0.0:"), "{}", plain.url);
    let ended = plain.stop();
    assert!(ended.stderr.contains("speaks without TLS"), "{}", ended.stderr);
}

/// Files are read again when they change, and connections that are open go on.
#[test]
fn a_certificate_is_replaced_while_the_node_runs() {
    let lab = Lab::new();
    make_certificate(&lab, "old");
    make_certificate(&lab, "new");
    let copy = |from: &str| {
        for ending in ["key", "crt"] {
            std::fs::copy(lab.path(&format!("{from}.{ending}")), lab.path(&format!("t.{ending}")))
                .unwrap();
        }
    };
    copy("old");
    let node = Node::up(&lab, "--listen 127.0.0.1:0 --tls-cert t.crt --tls-key t.key");
    let url = format!("https://localhost:{}", port(&node));
    let livez = |authority: &str| curl(&lab, &format!("--cacert {authority} {url}/livez"));
    assert!(livez("old-ca.crt").status.success());
    assert_eq!(livez("new-ca.crt").status.code(), Some(CANNOT_VERIFY));
    // A stream on a connection of before.
    let root = lab.through(&node).with("CAIRN_URL", &url).with("CAIRN_CA_FILE", "old-ca.crt");
    lab.write("src/a", "one");
    root.ok("push src d");
    let mut follow = root.start("pull d to --switch --follow --every 1s");
    follow.line();
    // What does not fit together is not taken.
    std::fs::copy(lab.path("new.crt"), lab.path("t.crt")).unwrap();
    assert!(livez("old-ca.crt").status.success());
    copy("new");
    until("the new certificate", || livez("new-ca.crt").status.success().then_some(()));
    assert_eq!(livez("old-ca.crt").status.code(), Some(CANNOT_VERIFY));
    lab.write("src/a", "two");
    root.with("CAIRN_CA_FILE", "new-ca.crt").ok("push src d");
    follow.line();
    assert_eq!(std::fs::read(lab.path("to/a")).unwrap(), b"two");
    follow.signal("TERM");
    follow.end();
    node.stop();

    let said = lab.fails("up --listen 127.0.0.1:0 --tls-cert old.crt --tls-key new.key", 2);
    assert!(said.contains("key"), "{said}");
    lab.fails("up --listen 127.0.0.1:0 --tls-cert none.crt --tls-key new.key", 2);
    lab.cairn_refuses("up --tls-cert old.crt");
}

/// ACCESS-1, ACCESS-5: a registered certificate stands for its principal, whoever signed it, until it is
/// taken back.
#[test]
fn a_client_certificate_stands_for_its_principal() {
    let lab = Lab::new();
    make_certificate(&lab, "robot");
    make_certificate(&lab, "stranger");
    let node = Node::up(&lab, "--listen 127.0.0.1:0 --tls-name localhost");
    let url = format!("https://localhost:{}", port(&node));
    let nobody = lab.as_nobody(&node).with("CAIRN_URL", &url).with("CAIRN_CA_FILE", "ca.crt");
    lab.write("ca.crt", "");
    let pem = lab.as_nobody(&node).ok(&format!("cluster ca --sha256 {}", node.authority));
    lab.write("ca.crt", pem);
    let root = nobody.with("CAIRN_TOKEN", &node.token);
    root.ok("grant add robot reader *");
    let made = root.json("cert add robot robot.pem --label build").remove(0);
    documented::check("cert", &made);
    let fingerprint = made["fingerprint"].as_str().unwrap().to_owned();
    let by_openssl = openssl(&lab, "x509 -in robot.crt -noout -fingerprint -sha256");
    let by_openssl = by_openssl.split('=').nth(1).unwrap().trim().to_owned();
    assert_eq!(by_openssl.replace(':', "").to_lowercase(), fingerprint);
    root.json("cert ls").iter().for_each(|said| documented::check("cert", said));

    let ask = |name: &str| {
        let shown = format!("--cert {name}.crt --key {name}.key");
        answer(&lab, &format!("--cacert ca.crt {shown} {url}/api/v1/access/whoami"))
    };
    until("the question for certificates", || ask("robot").ends_with("200").then_some(()));
    let said = ask("robot");
    assert!(said.contains("\"robot\""), "{said}");
    // One that nobody registered is as none: it makes no caller with a name.
    assert!(!ask("stranger").contains("\"stranger\""));
    let robot = nobody.with("CAIRN_CLIENT_CERT", "robot.pem");
    assert!(robot.ok("whoami").starts_with("robot\n"));
    robot.ok("ls");
    robot.fails("cert ls", 4);
    nobody.with("CAIRN_CLIENT_CERT", "robot.crt").fails("ls", 2);
    let profile = lab.by_profile();
    profile.ok(&format!("profile set robot --url {url} --ca-file ca.crt --client-cert robot.pem"));
    assert!(profile.ok("whoami").starts_with("robot\n"));

    root.ok(&format!("cert rm {by_openssl}"));
    until("the end of the certificate", || (!ask("robot").contains("\"robot\"")).then_some(()));
    robot.fails("ls", 4);
    node.stop();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// MESH-1: a join token is good for one node, once.
#[test]
fn a_node_joins_once_by_a_token() {
    let lab = Lab::new();
    let node = Node::up(&lab, "--listen 127.0.0.1:0 --tls-name localhost");
    let nobody = lab.as_nobody(&node);
    lab.write("ca.crt", nobody.ok(&format!("cluster ca --sha256 {}", node.authority)));
    let root = lab.through(&node).with("CAIRN_CA_FILE", "ca.crt");
    let made = root.json("cluster join-token --expires 1h").remove(0);
    documented::check("cluster join-token", &made);
    lab.write("join.txt", made["token"].as_str().unwrap());
    // It trusts nothing but the token.
    let words = "cluster join --join-token-file join.txt --out joined --name second";
    let joined = nobody.json(words).remove(0);
    documented::check("cluster nodes", &joined);
    assert_eq!(joined["name"], "second");
    for (file, expected) in [("", 0o700), ("node.key", 0o600), ("node.crt", 0o644)] {
        assert_eq!(mode(&lab.path("joined").join(file)), expected, "{file}");
    }
    assert_eq!(
        std::fs::read_to_string(lab.path("joined/ca.crt")).unwrap().trim(),
        std::fs::read_to_string(lab.path("ca.crt")).unwrap().trim()
    );
    let verified = openssl(&lab, "verify -CAfile ca.crt joined/node.crt");
    assert!(verified.contains("OK"), "{verified}");
    let names = openssl(&lab, "x509 -in joined/node.crt -noout -ext subjectAltName");
    let uri = format!("URI:cairn://node/{}", joined["id"].as_str().unwrap());
    assert!(names.contains(&uri), "{names}");
    let key = openssl(&lab, "pkey -in joined/node.key -pubout");
    assert_eq!(key, openssl(&lab, "x509 -in joined/node.crt -noout -pubkey"));

    let said = nobody.fails("cluster join --join-token-file join.txt --out again", 4);
    assert!(said.contains("token"), "{said}");
    lab.write("garbage.txt", "cairn_join_nothing");
    nobody.fails("cluster join --join-token-file garbage.txt --out again", 2);
    nobody.with("CAIRN_CA_FILE", "ca.crt").fails("cluster join-token", 4);
    let nodes = root.json("cluster nodes");
    nodes.iter().for_each(|said| documented::check("cluster nodes", said));
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0], joined);
    node.stop();
}
