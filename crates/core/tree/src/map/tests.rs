use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use cairn_chunk::{ChunkId, ChunkKey};

use super::*;
use crate::stream::{Source, Stream};

const KEY: ChunkKey = ChunkKey::new([3; 32]);

type Pages = BTreeMap<ChunkId, Vec<u8>>;

fn build(slices: &[Slice]) -> (Stream, Pages) {
    let mut pages = Pages::new();
    let mut emit = |bytes: Vec<u8>| {
        let id = KEY.id(&bytes);
        pages.insert(id, bytes);
        Ok::<_, Error>(id)
    };
    let mut builder = StreamBuilder::new();
    for slice in slices {
        builder.push(*slice, &mut emit).unwrap();
    }
    let stream = builder.finish(&mut emit).unwrap();
    (stream, pages)
}

fn id(n: u64) -> ChunkId {
    KEY.id(&n.to_le_bytes())
}

fn chunk(n: u64, skip: u32, len: u64) -> Slice {
    Slice { source: Source::Chunk { id: id(n), skip }, len }
}

const fn hole(len: u64) -> Slice {
    Slice { source: Source::Hole, len }
}

#[test]
fn a_stream_has_the_smallest_form() {
    let check = |slices: &[Slice], expected: Stream| {
        let (stream, pages) = build(slices);
        assert_eq!(stream, expected);
        stream.check().unwrap();
        assert!(pages.is_empty());
    };
    check(&[], Stream::Empty);
    check(&[chunk(1, 0, 9)], Stream::Chunk { id: id(1), len: 9 });
    check(&[chunk(1, 0, 4), chunk(1, 4, 5)], Stream::Chunk { id: id(1), len: 9 });
    check(&[chunk(1, 1, 9)], Stream::Slices(vec![chunk(1, 1, 9)]));
    check(&[hole(1), hole(2), hole(3)], Stream::Slices(vec![hole(6)]));
    let four = [chunk(1, 0, 9), hole(1), chunk(1, 9, 9), chunk(2, 0, 1)];
    check(&four, Stream::Slices(four.to_vec()));
}

#[test]
fn five_slices_are_a_map() {
    let slices = [chunk(1, 0, 9), hole(5), chunk(2, 1, 8), chunk(1, 9, 1), chunk(3, 0, 7)];
    let (stream, pages) = build(&slices);
    let Stream::Map { page, len: 30 } = stream else {
        panic!("{stream:?} is not a map of 30 bytes");
    };
    let MapPage::Leaf(leaf) = MapPage::decode(&pages[&page]).unwrap() else {
        panic!("a small map has one leaf");
    };
    assert_eq!(leaf.slices(), slices);
    assert_eq!(leaf.ids(), [id(1), id(2), id(3)]);
}

#[test]
fn each_byte_is_found() {
    let slices = [chunk(1, 0, 9), hole(5), chunk(2, 1, 8), chunk(1, 9, 1), chunk(3, 0, 7)];
    let (stream, pages) = build(&slices);
    let Stream::Map { page, len } = stream else { panic!() };
    let page = MapPage::decode(&pages[&page]).unwrap();
    page.check_len(len).unwrap();
    let mut offset = 0;
    for (index, slice) in slices.iter().enumerate() {
        let start = offset;
        for _ in 0..slice.len {
            assert_eq!(page.find(offset), MapFind::Slice { slice, index, start });
            offset += 1;
        }
    }
    assert_eq!(page.find(len), MapFind::Beyond);
    assert_eq!(page.find(u64::MAX), MapFind::Beyond);
}

#[test]
fn a_long_map_finds_each_slice() {
    let slices: Vec<_> = (0..20_000).map(|n| chunk(n, 0, 1 + n % 100_000)).collect();
    let (stream, pages) = build(&slices);
    let Stream::Map { page: top, len } = stream else { panic!() };
    let mut offset = 0;
    for slice in &slices {
        let mut page = MapPage::decode(&pages[&top]).unwrap();
        page.check_len(len).unwrap();
        let mut at = offset;
        let found = loop {
            match page.find(at) {
                MapFind::Slice { slice, start, .. } => break (*slice, at - start),
                MapFind::Child { child, start, .. } => {
                    let below = MapPage::decode(&pages[&child.page]).unwrap();
                    child.check(&below).unwrap();
                    at -= start;
                    page = below;
                }
                MapFind::Beyond => panic!("{offset} is within {len}"),
            }
        };
        assert_eq!(found, (*slice, 0));
        offset += slice.len;
    }
    assert_eq!(offset, len);
}

fn bytes_per_slice(slices: &[Slice]) -> f64 {
    let (_, pages) = build(slices);
    let bytes: usize = pages.values().map(Vec::len).sum();
    bytes as f64 / slices.len() as f64
}

#[test]
fn whole_chunks_take_little_more_than_their_ids() {
    let slices: Vec<_> = (0..50_000).map(|n| chunk(n, 0, 20_000 + n % 30_000)).collect();
    let bytes = bytes_per_slice(&slices);
    assert!(bytes < 36.3, "{bytes} bytes per slice");
}

