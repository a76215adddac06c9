//! How a node's listeners speak: plain on loopback, TLS elsewhere.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use cairn_access::Access;
use cairn_env::Env;
use cairn_http::Transport;
use cairn_mesh::Authority;
use cairn_mesh::tls::{ServerTls, Source};

use crate::Error;

/// How listeners speak.
#[derive(Clone, Debug, Default)]
pub enum Tls {
    /// Plain on loopback; elsewhere TLS, with a certificate of the cluster's authority for the
    /// machine's name and addresses and these further names.
    #[default]
    Cluster,
    /// TLS everywhere, with a certificate of the cluster's authority for these further names.
    ClusterFor(Vec<String>),
    /// TLS everywhere, with a certificate from files that are read again when they change.
    Files {
        /// The chain, PEM.
        certificate: PathBuf,
        /// The private key, PEM.
        key: PathBuf,
    },
    /// Plain everywhere.
    Off,
}

impl Tls {
    /// Whether a listener on this address speaks TLS.
    #[must_use]
    pub fn covers(&self, address: &SocketAddr) -> bool {
        match self {
            Self::Off => false,
            Self::Cluster => !address.ip().to_canonical().is_loopback(),
            Self::ClusterFor(_) | Self::Files { .. } => true,
        }
    }

    /// Listeners on these addresses as URLs; one that speaks TLS has an `s` more in its scheme.
    pub(crate) fn urls(&self, scheme: &str, addresses: &[SocketAddr]) -> Vec<String> {
        let secure = |address| if self.covers(address) { "s" } else { "" };
        addresses.iter().map(|at| format!("{scheme}{}://{at}", secure(at))).collect()
    }

    /// Those of the addresses that others can reach and that speak no TLS.
    pub(crate) fn exposed(&self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let exposed = |at: &&SocketAddr| !at.ip().to_canonical().is_loopback() && !self.covers(at);
        addresses.iter().filter(exposed).copied().collect()
    }

    /// What listeners on `addresses` show, when one of them speaks TLS.
    pub(crate) fn server(
        &self,
        addresses: &[SocketAddr],
        authority: &Authority,
        access: &Access,
        env: &Env,
    ) -> Result<Option<ServerTls>, Error> {
        let names = match self {
            Self::ClusterFor(names) => names.as_slice(),
            _ => &[],
        };
        let source = match self {
            _ if !addresses.iter().any(|address| self.covers(address)) => return Ok(None),
            Self::Files { certificate, key } => {
                Source::Files { certificate: certificate.clone(), key: key.clone() }
            }
            _ => Source::Cluster {
                authority: authority.clone(),
                names: all_names(names),
                addresses: all_addresses(addresses),
            },
        };
        let access = access.clone();
        let asks = Arc::new(move || access.knows_certificates());
        Ok(Some(ServerTls::new(source, asks, env)?))
    }
}

/// What a listener answers connections with.
pub(crate) fn transport(tls: &Tls, server: Option<&ServerTls>, address: &SocketAddr) -> Transport {
    match server.filter(|_| tls.covers(address)) {
        Some(server) => Transport::Tls(server.config()),
        None => Transport::Plain,
    }
}

/// The machine's name and what was asked for.
fn all_names(asked: &[String]) -> Vec<String> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy().into_owned();
    let fits = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    let mut names: Vec<String> = asked.to_vec();
    names.extend([host, "localhost".to_owned()].into_iter().filter(|name| fits(name)));
    names.sort();
    names.dedup();
    names
}

/// The addresses of listeners. For one that listens on every address, those by which the machine
/// would be left: asking for a route sends nothing.
fn all_addresses(listeners: &[SocketAddr]) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for listener in listeners {
        if !listener.ip().is_unspecified() {
            all.push(listener.ip());
            continue;
        }
        for (from, far) in [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")] {
            let route = UdpSocket::bind(from).and_then(|socket| {
                socket.connect(far)?;
                socket.local_addr()
            });
            all.extend(route.map(|address| address.ip()).ok());
        }
        all.extend([IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]);
    }
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_nothing_is_plain_unless_asked_for() {
        let (here, there) = ("127.0.0.1:1".parse().unwrap(), "192.0.2.7:1".parse().unwrap());
        let mapped = "[::ffff:127.0.0.1]:1".parse().unwrap();
        let files = Tls::Files { certificate: "a".into(), key: "b".into() };
        for (tls, on_here, on_there) in [
            (Tls::default(), false, true),
            (Tls::ClusterFor(vec![]), true, true),
            (files, true, true),
            (Tls::Off, false, false),
        ] {
            assert_eq!((tls.covers(&here), tls.covers(&there)), (on_here, on_there), "{tls:?}");
            assert_eq!(tls.covers(&mapped), on_here);
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_named_by_some() {
        let all = all_addresses(&["0.0.0.0:1".parse().unwrap(), "192.0.2.7:1".parse().unwrap()]);
        assert!(all.contains(&IpAddr::from([127, 0, 0, 1])));
        assert!(all.contains(&IpAddr::from([192, 0, 2, 7])));
        assert!(!all.iter().any(IpAddr::is_unspecified));
        assert!(all_names(&["db.example.org".to_owned()]).contains(&"db.example.org".to_owned()));
    }
}
