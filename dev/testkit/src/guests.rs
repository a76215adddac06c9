//! Functions in other languages, built as people build them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

const TARGET: &str = "wasm32-wasip1";
/// Debian's compiler, which comes with the sources of its library: it needs no target of rustup's.
const DEBIAN: &str = "/usr/bin/rustc";

/// Builds the sample `guests/rust/NAME` and returns its module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn rust(name: &str) -> Result<PathBuf> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/rust");
    let target_dir = target_dir()?.join("guests");
    let mut build = Command::new("cargo");
    build.current_dir(&guests).args(["build", "--quiet", "--release", "--locked", "-p", name]);
    build.args(["--target", TARGET]).arg("--target-dir").arg(&target_dir);
    // What the build of the tests was told is not for this target.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "CARGO"] {
        build.env_remove(variable);
    }
    if !has_target()? {
        ensure!(
            Path::new(DEBIAN).exists(),
            "there is no Rust for {TARGET}: `rustup target add {TARGET}`, or `cargo xtask setup --group test`"
        );
        build.env("RUSTC", DEBIAN).env("RUSTC_BOOTSTRAP", "1");
        build.env("CARGO_TARGET_WASM32_WASIP1_LINKER", "/usr/bin/wasm-ld");
        let flags = "-C link-self-contained=no -L /usr/lib/wasm32-wasi";
        build.env("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", flags);
        build.args(["-Z", "build-std=std,panic_abort"]);
    }
    let built = build.output().context("cannot run cargo")?;
    if !built.status.success() {
        bail!("the guest {name} was not built: {}", String::from_utf8_lossy(&built.stderr));
    }
    let file = format!("{}.wasm", name.replace('-', "_"));
    Ok(target_dir.join(TARGET).join("release").join(file))
}

/// Whether the compiler on the path has a library for the target.
fn has_target() -> Result<bool> {
    let mut ask = Command::new("rustc");
    ask.args(["--print", "target-libdir", "--target", TARGET]);
    let told = ask.output().context("cannot run rustc")?;
    let dir = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    Ok(told.status.success() && Path::new(&dir).is_dir())
}

/// Where the tests themselves are built.
fn target_dir() -> Result<PathBuf> {
    let test = std::env::current_exe().context("cannot tell which program this is")?;
    let found = test.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    found.map(Path::to_owned).context("this test is in no target directory")
}
