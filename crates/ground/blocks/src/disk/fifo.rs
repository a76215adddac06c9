//! Which frames stay: S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache
//! eviction", SOSP 2023).
//!
//! Newcomers go through a small queue, a tenth of the whole. Who was asked for again while there moves
//! on to the main queue; the others leave, and a ghost of each is remembered for a while: who comes
//! back soon goes to the main queue at once. The main queue gives each a further round for every time
//! it was asked for, at most three. So a scan of much that is never asked for again displaces little.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How often one is asked for counts up to here.
const HITS_MAX: u8 = 3;
/// The small queue's part of the whole: one in so many.
const SMALL_PART: u64 = 10;

#[derive(Debug)]
struct Item {
    weight: u64,
    hits: u8,
    main: bool,
}

/// The queues. Weights are bytes; all that is in them together never exceeds the capacity.
#[derive(Debug)]
pub(crate) struct Fifo<K> {
    capacity: u64,
    items: BTreeMap<K, Item>,
    /// The next to leave first.
    small: VecDeque<K>,
    main: VecDeque<K>,
    small_weight: u64,
    main_weight: u64,
    ghosts: BTreeSet<K>,
    ghost_order: VecDeque<K>,
}

impl<K: Ord + Copy> Fifo<K> {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            items: BTreeMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            small_weight: 0,
            main_weight: 0,
            ghosts: BTreeSet::new(),
            ghost_order: VecDeque::new(),
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        self.small_weight + self.main_weight
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.items.contains_key(key)
    }

    /// Whether it is there; that counts as asking for it.
    pub(crate) fn hit(&mut self, key: &K) -> bool {
        let Some(item) = self.items.get_mut(key) else { return false };
        item.hits = (item.hits + 1).min(HITS_MAX);
        true
    }

    /// Takes one in, and returns those that leave for it. What is heavier than the whole leaves at
    /// once.
    pub(crate) fn insert(&mut self, key: K, weight: u64) -> Vec<K> {
        if self.items.contains_key(&key) {
            return Vec::new();
        }
        if weight > self.capacity {
            return vec![key];
        }
        let main = self.ghosts.remove(&key);
        self.enter(key, weight, main);
        self.fit()
    }

    /// Takes in one that stood here before, as when a process starts again.
    pub(crate) fn insert_known(&mut self, key: K, weight: u64) -> Vec<K> {
        if self.items.contains_key(&key) {
            return Vec::new();
        }
        if self.weight() + weight > self.capacity {
            return vec![key];
        }
        self.enter(key, weight, true);
        Vec::new()
    }

    fn enter(&mut self, key: K, weight: u64, main: bool) {
        self.items.insert(key, Item { weight, hits: 0, main });
        if main {
            self.main.push_back(key);
            self.main_weight += weight;
        } else {
            self.small.push_back(key);
            self.small_weight += weight;
        }
    }

    /// Takes one out; looks through a queue for it, so this is for what is rare.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        let Some(item) = self.items.remove(key) else { return false };
        let (queue, sum) = if item.main {
            (&mut self.main, &mut self.main_weight)
        } else {
            (&mut self.small, &mut self.small_weight)
        };
        queue.retain(|other| other != key);
        *sum -= item.weight;
        true
    }

    fn fit(&mut self) -> Vec<K> {
        let mut gone = Vec::new();
        while self.weight() > self.capacity {
            if self.small_weight > self.capacity / SMALL_PART || self.main.is_empty() {
                gone.extend(self.leave_small());
            } else {
                gone.extend(self.leave_main());
            }
        }
        gone
    }

    /// The oldest of the small queue leaves it: for the main queue, or for good.
    fn leave_small(&mut self) -> Option<K> {
        let key = self.small.pop_front()?;
        let item = self.items.get_mut(&key).expect("what is in a queue is an item");
        self.small_weight -= item.weight;
        if item.hits > 0 {
            (item.hits, item.main) = (0, true);
            self.main_weight += item.weight;
            self.main.push_back(key);
            return None;
        }
        self.items.remove(&key);
        self.remember(key);
        Some(key)
    }

    /// The oldest of the main queue goes round again when it was asked for, or leaves.
    fn leave_main(&mut self) -> Option<K> {
        let key = self.main.pop_front()?;
        let item = self.items.get_mut(&key).expect("what is in a queue is an item");
        if item.hits > 0 {
            item.hits -= 1;
            self.main.push_back(key);
            return None;
        }
        self.main_weight -= item.weight;
        self.items.remove(&key);
        Some(key)
    }

    /// As many ghosts as there are items.
    fn remember(&mut self, key: K) {
        if self.ghosts.insert(key) {
            self.ghost_order.push_back(key);
        }
        while self.ghost_order.len() > self.items.len().max(1) {
            if let Some(oldest) = self.ghost_order.pop_front() {
                self.ghosts.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scan_displaces_little() {
        let mut fifo = Fifo::new(100);
        for key in 0..50_u32 {
            fifo.insert(key, 1);
            assert!(fifo.hit(&key));
        }
        for key in 1000..5000 {
            fifo.insert(key, 1);
        }
        let kept = (0..50).filter(|key| fifo.contains(key)).count();
        assert_eq!(kept, 50, "what was asked for twice stays");
    }

    #[test]
    fn who_comes_back_soon_stays() {
        let mut fifo = Fifo::new(100);
        for key in 0..110_u32 {
            fifo.insert(key, 1);
        }
        assert!(!fifo.contains(&5));
        fifo.insert(5, 1);
        for key in 1000..1085 {
            fifo.insert(key, 1);
        }
        assert!(fifo.contains(&5), "its ghost was remembered");
    }

    proptest! {
        /// Weights add up, nothing is over the capacity, and who leaves is said once.
        #[test]
        fn as_a_naive_model(steps in prop::collection::vec((0..3_u8, 0..40_u32, 1..30_u64), 1..400)) {
            let mut fifo = Fifo::new(100);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (step, key, weight) in steps {
                match step {
                    0 => {
                        let was = model.contains_key(&key);
                        let gone = fifo.insert(key, weight);
                        if !was {
                            model.insert(key, weight);
                        }
                        for key in gone {
                            prop_assert!(model.remove(&key).is_some());
                        }
                    }
                    1 => prop_assert_eq!(fifo.hit(&key), model.contains_key(&key)),
                    _ => prop_assert_eq!(fifo.remove(&key), model.remove(&key).is_some()),
                }
                prop_assert_eq!(fifo.weight(), model.values().sum::<u64>());
                prop_assert!(fifo.weight() <= 100);
                prop_assert_eq!(fifo.len(), model.len());
                prop_assert_eq!(fifo.small.len() + fifo.main.len(), model.len());
            }
        }
    }
}
