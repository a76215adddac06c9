//! Many functions, and many instances at a time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cairn_env::Env;
use cairn_functions::{Function, Settings};
use cairn_http::client::Node as Client;

use super::guest::Guest;
use super::{requested, tell, up};
use crate::cli::Functions;
use crate::disk;
use crate::sample::Samples;
use crate::workbench::Workbench;

/// Instances of one function at a time.
const GROUP: u32 = 250;
/// Deployments at a time.
const AT_ONCE: u32 = 16;
/// What is begun and let go is over after so long.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

pub(super) fn measure(
    bench: &Workbench,
    args: &Functions,
    guest: &Guest,
    ours: &mut Samples,
) -> Result<()> {
    let data = bench.work.join("many");
    disk::fresh(&data)?;
    let node = up(bench, &data)?;
    let token = node.token.clone().context("a fresh bucket gives a root token")?;
    let base = node.rss();
    let hello = guest.module.display();
    for group in 0..args.instances.div_ceil(GROUP) {
        let deploy =
            format!("fn deploy {hello} --name sleep{group} --concurrency {GROUP} --wall-ms 600000");
        tell(bench, &node, &token, &deploy)?;
        tell(bench, &node, &token, &format!("route add sleep{group}.test/sleep sleep{group}"))?;
    }
    let begun = Instant::now();
    let url = format!("http://{}", node.address);
    deploy(&url, &token, args.functions, &std::fs::read(&guest.module)?)?;
    ours.add("deploys", f64::from(args.functions) / begun.elapsed().as_secs_f64());
    drop(node);
    let node = up(bench, &data)?;
    std::thread::sleep(SETTLED_AFTER);
    ours.add("base rss", base);
    ours.add("functions rss", node.rss());
    let authorization = format!("Authorization: Bearer {token}");
    let asked = (0..args.instances)
        .map(|at| requested(&node, &format!("sleep{}.test/sleep", at / GROUP), &authorization));
    let asked: Vec<_> = asked.collect::<Result<_>>()?;
    std::thread::sleep(SETTLED_AFTER);
    ours.add("instances rss", node.rss());
    drop(asked);
    Ok(())
}

fn deploy(url: &str, token: &str, count: u32, code: &[u8]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let client = Client::new(url, Some(token), &Env::real())?;
    runtime.block_on(async {
        let workers = (0..AT_ONCE).map(|worker| {
            let (client, code) = (client.clone(), bytes::Bytes::copy_from_slice(code));
            tokio::spawn(async move {
                for number in (worker..count).step_by(AT_ONCE as usize) {
                    let function = Function {
                        project: "main".parse()?,
                        name: format!("many-{number}").parse()?,
                    };
                    client.deploy(&function, code.clone(), &Settings::default(), 120).await?;
                }
                anyhow::Ok(())
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await??;
        }
        Ok(())
    })
}
