//! What the tests share.

use std::io::{self, Cursor, Read, Write};

use cairn_archive::{Inner, Limits, Piece, PieceKind, Plan, Recipe, plan, rebuild};
use flate2::{Compression, GzBuilder};

/// Plans `archive`; whatever the plan is, it makes the archive again.
pub(crate) fn open(archive: &[u8]) -> Option<Plan> {
    let mut reader = Cursor::new(archive);
    let plan = plan(&mut reader, &Limits::default()).expect("a cursor does not fail")?;
    let inner = inner_of(archive, &plan.recipe).expect("the inner stream can be read");
    assert_eq!(inner.len() as u64, plan.inner_len);
    assert_eq!(plan.pieces.iter().map(|piece| piece.len).sum::<u64>(), plan.inner_len);
    assert_eq!(plan.outer_len, archive.len() as u64);
    let recipe = Recipe::decode(&plan.recipe.encode()).expect("a recipe can be read");
    assert_eq!(recipe, plan.recipe);
    let mut again = Vec::new();
    rebuild(&recipe, inner.as_slice(), &mut again).expect("a proved plan works");
    assert!(again == archive, "ARCHIVE-1: the same bytes come out");
    Some(plan)
}

pub(crate) fn inner_of(archive: &[u8], recipe: &Recipe) -> io::Result<Vec<u8>> {
    let mut reader = Cursor::new(archive);
    let mut inner = Vec::new();
    Inner::new(&mut reader, recipe).map_err(io::Error::other)?.read_to_end(&mut inner)?;
    Ok(inner)
}

/// The members of an archive as their plain bytes.
pub(crate) fn members(archive: &[u8], plan: &Plan) -> Vec<Vec<u8>> {
    let inner = inner_of(archive, &plan.recipe).expect("the inner stream can be read");
    let mut rest = inner.as_slice();
    let mut members = Vec::new();
    for Piece { kind, len } in &plan.pieces {
        let (piece, after) = rest.split_at(usize::try_from(len).unwrap());
        rest = after;
        if kind == PieceKind::Member {
            members.push(piece.to_vec());
        }
    }
    members
}

/// A generator of the numbers that shape test contents (xorshift64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// About `len` bytes of something like source code.
pub(crate) fn text(seed: u64, len: usize) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "fn ",
        "let ",
        "mut ",
        "self.",
        "value",
        "index",
        "return ",
        "match ",
        " = ",
        "();\n",
        "{\n",
        "}\n",
        "    ",
        "0x7f",
        "Some(",
        "None",
        ", ",
        "if ",
        "else ",
        "for ",
        "in ",
        "String",
        "u64",
        "/* why */ ",
    ];
    let mut numbers = Numbers(seed | 1);
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        match numbers.below(20) {
            0 => out.extend(format!("name_{} ", numbers.below(5000)).bytes()),
            1 if out.len() > 600 => {
                let start = usize::try_from(numbers.below(out.len() as u64 - 300)).unwrap();
                out.extend_from_within(start..start + 120);
            }
            _ => {
                let word = usize::try_from(numbers.below(WORDS.len() as u64)).unwrap();
                out.extend(WORDS[word].bytes());
            }
        }
    }
    out.truncate(len);
    out
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut numbers = Numbers(seed | 1);
    (0..len).map(|_| (numbers.below(1 << 20) >> 9 & 0xff) as u8).collect()
}

/// The files that test archives hold: name and content.
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    vec![
        ("a/empty".into(), Vec::new()),
        ("a/one".into(), vec![7]),
        ("a/block".into(), text(3, 512)),
        ("a/source.rs".into(), text(1, 300_000)),
        ("b/noise.bin".into(), noise(2, 90_000)),
        ("b/zeros.bin".into(), vec![0; 700_000]),
        (format!("{}/long", "deep/".repeat(40)), text(4, 5_000)),
        ("c/again.rs".into(), text(1, 100_000)),
    ]
}

/// A tar of the files.
pub(crate) fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A gzip file by flate2.
pub(crate) fn gzip(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder =
        GzBuilder::new().filename("name.tar").write(Vec::new(), Compression::new(level));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
