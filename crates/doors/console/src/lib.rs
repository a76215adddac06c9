//! The web console as the program carries it: files of `console/dist`, as `cargo xtask console` made
//! them, packed as they are sent. It holds bytes; the HTTP door answers with them.
//!
//! A build without Node has none: [`index`] says so.

#![forbid(unsafe_code)]

use std::sync::LazyLock;

/// A file of the console.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its path below `/console/`.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes; none where it is there in gzip.
    pub plain: Option<&'static [u8]>,
    /// Its bytes in gzip.
    pub gzip: Option<&'static [u8]>,
    /// Its bytes in Brotli.
    pub brotli: Option<&'static [u8]>,
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(tag).collect());

/// The file at this path below `/console/`.
#[must_use]
pub fn find(path: &str) -> Option<&'static Asset> {
    place(path).map(|at| &ASSETS[at])
}

/// The page that all of it begins with; none when this build has no console.
#[must_use]
pub fn index() -> Option<&'static Asset> {
    find("index.html")
}

/// The paths of all files, in order.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

impl Asset {
    /// Tells this state of the file from another: a weak entity tag, for it is one for all encodings.
    #[must_use]
    pub fn etag(&self) -> &'static str {
        place(self.path).map_or("", |at| TAGS[at].as_str())
    }
}

fn place(path: &str) -> Option<usize> {
    ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()
}

fn tag(asset: &Asset) -> String {
    let bytes = asset.plain.or(asset.gzip).unwrap_or_default();
    format!("W/\"{}\"", hex::encode(&blake3::hash(bytes).as_bytes()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_and_has_bytes_and_a_tag() {
        for path in paths() {
            let asset = find(path).expect("the table is in order");
            assert!(asset.plain.is_some() != asset.gzip.is_some(), "{path}");
            assert!(asset.etag().starts_with("W/\"") && asset.etag().len() == 36, "{path}");
        }
        assert!(find("../Cargo.toml").is_none() && find("").is_none());
        assert_eq!(index().is_some(), paths().count() > 0);
    }
}
