//! Archives inside the tree: they come back byte for byte, and share their chunks with their members.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{World, noise, target, walk, write};

/// Text that compresses, and differs from seed to seed.
fn prose(seed: u64, len: usize) -> Vec<u8> {
    let words = ["lake ", "stone ", "cairn ", "moss ", "path\n", "ridge ", "rain ", "wind "];
    let pick = |byte: &u8| words[usize::from(byte % 8)].as_bytes();
    noise(seed, len / 5).iter().flat_map(pick).copied().take(len).collect()
}

fn members(world: &World) -> PathBuf {
    let members = world.dir("members");
    std::fs::create_dir(members.join("d")).unwrap();
    for number in 0..12 {
        write(members.join(format!("d/text{number}")), prose(number, 60_000));
    }
    write(members.join("noise"), noise(77, 500_000));
    write(members.join("empty"), "");
    members
}

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let status = Command::new(program).args(arguments).current_dir(directory).status();
    assert!(status.unwrap().success(), "{program} {arguments:?}");
}

fn zip(members: &Path, to: &Path, method: zip::CompressionMethod) {
    use std::io::Write as _;
    let mut archive = zip::ZipWriter::new(std::fs::File::create(to).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for name in
        walk(members).keys().filter(|name| members.join(&name[1.min(name.len())..]).is_file())
    {
        archive.start_file(&name[1..], options).unwrap();
        archive.write_all(&std::fs::read(members.join(&name[1..])).unwrap()).unwrap();
    }
    archive.finish().unwrap();
}

/// Pushes the members, then the archive: what the archive added.
async fn added(make: impl FnOnce(&Path, &Path), name: &str) -> (u64, u64) {
    let world = World::new().await;
    let members = members(&world);
    world.push(&members, "members").await;
    let source = world.dir("source");
    make(&members, &source.join(name));
    let size = std::fs::metadata(source.join(name)).unwrap().len();
    let pushed = world.comes_back(&source).await;
    // Also a part of it, from the middle.
    let browser = world.browser("data");
    let (_, root) = browser.open(&target("data").tag).await.unwrap();
    let (_, content) = browser.file_at(&root, &[name.to_owned()]).await.unwrap();
    let range = size / 3..size / 3 + 1000;
    let mut pieces = browser.content(&content, range.clone()).await.unwrap();
    let mut part = Vec::new();
    while let Some(piece) = pieces.next().await.unwrap() {
        part.extend_from_slice(&piece);
    }
    let (from, to) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
    assert_eq!(part, std::fs::read(source.join(name)).unwrap()[from..to]);
    (pushed.new_bytes, size)
}

#[tokio::test]
async fn a_tar_shares_with_its_members() {
    let make = |members: &Path, to: &Path| {
        run("tar", &["-cf", to.to_str().unwrap(), "."], members);
    };
    let (added, size) = added(make, "a.tar").await;
    assert!(added * 20 < size, "{added} of {size}");
}

#[tokio::test]
async fn a_compressed_tar_shares_with_its_members() {
    let make = |members: &Path, to: &Path| {
        run("tar", &["-czf", to.to_str().unwrap(), "."], members);
    };
    let (added, size) = added(make, "a.tgz").await;
    assert!(added * 5 < size, "{added} of {size}");
}

#[tokio::test]
async fn a_zip_shares_with_its_members() {
    let stored = |members: &Path, to: &Path| zip(members, to, zip::CompressionMethod::Stored);
    let (stored, size) = added(stored, "a.zip").await;
    assert!(stored * 20 < size, "{stored} of {size}");
}

#[tokio::test]
async fn a_wheel_comes_back() {
    let deflated = |members: &Path, to: &Path| zip(members, to, zip::CompressionMethod::Deflated);
    let (added, size) = added(deflated, "a-1.0-py3-none-any.whl").await;
    assert!(added < size * 11 / 10, "{added} of {size}");
}

#[tokio::test]
async fn what_only_looks_like_an_archive_comes_back() {
    let world = World::new().await;
    let source = world.dir("source");
    let members = members(&world);
    run("tar", &["-czf", source.join("whole.tgz").to_str().unwrap(), "."], &members);
    run("tar", &["-cf", source.join("whole.tar").to_str().unwrap(), "."], &members);
    for name in ["whole.tgz", "whole.tar"] {
        let whole = std::fs::read(source.join(name)).unwrap();
        write(source.join(format!("cut-{name}")), &whole[..whole.len() / 2]);
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        write(source.join(format!("damaged-{name}")), &damaged);
        let mut longer = whole.clone();
        longer.extend_from_slice(b"and more behind it");
        write(source.join(format!("longer-{name}")), &longer);
        let head = &whole[..whole.len().min(600)];
        write(source.join(format!("head-{name}")), head);
    }
    write(source.join("magic.gz"), [0x1f, 0x8b, 8, 0]);
    write(source.join("magic.zip"), b"PK\x03\x04");
    world.comes_back(&source).await;
}
