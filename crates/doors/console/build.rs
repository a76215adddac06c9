//! Embeds what `cargo xtask console` has built into `console/dist` of the repository, as a table.
//!
//! Without it the program is built all the same, says so here, and serves a page that says how to get
//! it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Endings and media types of what a console consists of. What is not here is bytes.
const TYPES: [(&str, &str); 16] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("jpg", "image/jpeg"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("woff", "font/woff"),
    ("ttf", "font/ttf"),
    ("json", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("wasm", "application/wasm"),
    ("txt", "text/plain; charset=utf-8"),
];

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let dist = manifest.join("../../../console/dist");
    println!("cargo::rerun-if-changed=build.rs");
    watch(&dist);
    let mut table = String::from("&[\n");
    if dist.join("index.html").is_file() {
        let mut paths = Vec::new();
        list(&dist, "", &mut paths)?;
        paths.sort();
        for path in &paths {
            entry(&mut table, &dist, path);
        }
    } else {
        println!(
            "cargo::warning=this build has no web console: `cargo xtask console` builds it (with Node 20 \
             or later), and the next build of this program has it"
        );
    }
    table.push_str("]\n");
    fs::write(out.join("assets.rs"), table)
}

/// Looks at the directory again when something in it changes. One that is not there would be taken for
/// changed each time, so it is made, older than anything that will be put there.
fn watch(dist: &Path) {
    if !dist.exists() {
        let made =
            fs::create_dir_all(dist).and_then(|()| File::open(dist)?.set_modified(UNIX_EPOCH));
        if made.is_err() {
            return;
        }
    }
    println!("cargo::rerun-if-changed={}", dist.display());
}

/// The files below a directory, but for the packed forms of others.
fn list(at: &Path, below: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for found in fs::read_dir(at)? {
        let found = found?;
        let Ok(name) = found.file_name().into_string() else { continue };
        let path = format!("{below}{name}");
        if found.file_type()?.is_dir() {
            list(&found.path(), &format!("{path}/"), paths)?;
        } else if !name.starts_with('.') && !name.ends_with(".gz") && !name.ends_with(".br") {
            paths.push(path);
        }
    }
    Ok(())
}

/// A line of the table. What is there packed for every client is not embedded plain too.
fn entry(table: &mut String, dist: &Path, path: &str) {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    let known = TYPES.iter().find(|(known, _)| *known == ending);
    let media_type = known.map_or("application/octet-stream", |(_, media_type)| media_type);
    let include = |file: &Path| format!("Some(include_bytes!({file:?}))");
    let packed = |ending: &str| {
        let file = dist.join(format!("{path}.{ending}"));
        file.is_file().then(|| include(&file))
    };
    let (gzip, brotli) = (packed("gz"), packed("br"));
    let plain = if gzip.is_some() { None } else { Some(include(&dist.join(path))) };
    let [plain, gzip, brotli] = [plain, gzip, brotli].map(|it| it.unwrap_or("None".to_owned()));
    writeln!(
        table,
        "Asset {{ path: {path:?}, media_type: {media_type:?}, plain: {plain}, gzip: {gzip}, \
         brotli: {brotli} }},"
    )
    .expect("a string takes all text");
}
