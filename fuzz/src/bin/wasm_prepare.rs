//! Uploads of any bytes: what can be a function becomes a component, which stays as it is when it is uploaded
//! again; all else is refused with a cause.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(prepared) = cairn_wasm::prepare(bytes) else { return };
    let again = cairn_wasm::prepare(&prepared.component).expect("a component is one");
    assert_eq!(again.component, prepared.component);
});
