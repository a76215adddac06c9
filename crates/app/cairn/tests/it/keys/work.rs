//! Clients at work in a namespace, on one node or another, and a watch beside them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, Lost};
use super::history::{Asked, Change, Got, MARK, Notes, Outcome, Scanned, State, Told};
use crate::process::until;
use crate::tree::Rng;

/// Keys of a kind that one client writes.
const KEYS: usize = 12;
/// Clients of one namespace: any of them reads what any of them writes.
pub(super) const CLIENTS: usize = 4;
const COUNTERS: usize = 2;
/// What a refused client waits before it asks for something else.
const PATIENCE: Duration = Duration::from_millis(20);

pub(super) use crate::process::pause;

/// What all threads of a test see.
pub(super) struct World {
    start: Instant,
    over: AtomicBool,
    /// Commits that the watch told.
    told: Mutex<Vec<Told>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), over: AtomicBool::new(false), told: Mutex::default() }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// What the watch told so far.
    pub(super) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// There is work again.
    pub(super) fn resume(&self) {
        self.over.store(false, Ordering::Relaxed);
    }

    /// Lets all work end. What was asked and heard.
    pub(super) fn end(&self, workers: Vec<ScopedJoinHandle<'_, Worker>>) -> Notes {
        self.over.store(true, Ordering::Relaxed);
        let mut notes = Notes::default();
        let mut said = BTreeMap::new();
        for worker in workers {
            let worker = worker.join().unwrap();
            notes.add(worker.notes);
            for (what, count) in worker.said {
                *said.entry(what).or_insert(0) += count;
            }
        }
        for (said, count) in said {
            println!("{count:6} {said}");
        }
        notes
    }

    /// Asks for changes until some are acknowledged again.
    pub(super) fn last_words(&self, places: &[Client]) -> Notes {
        let mut worker = Worker::new(self, places, CLIENTS, 0);
        until("an acknowledgement", || worker.put().then_some(()));
        worker.notes
    }

    /// Follows the changes, by way of one place or the next, until all is over. Whenever it is cut off
    /// it goes on after what it knows.
    pub(super) fn watch(&self, places: &[Client]) {
        for place in places.iter().cycle() {
            let after = self.told.lock().unwrap().last().map_or(0, |told| told.seq);
            let mut begun = None;
            for line in place.watch(after).into_iter().flatten() {
                if let Some(told) = Told::take(&mut begun, &line) {
                    self.told.lock().unwrap().push(told);
                }
                if self.is_over() {
                    return;
                }
            }
            if self.is_over() {
                return;
            }
            pause(PATIENCE);
        }
    }
}

