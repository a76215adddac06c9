use super::*;

const ID: ChunkId = ChunkId([1; 32]);

fn chunk(skip: u32, len: u64) -> Slice {
    Slice { source: Source::Chunk { id: ID, skip }, len }
}

#[test]
fn slices_that_continue_each_other_join() {
    let hole = |len| Slice { source: Source::Hole, len };
    assert_eq!(chunk(3, 4).join(&chunk(7, 5)), Some(chunk(3, 9)));
    assert_eq!(chunk(3, 4).join(&chunk(8, 5)), None);
    assert_eq!(chunk(3, 4).join(&chunk(3, 4)), None);
    assert_eq!(hole(1).join(&hole(2)), Some(hole(3)));
    assert_eq!(hole(1).join(&chunk(1, 1)), None);
    let other = Slice { source: Source::Chunk { id: ChunkId([2; 32]), skip: 7 }, len: 5 };
    assert_eq!(chunk(3, 4).join(&other), None);
}

#[test]
fn inline_slices_return() {
    for slices in [
        alloc::vec![],
        alloc::vec![chunk(0, 5)],
        alloc::vec![chunk(1, 5)],
        alloc::vec![chunk(0, 5), chunk(0, 5)],
    ] {
        let stream = Stream::from_inline(slices.clone());
        stream.check().unwrap();
        assert_eq!(stream.inline(), Some(slices));
    }
    assert_eq!(Stream::Map { page: ID, len: 9 }.inline(), None);
}
