//! Functions in other languages, built as people build them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::tool;

const TARGET: &str = "wasm32-wasip1";
/// Debian's compiler, which comes with the sources of its library: it needs no target of rustup's.
const DEBIAN: &str = "/usr/bin/rustc";
/// What its programs begin with, which the compiler does not bring.
const DEBIAN_START: &str = "link-arg=/usr/lib/wasm32-wasi/crt1-command.o";

/// Builds the sample `guests/rust/NAME` and returns its module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn rust(name: &str) -> Result<PathBuf> {
    let target_dir = target_dir()?.join("guests");
    let mut build = Command::new("cargo");
    build.current_dir(samples("rust")).args([
        "rustc",
        "--quiet",
        "--release",
        "--locked",
        "-p",
        name,
    ]);
    build.args(["--target", TARGET]).arg("--target-dir").arg(&target_dir);
    // What the build of the tests was told is not for this target.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "CARGO"] {
        build.env_remove(variable);
    }
    let environment = rust_environment()?;
    let is_program = samples("rust").join(name).join("src/main.rs").exists();
    build.envs(environment.iter().copied());
    if is_program && !environment.is_empty() {
        build.args(["--", "-C", DEBIAN_START]);
    }
    finished(&mut build, name)?;
    let file = format!("{}.wasm", name.replace('-', "_"));
    Ok(target_dir.join(TARGET).join("release").join(file))
}

/// What cargo is told where the compiler on the path has no library for functions: to use Debian's.
///
/// # Errors
/// When there is none, with what to install.
pub fn rust_environment() -> Result<Vec<(&'static str, &'static str)>> {
    if has_target()? {
        return Ok(Vec::new());
    }
    ensure!(
        Path::new(DEBIAN).exists(),
        "there is no Rust for {TARGET}: `rustup target add {TARGET}`, or `cargo xtask setup --group test`"
    );
    let flags = "-C link-self-contained=no -L /usr/lib/wasm32-wasi";
    Ok(vec![
        ("RUSTC", DEBIAN),
        ("RUSTC_BOOTSTRAP", "1"),
        ("CARGO_TARGET_WASM32_WASIP1_LINKER", "/usr/bin/wasm-ld"),
        ("CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", flags),
        ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort"),
    ])
}

/// Builds the sample `guests/c/NAME.c` and returns its module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn c(name: &str) -> Result<PathBuf> {
    let mut build = Command::new("clang");
    build.args(["--target=wasm32-wasi", "-O2", "-Wl,--strip-all"]);
    compiled(build.arg(samples("c").join(format!("{name}.c"))), name)
}

/// Builds the sample `guests/cpp/NAME.cc` and returns its module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn cpp(name: &str) -> Result<PathBuf> {
    let mut build = Command::new("clang++");
    build.args(["--target=wasm32-wasi", "-O2", "-fno-exceptions", "-Wl,--strip-all"]);
    compiled(build.arg(samples("cpp").join(format!("{name}.cc"))), name)
}

/// Builds the sample `guests/go/NAME` and returns its module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn go(name: &str) -> Result<PathBuf> {
    let mut build = Command::new(tool::find("go")?);
    build.current_dir(samples("go")).env("GOOS", "wasip1").env("GOARCH", "wasm");
    let module = module(name)?;
    build.args(["build", "-ldflags=-s -w", "-o"]).arg(&module);
    finished(build.arg(format!("./{name}")), name)?;
    Ok(module)
}

/// Builds the tests of a package of Go's own library, and returns their module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn go_tests(package: &str) -> Result<PathBuf> {
    let mut build = Command::new(tool::find("go")?);
    // Another folder's module would say how old a Go it is to be as.
    build.current_dir(go_root()?.join("src")).env("GOOS", "wasip1").env("GOARCH", "wasm");
    let module = module(&package.replace('/', "-"))?;
    build.args(["test", "-c", "-ldflags=-s -w", "-o"]).arg(&module);
    finished(build.arg(package), package)?;
    Ok(module)
}

/// Where Go's own library is.
///
/// # Errors
/// When there is no Go, with what to install.
pub fn go_root() -> Result<PathBuf> {
    let told = Command::new(tool::find("go")?).args(["env", "GOROOT"]).output();
    let told = told.context("cannot run go")?;
    Ok(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()))
}

/// Builds the sample `guests/zig/NAME.zig` and returns its module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn zig(name: &str) -> Result<PathBuf> {
    let mut build = Command::new(tool::find("python-zig")?);
    let module = module(name)?;
    build.arg("build-exe").arg(samples("zig").join(format!("{name}.zig")));
    build.args(["-target", "wasm32-wasi", "-O", "ReleaseSmall"]);
    finished(build.arg(emitted(&module)), name)?;
    Ok(module)
}

