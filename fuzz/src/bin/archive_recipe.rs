//! Recipes of any bytes, as they are and with the checksum that they should have: what decodes has
//! one encoding, and a rebuild ends in time (ARCHIVE-4).

#![no_main]

use cairn_archive::{Recipe, rebuild};
use libfuzzer_sys::fuzz_target;

/// Takes what a rebuild gives, so far and no further.
struct Bounded(usize);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if let Some((body, _)) = bytes.split_last_chunk::<4>() {
        check(&[body, &crc32fast::hash(body).to_le_bytes()].concat());
    }
});

fn check(bytes: &[u8]) {
    let Ok(recipe) = Recipe::decode(bytes) else { return };
    assert_eq!(recipe.encode(), bytes);
    let inner: Vec<u8> = (0..4096_u32).flat_map(u32::to_le_bytes).collect();
    drop(rebuild(&recipe, inner.as_slice(), &mut Bounded(1 << 20)));
}
