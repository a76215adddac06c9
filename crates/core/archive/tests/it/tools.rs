//! Archives made by the programs that people use.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use cairn_archive::Format;

use crate::support::{files, members, open, text};

/// Runs `program` in `dir` and gives what it writes.
fn run(dir: &Path, program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("{program} does not run ({error}): apt-get install tar gzip pigz zip zstd")
        });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    output.stdout
}

fn lay_out(dir: &Path) {
    for (name, content) in files() {
        let path = dir.join("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::hard_link(dir.join("in/a/source.rs"), dir.join("in/z_link")).unwrap();
    std::os::unix::fs::symlink("a/one", dir.join("in/z_symlink")).unwrap();
}

/// The contents of the files that are not empty, in any order.
fn wanted() -> Vec<Vec<u8>> {
    let mut contents: Vec<_> = files().into_iter().map(|(_, content)| content).collect();
    contents.retain(|content| !content.is_empty());
    contents.sort();
    contents
}

fn sorted(mut members: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    members.sort();
    members
}

#[test]
fn tar_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path());
    for format in ["gnu", "pax", "posix", "oldgnu", "ustar", "v7"] {
        // v7 and ustar cannot hold the longest name.
        let excluded = if matches!(format, "v7" | "ustar") { "--exclude=deep" } else { "--totals" };
        let format_arg = format!("--format={format}");
        let archive = run(dir.path(), "tar", &["c", &format_arg, excluded, "-f", "-", "in"]);
        let plan = open(&archive).unwrap();
        assert_eq!(plan.format, Format::Tar, "{format}");
        let mut wanted = wanted();
        if excluded == "--exclude=deep" {
            wanted.retain(|content| content.len() != 5_000);
        }
        assert_eq!(sorted(members(&archive, &plan)), wanted, "{format}");
    }
}

#[test]
fn tar_of_sparse_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("sparse")).unwrap();
    for index in 0..40 {
        use std::os::unix::fs::FileExt as _;
        file.write_all_at(&text(index + 1, 4096), index * 200_000).unwrap();
    }
    fs::write(dir.path().join("z"), text(99, 10_000)).unwrap();
    for format in ["gnu", "pax"] {
        let format_arg = format!("--format={format}");
        let archive = run(dir.path(), "tar", &["c", "-S", &format_arg, "-f", "-", "sparse", "z"]);
        let plan = open(&archive).unwrap();
        let members = members(&archive, &plan);
        assert_eq!(members.len(), 2, "{format}");
        assert_eq!(members[1], text(99, 10_000), "{format}");
    }
}

/// Corrections are a small part of the archive; pigz at low levels needs most.
fn assert_small(plan: &cairn_archive::Plan, what: &str) {
    let bytes = plan.recipe.encode().len() as u64;
    assert!(bytes < 200 + plan.outer_len / 25, "{what}: {bytes} bytes for {}", plan.outer_len);
}

#[test]
fn gzip_and_pigz_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path());
    run(dir.path(), "tar", &["cf", "x.tar", "in"]);
    for program in ["gzip", "pigz"] {
        for level in 1..=9 {
            let what = format!("{program} -{level}");
            let archive = run(dir.path(), program, &["-c", &format!("-{level}"), "x.tar"]);
            let plan = open(&archive).unwrap_or_else(|| panic!("{what} is not opened"));
            assert_eq!(plan.format, Format::TarGz, "{what}");
            assert_eq!(sorted(members(&archive, &plan)), wanted(), "{what}");
            assert_small(&plan, &what);
        }
    }
}

#[test]
fn gzip_files_in_a_row() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), text(8, 100_000)).unwrap();
    let one = run(dir.path(), "gzip", &["-c", "x"]);
    let archive = [one.as_slice(), &one, &[0; 700]].concat();
    let plan = open(&archive).unwrap();
    assert_eq!(plan.format, Format::Gzip);
    assert_eq!(members(&archive, &plan), [text(8, 100_000), text(8, 100_000)]);
}

#[test]
fn zip_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path());
    for level in 0..=9 {
        let what = format!("zip -{level}");
        let name = format!("{level}.zip");
        run(dir.path(), "zip", &["-q", "-y", "-r", &format!("-{level}"), &name, "in"]);
        let archive = fs::read(dir.path().join(name)).unwrap();
        let plan = open(&archive).unwrap_or_else(|| panic!("{what} is not opened"));
        assert_eq!(plan.format, Format::Zip, "{what}");
        let opened = members(&archive, &plan);
        for content in wanted() {
            assert!(opened.contains(&content) || content.len() < 1000, "{what}");
        }
    }
    // From a pipe: data descriptors.
    let archive = run(dir.path(), "sh", &["-c", "zip -q - in/a/source.rs | cat"]);
    let plan = open(&archive).unwrap();
    assert_eq!(members(&archive, &plan), [text(1, 300_000)]);
}

#[test]
fn zstd_of_any_version_is_opened_or_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path());
    run(dir.path(), "tar", &["cf", "x.tar", "in"]);
    for level in [1, 3, 9, 15] {
        let archive = run(dir.path(), "zstd", &["-q", "-c", &format!("-{level}"), "x.tar"]);
        if let Some(plan) = open(&archive) {
            assert_eq!(plan.format, Format::TarZst);
            assert_eq!(sorted(members(&archive, &plan)), wanted());
        }
    }
}
