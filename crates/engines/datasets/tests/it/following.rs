//! Following a tag, through the process that moves it and through another one on the bucket.

use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_blocks::Options;
use cairn_bucket::faulty::{Crash, Faults, Kind};
use cairn_bucket::{Bucket, Faulty, Memory};
use cairn_datasets::{
    Datasets, Follow, LOOK_EVERY, PushOptions, REMOVED, Source, Store, Version, push,
};
use cairn_env::Env;
use std::sync::Arc;

use super::support::target;

/// Two processes on one bucket, on simulated time.
struct Two {
    env: Env,
    faulty: Faulty,
    near: Datasets,
    far: Datasets,
}

impl Two {
    async fn new() -> Self {
        let env = Env::simulated(5);
        let faulty = Faulty::new(Arc::new(Memory::new(&env)), Faults::default(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &env);
        let open = || Datasets::open_or_init(bucket.clone(), None, Options::default(), &env);
        let (near, far) = (open().await.unwrap(), open().await.unwrap());
        Self { env, faulty, near, far }
    }

    fn now(&self) -> Duration {
        self.env.clock.monotonic()
    }

    fn looks(&self) -> usize {
        let kinds = [Kind::Get, Kind::Head];
        let of = |entry: &&cairn_bucket::faulty::Entry| {
            kinds.contains(&entry.kind) && entry.key.starts_with("refs/")
        };
        self.faulty.log().iter().filter(of).count()
    }
}

async fn move_to(datasets: &Datasets, content: &str) -> Version {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("f"), content).unwrap();
    let store: Arc<dyn Store> = Arc::new(datasets.clone());
    let source = Source::Path(dir.path().to_path_buf());
    let pushed = push(&store, &source, &[target("d")], &PushOptions::default()).await;
    pushed.unwrap().version
}

async fn quiet(follow: &mut Follow) {
    let more = tokio::time::timeout(5 * LOOK_EVERY, follow.next()).await;
    assert!(more.is_err(), "{more:?}");
}

/// DATASETS-5, with the removal and the return of the tag.
#[tokio::test(start_paused = true)]
async fn datasets_5_followers_see_every_move_in_order() {
    let two = Two::new().await;
    let mut near = two.near.follow(target("d"));
    let mut far = two.far.follow(target("d"));
    assert_eq!(near.next().await.unwrap(), None);
    assert_eq!(far.next().await.unwrap(), None);
    let mut moved = Vec::new();
    for round in 0..3 {
        moved.push(move_to(&two.near, &format!("{round}")).await);
    }
    for follow in [&mut near, &mut far] {
        for version in &moved {
            assert_eq!(follow.next().await.unwrap().as_ref(), Some(version));
        }
        quiet(follow).await;
    }
    two.far.remove(&target("d")).await.unwrap();
    assert_eq!(near.next().await.unwrap(), None);
    assert_eq!(far.next().await.unwrap(), None);
    let back = move_to(&two.far, "back").await;
    assert_eq!(near.next().await.unwrap(), Some(back.clone()));
    assert_eq!(far.next().await.unwrap(), Some(back));
}

#[tokio::test(start_paused = true)]
async fn a_move_is_seen_at_once_here_and_within_a_second_elsewhere() {
    let two = Two::new().await;
    move_to(&two.near, "0").await;
    let mut near = two.near.follow(target("d"));
    let mut far = two.far.follow(target("d"));
    near.next().await.unwrap().unwrap();
    far.next().await.unwrap().unwrap();
    for round in 1..5 {
        two.env.clock.sleep(Duration::from_millis(300)).await;
        let version = move_to(&two.near, &format!("{round}")).await;
        let began = two.now();
        assert_eq!(near.next().await.unwrap().as_ref(), Some(&version));
        assert_eq!(two.now(), began, "no time passed");
        assert_eq!(far.next().await.unwrap().as_ref(), Some(&version));
        assert!(two.now() - began <= LOOK_EVERY);
    }
}

/// DATASETS-5: who was away names what it saw last.
#[tokio::test(start_paused = true)]
async fn datasets_5_a_follower_goes_on_where_it_was() {
    let two = Two::new().await;
    let first = move_to(&two.near, "1").await;
    let second = move_to(&two.near, "2").await;
    let third = move_to(&two.near, "3").await;
    let mut follow = two.far.follow_from(&target("d"), Some(first.id()));
    assert_eq!(follow.next().await.unwrap(), Some(second.clone()));
    assert_eq!(follow.next().await.unwrap(), Some(third.clone()));
    let mut follow = two.far.follow_from(&target("d"), Some(third.id()));
    quiet(&mut follow).await;
    two.near.remove(&target("d")).await.unwrap();
    assert_eq!(follow.next().await.unwrap(), None);
    let mut follow = two.far.follow_from(&target("d"), Some(REMOVED.to_owned()));
    quiet(&mut follow).await;
    let again = move_to(&two.near, "1").await;
    assert_ne!(again.id(), first.id(), "the same tree, another state");
    assert_eq!(follow.next().await.unwrap(), Some(again));
}

#[tokio::test(start_paused = true)]
async fn many_followers_cost_one_look_a_second_and_none_costs_nothing() {
    let two = Two::new().await;
    let version = move_to(&two.near, "1").await;
    let mut follows: Vec<Follow> = (0..200).map(|_| two.far.follow(target("d"))).collect();
    for follow in &mut follows {
        assert_eq!(follow.next().await.unwrap().as_ref(), Some(&version));
    }
    let before = two.looks();
    two.env.clock.sleep(10 * LOOK_EVERY).await;
    let looks = two.looks() - before;
    assert!((9..=11).contains(&looks), "{looks}");
    // A call that was given up loses nothing.
    for follow in &mut follows {
        assert!(futures::FutureExt::now_or_never(follow.next()).is_none());
    }
    let version = move_to(&two.near, "2").await;
    for follow in &mut follows {
        assert_eq!(follow.next().await.unwrap().as_ref(), Some(&version));
    }
    drop(follows);
    two.env.clock.sleep(2 * LOOK_EVERY).await;
    let before = two.looks();
    two.env.clock.sleep(10 * LOOK_EVERY).await;
    assert_eq!(two.looks(), before, "nobody follows, nobody looks");
    assert_eq!(two.far.follow(target("d")).next().await.unwrap(), Some(version));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_fails_is_told_and_followed_again() {
    let two = Two::new().await;
    move_to(&two.near, "1").await;
    let mut follow = two.near.follow(target("d"));
    follow.next().await.unwrap().unwrap();
    two.faulty.crash(Crash::Fail);
    let error = follow.next().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Retry | ErrorKind::Closed), "{error}");
    two.faulty.heal();
    let version = move_to(&two.far, "2").await;
    let seen = loop {
        if let Ok(seen) = follow.next().await {
            break seen;
        }
    };
    assert_eq!(seen, Some(version));
}
