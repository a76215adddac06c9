//! Real data with several versions: fetched once through the package clients, pinned by checksum,
//! unpacked.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cli::Set;
use crate::process::output;

/// A release, and the checksum of its package.
struct Release {
    version: &'static str,
    sum: &'static str,
}

const fn release(version: &'static str, sum: &'static str) -> Release {
    Release { version, sum }
}

/// SHA-512 of the tarballs of `next`.
const NEXT: [Release; 6] = [
    release(
        "14.2.0",
        "d93e351ea25d28faa1791dbb965ecc159de0b5362f19ec3b7147343f03d2c8af\
         40a39befc297fd6d87cfe15e580462dc9071769041afacbb5ee41a8b4afd2cf2",
    ),
    release(
        "14.2.5",
        "d1ff1a45f0552fe9a9cdf06361f42e2d68765b2030b495c245f90f178509e6a7\
         76630ac7733b2b4b35d4e2d44c574380c51f1925958f167eae8520b9e944ec2c",
    ),
    release(
        "14.2.10",
        "b030c4c579e1df7718dd1912f49b8510a692e079a55a60ca3f55498a8b9c086e\
         b3e4ab80d34f033ec0d93b38bc51fa84937222fb634241226b7db116b5965fc3",
    ),
    release(
        "14.2.15",
        "87d72d98ea24a680e9851bcc1a7c0e24079d4facca870ab264c2fd983b6ca607\
         f8461dcf9fb51360aa9e3cda03be1b160403b91a83cd62c8670141886b35469b",
    ),
    release(
        "14.2.20",
        "c8fbc8896b22c9562a265490c709b330845e5e7e47c4536ae3eb65550f35d8dd\
         456ef86613e7c3a48003edb712da61984303c9e6f02c428bb299ed9e2acc5aba",
    ),
    release(
        "14.2.25",
        "37933bc4c738c126f82243ef115e57d814515d49a1547372697c0433cebebe85\
         ed852673f19891c905b8a7d9b002800f226e8ecee559b67ee276010978024ddd",
    ),
];

/// SHA-256 of the wheels of numpy for CPython 3.11 on x86-64 Linux.
const NUMPY: [Release; 5] = [
    release("1.26.0", "e062aa24638bb5018b7841977c360d2f5917268d125c833a686b7cbabbec496c"),
    release("1.26.1", "6081aed64714a18c72b168a9276095ef9155dd7888b9e74b5987808f0dd0a974"),
    release("1.26.2", "96ca5482c3dbdd051bcd1fce8034603d6ebfc125a7bd59f55b40d8f5d246832b"),
    release("1.26.3", "f25e2811a9c932e43943a2615e65fc487a0b6b49218899e62e426e7f0a57eeda"),
    release("1.26.4", "666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5"),
];

/// A version of a data set: its name and its directory.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
}

/// The versions of a set, the oldest first, below `cache`.
pub(crate) fn prepare(set: Set, cache: &Path) -> Result<Vec<Version>> {
    let (name, releases): (_, &[Release]) = match set {
        Set::A => ("A", &NEXT),
        Set::B => ("B", &NUMPY),
    };
    let place = cache.join(name);
    std::fs::create_dir_all(&place)?;
    let mut versions = Vec::new();
    for release in releases {
        let dir = place.join(release.version);
        if !dir.exists() {
            let package = fetch(set, release, &place)
                .with_context(|| format!("fetching {} of set {name}", release.version))?;
            unpack(&package, &dir)?;
        }
        versions.push(Version { name: release.version.to_owned(), dir });
    }
    Ok(versions)
}

fn fetch(set: Set, release: &Release, to: &Path) -> Result<PathBuf> {
    let version = release.version;
    let (file, sums) = match set {
        Set::A => (format!("next-{version}.tgz"), "sha512sum"),
        Set::B => {
            let tags = "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64";
            (format!("numpy-{version}-{tags}.whl"), "sha256sum")
        }
    };
    let package = to.join(file);
    if !package.exists() {
        let mut client = match set {
            Set::A => Command::new("npm"),
            Set::B => Command::new("pip"),
        };
        match set {
            Set::A => client.args(["pack", "--silent", &format!("next@{version}")]),
            Set::B => client.args([
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--python-version=3.11",
                "--platform=manylinux2014_x86_64",
                &format!("numpy=={version}"),
            ]),
        };
        output(client.current_dir(to))?;
    }
    let found = output(Command::new(sums).arg(&package))?;
    if found.split_whitespace().next() != Some(release.sum) {
        bail!("{} has another checksum than the one pinned here: {found}", package.display());
    }
    Ok(package)
}

/// Unpacks beside, then renames: a directory with the version's name is whole.
fn unpack(package: &Path, dir: &Path) -> Result<()> {
    let staged = dir.with_extension("unpacking");
    crate::disk::remove(&staged)?;
    crate::disk::fresh(&staged)?;
    if package.extension().is_some_and(|extension| extension == "tgz") {
        output(Command::new("tar").arg("-xzf").arg(package).arg("-C").arg(&staged))?;
    } else {
        output(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(package).arg(&staged))?;
    }
    Ok(std::fs::rename(&staged, dir)?)
}
