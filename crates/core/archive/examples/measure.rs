//! Opens archives and makes them again; prints what it cost.
//!
//! `cargo run --release -p cairn-archive --example measure -- FILE...`

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;

use cairn_archive::{Inner, Limits, PieceKind, plan, rebuild};

/// Compares what is written with a file.
struct Compare(File, u64);

impl Write for Compare {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wanted = vec![0; bytes.len()];
        self.0.read_exact(&mut wanted)?;
        if wanted != bytes {
            return Err(io::Error::other(format!("differs after byte {}", self.1)));
        }
        self.1 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "a measurement by hand reads the clock")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn one(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let start = now();
    let plan = plan(&mut file, &Limits::default())?;
    let planned = start.elapsed().as_secs_f64();
    let Some(plan) = plan else {
        println!("{path}: stored as it is ({len} B, {planned:.2} s)");
        return Ok(());
    };
    let members = plan.pieces.iter().filter(|piece| piece.kind == PieceKind::Member).count();
    let start = now();
    let read = io::copy(&mut Inner::new(&mut file, &plan.recipe)?, &mut io::sink())?;
    let inflated = start.elapsed().as_secs_f64();
    assert_eq!(read, plan.inner_len, "the inner stream is as long as planned");
    let start = now();
    let inner = Inner::new(&mut file, &plan.recipe)?;
    let mut out = BufWriter::new(Compare(File::open(path)?, 0));
    rebuild(&plan.recipe, inner, &mut out)?;
    out.flush()?;
    let rebuilt = start.elapsed().as_secs_f64();
    assert_eq!(out.get_ref().1, len, "the archive is as long as it was");
    let mb = plan.inner_len as f64 / 1e6;
    println!(
        "{path}: {:?} {} -> {} B, {members} members, recipe {} B ({:.3} %), inner MB/s: plan {:.0}, \
         inner {:.0}, inner+rebuild {:.0}; peak {} KiB",
        plan.format,
        plan.outer_len,
        plan.inner_len,
        plan.recipe.encode().len(),
        plan.recipe.encode().len() as f64 * 100.0 / len as f64,
        mb / planned,
        mb / inflated,
        mb / rebuilt,
        peak_kib(),
    );
    Ok(())
}

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in std::env::args().skip(1) {
        if let Err(error) = one(&path) {
            eprintln!("{path}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
