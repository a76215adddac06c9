//! The authority of a bucket, nodes that join, and certificates that listeners show.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_access::{Plain, Seal, SealError};
use cairn_bucket::Bucket;
use cairn_env::Env;
use cairn_mesh::tls::{ServerTls, Source};
use cairn_mesh::{AUTHORITY_KEY, Authority, Error, JoinToken, SERVER_LIFE, certificate, request};
use x509_parser::pem::parse_x509_pem;

fn simulate<T>(seed: u64, test: impl AsyncFnOnce(Env) -> T) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test(Env::simulated(seed)))
}

async fn open(bucket: &Bucket, env: &Env) -> Authority {
    Authority::open_or_make(bucket.clone(), env.clone(), Arc::new(Plain)).await.unwrap()
}

/// A seal that is none, but shows whether it was asked.
struct Flipping;

impl Seal for Flipping {
    fn seal(&self, _name: &str, plain: &[u8]) -> Vec<u8> {
        plain.iter().map(|byte| !byte).collect()
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(self.seal(name, sealed))
    }
}

#[test]
fn every_node_on_a_bucket_has_one_authority() {
    simulate(1, async |env| {
        let bucket = Bucket::memory(&env);
        let (one, two) = tokio::join!(open(&bucket, &env), open(&bucket, &env));
        assert_eq!(one.sha256(), two.sha256());
        assert_eq!(open(&bucket, &env).await.certificate_pem(), one.certificate_pem());
        let other = open(&Bucket::memory(&env), &env).await;
        assert_ne!(other.sha256(), one.sha256());
    });
}

#[test]
fn the_authority_is_sealed_with_the_bucket_and_damage_is_told() {
    simulate(2, async |env| {
        let bucket = Bucket::memory(&env);
        let seal = || Arc::new(Flipping);
        Authority::open_or_make(bucket.clone(), env.clone(), seal()).await.unwrap();
        let stored = bucket.get(AUTHORITY_KEY).await.unwrap().bytes;
        assert!(!stored.windows(7).any(|window| window == b"PRIVATE"));
        let mut damaged = stored.to_vec();
        damaged[50] ^= 1;
        bucket.put(AUTHORITY_KEY, damaged.into()).await.unwrap();
        let error = Authority::open_or_make(bucket.clone(), env.clone(), seal()).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    });
}

#[test]
fn a_listener_is_named_by_what_it_is_asked_for() {
    simulate(3, async |env| {
        let authority = open(&Bucket::memory(&env), &env).await;
        let addresses: [IpAddr; 1] = ["192.0.2.7".parse().unwrap()];
        let made = authority.for_server(&["db.example.org".to_owned()], &addresses).unwrap();
        let (_, pem) = parse_x509_pem(made.chain_pem.as_bytes()).unwrap();
        let leaf = pem.parse_x509().unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(!leaf.is_ca());
        assert_eq!(certificate::chain(made.chain_pem.as_bytes()).unwrap().len(), 2);
        let other = authority.for_server(&["db.example.org".to_owned()], &addresses).unwrap();
        assert_ne!(other.key_pem, made.key_pem);
        let (_, other) = parse_x509_pem(other.chain_pem.as_bytes()).unwrap();
        assert_ne!(other.parse_x509().unwrap().raw_serial(), leaf.raw_serial());
        let life = made.expires_ms - env.clock.wall_ns() / 1_000_000;
        assert_eq!(life, i64::try_from(SERVER_LIFE.as_millis()).unwrap());
    });
}

/// MESH-1: a join token lets in one node, once, before it expires, and only here.
#[test]
fn mesh_1_a_join_token_lets_in_one_node_once() {
    simulate(4, async |env| {
        let bucket = Bucket::memory(&env);
        let (one, two) = (open(&bucket, &env).await, open(&bucket, &env).await);
        let hour = Duration::from_secs(3600);
        let (token, _) = one.make_join_token(hour).await.unwrap();
        assert_eq!(JoinToken::authority_of(token.expose()), Some(one.sha256()));
        let stored = bucket.get(AUTHORITY_KEY).await.unwrap().bytes;
        let secret = token.expose().rsplit('.').next().unwrap().to_owned();
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()));

        let (_, first) = request().unwrap();
        let (_, second) = request().unwrap();
        let both = tokio::join!(
            one.join(token.expose(), "edge-1", &first),
            two.join(token.expose(), "edge-2", &second),
        );
        let joined = [&both.0, &both.1];
        assert_eq!(joined.iter().filter(|joined| joined.is_ok()).count(), 1);
        let refused = joined.iter().find_map(|joined| joined.as_ref().err()).unwrap();
        assert!(matches!(refused, Error::JoinToken));
        let nodes = two.nodes().await.unwrap();
        assert_eq!(nodes.len(), 1);

        let (late, _) = one.make_join_token(hour).await.unwrap();
        env.clock.sleep(hour + Duration::from_secs(1)).await;
        let (_, third) = request().unwrap();
        assert!(matches!(one.join(late.expose(), "edge", &third).await, Err(Error::JoinToken)));
        let elsewhere = open(&Bucket::memory(&env), &env).await;
        let (foreign, _) = elsewhere.make_join_token(hour).await.unwrap();
        assert!(matches!(one.join(foreign.expose(), "edge", &third).await, Err(Error::JoinToken)));
        for bad in ["", "cairn-join", "cairn-join..", &token.expose()[1..]] {
            assert!(matches!(one.join(bad, "edge", &third).await, Err(Error::JoinToken)), "{bad}");
        }
        assert!(one.make_join_token(Duration::ZERO).await.is_err());
    });
}

