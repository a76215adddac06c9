//! etcd, as it comes: it syncs its log before it answers.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use prost::Message;

use super::CLIENTS;
use super::load::{self, Figures, Served};
use super::peer;
use crate::disk;
use crate::workbench::Workbench;

const READY_WAIT: Duration = Duration::from_secs(20);
const PUT: &str = "/etcdserverpb.KV/Put";

/// `etcdserverpb.PutRequest`, without what is not used.
#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`, of which nothing is looked at.
#[derive(Clone, PartialEq, Message)]
struct Answer {}

pub(super) fn puts(bench: &Workbench, seconds: f64) -> Result<Vec<(usize, Figures)>> {
    let place = bench.work.join("etcd");
    disk::fresh(&place)?;
    let (client, peers) = (load::free_port()?, load::free_port()?);
    let (client, peers) = (format!("127.0.0.1:{client}"), format!("http://127.0.0.1:{peers}"));
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(&place).args(["--log-level", "error"]);
    command.args(["--listen-client-urls", &format!("http://{client}")]);
    command.args(["--advertise-client-urls", &format!("http://{client}")]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("default={peers}")]);
    // Nothing is given up while it is measured.
    command.args(["--quota-backend-bytes", "8589934592", "--snapshot-count", "1000000"]);
    let server = Served::start(&mut command)?;
    load::runtime()?.block_on(async {
        wait(&client).await?;
        let mut found = Vec::new();
        for clients in CLIENTS {
            let channels = peer::connect(&client, clients).await?;
            let ask = move |client: usize, number| {
                let channel = channels[client % channels.len()].clone();
                async move {
                    let (key, value) = (load::key(client, number), load::value(client, number));
                    let put = tonic::Request::new(Put { key, value });
                    let _: Answer = peer::unary(&channel, PUT, put).await?;
                    Ok(())
                }
            };
            found.push((clients, load::run(clients, seconds, 1, server.0.id(), ask).await?));
        }
        Ok(found)
    })
}

/// Until it takes a put.
async fn wait(address: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        if let Ok(channels) = peer::connect(address, 1).await {
            let put = Put { key: b"ready".to_vec(), value: Vec::new() };
            let asked = peer::unary::<_, Answer>(&channels[0], PUT, tonic::Request::new(put)).await;
            if asked.is_ok() {
                return Ok(());
            }
        }
        if begin.elapsed() > READY_WAIT {
            bail!("etcd does not answer");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
