//! The first bytes of a connection: a TLS handshake where the listener speaks TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_access::{Fingerprint, Peer};
use cairn_env::Clock;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What every TLS record of a handshake begins with.
const HANDSHAKE: u8 = 22;
/// What somebody gets who speaks HTTP without TLS to a port that takes nothing else.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    connection: close\r\ncontent-length: 47\r\n\r\nthis port speaks TLS: write https://, not http\n";

/// How a listener speaks to its clients.
#[derive(Clone)]
pub enum Transport {
    /// As it is: for loopback, and behind a proxy that ends TLS.
    Plain,
    /// TLS.
    Tls(Arc<ServerConfig>),
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Tls(_) => "Tls",
        })
    }
}

/// The peer of a connection without TLS.
pub(crate) fn plain_peer(address: SocketAddr) -> Peer {
    let ip = address.ip().to_canonical();
    Peer { address: Some(ip), certificate: None, tls: false }
}

/// Shakes hands, within `wait`. Nothing when there is nobody to talk to.
pub(crate) async fn accept(
    config: Arc<ServerConfig>,
    mut stream: TcpStream,
    address: SocketAddr,
    clock: &Arc<dyn Clock>,
    wait: Duration,
) -> Option<(TlsStream<TcpStream>, Peer)> {
    let handshake = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            stream.write_all(PLAIN).await?;
            stream.shutdown().await?;
            return Ok(None);
        }
        TlsAcceptor::from(config).accept(stream).await.map(Some)
    };
    let shaken: std::io::Result<Option<TlsStream<TcpStream>>> = tokio::select! {
        shaken = handshake => shaken,
        () = clock.sleep(wait) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    match shaken {
        Ok(Some(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            let shown = shown.and_then(|chain| chain.first());
            let certificate = shown.map(|own| Fingerprint(cairn_mesh::certificate::sha256(own)));
            let ip = address.ip().to_canonical();
            Some((stream, Peer { address: Some(ip), certificate, tls: true }))
        }
        Ok(None) => None,
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
