use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::record::Major;

fn record(rmgr: u8, info: u8, main: &[u8]) -> Record<'_> {
    Record {
        major: Major::V15,
        start: Lsn(0x100),
        end: Lsn(0x180),
        previous: Lsn(0x80),
        xid: 77,
        info,
        rmgr,
        origin: 3,
        top_xid: 0,
        blocks: Vec::new(),
        main,
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn a_commit_drops_relations_and_ends_subtransactions() {
    let flags = 1 | 2 | 4 | 0x20;
    let main = words(&[9, 0, flags, 5, 1663, 2, 78, 79, 1, 1663, 5, 16_384, 0x10, 0, 0, 0]);
    let record = record(Rmgr::Transaction.number(), 0x80, &main);
    let relation = Relation { tablespace: 1663, database: 5, number: 16_384 };
    let found = effects(&record).unwrap();
    assert_eq!(found[0], Effect::DropRelation { relation });
    assert_eq!(found[1], Effect::OriginProgress { origin: 3, remote: Lsn(0x10) });
    let Effect::Finished(finished) = &found[2] else { panic!("{found:?}") };
    assert!(finished.committed && !finished.was_prepared);
    assert_eq!((finished.xid, finished.time), (77, 9));
    assert_eq!(finished.subtransactions, [78, 79]);
}

#[test]
fn a_prepared_transaction_ends_under_its_own_id() {
    let mut main = words(&[9, 0, 0x10 | 0x80, 500]);
    main.extend_from_slice(b"name\0");
    let record = record(Rmgr::Transaction.number(), 0x80 | 0x40, &main);
    let found = effects(&record).unwrap();
    let [Effect::Finished(finished)] = &found[..] else { panic!("{found:?}") };
    assert!(!finished.committed && finished.was_prepared);
    assert_eq!(finished.xid, 500);
}

#[test]
fn files_are_made_cut_copied_and_dropped() {
    let relation = Relation { tablespace: 1663, database: 5, number: 7 };
    let cases = [
        (
            Rmgr::Storage,
            0x10,
            words(&[1663, 5, 7, 3]),
            vec![Effect::CreateFork { relation, fork: Fork::Init }],
        ),
        (
            Rmgr::Storage,
            0x20,
            words(&[12, 1663, 5, 7, 5]),
            vec![Effect::Truncate {
                relation,
                blocks: 12,
                main: true,
                visibility: false,
                free_space: true,
            }],
        ),
        (
            Rmgr::Database,
            0x00,
            words(&[6, 1663, 1, 1663]),
            vec![Effect::CopyDatabase { from: (1663, 1), to: (1663, 6) }],
        ),
        (
            Rmgr::Database,
            0x20,
            words(&[6, 2, 1663, 1700]),
            vec![
                Effect::DropDatabase { tablespace: 1663, database: 6 },
                Effect::DropDatabase { tablespace: 1700, database: 6 },
            ],
        ),
    ];
    for (rmgr, info, main, wanted) in cases {
        assert_eq!(effects(&record(rmgr.number(), info, &main)).unwrap(), wanted);
        let short = &main[..main.len() - 1];
        assert!(effects(&record(rmgr.number(), info, short)).is_err());
    }
}

#[test]
fn a_count_that_cannot_be_is_an_error() {
    let main = words(&[9, 0, 2, u32::MAX]);
    assert!(effects(&record(Rmgr::Transaction.number(), 0x80, &main)).is_err());
    let main = words(&[1, 2, u32::MAX]);
    assert!(effects(&record(Rmgr::MultiXact.number(), 0x20, &main)).is_err());
}

#[test]
fn a_database_in_more_tablespaces_than_can_be_is_an_error() {
    let main = words(&[&[6, 5000][..], &[1663; 5000]].concat());
    let refused = effects(&record(Rmgr::Database.number(), 0x20, &main));
    assert!(matches!(refused, Err(RedoError::Record(_))));
}

proptest! {
    #[test]
    fn pgwal_1_no_record_makes_effects_panic(
        rmgr in 0..24_u8,
        info in any::<u8>(),
        main in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        effects(&record(rmgr, info, &main)).unwrap_or_default();
    }
}