/// One that asks for changes and reads, and writes down what it heard.
pub(super) struct Worker<'a> {
    world: &'a World,
    /// Where it asks, one or the other.
    places: Vec<Client>,
    index: usize,
    seed: u64,
    rng: Rng,
    notes: Notes,
    count: usize,
    /// What nodes said that refused or did not know, how often.
    said: BTreeMap<String, usize>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(world: &'a World, places: &[Client], index: usize, seed: u64) -> Self {
        let rng = Rng(seed * 1000 + index as u64);
        let (notes, said) = (Notes::default(), BTreeMap::new());
        Self { world, places: places.to_vec(), index, seed, rng, notes, count: 0, said }
    }

    /// One for each set of places, at work.
    pub(super) fn all<'scope>(
        scope: &'scope Scope<'scope, '_>,
        world: &'a World,
        places: [&[Client]; CLIENTS],
        seed: u64,
    ) -> Vec<ScopedJoinHandle<'scope, Self>>
    where
        'a: 'scope,
    {
        let workers = places.into_iter().enumerate();
        let workers = workers.map(|(index, places)| Worker::new(world, places, index, seed));
        workers.map(|worker| scope.spawn(|| worker.run())).collect()
    }

    /// Works until all is over.
    fn run(mut self) -> Self {
        while !self.world.is_over() {
            self.step();
        }
        self
    }

    fn step(&mut self) {
        let done = match self.rng.below(100) {
            0..30 => self.put(),
            30..45 => self.count_up(),
            45..62 => self.batch(),
            62..69 => self.delete_range(),
            69..75 => self.delete(),
            75..83 => self.put_for_a_while(),
            83..95 => self.read(),
            _ => self.scan(),
        };
        if !done {
            pause(PATIENCE);
        }
    }

    fn place(&mut self) -> Client {
        let index = self.rng.below(self.places.len());
        self.places[index].clone()
    }

    fn id(&mut self) -> String {
        self.count += 1;
        format!("w{}.{}.{}", self.index, self.seed, self.count)
    }

    fn value(&mut self, id: &str) -> String {
        let len = match self.rng.below(50) {
            0 => 60_000,
            1..10 => 2000,
            _ => 20,
        };
        format!("{id}|{}", "v".repeat(self.rng.below(len)))
    }

    fn key(&mut self, kind: &str) -> String {
        format!("{kind}/{}/{:02}", self.index, self.rng.below(KEYS))
    }

    /// Asks for a commit; whether it was acknowledged.
    fn ask(
        &mut self,
        id: String,
        changes: Vec<Change>,
        request: (&str, &str, &str),
        body: &[u8],
    ) -> bool {
        let place = self.place();
        let (method, below, headers) = request;
        let began = self.world.now();
        let answer = place.ask(method, below, headers, body);
        let ended = self.world.now();
        let outcome = match &answer {
            Ok(answer) if answer.status == 200 => {
                Outcome::Done(answer.json()["seq"].as_u64().unwrap())
            }
            Ok(answer) if matches!(answer.status, 412 | 421 | 503 | 507) => Outcome::Not,
            Ok(answer) if answer.status == 504 => Outcome::Unknown,
            Ok(answer) if answer.is_from_the_dark() => Outcome::Unknown,
            Ok(answer) => panic!("{method} {below}: {}", answer.text()),
            Err(Lost::Before) => Outcome::Not,
            Err(Lost::After { .. }) => Outcome::Unknown,
        };
        if !matches!(outcome, Outcome::Done(_)) {
            let said = match answer {
                Ok(answer) if answer.status == 412 => "a condition does not hold".to_owned(),
                Ok(answer) => answer.reason(),
                Err(lost) => format!("{lost:?}"),
            };
            *self.said.entry(said).or_default() += 1;
        }
        self.notes.asked.push(Asked { id, changes, began, ended, outcome });
        matches!(outcome, Outcome::Done(_))
    }

    fn commit(&mut self, id: String, changes: Vec<Change>) -> bool {
        let ops: Vec<Value> = changes.iter().map(op).collect();
        let body = json!({ "ops": ops }).to_string();
        self.ask(id, changes, ("POST", "/commit", ""), body.as_bytes())
    }

    fn put(&mut self) -> bool {
        let (id, key) = (self.id(), self.key("k"));
        let value = self.value(&id);
        let level = if self.rng.below(12) == 0 { "?durable=bucket" } else { "" };
        let below = format!("/keys/{key}{level}");
        let changes = vec![Change::Put { key, value: value.clone(), expires_ms: None }];
        self.ask(id, changes, ("PUT", &below, ""), value.as_bytes())
    }

    /// Adds one to a counter that others count too.
    fn count_up(&mut self) -> bool {
        let key = format!("c/{}", self.rng.below(COUNTERS));
        let Some(found) = self.get(&key) else { return false };
        let condition = match &found {
            None => "If-None-Match: *\r\n".to_owned(),
            Some((seq, _)) => format!("If-Match: \"{seq}\"\r\n"),
        };
        let number = |value: &str| value.split('|').nth(1).unwrap().parse::<u64>().unwrap();
        let next = found.map_or(0, |(_, value)| number(&value)) + 1;
        let id = self.id();
        let value = format!("{id}|{next}");
        let changes =
            vec![Change::Put { key: key.clone(), value: value.clone(), expires_ms: None }];
        self.ask(id, changes, ("PUT", &format!("/keys/{key}"), &condition), value.as_bytes());
        true
    }

    fn mark(&self, id: &str) -> Change {
        let key = format!("m/{}", self.index);
        Change::Put { key, value: id.to_owned(), expires_ms: None }
    }

    fn batch(&mut self) -> bool {
        let id = self.id();
        let mut changes = vec![self.mark(&id)];
        for _ in 0..=self.rng.below(20) {
            let key = self.key("b");
            let same = |change: &Change| match change {
                Change::Put { key: other, .. } | Change::Delete { key: other, .. } => *other == key,
                Change::DeleteRange { .. } => false,
            };
            if changes.iter().any(same) {
                continue;
            }
            changes.push(match self.rng.below(4) {
                0 => Change::Delete { key, expired: false },
                _ => Change::Put { key, value: self.value(&id), expires_ms: None },
            });
        }
        self.commit(id, changes)
    }

    fn delete_range(&mut self) -> bool {
        let id = self.id();
        let kind = ["k", "b"][self.rng.below(2)];
        let (mut from, mut to) = (self.key(kind), self.key(kind));
        if from > to {
            std::mem::swap(&mut from, &mut to);
        }
        let to = format!("{to}/");
        let changes = vec![self.mark(&id), Change::DeleteRange { from, to }];
        self.commit(id, changes)
    }

    fn delete(&mut self) -> bool {
        let id = self.id();
        let changes = vec![self.mark(&id), Change::Delete { key: self.key("k"), expired: false }];
        self.commit(id, changes)
    }

    fn put_for_a_while(&mut self) -> bool {
        let (id, key) = (self.id(), self.key("t"));
        let value = self.value(&id);
        let ttl_ms = 100 + self.rng.next() % 3000;
        let below = format!("/keys/{key}?ttl={ttl_ms}ms");
        let changes = vec![Change::Put { key, value: value.clone(), expires_ms: Some(0) }];
        self.ask(id, changes, ("PUT", &below, ""), value.as_bytes())
    }

    /// What a key is; `None` when nobody says.
    #[expect(clippy::option_option, reason = "no answer, and no entry")]
    fn get(&mut self, key: &str) -> Option<Option<(u64, String)>> {
        let place = self.place();
        let began = self.world.now();
        let answer = place.ask("GET", &format!("/keys/{key}"), "", b"").ok()?;
        let ended = self.world.now();
        let found = match answer.status {
            200 => {
                let seq = answer.etag();
                Some((seq, String::from_utf8(answer.body).unwrap()))
            }
            404 => {
                assert!(answer.text().contains("there is no key"), "{}", answer.text());
                None
            }
            _ if answer.is_not_now() => {
                *self.said.entry(answer.reason()).or_default() += 1;
                return None;
            }
            _ => panic!("GET {key}: {}", answer.text()),
        };
        // What is over is not shown, and its removal is told a moment later.
        if !key.starts_with("t/") || found.is_some() {
            let got = Got { key: key.to_owned(), began, ended, found: found.clone() };
            self.notes.got.push(got);
        }
        Some(found)
    }

    fn read(&mut self) -> bool {
        let kind = ["k", "b", "t"][self.rng.below(3)];
        let key = format!("{kind}/{}/{:02}", self.rng.below(CLIENTS), self.rng.below(KEYS));
        self.get(&key).is_some()
    }

    fn scan(&mut self) -> bool {
        let kind = ["k", "b"][self.rng.below(2)];
        let prefix = format!("{kind}/{}/", self.rng.below(CLIENTS));
        let place = self.place();
        let began = self.world.now();
        let Ok(answer) = place.ask("GET", &format!("/scan?prefix={prefix}"), "", b"") else {
            return false;
        };
        if answer.status != 200 {
            assert!(answer.is_not_now(), "scan: {}", answer.text());
            return false;
        }
        let ended = self.world.now();
        let page = answer.json();
        assert_eq!(page["next"], Value::Null, "it fits into a page");
        let found = page["entries"].as_array().unwrap().iter().map(entry).collect();
        let at = page["at"].as_u64().unwrap();
        self.notes.scanned.push(Scanned { prefix, began, ended, at, found });
        true
    }
}

