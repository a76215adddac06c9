//! Where a node listens.

use std::future::Future;
use std::net::SocketAddr;

use cairn_http::Transport;
use cairn_mesh::tls::ServerTls;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::tls::transport;
use crate::{Error, Tls};

/// The listeners of one kind of door.
pub(crate) struct Listeners {
    listeners: Vec<TcpListener>,
    /// Where they listen, with the ports that were chosen.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The same as URLs.
    pub(crate) urls: Vec<String>,
}

impl Listeners {
    pub(crate) async fn bind(
        scheme: &str,
        addresses: &[SocketAddr],
        tls: &Tls,
    ) -> Result<Self, Error> {
        let mut listeners = Vec::new();
        for address in addresses {
            let bound = TcpListener::bind(address).await;
            listeners.push(bound.map_err(|source| Error::Listen { address: *address, source })?);
        }
        let bound = listeners.iter().filter_map(|listener| listener.local_addr().ok());
        let addresses: Vec<SocketAddr> = bound.collect();
        let urls = tls.urls(scheme, &addresses);
        Ok(Self { listeners, addresses, urls })
    }

    /// Serves each of them, as `tls` says; once.
    pub(crate) fn serve<S>(
        &mut self,
        tls: &Tls,
        server: Option<&ServerTls>,
        serve: impl Fn(TcpListener, Transport) -> S,
    ) -> Vec<JoinHandle<()>>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let listeners = std::mem::take(&mut self.listeners);
        let served = listeners.into_iter().zip(&self.addresses).map(|(listener, address)| {
            tokio::spawn(serve(listener, transport(tls, server, address)))
        });
        served.collect()
    }
}
