//! People: passwords, groups, sessions, certificates, users of identity providers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64, Encoding as _};
use cairn_access::{
    Access, Action, Bearers, Certificate, Error, Fingerprint, GroupName, Origin, Owner, Password,
    Peer, Plain, PrincipalName, Provider, REFRESH_MAX, Resource, Role, Shown, TokenSpec, UserName,
    Visit, Vouched,
};
use cairn_bucket::Bucket;
use cairn_env::Env;

use crate::{dataset, first, grant, open, simulate, spec};

const RIGHT: &str = "correct horse battery";

fn name(text: &str) -> PrincipalName {
    text.parse().unwrap()
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", Base64::encode_string(format!("{name}:{password}").as_bytes()))
}

fn from(address: &str) -> Origin {
    let address = Some(address.parse::<IpAddr>().unwrap());
    Origin { door: "rest", peer: Peer { address, ..Peer::default() }, ..Origin::default() }
}

async fn show(access: &Access, header: &str, origin: Origin) -> Result<Visit, Error> {
    let shown = Shown { authorization: Some(header), ..Shown::default() };
    access.admit(shown, origin).await
}

fn may_read(visit: &Visit, name: &str) -> bool {
    visit.authorize(Action::ReadDataset, &dataset(name)).is_ok()
}

async fn with_alice(bucket: &Bucket, env: &Env) -> Access {
    let (access, _) = first(bucket, env).await;
    access.create_principal(&name("alice")).await.unwrap();
    let password = Password::chosen(RIGHT.to_owned()).unwrap();
    access.set_password(&name("alice"), Some(password)).await.unwrap();
    access
}

#[test]
fn a_password_lets_in_and_a_new_one_shuts_out() {
    simulate(11, async |env| {
        let bucket = Bucket::memory(&env);
        let access = with_alice(&bucket, &env).await;
        access.add_grant(&grant("alice", Role::Reader, "data")).await.unwrap();
        let other = open(&bucket, &env).await.unwrap();
        let header = basic("alice", RIGHT);
        let visit = show(&other, &header, from("192.0.2.1")).await.unwrap();
        assert!(may_read(&visit, "data") && !may_read(&visit, "else"));
        assert_eq!(visit.caller().name(), "alice");
        assert_eq!(visit.whoami().unwrap().credential, "password");
        // Everything about it is said when it is right; nothing of who there is when it is wrong.
        for wrong in
            [basic("alice", "wrong"), basic("nobody", RIGHT), basic("", ""), basic("a b", "c")]
        {
            let error = show(&other, &wrong, from("192.0.2.9")).await.unwrap_err();
            assert_eq!(error.to_string(), "the user name or the password is wrong");
            assert!(error.asks_for_credential());
        }
        let changed = Password::chosen("another long password".to_owned()).unwrap();
        access.set_password(&name("alice"), Some(changed)).await.unwrap();
        env.clock.sleep(REFRESH_MAX + Duration::from_millis(1)).await;
        assert!(matches!(
            show(&other, &header, from("192.0.2.1")).await,
            Err(Error::WrongPassword)
        ));
        // ACCESS-5: what was begun under the old one ends too.
        let visit = visit.again().await.unwrap();
        assert!(!may_read(&visit, "data"));
        assert!(matches!(visit.whoami(), Err(Error::Unknown)));
        access.set_password(&name("alice"), None).await.unwrap();
        let header = basic("alice", "another long password");
        assert!(show(&access, &header, from("192.0.2.1")).await.is_err());
    });
}