/// An archive: the content of its members in few chunks, with headers and padding left out.
#[test]
fn small_slices_of_few_chunks_take_a_few_bytes() {
    let mut slices = Vec::new();
    for n in 0..500 {
        let mut skip = 0;
        for k in 0..40 {
            let len = 100 + 13 * (k % 71);
            slices.push(chunk(n, skip, len));
            skip += u32::try_from(len).unwrap() + 512;
        }
    }
    let bytes = bytes_per_slice(&slices);
    assert!(bytes < 6.0, "{bytes} bytes per slice");
    let scattered: Vec<_> =
        (0..20_000_u32).map(|n| chunk(u64::from(n * 7 % 50), n * 900 % 60_000, 800)).collect();
    let bytes = bytes_per_slice(&scattered);
    assert!(bytes < 6.9, "{bytes} bytes per slice");
}

#[test]
fn a_builder_refuses_bad_slices_and_then_everything() {
    let mut emit = |_| Ok::<_, Error>(ChunkId([0; 32]));
    for bad in [hole(0), chunk(1, 0, (1 << 20) + 1), chunk(1, u32::MAX, 1), hole(u64::MAX)] {
        let mut builder = StreamBuilder::new();
        assert!(matches!(builder.push(bad, &mut emit), Err(Error::Slice { .. })), "{bad:?}");
        assert_eq!(builder.push(hole(1), &mut emit), Err(Error::Failed));
        assert_eq!(builder.finish(&mut emit), Err(Error::Failed));
    }
    let mut builder = StreamBuilder::new();
    builder.push(hole(i64::MAX.cast_unsigned()), &mut emit).unwrap();
    assert!(matches!(builder.push(hole(1), &mut emit), Err(Error::Slice { .. })));
}

/// One chunk many times over, as in a file of one value: the id is stored once a page.
#[test]
fn a_repeated_chunk_is_named_once_a_page() {
    let slices = vec![chunk(7, 0, 65_536); 30_000];
    assert!(bytes_per_slice(&slices) < 7.2);
    let (stream, pages) = build(&slices);
    assert_eq!(stream.len(), 30_000 * 65_536);
    assert!(pages.values().all(|page| page.len() <= crate::PAGE_BYTES_MAX));
}

fn leaf(heads: &[u8], rest: &[u8], ids: &[u8]) -> Vec<u8> {
    let mut bytes = vec![3, 1, u8::try_from(heads.len()).unwrap()];
    bytes.extend_from_slice(heads);
    bytes.extend_from_slice(rest);
    for id in ids {
        bytes.extend_from_slice(&[*id; 32]);
    }
    bytes
}

#[test]
fn a_leaf_has_one_form() {
    let check = |bytes: &[u8], expected: Result<(), &str>| {
        let found = match Page::decode(bytes) {
            Ok(_) => Ok(()),
            Err(Error::Corrupt { expected, .. }) => Err(expected),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, expected, "{bytes:?}");
    };
    check(&leaf(&[1], &[5], &[1]), Ok(()));
    check(&leaf(&[1, 1], &[5, 5], &[1, 2]), Ok(()));
    check(&leaf(&[1, 1], &[5, 5], &[1, 1]), Err("distinct chunk ids"));
    check(&leaf(&[1, 3], &[5, 5, 2], &[1]), Ok(()));
    check(&leaf(&[1, 3], &[5, 5, 0], &[1]), Err("slices that do not join"));
    check(&leaf(&[0, 0], &[5, 5], &[]), Err("slices that do not join"));
    check(&leaf(&[1, 3], &[5, 5, 11], &[1]), Err("bytes to skip within 1 MiB"));
    check(&leaf(&[1, 3], &[5, 5, 9], &[1]), Ok(()));
    check(&leaf(&[2], &[5, 1], &[1]), Ok(()));
    check(&leaf(&[2], &[5, 0], &[1]), Err("bytes to skip within 1 MiB"));
    check(&leaf(&[3], &[5, 0], &[1]), Err("a chunk before a slice of the same chunk"));
    check(&leaf(&[1, 4], &[5, 5, 2], &[1]), Err("the ordinal of another chunk before"));
    check(&leaf(&[1, 5], &[5, 5, 2], &[1]), Err("the ordinal of another chunk before"));
    check(&leaf(&[1, 1, 4], &[5, 5, 5, 0], &[1, 2]), Ok(()));
    check(&leaf(&[1], &[5], &[]), Err("a chunk id"));
    check(&leaf(&[1], &[5], &[1, 2]), Err("the end of the page"));
    let empty = "a slice of at least one byte that ends within 1 MiB of its chunk";
    check(&leaf(&[1], &[0], &[1]), Err(empty));
    check(&leaf(&[], &[], &[]), Err("at least one item"));
}

#[test]
fn an_index_checks_its_children() {
    let slices: Vec<_> = (0..20_000).map(|n| chunk(n, 0, 9)).collect();
    let (stream, pages) = build(&slices);
    let Stream::Map { page, .. } = stream else { panic!() };
    let page = MapPage::decode(&pages[&page]).unwrap();
    let MapPage::Index(index) = &page else { panic!("many slices have an index") };
    let child = index.children()[0];
    let below = MapPage::decode(&pages[&child.page]).unwrap();
    assert_eq!(child.check(&below), Ok(()));
    assert_eq!(child.check(&page), Err(Error::Child { what: "level" }));
    let wrong = MapChild { len: child.len + 1, ..child };
    assert_eq!(wrong.check(&below), Err(Error::Child { what: "length" }));
}
