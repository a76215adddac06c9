//! Archives made by Rust crates.

use std::io::{Cursor, Write};

use cairn_archive::{Format, Segment};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::{files, gzip, members, noise, open, tar_of, text};

fn contents() -> Vec<Vec<u8>> {
    files().into_iter().map(|(_, content)| content).filter(|content| !content.is_empty()).collect()
}

fn recoded(plan: &cairn_archive::Plan) -> usize {
    plan.recipe.segments().iter().filter(|s| !matches!(s, Segment::Copy { .. })).count()
}

/// ARCHIVE-3
#[test]
fn a_plain_tar_is_its_own_inner_stream() {
    let archive = tar_of(&files());
    let plan = open(&archive).unwrap();
    assert_eq!(plan.format, Format::Tar);
    assert!(plan.recipe.is_identity());
    let mut wanted = contents();
    let long_name = [files()[6].0.as_bytes(), &[0]].concat();
    wanted.retain(|content| *content != long_name);
    assert_eq!(members(&archive, &plan), wanted);
}

#[test]
fn a_damaged_tar_is_still_its_bytes() {
    let archive = tar_of(&files());
    for end in [0, 1, 511, 512, 513, 700, 1024, 200_000, archive.len() - 1024, archive.len() - 1] {
        let opened = open(&archive[..end]);
        assert_eq!(opened.is_some(), end >= 512, "{end}");
    }
    let with_more = [archive.as_slice(), b"more", &noise(1, 100_000)].concat();
    assert_eq!(open(&with_more).unwrap().format, Format::Tar);
    let twice = archive.repeat(2);
    let plan = open(&twice).unwrap();
    assert_eq!(members(&twice, &plan), [contents(), contents()].concat());
}

#[test]
fn gzip_by_flate2_at_every_level() {
    let tar = tar_of(&files());
    for level in 0..=9 {
        let archive = gzip(&tar, level);
        let Some(plan) = open(&archive) else {
            // Its fastest level chooses in a way of its own, too far off.
            assert_eq!(level, 1, "is not opened");
            continue;
        };
        assert_eq!(plan.format, Format::TarGz);
        assert_eq!(members(&archive, &plan), contents(), "level {level}");
    }
}

#[test]
fn a_gzip_of_something_else_is_one_member() {
    let plain = noise(9, 50_000);
    let archive = gzip(&plain, 0);
    let plan = open(&archive).unwrap();
    assert_eq!(plan.format, Format::Gzip);
    assert_eq!(members(&archive, &plan), [plain]);
}

#[test]
fn zstd_at_the_levels_that_read_back_fast() {
    let tar = tar_of(&files());
    for level in 1..=12 {
        for (checksum, size) in [(false, false), (true, true), (true, false)] {
            let mut encoder = zstd::Encoder::new(Vec::new(), level).unwrap();
            encoder.include_checksum(checksum).unwrap();
            encoder.set_pledged_src_size(size.then_some(tar.len() as u64)).unwrap();
            encoder.include_contentsize(size).unwrap();
            encoder.write_all(&tar).unwrap();
            let archive = encoder.finish().unwrap();
            let Some(plan) = open(&archive) else {
                assert_eq!(level, 12, "checksum {checksum}, size {size}");
                continue;
            };
            assert_eq!(plan.format, Format::TarZst);
            assert_eq!(members(&archive, &plan), contents(), "level {level}");
        }
    }
}

#[test]
fn zstd_frames_in_a_row() {
    let plain = text(5, 200_000);
    let skippable = [&0x184d_2a53_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"hello"].concat();
    let one = zstd::encode_all(plain.as_slice(), 3).unwrap();
    let archive = [one.as_slice(), &skippable, &one, b"tail"].concat();
    let plan = open(&archive).unwrap();
    assert_eq!(plan.format, Format::Zstd);
    assert_eq!(members(&archive, &plan), [plain.clone(), plain]);
}

fn zip_of(options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.set_comment("a comment").unwrap();
    for (name, content) in files() {
        writer.start_file(name, options).unwrap();
        writer.write_all(&content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn a_zip_of_stored_members_is_its_own_inner_stream() {
    for large in [false, true] {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(large);
        let archive = zip_of(options);
        let plan = open(&archive).unwrap();
        assert_eq!(plan.format, Format::Zip);
        assert!(plan.recipe.is_identity());
        assert_eq!(members(&archive, &plan), contents());
    }
}

#[test]
fn a_zip_keeps_members_compressed_that_cannot_be_made_again() {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut archive = zip_of(options);
    let plan = open(&archive).unwrap();
    // An empty member has two bytes of data too.
    assert_eq!(members(&archive, &plan).len(), files().len());
    let before = recoded(&plan);
    // Any bit of the data of the noise makes it another stream; what is left of it is copied.
    let at = archive.windows(11).position(|window| window == b"b/noise.bin").unwrap() + 40;
    archive[at] ^= 0xff;
    let plan = open(&archive).unwrap();
    assert!(recoded(&plan) <= before);
    assert_eq!(members(&archive, &plan).len(), files().len());
}

#[test]
fn a_zip_behind_a_script_is_found() {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for junk in [60, 100_000] {
        let mut archive = b"#!/usr/bin/env python3\n".to_vec();
        archive.resize(junk, b'#');
        archive.extend(zip_of(options));
        let plan = open(&archive).unwrap();
        let opened = members(&archive, &plan);
        assert_eq!(opened[opened.len() - contents().len()..], contents());
    }
}

#[test]
fn an_empty_zip_is_layout() {
    let archive = ZipWriter::new(Cursor::new(Vec::new())).finish().unwrap().into_inner();
    let plan = open(&archive).unwrap();
    assert_eq!((plan.pieces.count(), plan.inner_len), (1, 22));
}
