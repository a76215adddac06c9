//! A node's keys over gRPC: a put a call, and commits on streams.

use anyhow::{Context as _, Result, ensure};
use prost::{Message, Oneof};
use tokio::sync::{Mutex, mpsc};
use tonic::Streaming;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use super::CLIENTS;
use super::load::{self, Figures};
use super::node::Node;
use super::peer::{self, Plain};
use crate::workbench::Workbench;

const PUT: &str = "/cairn.kv.v1.KvAPI/Put";
const GET: &str = "/cairn.kv.v1.KvAPI/Get";
const WRITE: &str = "/cairn.kv.v1.KvAPI/Write";
/// Puts of one commit on a stream.
const BATCH: usize = 16;

#[derive(Clone, PartialEq, Message)]
struct Namespace {
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(message, optional, tag = "1")]
    namespace: Option<Namespace>,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(uint64, tag = "1")]
    seq: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Get {
    #[prost(message, optional, tag = "1")]
    namespace: Option<Namespace>,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Found {
    #[prost(message, optional, tag = "1")]
    entry: Option<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Op {
    #[prost(oneof = "Change", tags = "1")]
    op: Option<Change>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Change {
    #[prost(message, tag = "1")]
    Put(Pair),
}

#[derive(Clone, PartialEq, Message)]
struct Write {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    namespace: Option<Namespace>,
    #[prost(message, repeated, tag = "3")]
    ops: Vec<Op>,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

/// One caller's stream.
struct Stream {
    to: mpsc::Sender<Write>,
    from: Streaming<Written>,
}

pub(super) fn puts(
    bench: &Workbench,
    seconds: f64,
    on_streams: bool,
) -> Result<Vec<(usize, Figures)>> {
    let node = Node::with_namespace(bench)?;
    load::runtime()?.block_on(async {
        let mut found = Vec::new();
        for clients in CLIENTS {
            let channels = peer::connect(&node.address, clients).await?;
            let figures = if on_streams {
                streams(&node, &channels, clients, seconds).await?
            } else {
                calls(&node, channels, clients, seconds).await?
            };
            found.push((clients, figures));
        }
        Ok(found)
    })
}

/// Gets of one client, one after the other, of a key that is there.
pub(super) fn gets(bench: &Workbench, seconds: f64) -> Result<Figures> {
    let node = Node::with_namespace(bench)?;
    node.ask("kv put bench there value")?;
    load::runtime()?.block_on(async {
        let channel = peer::connect(&node.address, 1).await?.remove(0);
        let bearer = request(&node, ())?.into_parts().0;
        let ask = move |_, _| {
            let (channel, bearer) = (channel.clone(), bearer.clone());
            async move {
                let get = Get { namespace: namespace(), key: b"there".to_vec() };
                let get = tonic::Request::from_parts(bearer, tonic::Extensions::new(), get);
                let found: Found = peer::unary(&channel, GET, get).await?;
                ensure!(found.entry.is_some(), "a key is lost");
                Ok(())
            }
        };
        load::run(1, seconds, 1, node.pid(), ask).await
    })
}

fn request<T>(node: &Node, message: T) -> Result<tonic::Request<T>> {
    let mut request = tonic::Request::new(message);
    let bearer: MetadataValue<_> = format!("Bearer {}", node.token).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    Ok(request)
}

fn namespace() -> Option<Namespace> {
    Some(Namespace { name: String::from("bench") })
}

async fn calls(
    node: &Node,
    channels: Vec<Channel>,
    clients: usize,
    seconds: f64,
) -> Result<Figures> {
    let bearer = request(node, ())?.into_parts().0;
    let ask = move |client: usize, number| {
        let channel = channels[client % channels.len()].clone();
        let bearer = bearer.clone();
        async move {
            let (key, value) = (load::key(client, number), load::value(client, number));
            let put = Put { namespace: namespace(), key, value };
            let put = tonic::Request::from_parts(bearer, tonic::Extensions::new(), put);
            let answer: Answer = peer::unary(&channel, PUT, put).await?;
            ensure!(answer.seq > 0, "a put has no number");
            Ok(())
        }
    };
    load::run(clients, seconds, 1, node.pid(), ask).await
}

async fn streams(
    node: &Node,
    channels: &[Channel],
    clients: usize,
    seconds: f64,
) -> Result<Figures> {
    let mut open = Vec::new();
    for client in 0..clients {
        open.push(Mutex::new(stream(node, &channels[client % channels.len()]).await?));
    }
    let open = std::sync::Arc::new(open);
    let ask = move |client: usize, number: u64| {
        let open = std::sync::Arc::clone(&open);
        async move {
            let mut stream = open[client].lock().await;
            let ops = (0..BATCH as u64).map(|index| {
                let number = number * BATCH as u64 + index;
                let (key, value) = (load::key(client, number), load::value(client, number));
                Op { op: Some(Change::Put(Pair { key, value })) }
            });
            let write = Write { id: number, namespace: namespace(), ops: ops.collect() };
            stream.to.send(write).await.context("the stream is over")?;
            let written = stream.from.message().await?.context("the stream is over")?;
            ensure!(written.id == number && written.seq > 0, "another commit was answered");
            Ok(())
        }
    };
    load::run(clients, seconds, BATCH, node.pid(), ask).await
}

async fn stream(node: &Node, channel: &Channel) -> Result<Stream> {
    let (to, sent) = mpsc::channel(4);
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await?;
    let sent = request(node, ReceiverStream::new(sent))?;
    let path = PathAndQuery::from_static(WRITE);
    let from = grpc.streaming(sent, path, Plain::default()).await?.into_inner();
    Ok(Stream { to, from })
}