/// MESH-2: what a request asks for beside its key is not signed.
#[test]
fn mesh_2_of_a_request_only_the_key_is_taken() {
    simulate(5, async |env| {
        let authority = open(&Bucket::memory(&env), &env).await;
        let (token, _) = authority.make_join_token(Duration::from_secs(60)).await.unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wishes = rcgen::CertificateParams::new(["bank.example".to_owned()]).unwrap();
        wishes.distinguished_name.push(rcgen::DnType::CommonName, "root");
        let wishes = wishes.serialize_request(&key).unwrap().pem().unwrap();
        let joined = authority.join(token.expose(), "edge", &wishes).await.unwrap();
        let (_, pem) = parse_x509_pem(joined.chain.as_bytes()).unwrap();
        let leaf = pem.parse_x509().unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap().value;
        let names: Vec<String> = names.general_names.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 1);
        assert!(names[0].contains(&format!("cairn://node/{}", joined.node.id)), "{names:?}");
        assert!(!leaf.subject().to_string().contains("root"));
        assert!(!leaf.is_ca());
        let shown = hex::encode(certificate::sha256(&pem.contents));
        assert_eq!(joined.node.fingerprint, shown);
        for bad in ["", "x", &joined.chain] {
            let refused = authority.join(token.expose(), "edge", bad).await;
            assert!(matches!(refused, Err(Error::Request { .. })));
        }
        for bad in ["", "a b", "a/b", &"a".repeat(65)] {
            let refused = authority.join(token.expose(), bad, &wishes).await;
            assert!(matches!(refused, Err(Error::Request { .. })), "{bad}");
        }
    });
}

/// MESH-3: files are read again when they change; broken ones change nothing.
#[test]
fn mesh_3_a_broken_certificate_changes_nothing() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("a.crt"), dir.path().join("a.key"));
    let make = || {
        let made = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["a".to_owned()]).unwrap();
        (params.self_signed(&made).unwrap().pem(), made.serialize_pem())
    };
    let (first, first_key) = make();
    std::fs::write(&certificate, &first).unwrap();
    std::fs::write(&key, &first_key).unwrap();
    let source = Source::Files { certificate: certificate.clone(), key: key.clone() };
    let tls = ServerTls::new(source.clone(), Arc::new(|| false), &env).unwrap();
    let shown = certificate::read_pem(first.as_bytes()).unwrap().sha256;
    assert_eq!(tls.fingerprint(), shown);
    tls.look();
    assert_eq!(tls.fingerprint(), shown);
    let (second, second_key) = make();
    for (broken, broken_key) in
        [("", ""), (&second, ""), (&second, "nonsense"), (&second, &first_key), ("x", &second_key)]
    {
        std::fs::write(&certificate, broken).unwrap();
        std::fs::write(&key, broken_key).unwrap();
        tls.look();
        assert_eq!(tls.fingerprint(), shown, "{broken_key}");
        let error = ServerTls::new(source.clone(), Arc::new(|| false), &env).unwrap_err();
        assert!(!error.to_string().contains("PRIVATE KEY--"), "{error}");
    }
    std::fs::remove_file(&key).unwrap();
    tls.look();
    assert_eq!(tls.fingerprint(), shown);
    std::fs::write(&certificate, &second).unwrap();
    std::fs::write(&key, &second_key).unwrap();
    tls.look();
    assert_eq!(tls.fingerprint(), certificate::read_pem(second.as_bytes()).unwrap().sha256);
}

#[test]
fn a_certificate_of_the_cluster_is_renewed_before_it_expires() {
    simulate(6, async |env| {
        let authority = open(&Bucket::memory(&env), &env).await;
        let source = Source::Cluster { authority, names: vec!["a".to_owned()], addresses: vec![] };
        let tls = ServerTls::new(source, Arc::new(|| false), &env).unwrap();
        let first = tls.fingerprint();
        env.clock.sleep(SERVER_LIFE / 2).await;
        tls.look();
        assert_eq!(tls.fingerprint(), first);
        env.clock.sleep(SERVER_LIFE / 4).await;
        tls.look();
        assert_ne!(tls.fingerprint(), first);
    });
}
