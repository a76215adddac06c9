use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use cairn_chunk::{ChunkId, ChunkKey};

use super::*;
use crate::{Content, Kind, Meta, Stream};

fn file(name: &str, seed: u8) -> Entry {
    let content = Content {
        len: 7,
        stream: Stream::Chunk { id: ChunkId([seed; 32]), len: 7 },
        ..Content::default()
    };
    Entry { name: name.into(), meta: Meta::default(), kind: Kind::File { content } }
}

#[test]
fn a_directory_of_many_pages_finds_each_entry() {
    let key = ChunkKey::new([3; 32]);
    let mut pages = BTreeMap::new();
    let mut emit = |bytes: Vec<u8>| {
        let id = key.id(&bytes);
        pages.insert(id, bytes);
        Ok::<_, Error>(id)
    };
    let mut builder = DirectoryBuilder::new();
    let names: Vec<_> = (0..3000).map(|n| alloc::format!("entry-{n:05}")).collect();
    for name in &names {
        builder.push(&file(name, 1), &mut emit).unwrap();
    }
    let (top, totals) = builder.finish(&mut emit).unwrap();
    assert_eq!((totals.files, totals.bytes), (3000, 21_000));
    for name in names.iter().map(|name| name.as_bytes()) {
        let mut page = DirectoryPage::decode(&pages[&top.unwrap()]).unwrap();
        loop {
            let child = match page.find(name) {
                Find::Entry(entry) => break assert_eq!(entry.name, name),
                Find::Child(child) => child.clone(),
                Find::Missing => panic!("{name:?} is missing"),
            };
            page = DirectoryPage::decode(&pages[&child.page]).unwrap();
            child.check(&page).unwrap();
        }
    }
    assert!(pages.len() > 5);
}
