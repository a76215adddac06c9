//! Guessing is slowed: after a few wrong passwords for one account, or from one address, the next one
//! is looked at only after a while, which doubles with each further one. A right one ends it.
//!
//! Each process counts for itself and keeps nothing: with `n` hubs somebody has `n` times the guesses,
//! a few thousand a day.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Wrong ones that cost nothing.
pub(crate) const FREE_FAILURES: u32 = 5;
/// The longest wait between two guesses.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// After so long without a wrong one it is forgotten.
const FORGET: Duration = Duration::from_secs(15 * 60);
/// The most accounts and addresses that are counted.
const COUNTED_MAX: usize = 10_000;
/// The most doublings of a second.
const DOUBLINGS_MAX: u32 = 6;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Account(String),
    /// An address; of IPv6 the network of 64 bits that one customer has.
    Address([u8; 8]),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Duration,
}

impl Failures {
    fn until(&self) -> Duration {
        match self.count.checked_sub(FREE_FAILURES) {
            None => Duration::ZERO,
            Some(over) => {
                let wait = Duration::from_secs(1 << over.min(DOUBLINGS_MAX)).min(WAIT_MAX);
                self.last + wait
            }
        }
    }
}

/// Counts wrong passwords.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<BTreeMap<Key, Failures>>,
}

fn keys(account: &str, address: Option<IpAddr>) -> impl Iterator<Item = Key> {
    let account = account.chars().take(128).collect();
    let address = address.map(|address| {
        let mut network = [0; 8];
        match address.to_canonical() {
            IpAddr::V4(address) => network[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => network.copy_from_slice(&address.octets()[..8]),
        }
        Key::Address(network)
    });
    std::iter::once(Key::Account(account)).chain(address)
}

impl Throttle {
    fn failures(&self) -> MutexGuard<'_, BTreeMap<Key, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it takes until the next password is looked at; nothing when it may be now.
    pub(crate) fn wait(
        &self,
        account: &str,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Option<Duration> {
        let failures = self.failures();
        let until = keys(account, address).filter_map(|key| failures.get(&key));
        let until = until.map(Failures::until).max()?;
        until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// A wrong one.
    pub(crate) fn failed(&self, account: &str, address: Option<IpAddr>, now: Duration) {
        let mut failures = self.failures();
        if failures.len() >= COUNTED_MAX {
            failures.retain(|_, failures| failures.last + FORGET > now);
        }
        for key in keys(account, address) {
            let known = failures.get(&key).filter(|known| known.last + FORGET > now).copied();
            let count = known.map_or(0, |known| known.count).saturating_add(1);
            // A crowd of strangers does not push out those that are counted already.
            if known.is_some() || failures.len() < COUNTED_MAX {
                failures.insert(key, Failures { count, last: now });
            }
        }
    }

    /// A right one.
    pub(crate) fn succeeded(&self, account: &str, address: Option<IpAddr>) {
        let mut failures = self.failures();
        for key in keys(account, address) {
            failures.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_and_end() {
        let (throttle, home) = (Throttle::default(), Some("192.0.2.1".parse().unwrap()));
        let mut now = Duration::from_secs(1000);
        let mut waits = Vec::new();
        for _ in 0..14 {
            if let Some(wait) = throttle.wait("alice", home, now) {
                waits.push(wait.as_secs());
                now += wait;
            }
            assert_eq!(throttle.wait("alice", home, now), None);
            throttle.failed("alice", home, now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        // The account is slowed from everywhere, and the address for every account.
        let away = Some("2001:db8::1".parse().unwrap());
        assert!(throttle.wait("alice", away, now).is_some());
        assert!(throttle.wait("bob", home, now).is_some());
        assert!(throttle.wait("bob", away, now).is_none());
        throttle.succeeded("alice", home);
        assert!(throttle.wait("alice", home, now).is_none());
    }

    #[test]
    fn neighbours_of_one_network_are_one() {
        let throttle = Throttle::default();
        let at = |text: &str| Some(text.parse().unwrap());
        for tail in 1..=FREE_FAILURES {
            throttle.failed(&format!("a{tail}"), at(&format!("2001:db8::{tail}")), SECOND);
        }
        assert!(throttle.wait("new", at("2001:db8::ffff"), SECOND).is_some());
        assert!(throttle.wait("new", at("2001:db8:0:1::1"), SECOND).is_none());
        assert!(throttle.wait("new", None, SECOND).is_none());
    }

    #[test]
    fn old_failures_are_forgotten_and_memory_is_bounded() {
        let throttle = Throttle::default();
        for _ in 0..20 {
            throttle.failed("alice", None, SECOND);
        }
        assert!(throttle.wait("alice", None, 2 * SECOND).is_some());
        assert!(throttle.wait("alice", None, SECOND + WAIT_MAX).is_none());
        throttle.failed("alice", None, SECOND + FORGET);
        assert!(throttle.wait("alice", None, SECOND + FORGET).is_none(), "it is the first again");
        for number in 0..(2 * COUNTED_MAX) {
            throttle.failed(&number.to_string(), None, SECOND + FORGET);
        }
        assert!(throttle.failures().len() <= COUNTED_MAX);
    }
}
