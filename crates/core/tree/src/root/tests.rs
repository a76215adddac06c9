use super::*;

#[test]
fn a_root_returns() {
    let xattrs = Xattrs::new(alloc::vec![(b"user.x".to_vec(), b"1".to_vec())]).unwrap();
    let mtime = Time { secs: -5, nanos: 999_999_999 };
    let meta = Meta { mode: 0o755, uid: 1000, gid: 7, mtime, xattrs };
    let totals = Totals { files: 3, bytes: 1 << 40, ..Totals::default() };
    let full = Root { meta, page: Some(ChunkId([9; 32])), totals };
    for root in [full, Root::default()] {
        let bytes = root.encode().unwrap();
        assert_eq!(Root::decode(&bytes).unwrap(), root);
        assert_eq!(
            Page::decode(&bytes).unwrap().children().len(),
            usize::from(root.page.is_some())
        );
        for len in 0..bytes.len() {
            assert!(Root::decode(&bytes[..len]).is_err());
        }
    }
}

#[test]
fn a_root_that_breaks_a_rule_is_not_encoded() {
    let root = Root { page: Some(ChunkId([9; 32])), ..Root::default() };
    assert!(matches!(root.encode(), Err(Error::Entry { .. })));
    let root = Root { meta: Meta { mode: 1 << 20, ..Meta::default() }, ..Root::default() };
    assert!(matches!(root.encode(), Err(Error::Entry { .. })));
}
