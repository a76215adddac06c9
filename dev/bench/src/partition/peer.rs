//! A gRPC call of one answer, the same for etcd and for Cairn: what the client costs is not the difference.

use std::marker::PhantomData;

use anyhow::{Context as _, Result};
use prost::Message;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

/// Connections that callers share.
const CONNECTIONS: usize = 8;

/// As many connections as there are clients, within reason.
pub(super) async fn connect(address: &str, clients: usize) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..clients.min(CONNECTIONS) {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        channels.push(endpoint.connect().await.context("no connection")?);
    }
    Ok(channels)
}

/// Asks once.
pub(super) async fn unary<T, U>(
    channel: &Channel,
    path: &'static str,
    request: tonic::Request<T>,
) -> Result<U>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await?;
    let path = PathAndQuery::from_static(path);
    Ok(grpc.unary(request, path, Plain::default()).await?.into_inner())
}

/// Protobuf.
pub(super) struct Plain<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Plain<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + 'static, U: Message + Default + 'static> Codec for Plain<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<T: Message, U> Encoder for Plain<T, U> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<T, U: Message + Default> Decoder for Plain<T, U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