/// Builds those tests of Zig's own library in whose names one of these is, and returns their module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn zig_tests(name: &str, names: &[String]) -> Result<PathBuf> {
    let zig = tool::find("python-zig")?;
    let lib = zig_lib(&zig)?;
    let mut build = Command::new(zig);
    let module = module(&format!("zig-{name}"))?;
    build.arg("test").arg(lib.join("std/std.zig")).arg("--zig-lib-dir").arg(&lib);
    build.args(["-target", "wasm32-wasi", "--test-no-exec"]).arg(emitted(&module));
    for name in names {
        build.args(["--test-filter", name]);
    }
    finished(&mut build, name)?;
    Ok(module)
}

/// Where Zig's own library is: what the compiler says of itself, in a language that changes.
fn zig_lib(zig: &Path) -> Result<PathBuf> {
    let told = Command::new(zig).arg("env").output().context("cannot run zig")?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let line = told.lines().find(|line| line.contains("lib_dir")).unwrap_or_default();
    let dir = line.rsplit('"').nth(1).context("zig does not say where its library is")?;
    Ok(PathBuf::from(dir))
}

fn emitted(module: &Path) -> OsString {
    let mut argument = OsString::from("-femit-bin=");
    argument.push(module);
    argument
}

/// Builds the sample `guests/assemblyscript/NAME.ts` and returns its module.
///
/// # Errors
/// When there is no compiler for it, with what to install; what the compiler says.
pub fn assemblyscript(name: &str) -> Result<PathBuf> {
    let mut build = Command::new(tool::find("node")?);
    build.arg(tool::node_modules()?.join("assemblyscript/bin/asc.js"));
    build.arg(samples("assemblyscript").join(format!("{name}.ts")));
    let module = module(name)?;
    finished(build.args(["--optimize", "--runtime", "stub", "-o"]).arg(&module), name)?;
    Ok(module)
}

/// What a build of one of our templates needs: programs, and packages that are fetched when it is built.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    programs: &'static [&'static str],
    packages: &'static [&'static str],
}

/// The templates whose toolchains have nothing to do with Rust's or C's.
pub const TEMPLATES: [Template; 5] = [
    Template {
        name: "js",
        programs: &["node", "npm"],
        packages: &["@bytecodealliance/componentize-js", "@bytecodealliance/jco"],
    },
    Template { name: "python", programs: &["python3", "componentize-py"], packages: &[] },
    Template { name: "zig", programs: &["python-zig"], packages: &[] },
    Template { name: "go", programs: &["go"], packages: &[] },
    Template {
        name: "assemblyscript",
        programs: &["node", "npm"],
        packages: &["assemblyscript", "@assemblyscript/wasi-shim"],
    },
];

impl Template {
    /// The environment that it is built in: everything that is set here, with the programs that `cargo xtask setup`
    /// brings, and what it fetched taken from where it kept that.
    ///
    /// # Errors
    /// When something is not there; the text says what to run.
    pub fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let mut path = Vec::new();
        for program in self.programs {
            let found = tool::find(program)?;
            path.extend(found.parent().map(Path::to_owned));
        }
        for package in self.packages {
            let there = tool::node_modules()?.join(package).is_dir();
            ensure!(there, "there is no {package}; run `cargo xtask setup --group test`");
        }
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(path).context("a folder of the path has a colon")?;
        Ok(vec![("PATH", path), ("npm_config_prefer_offline", "true".into())])
    }
}

/// Whether the compiler on the path has a library for the target.
fn has_target() -> Result<bool> {
    let mut ask = Command::new("rustc");
    ask.args(["--print", "target-libdir", "--target", TARGET]);
    let told = ask.output().context("cannot run rustc")?;
    let dir = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    Ok(told.status.success() && Path::new(&dir).is_dir())
}

fn samples(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests").join(language)
}

/// Where a module is built to, apart from those of tests that run at the same time.
fn module(name: &str) -> Result<PathBuf> {
    let folder = target_dir()?.join("guests");
    std::fs::create_dir_all(&folder).context("cannot make a folder for guests")?;
    Ok(folder.join(format!("{name}-{}.wasm", std::process::id())))
}

/// What clang makes.
fn compiled(build: &mut Command, name: &str) -> Result<PathBuf> {
    let module = module(name)?;
    finished(build.arg("-o").arg(&module), name).context(
        "it takes `apt install clang lld wasi-libc libclang-rt-dev-wasm32 libc++-dev-wasm32`, or `cargo xtask setup --group test`",
    )?;
    Ok(module)
}

fn finished(build: &mut Command, name: &str) -> Result<()> {
    let program = build.get_program().to_owned();
    let built = build.output().with_context(|| format!("cannot run {}", program.display()))?;
    if !built.status.success() {
        bail!("the guest {name} was not built: {}", String::from_utf8_lossy(&built.stderr));
    }
    Ok(())
}

/// Where the tests themselves are built.
fn target_dir() -> Result<PathBuf> {
    let test = std::env::current_exe().context("cannot tell which program this is")?;
    let found = test.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    found.map(Path::to_owned).context("this test is in no target directory")
}
