//! Archives of any bytes: a plan that is given rebuilds exactly these bytes (ARCHIVE-1), whatever
//! they are, and nothing in them is an error (ARCHIVE-2).

#![no_main]

use std::io::{Cursor, Read as _};

use cairn_archive::{Inner, Limits, Recipe, plan, rebuild};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut archive = Cursor::new(bytes);
    // A small bound: time goes into odd archives, not into long ones.
    let limits = Limits { inner_bytes_max: 1 << 20, ..Limits::default() };
    let planned = plan(&mut archive, &limits).expect("memory can be read");
    let Some(plan) = planned else { return };
    let mut inner = Vec::new();
    Inner::new(&mut archive, &plan.recipe)
        .map(|mut stream| {
            stream.read_to_end(&mut inner).expect("the archive is the one that was planned")
        })
        .expect("memory can be rewound");
    assert_eq!(inner.len() as u64, plan.inner_len);
    assert_eq!(plan.pieces.iter().map(|piece| piece.len).sum::<u64>(), plan.inner_len);
    let recipe = Recipe::decode(&plan.recipe.encode()).expect("what encodes decodes");
    let mut again = Vec::new();
    rebuild(&recipe, inner.as_slice(), &mut again).expect("it was proved");
    assert_eq!(again, bytes);
});
