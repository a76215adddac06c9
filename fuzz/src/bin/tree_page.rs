//! Pages of manifests: what decodes has one encoding, these bytes (TREE-2), and its children and
//! look-ups never panic.

#![no_main]

use cairn_tree::Page;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(page) = Page::decode(bytes) else { return };
    assert_eq!(page.encode().expect("what decodes is valid"), bytes);
    drop(page.children());
    match &page {
        Page::Directory(page) => {
            let _found = page.find(b"name");
            let first = page.first_name().to_vec();
            let _found = page.find(&first);
        }
        Page::Map(page) => {
            let _found = page.find(0);
            let _found = page.find(page.byte_count());
        }
        Page::Root(_) => {}
    }
});
