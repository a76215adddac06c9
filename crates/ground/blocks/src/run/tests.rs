use cairn_chunk::ChunkKey;
use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn entries(count: usize) -> Vec<IndexEntry> {
    let key = ChunkKey::new([2; 32]);
    let mut entries: Vec<IndexEntry> = (0..count)
        .map(|number| IndexEntry {
            id: key.id(&number.to_le_bytes()),
            frame: FramePlace {
                pack: PackId([u8::try_from(number % 7).unwrap(); 16]),
                offset: u32::try_from(number * 10).unwrap(),
                len: 300,
            },
            at: u32::try_from(number % 100).unwrap(),
            len: 50,
        })
        .collect();
    entries.sort_unstable_by_key(|entry| entry.id);
    entries
}

fn head_of(name: &str, bytes: &[u8], master: Option<&Master>) -> Result<RunHead, Error> {
    let size = bytes.len() as u64;
    if size < TRAILER_BYTES {
        return Err(Error::corrupt(name, 0, "short"));
    }
    let trailer = &bytes[bytes.len() - usize::try_from(TRAILER_BYTES).unwrap()..];
    let range = head_range(name, trailer, size)?;
    let head = &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
    RunHead::decode(name, trailer, head, master)
}

fn page(
    run: &RunHead,
    bytes: &[u8],
    number: u32,
    master: Option<&Master>,
) -> Result<Vec<IndexEntry>, Error> {
    let range = run.page_bytes(&(number..number + 1));
    let stored = &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
    run.page_decode(number, stored, master)
}

#[test]
fn every_entry_is_found_and_the_filter_answers_most_others() {
    for master in [None, Some(&Master::new([4; 32]))] {
        for count in [1, 63, 64, 65, 5000] {
            let entries = entries(count);
            let bytes = encode("name", &entries, master);
            let run = head_of("name", &bytes, master).unwrap();
            assert_eq!(run.entries, count as u64);
            let mut read = Vec::new();
            for number in 0..run.pages() {
                read.extend(page(&run, &bytes, number, master).unwrap());
            }
            assert_eq!(read, entries);
            for entry in &entries {
                assert!(run.may_have(&entry.id));
                let found = run
                    .pages_for(&entry.id)
                    .any(|number| page(&run, &bytes, number, master).unwrap().contains(entry));
                assert!(found);
            }
        }
    }
    let run = head_of("n", &encode("n", &entries(5000), None), None).unwrap();
    let other = ChunkKey::new([9; 32]);
    let wrong = (0..10_000_u32).filter(|n| run.may_have(&other.id(&n.to_le_bytes()))).count();
    assert!(wrong < 400, "{wrong} of 10000 false positives");
}

/// BUCKET-3: a flipped bit of a run is found when the part that has it is read.
#[test]
fn bucket_3_no_flipped_byte_of_a_run_is_accepted() {
    for master in [None, Some(&Master::new([4; 32]))] {
        let entries = entries(130);
        let bytes = encode("name", &entries, master);
        for at in MAGIC.len()..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 1;
            let whole = head_of("name", &bad, master).and_then(|run| {
                (0..run.pages()).map(|n| page(&run, &bad, n, master)).collect::<Result<Vec<_>, _>>()
            });
            assert!(whole.is_err(), "byte {at}");
        }
        assert!(head_of("eman", &bytes, master).is_err());
    }
}

#[test]
fn golden_run_of_version_1() {
    let bytes = encode("name", &entries(130), None);
    expect!["3b38b0a83d00edc93e832b40e07f7eed2d90e8d1402aa8037f3dcc8aea4be4dd"]
        .assert_eq(&blake3::hash(&bytes).to_hex());
}

proptest! {
    #[test]
    fn any_trailer_and_head_parse_or_are_refused(
        trailer in prop::collection::vec(any::<u8>(), 72), head in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        prop_assert!(RunHead::decode("n", &trailer, &head, None).is_err());
        let mut fields = trailer[..32].to_vec();
        fields[1..8].fill(0);
        let _parsed = RunHead::parse("n", &fields, &head, false);
    }
}