/// ACCESS-2, ACCESS-7: guessing gets slower and slower, and who knows the password is let in again
/// afterwards; who is remembered is not shut out by others' guesses.
#[test]
fn access_6_guessing_is_slowed() {
    simulate(12, async |env| {
        let bucket = Bucket::memory(&env);
        let access = with_alice(&bucket, &env).await;
        let known = open(&bucket, &env).await.unwrap();
        show(&known, &basic("alice", RIGHT), from("192.0.2.1")).await.unwrap();
        let began = env.clock.monotonic();
        let mut looked_at = 0;
        while env.clock.monotonic() - began < Duration::from_secs(600) {
            for access in [&access, &known] {
                match show(access, &basic("alice", "guess"), from("198.51.100.7")).await {
                    Err(Error::WrongPassword) => looked_at += 1,
                    Err(Error::Throttled { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            env.clock.sleep(Duration::from_millis(500)).await;
        }
        assert!((20..=50).contains(&looked_at), "{looked_at} guesses of two hubs in ten minutes");
        let right = basic("alice", RIGHT);
        assert!(matches!(
            show(&access, &right, from("198.51.100.7")).await,
            Err(Error::Throttled { .. })
        ));
        assert!(show(&known, &right, from("192.0.2.1")).await.is_ok());
        env.clock.sleep(Duration::from_secs(61)).await;
        assert!(show(&access, &right, from("198.51.100.7")).await.is_ok());
    });
}

#[test]
fn groups_bring_their_grants() {
    simulate(13, async |env| {
        let bucket = Bucket::memory(&env);
        let access = with_alice(&bucket, &env).await;
        access.add_grant(&grant("group:staff", Role::Writer, "@lab/*")).await.unwrap();
        let lab = Resource::Project("lab".parse().unwrap());
        let header = basic("alice", RIGHT);
        let may = async || {
            let visit = show(&access, &header, from("192.0.2.1")).await.unwrap();
            visit.authorize(Action::WriteDataset, &lab).is_ok()
        };
        assert!(!may().await);
        let staff: BTreeSet<GroupName> = ["staff".parse().unwrap()].into();
        access.set_groups(&name("alice"), &staff).await.unwrap();
        assert!(may().await);
        let token = access.create_token(spec("alice")).await.unwrap();
        let visit = crate::show(&access, &token).await.unwrap();
        let snapshot = access.snapshot().await.unwrap();
        assert!(snapshot.authorize(&visit, Action::WriteDataset, &lab).is_allowed());
        access.set_groups(&name("alice"), &BTreeSet::new()).await.unwrap();
        assert!(!may().await);
        let foreign: BTreeSet<GroupName> = ["corp/staff".parse().unwrap()].into();
        assert!(access.set_groups(&name("alice"), &foreign).await.is_err());
    });
}

#[test]
fn a_session_is_a_token_that_its_holder_can_end() {
    simulate(14, async |env| {
        let bucket = Bucket::memory(&env);
        let access = with_alice(&bucket, &env).await;
        access.add_grant(&grant("alice", Role::Reader, "data")).await.unwrap();
        let owner = || Owner::Principal(name("alice"));
        let hour = Duration::from_secs(3600);
        let session =
            access.open_session(owner(), BTreeSet::new(), hour, &Origin::default()).await.unwrap();
        let shown = Shown { session: Some(session.token.expose()), ..Shown::default() };
        assert!(may_read(&access.admit(shown, Origin::default()).await.unwrap(), "data"));
        // A header decides alone, whatever else is shown (ACCESS-2).
        let both = Shown { authorization: Some("Bearer nonsense"), ..shown };
        assert!(access.admit(both, Origin::default()).await.is_err());
        let visit = access.admit(shown, Origin::default()).await.unwrap();
        access.close_session(&visit).await.unwrap();
        assert!(access.admit(shown, Origin::default()).await.is_err());
        assert!(access.close_session(&visit.again().await.unwrap()).await.is_err());
        for _ in 0..40 {
            access.open_session(owner(), BTreeSet::new(), hour, &Origin::default()).await.unwrap();
        }
        let sessions = access.snapshot().await.unwrap();
        let sessions = sessions.tokens().filter(|token| token.label.as_str() == "session").count();
        assert_eq!(sessions, cairn_access::SESSIONS_PER_OWNER_MAX);
        // A new password ends them all.
        let password = Password::chosen("another long password".to_owned()).unwrap();
        access.set_password(&name("alice"), Some(password)).await.unwrap();
        let left = access.snapshot().await.unwrap();
        assert_eq!(left.tokens().filter(|token| token.label.as_str() == "session").count(), 0);
    });
}

#[test]
fn a_registered_certificate_lets_in_until_it_is_taken_back() {
    simulate(15, async |env| {
        let bucket = Bucket::memory(&env);
        let access = with_alice(&bucket, &env).await;
        access.add_grant(&grant("alice", Role::Reader, "data")).await.unwrap();
        let now_ms = env.clock.wall_ns() / 1_000_000;
        let certificate = |byte, expires_ms| Certificate {
            fingerprint: Fingerprint([byte; 32]),
            principal: name("alice"),
            label: "robot".parse().unwrap(),
            created_ms: 0,
            expires_ms,
        };
        let with = |byte| {
            let certificate = Some(Fingerprint([byte; 32]));
            Origin { peer: Peer { certificate, ..Peer::default() }, ..Origin::default() }
        };
        access.add_certificate(certificate(1, now_ms + 60_000)).await.unwrap();
        assert!(access.add_certificate(certificate(2, now_ms)).await.is_err(), "it is over");
        let visit = access.admit(Shown::default(), with(1)).await.unwrap();
        assert!(may_read(&visit, "data"));
        // ACCESS-2: a certificate that nobody knows is not anonymous.
        let error = access.admit(Shown::default(), with(2)).await.unwrap_err();
        assert!(matches!(error, Error::UnknownCertificate { .. }) && error.asks_for_credential());
        access.remove_certificate(&Fingerprint([1; 32])).await.unwrap();
        assert!(access.admit(Shown::default(), with(1)).await.is_err());
        assert!(!may_read(&visit.again().await.unwrap(), "data"));
        access.add_certificate(certificate(3, now_ms + 1000)).await.unwrap();
        let visit = access.admit(Shown::default(), with(3)).await.unwrap();
        env.clock.sleep(Duration::from_secs(2)).await;
        assert!(matches!(
            access.admit(Shown::default(), with(3)).await,
            Err(Error::ExpiredCertificate { .. })
        ));
        assert!(!may_read(&visit.again().await.unwrap(), "data"));
    });
}

/// Vouches for whoever the middle part of the token names.
struct Trusting {
    env: Env,
    asked: AtomicU64,
}

#[async_trait]
impl Bearers for Trusting {
    async fn verify(&self, providers: &[Provider], token: &str) -> Result<Vouched, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let provider = providers[0].name.clone();
        let user = token.split('.').nth(1).unwrap();
        Ok(Vouched {
            user: UserName::of(&provider, user)?,
            groups: [GroupName::of(&provider, "staff")?].into(),
            expires_ms: self.env.clock.wall_ns() / 1_000_000 + 60_000,
            provider,
        })
    }
}

fn corp() -> Provider {
    Provider {
        name: "corp".parse().unwrap(),
        issuer: "https://id.example.org".to_owned(),
        client_id: "cairn".to_owned(),
        client_secret: None,
        scopes: vec!["openid".to_owned()],
        user_claim: "sub".to_owned(),
        groups_claim: "groups".to_owned(),
        audiences: Vec::new(),
        created_ms: 0,
    }
}

#[test]
fn users_of_a_provider_have_what_is_granted_to_them_there() {
    simulate(16, async |env| {
        let bucket = Bucket::memory(&env);
        drop(with_alice(&bucket, &env).await);
        let bearers = Arc::new(Trusting { env: env.clone(), asked: AtomicU64::new(0) });
        let access = Access::open(bucket.clone(), env.clone(), Arc::new(Plain)).await.unwrap();
        let access = access.with_bearers(Arc::clone(&bearers) as _);
        let bearer = "Bearer e30.alice.c2ln";
        // Without a provider there is nobody to ask.
        assert!(matches!(show(&access, bearer, from("::1")).await, Err(Error::Malformed)));
        assert_eq!(bearers.asked.load(Ordering::Relaxed), 0);
        access.set_provider(corp()).await.unwrap();
        access.add_grant(&grant("alice", Role::Reader, "local")).await.unwrap();
        access.add_grant(&grant("corp/alice", Role::Reader, "user")).await.unwrap();
        access.add_grant(&grant("group:corp/staff", Role::Reader, "group")).await.unwrap();
        access.add_grant(&grant("group:staff", Role::Reader, "local")).await.unwrap();
        let visit = show(&access, bearer, from("::1")).await.unwrap();
        assert_eq!(visit.caller().name(), "corp/alice");
        assert!(may_read(&visit, "user") && may_read(&visit, "group"));
        assert!(!may_read(&visit, "local"), "a namesake is somebody else");
        let session = access
            .open_session(
                visit.caller().owner().unwrap().clone(),
                BTreeSet::new(),
                REFRESH_MAX * 60,
                &Origin::default(),
            )
            .await
            .unwrap();
        let shown = Shown { session: Some(session.token.expose()), ..Shown::default() };
        let kept = access.admit(shown, Origin::default()).await.unwrap();
        assert!(may_read(&kept, "user") && !may_read(&kept, "group"));
        // ACCESS-8: a token that such a user makes has the groups and the end of what was shown.
        access.add_grant(&grant("group:corp/staff", Role::Admin, "@lab/*")).await.unwrap();
        let visit = visit.again().await.unwrap();
        let owner = visit.caller().owner().unwrap().clone();
        let own = TokenSpec::api(owner.clone(), "own".parse().unwrap());
        let own = visit.create_token(own).await.unwrap().info;
        let minute_ms = env.clock.wall_ns() / 1_000_000 + 60_000;
        assert_eq!(own.groups, [GroupName::of(&corp().name, "staff").unwrap()].into());
        assert!(own.expires_ms.is_some_and(|end| end <= minute_ms), "{own:?}");
        // ACCESS-5: a provider that is taken away or changed takes its users along.
        let changed = Provider { client_id: "other".to_owned(), ..corp() };
        access.set_provider(changed).await.unwrap();
        assert!(!may_read(&visit.again().await.unwrap(), "user"));
        access.remove_provider(&"corp".parse().unwrap()).await.unwrap();
        assert!(access.admit(shown, Origin::default()).await.is_err());
        env.clock.sleep(Duration::from_secs(1)).await;
        assert!(matches!(show(&access, bearer, from("::1")).await, Err(Error::Malformed)));
    });
}

#[test]
fn what_a_provider_is_has_bounds() {
    for (refused, change) in [
        ("http", Provider { issuer: "http://id.example.org".to_owned(), ..corp() }),
        ("local", Provider { issuer: "http://localhost.example.org".to_owned(), ..corp() }),
        ("empty", Provider { issuer: "https://".to_owned(), ..corp() }),
        ("scope", Provider { scopes: vec!["profile".to_owned()], ..corp() }),
        ("client", Provider { client_id: String::new(), ..corp() }),
        ("long", Provider { user_claim: "x".repeat(3000), ..corp() }),
        ("control", Provider { groups_claim: "a\u{1b}b".to_owned(), ..corp() }),
        ("many", Provider { audiences: vec!["a".to_owned(); 17], ..corp() }),
    ] {
        assert!(change.check().is_err(), "{refused}");
    }
    assert!(corp().check().is_ok());
    for local in ["http://127.0.0.1:9400", "http://localhost:1/a", "http://[::1]:9"] {
        assert!(Provider { issuer: local.to_owned(), ..corp() }.check().is_ok(), "{local}");
    }
}

/// ACCESS-6: a login is recorded with where it came from.
#[test]
fn access_6_a_login_is_recorded_with_its_address() {
    use cairn_audit::{Filter, Line, Log};
    use futures::TryStreamExt as _;

    simulate(17, async |env| {
        let bucket = Bucket::memory(&env);
        let access = with_alice(&bucket, &env).await;
        let at = Origin { request: "r1".to_owned(), ..from("192.0.2.1") };
        let wrong = Password::shown("wrong".to_owned());
        assert!(access.check_own_password("alice", wrong, &at).await.is_err());
        let owner = Owner::Principal(name("alice"));
        let hour = Duration::from_secs(3600);
        access.open_session(owner, BTreeSet::new(), hour, &at).await.unwrap();
        let log = Log::new(bucket.clone(), env.clone(), Arc::new(Plain));
        let root = access.recover().await.unwrap();
        access.check_own_token(root.token.expose(), &at).await.unwrap();
        assert!(access.check_own_token("wrong", &at).await.is_err());
        access.audit().commit().await.unwrap();
        let batches: Vec<_> =
            log.read(0, Filter::default()).await.unwrap().try_collect().await.unwrap();
        let lines = batches.into_iter().flat_map(|batch| batch.lines);
        let entries = lines.filter_map(|line| match line {
            Line::Entry(entry) => Some(entry.record),
            Line::Gap(_) => None,
        });
        let at_login: Vec<_> =
            entries.filter(|record| record.door.to_string() == "login").collect();
        let outcomes: Vec<String> = at_login.iter().map(|one| one.outcome.to_string()).collect();
        assert_eq!(outcomes, ["refused", "allowed", "changed", "allowed", "refused"]);
        for record in at_login {
            let told = (record.peer.to_string(), record.request.to_string());
            assert_eq!(told, ("192.0.2.1".to_owned(), "r1".to_owned()));
        }
    });
}
