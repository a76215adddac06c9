//! A gRPC server that does nothing: what a call costs its client, the kernel and HTTP/2 by itself.

use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::load::{self, Figures, Served};
use super::peer;

/// A message without content: not compressed, no bytes.
const EMPTY: &[u8] = &[0; 5];
const CALL: &str = "/bench.Bare/Call";

/// Serves until it is killed.
pub(crate) fn serve() -> Result<()> {
    load::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer(stream));
        }
    })
}

async fn answer(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        tokio::spawn(say_nothing(request.into_body(), respond));
    }
    Ok(())
}

/// Answers when the request is whole: before that, the answer would reset it.
async fn say_nothing(mut request: RecvStream, mut respond: SendResponse<Bytes>) -> Result<()> {
    while let Some(data) = request.data().await {
        request.flow_control().release_capacity(data?.len())?;
    }
    let head = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut body = respond.send_response(head, false)?;
    body.send_data(Bytes::from_static(EMPTY), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(trailers)?;
    Ok(())
}

/// Calls of one client, one after the other.
pub(super) fn calls(seconds: f64) -> Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare-grpc").stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdout = child.stdout.take().context("it was asked for")?;
    let server = Served(child);
    let mut address = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(&mut stdout), &mut address)?;
    load::runtime()?.block_on(async {
        let channels = peer::connect(address.trim(), 1).await?;
        let channel = Arc::new(Mutex::new(channels.into_iter().next().context("no channel")?));
        let ask = move |_, _| {
            let channel = Arc::clone(&channel);
            async move {
                let channel = channel.lock().await;
                peer::unary::<(), ()>(&channel, CALL, tonic::Request::new(())).await
            }
        };
        load::run(1, seconds, 1, server.0.id(), ask).await
    })
}
