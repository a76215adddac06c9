//! A tree of many small files that follows from a seed: nested directories of about a thousand
//! entries, names as people give them, sizes log-normal around one to two KiB.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Files in one directory.
const DIRECTORY_FILES: u64 = 1000;
/// Directories in one directory.
const FAN_OUT: u64 = 32;
/// The median size and the spread of its logarithm.
const SIZE_MEDIAN: f64 = 1200.0;
const SIZE_SIGMA: f64 = 0.8;
const SIZE_MAX: usize = 64 * 1024;

const STEMS: [&str; 16] = [
    "invoice", "scan", "reading", "frame", "label", "mask", "record", "sample", "sensor",
    "patient", "episode", "page", "tile", "track", "event", "order",
];
const WORDS: [&str; 16] = [
    "temperature",
    "pressure",
    "kind",
    "value",
    "station",
    "north",
    "valid",
    "quality",
    "source",
    "created",
    "updated",
    "count",
    "width",
    "height",
    "model",
    "batch",
];
const ENDINGS: [&str; 5] = [".json", ".xml", ".txt", ".csv", ".yaml"];

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn part(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed, by Box and Muller.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.part().ln()).sqrt() * (std::f64::consts::TAU * self.part()).cos()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.next() % from.len() as u64).expect("a list is short")]
    }
}

/// Where file number `index` is. It follows from the number alone.
pub(crate) fn path(index: u64) -> PathBuf {
    let directory = index / DIRECTORY_FILES;
    let mut rng = Rng::new(index ^ 0xca1);
    let (stem, ending) = (rng.pick(&STEMS), rng.pick(&ENDINGS));
    let (top, below) = (directory / FAN_OUT, directory % FAN_OUT);
    PathBuf::from(format!("part-{top:03}/day-{below:02}/{stem}_{index:07}{ending}"))
}

#[expect(clippy::cast_possible_truncation, reason = "it is clamped far below")]
fn size(rng: &mut Rng) -> usize {
    let size = SIZE_MEDIAN * (SIZE_SIGMA * rng.normal()).exp();
    (size as usize).clamp(1, SIZE_MAX)
}

/// Lines of words and numbers: about as compressible as what such files hold.
fn content(rng: &mut Rng, to: &mut Vec<u8>) {
    to.clear();
    let len = size(rng);
    while to.len() < len {
        let (word, number) = (rng.pick(&WORDS), rng.next() % 1_000_000);
        to.extend_from_slice(format!("  \"{word}\": {number},\n").as_bytes());
    }
    to.truncate(len);
}

/// Writes the tree unless it is there already.
pub(crate) fn prepare(files: u64, cache: &Path) -> Result<PathBuf> {
    let dir = cache.join(format!("C-{files}"));
    if dir.exists() {
        return Ok(dir);
    }
    let staged = dir.with_extension("writing");
    crate::disk::remove(&staged)?;
    crate::disk::fresh(&staged)?;
    let mut bytes = Vec::new();
    for index in 0..files {
        let file = staged.join(path(index));
        if index % DIRECTORY_FILES == 0 {
            std::fs::create_dir_all(file.parent().expect("it is below the top"))?;
        }
        content(&mut Rng::new(index), &mut bytes);
        std::fs::write(file, &bytes)?;
    }
    std::fs::rename(&staged, &dir)?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_small_and_vary() {
        let mut sizes: Vec<usize> = (0..10_000).map(|index| size(&mut Rng::new(index))).collect();
        sizes.sort_unstable();
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        assert!((1000..1400).contains(&sizes[5000]), "{}", sizes[5000]);
        assert!((1400..2000).contains(&mean), "{mean}");
    }

    #[test]
    fn every_file_has_its_own_path() {
        let mut paths: Vec<PathBuf> = (0..50_000).map(path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 50_000);
    }
}
