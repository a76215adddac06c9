//! Many callers at a time, each of which waits for its answer before it asks again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::runtime::Runtime;

use super::{KEY_BYTES, KEYS, VALUE_BYTES};
use crate::process;

/// Before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// What was found of one load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// Operations a second.
    pub(super) rate: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// CPU time of the process that keeps the data, for each operation.
    pub(super) cpu_us: f64,
}

/// As many worker threads as this machine has cores.
pub(super) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Calls `ask(caller, number)` by `clients` tasks for `seconds`; each call does `each` operations.
pub(super) async fn run<Ask, Asked>(
    clients: usize,
    seconds: f64,
    each: usize,
    pid: u32,
    ask: Ask,
) -> Result<Figures>
where
    Ask: Fn(usize, u64) -> Asked + Send + Sync + 'static,
    Asked: Future<Output = Result<()>> + Send,
{
    let (phase, ask) = (Arc::new(AtomicU8::new(WARMING)), Arc::new(ask));
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (phase, ask) = (Arc::clone(&phase), Arc::clone(&ask));
            tokio::spawn(async move { caller(client, &phase, ask.as_ref()).await })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (cpu, begin) = (process::cpu(pid)?, Instant::now());
    phase.store(COUNTING, Ordering::Release);
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    phase.store(OVER, Ordering::Release);
    let (took, cpu) = (begin.elapsed().as_secs_f64(), process::cpu(pid)? - cpu);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    ensure!(!times.is_empty(), "nothing was answered in {seconds} s");
    times.sort_unstable();
    let done = (times.len() * each) as f64;
    let at = |percent: usize| f64::from(times[(times.len() - 1) * percent / 100]);
    let (p50_us, p99_us) = (at(50), at(99));
    Ok(Figures { rate: done / took, p50_us, p99_us, cpu_us: cpu.as_secs_f64() * 1e6 / done })
}

/// The times of its calls, in µs.
async fn caller<Ask, Asked>(client: usize, phase: &AtomicU8, ask: &Ask) -> Result<Vec<u32>>
where
    Ask: Fn(usize, u64) -> Asked,
    Asked: Future<Output = Result<()>>,
{
    let mut times = Vec::new();
    for number in 0.. {
        let begin = Instant::now();
        ask(client, number).await?;
        match phase.load(Ordering::Acquire) {
            WARMING => {}
            COUNTING => times.push(u32::try_from(begin.elapsed().as_micros())?),
            _ => break,
        }
    }
    Ok(times)
}

/// A key of the set, another one for each call.
pub(super) fn key(client: usize, number: u64) -> Vec<u8> {
    let mixed = (client as u64 * 0x9e37_79b9 + number).wrapping_mul(0x5851_f42d_4c95_7f2d) >> 20;
    let key = format!("key:{:012}", mixed % KEYS).into_bytes();
    debug_assert_eq!(key.len(), KEY_BYTES);
    key
}

/// A value that does not compress.
pub(super) fn value(client: usize, number: u64) -> Vec<u8> {
    let mut state = (client as u64 ^ 0x2545_f491_4f6c_dd1d).wrapping_add(number).max(1);
    let mut value = Vec::with_capacity(VALUE_BYTES + 8);
    while value.len() < VALUE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend_from_slice(&state.to_le_bytes());
    }
    value.truncate(VALUE_BYTES);
    value
}

/// A child that serves; killed when dropped.
pub(super) struct Served(pub(super) std::process::Child);

impl Served {
    pub(super) fn start(command: &mut std::process::Command) -> Result<Self> {
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("{command:?} cannot be started"))?))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A port of this machine that nobody had a moment ago.
pub(super) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
