//! Connections of a listener: taken, and their first bytes: a TLS handshake where the listener speaks TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_access::{Fingerprint, Peer};
use cairn_env::{Clock, Env};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What every TLS record of a handshake begins with.
const HANDSHAKE: u8 = 22;
/// How long accepting pauses when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// A connection that no runtime polls yet, and its place.
pub type Accepted = (std::net::TcpStream, SocketAddr, OwnedSemaphorePermit);

/// The next connection, once there is a place for it; none when this one came to nothing.
pub async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    env: &Env,
) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let accepted = listener.accept().await;
    match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
        Ok((stream, address)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection cannot send without delay");
            }
            Some((stream, address, place))
        }
        // A client that was gone again, or too many open files: neither ends the node.
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            env.clock.sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// The peer of a connection without TLS.
#[must_use]
pub fn plain_peer(address: SocketAddr) -> Peer {
    let ip = address.ip().to_canonical();
    Peer { address: Some(ip), certificate: None, tls: false }
}

/// Shakes hands, within `wait`. Nothing when there is nobody to talk to; who does not speak TLS is told
/// `plain`.
pub async fn shake_hands(
    config: Arc<ServerConfig>,
    mut stream: TcpStream,
    address: SocketAddr,
    (clock, wait): (&Arc<dyn Clock>, Duration),
    plain: &[u8],
) -> Option<(TlsStream<TcpStream>, Peer)> {
    let handshake = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            stream.write_all(plain).await?;
            stream.shutdown().await?;
            return Ok(None);
        }
        TlsAcceptor::from(config).accept(stream).await.map(Some)
    };
    let shaken: std::io::Result<Option<TlsStream<TcpStream>>> = tokio::select! {
        biased;
        shaken = handshake => shaken,
        () = clock.sleep(wait) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    match shaken {
        Ok(Some(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            let shown = shown.and_then(|chain| chain.first());
            let certificate = shown.map(|own| Fingerprint(crate::certificate::sha256(own)));
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