fn entry(entry: &Value) -> (String, (u64, String)) {
    let text = |name: &str| entry[name].as_str().unwrap().to_owned();
    (text("key"), (entry["seq"].as_u64().unwrap(), text("value")))
}

fn op(change: &Change) -> Value {
    match change {
        Change::Put { key, value, .. } => json!({ "op": "put", "key": key, "value": value }),
        Change::Delete { key, .. } => json!({ "op": "delete", "key": key }),
        Change::DeleteRange { from, to } => {
            json!({ "op": "delete_range", "from": from, "to": to })
        }
    }
}

/// All commits from the first on, once what has an end is over.
#[track_caller]
pub(super) fn history(place: &Client) -> Vec<Told> {
    until("the end of all that has one", || {
        let answer = place.ask("GET", "/scan?prefix=t/", "", b"").ok()?;
        let none = answer.status == 200 && answer.json()["entries"].as_array()?.is_empty();
        none.then_some(())
    });
    let marked =
        place.insist("PUT", &format!("/keys/{MARK}"), b"", 200).json()["seq"].as_u64().unwrap();
    until("a whole watch", || {
        let mut told = Vec::new();
        let mut begun = None;
        for line in place.watch(0)? {
            told.extend(Told::take(&mut begun, &line));
            if told.last().is_some_and(|told: &Told| told.seq >= marked) {
                return Some(told);
            }
        }
        None
    })
}

/// What is there, by a scan.
pub(super) fn everything(place: &Client) -> State {
    let mut found = State::new();
    let mut below = "/scan".to_owned();
    loop {
        let page = place.insist("GET", &below, b"", 200).json();
        found.extend(page["entries"].as_array().unwrap().iter().map(entry));
        found.remove(MARK);
        match page["next"].as_str() {
            Some(next) => below = format!("/scan?cursor={next}"),
            None => break,
        }
    }
    found
}
