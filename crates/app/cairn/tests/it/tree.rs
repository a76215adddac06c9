//! Trees of files that follow from a seed, kept in memory to compare with what comes back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// SplitMix64 (Steele, Lea, Flood 2014): good enough to choose with, and the same everywhere.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// From 0 to below 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Bytes that no compressor makes smaller.
    pub(crate) fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Lines of words.
    fn text(&mut self, len: usize) -> Vec<u8> {
        const WORDS: [&str; 8] =
            ["basalt ", "cirque\n", "moraine ", "scree ", "tarn ", "ridge\n", "col ", "summit "];
        let mut text = Vec::with_capacity(len + 8);
        while text.len() < len {
            text.extend_from_slice(WORDS[self.below(WORDS.len())].as_bytes());
        }
        text.truncate(len);
        text
    }
}

/// Paths and contents. A clone shares the contents.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Tree(BTreeMap<String, Arc<[u8]>>);

impl Tree {
    pub(crate) fn random(rng: &mut Rng, files: usize) -> Self {
        let mut tree = Self::default();
        while tree.0.len() < files {
            tree.add(rng);
        }
        tree
    }

    /// One file of noise for each size.
    pub(crate) fn noise(rng: &mut Rng, sizes: &[usize]) -> Self {
        let file = |(index, size): (usize, &usize)| {
            (format!("noise/{index}.bin"), rng.noise(*size).into())
        };
        Self(sizes.iter().enumerate().map(file).collect())
    }

    fn add(&mut self, rng: &mut Rng) {
        let len = match rng.below(20) {
            0 => 0,
            1..12 => rng.below(4000),
            12..19 => rng.below(40_000),
            _ => 100_000 + rng.below(300_000),
        };
        let bytes = if rng.below(3) == 0 { rng.noise(len) } else { rng.text(len) };
        let path = format!("d{}/e{}/f{}", rng.below(4), rng.below(6), rng.below(100_000));
        self.0.insert(path, bytes.into());
    }

    /// What a day's work does: some files are edited, appended to, removed, moved, added.
    pub(crate) fn change(&mut self, rng: &mut Rng) {
        for _ in 0..1 + rng.below(12) {
            let paths: Vec<&String> = self.0.keys().collect();
            let path = paths[rng.below(paths.len())].clone();
            let bytes = self.0.remove(&path).unwrap();
            match rng.below(6) {
                0 => self.add(rng),
                1 => drop(self.0.insert(format!("{path}.moved"), bytes)),
                2 => {
                    let mut longer = bytes.to_vec();
                    let more = rng.below(9000);
                    longer.extend(rng.text(more));
                    self.0.insert(path, longer.into());
                }
                _ => {
                    // An edit in place that keeps the length is what a stat cache could miss.
                    let mut edited = bytes.to_vec();
                    if !edited.is_empty() {
                        let at = rng.below(edited.len());
                        edited[at] ^= 0x55;
                    }
                    self.0.insert(path, edited.into());
                    self.add(rng);
                }
            }
        }
    }

    /// Makes a directory that holds `before` hold this.
    pub(crate) fn write_over(&self, before: &Self, dir: &Path) {
        std::fs::create_dir_all(dir).unwrap();
        for path in before.0.keys().filter(|path| !self.0.contains_key(*path)) {
            std::fs::remove_file(dir.join(path)).unwrap();
        }
        for (path, bytes) in self.0.iter().filter(|(path, now)| before.0.get(*path) != Some(now)) {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    pub(crate) fn write(&self, dir: &Path) {
        self.write_over(&Self::default(), dir);
    }

    /// All that is in a directory, hidden and temporary files too.
    pub(crate) fn read(dir: &Path) -> Self {
        let mut tree = Self::default();
        for file in crate::process::files_below(dir) {
            let path = file.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            tree.0.insert(path, std::fs::read(file).unwrap().into());
        }
        tree
    }

    #[track_caller]
    pub(crate) fn assert_same(&self, expected: &Self, what: &str) {
        for (path, bytes) in &expected.0 {
            match self.0.get(path) {
                None => panic!("{what}: {path} is missing"),
                Some(found) => assert!(found == bytes, "{what}: {path} differs"),
            }
        }
        let extra = self.0.keys().find(|path| !expected.0.contains_key(*path));
        assert_eq!(extra, None, "{what}: something was left there");
    }

    /// DATASETS-3: every file is one of these trees' file, whole; temporary files apart.
    #[track_caller]
    pub(crate) fn assert_whole(&self, of: &[&Self]) {
        let staged = |path: &str| path.rsplit('/').next().unwrap().starts_with(".cairn~");
        for (path, bytes) in self.0.iter().filter(|(path, _)| !staged(path)) {
            let whole = of.iter().any(|tree| tree.0.get(path) == Some(bytes));
            assert!(whole, "{path} is there, but not whole");
        }
    }
}
