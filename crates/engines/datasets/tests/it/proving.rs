//! Proofs of ranges: what comes is the file's, and nothing comes that is not.

use std::process::Command;

use cairn_base::ErrorKind;
use cairn_chunk::{NODE_BYTES, ProofPart, RangeVerifier};
use cairn_datasets::{Browser, Error};
use cairn_tree::Content;

use super::support::{World, noise, write};

const MIB: usize = 1024 * 1024;

async fn content(browser: &Browser, path: &str) -> Content {
    let (_, root) = browser.open(&"latest".parse().unwrap()).await.unwrap();
    browser.file_at(&root, &[path.to_owned()]).await.unwrap().1
}

/// The whole proof.
async fn proof(
    browser: &Browser,
    content: &Content,
    start: u64,
    end: u64,
) -> Result<Vec<u8>, Error> {
    let mut proof = browser.proof(content, start..end).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = proof.next().await? {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len() as u64, proof.len_bytes());
    Ok(bytes)
}

/// What a reader that knows the root takes out of a proof: where the bytes stand, and they.
fn checked(root: &[u8; 32], proof: &[u8], start: u64, end: u64) -> (u64, Vec<u8>) {
    let (len, mut rest) = proof.split_at(8);
    let len = u64::from_le_bytes(len.try_into().unwrap());
    let mut verifier = RangeVerifier::new(root, len, start..end);
    let (mut first, mut found) = (None, Vec::new());
    while let Some(part) = verifier.wants() {
        match part {
            ProofPart::Node { .. } => {
                let (node, after) = rest.split_at(NODE_BYTES);
                verifier.node(node.try_into().unwrap()).unwrap();
                rest = after;
            }
            ProofPart::Group { range } => {
                let (group, after) =
                    rest.split_at(usize::try_from(range.end - range.start).unwrap());
                verifier.group(group).unwrap();
                first.get_or_insert(range.start);
                found.extend_from_slice(group);
                rest = after;
            }
        }
    }
    assert!(rest.is_empty(), "{} bytes are too many", rest.len());
    verifier.finish().unwrap();
    (first.unwrap(), found)
}

#[tokio::test(flavor = "multi_thread")]
async fn chunk_3_every_range_of_every_kind_of_file_is_proved() {
    let world = World::new().await;
    let source = world.dir("source");
    for (at, len) in [0, 1, 16_384, 16_385, 100_000, MIB, MIB + 1, 5_000_003].iter().enumerate() {
        write(source.join(format!("plain{at}")), noise(at as u64, *len));
    }
    let members = world.dir("members");
    for at in 0..3_u64 {
        let member: Vec<u8> = noise(at, 900_000).iter().map(|byte| b'a' + byte % 16).collect();
        write(members.join(at.to_string()), member);
    }
    let opened = source.join("opened.tar.gz");
    let tar = Command::new("tar").arg("-czf").arg(&opened).arg(".").current_dir(&members).status();
    assert!(tar.unwrap().success());
    assert!(std::fs::metadata(&opened).unwrap().len() > MIB as u64);
    let sparse = std::fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(40_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"something", 30_000_000).unwrap();
    world.push(&source, "data").await;

    let browser = world.browser("data");
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let file = std::fs::read(&path).unwrap();
        let (root, len) = (*blake3::hash(&file).as_bytes(), file.len() as u64);
        let content = content(&browser, &name).await;
        assert_eq!(content.recipe.is_some(), name == "opened.tar.gz", "{name}");
        let ends =
            [(0, len), (0, 1), (len / 3, len / 2), (len / 2, len / 2 + 1), (len - len.min(9), len)];
        for (start, end) in ends {
            let start = start.min(len.saturating_sub(1));
            let end = end.max(start + 1).min(len);
            let proof = proof(&browser, &content, start, end).await.unwrap();
            let (first, found) = checked(&root, &proof, start, end);
            let first = usize::try_from(first).unwrap();
            assert!(found == file[first..first + found.len()], "{name} {start}..{end}");
            assert!(first as u64 <= start && end <= (first + found.len()) as u64, "{name}");
        }
    }
}

/// BUCKET-3: what a manifest says of a file is looked at too, not only the bytes.
#[tokio::test(flavor = "multi_thread")]
async fn bucket_3_a_wrong_hash_in_a_manifest_is_damage() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("large"), noise(1, 3 * MIB));
    write(source.join("small"), noise(2, 300_000));
    world.push(&source, "data").await;
    let browser = world.browser("data");
    for name in ["large", "small"] {
        let mut content = content(&browser, name).await;
        assert!(proof(&browser, &content, 5, 6).await.is_ok());
        content.root = Some([7; 32]);
        let refused = proof(&browser, &content, 5, 6).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    }
    let large = content(&browser, "large").await;
    let other = content(&browser, "small").await;
    let mixed = Content { stream: other.stream.clone(), len: other.len, ..large.clone() };
    assert_eq!(proof(&browser, &mixed, 5, 6).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let longer = Content { len: large.len + 16_384, ..large.clone() };
    assert_eq!(proof(&browser, &longer, 5, 6).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let bare = Content { outboard: None, ..large };
    assert!(matches!(proof(&browser, &bare, 5, 6).await, Err(Error::NoHashTree)));
}
