//! Requests to addresses that users name.
//!
//! The node stands where its users may not. So what is asked for has a public address unless the operator
//! says otherwise, redirects are not followed and no proxy is used; a name is resolved here, and the connection
//! goes to the very addresses that were looked at (EGRESS-1).

mod address;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use cairn_env::{Env, Spawn};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use tokio::sync::Semaphore;
use url::{Host, Url};

pub use address::is_public;

/// Names that are looked up at a time, by all that one client was made apart for, and by each of them: a lookup has a
/// thread, and some take long.
const LOOKUPS_MAX: usize = 6;
const OWN_LOOKUPS_MAX: usize = 2;

/// Connections to one origin that wait for another request. There are as many origins as names: who asks for one too
/// many has its connection closed (`Connection: close`).
const IDLE_MAX: usize = 8;

/// A client that reaches what it may.
#[derive(Clone)]
pub struct Egress {
    client: reqwest::Client,
    waits: Waits,
    names: Names,
}

/// What may be reached.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Also addresses of this machine and its networks.
    pub private: bool,
    /// How the operator allows those.
    pub option: &'static str,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For a connection.
    pub connect: Duration,
    /// For the end of an answer; none where it may take as long as it does.
    pub all: Option<Duration>,
    /// For another request on the same connection; none where each has its own.
    pub idle: Option<Duration>,
}

/// This system cannot make TLS connections.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("this system cannot make TLS connections: {0}")]
pub struct NoTls(String);

/// Why an address is not asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("{url:?} is no address: {why}")]
    Address {
        /// As it was given.
        url: String,
        /// Why not.
        why: String,
    },
    /// It is of this machine or its networks.
    #[error("{host} is not a public address; the operator allows such with `cairn up {option}`")]
    Private {
        /// The host.
        host: String,
        /// What allows it.
        option: &'static str,
    },
}

impl Egress {
    /// A client.
    ///
    /// # Errors
    /// [`NoTls`].
    pub fn new(reach: Reach, waits: Waits, env: &Env) -> Result<Self, NoTls> {
        let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
        let own = Arc::clone(&lookups);
        Self::with(Names { reach, lookups, own, spawn: Arc::clone(&env.spawn) }, waits)
    }

    /// The same for somebody whose lookups leave room for those of others.
    ///
    /// # Errors
    /// [`NoTls`].
    pub fn apart(&self) -> Result<Self, NoTls> {
        let own = Arc::new(Semaphore::new(OWN_LOOKUPS_MAX));
        Self::with(Names { own, ..self.names.clone() }, self.waits)
    }

    fn with(names: Names, waits: Waits) -> Result<Self, NoTls> {
        let mut client = reqwest::Client::builder()
            .connect_timeout(waits.connect)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(if waits.idle.is_some() { IDLE_MAX } else { 0 })
            .pool_idle_timeout(waits.idle)
            .no_proxy()
            .dns_resolver(Arc::new(names.clone()));
        if let Some(all) = waits.all {
            client = client.timeout(all);
        }
        let client = client.build().map_err(|error| NoTls(reasons(&error)))?;
        Ok(Self { client, waits, names })
    }

    /// An address that may be asked. Those that are written as numbers are looked at here, names when they are
    /// resolved.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn look_at(&self, url: &str) -> Result<Url, Refused> {
        let wrong = |why: String| Refused::Address { url: url.to_owned(), why };
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let address = match parsed.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(wrong("it has no host".to_owned())),
        };
        match address {
            Some(address) if !self.names.reach.may(address) => {
                Err(self.names.reach.refused(&address))
            }
            _ => Ok(parsed),
        }
    }

    /// What sends requests to addresses that were looked at.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }
}

impl Reach {
    fn may(self, address: IpAddr) -> bool {
        self.private || is_public(address)
    }

    fn refused(self, host: &dyn ToString) -> Refused {
        Refused::Private { host: host.to_string(), option: self.option }
    }
}

/// Resolves names to what may be reached.
#[derive(Clone)]
struct Names {
    reach: Reach,
    lookups: Arc<Semaphore>,
    /// Those of one that was made apart; of others the same as of all.
    own: Arc<Semaphore>,
    spawn: Arc<dyn Spawn>,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, spawn) = (self.reach, Arc::clone(&self.spawn));
        let (own, lookups) = (Arc::clone(&self.own), Arc::clone(&self.lookups));
        Box::pin(async move {
            let apart = !Arc::ptr_eq(&own, &lookups);
            let own = if apart { Some(own.acquire_owned().await?) } else { None };
            let place = (own, lookups.acquire_owned().await?);
            let asked = name.as_str().to_owned();
            // Nothing ends a lookup: it keeps its place also when nobody waits for it any more.
            let look = move || {
                let _place = place;
                (asked.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>)
            };
            let all = spawn.run(look).await??;
            let good: Vec<_> = all.iter().copied().filter(|at| reach.may(at.ip())).collect();
            if good.is_empty() && !all.is_empty() {
                return Err(reach.refused(&name.as_str()).into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// What a request failed of that is not its address, when it was refused.
#[must_use]
pub fn refused(error: &reqwest::Error) -> Option<&Refused> {
    causes(error).find_map(|cause| cause.downcast_ref::<Refused>())
}

/// An error with all its causes, without the address, which may hold what is not for logs.
#[must_use]
pub fn reasons(error: &reqwest::Error) -> String {
    let all: Vec<_> = causes(error).map(ToString::to_string).collect();
    if all.is_empty() { error.to_string() } else { all.join(": ") }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(private: bool) -> Egress {
        let waits = Waits { connect: Duration::from_secs(5), all: None, idle: None };
        Egress::new(Reach { private, option: "--to-private" }, waits, &Env::real()).unwrap()
    }

    /// EGRESS-1: however a number is written, it is looked at.
    #[test]
    fn egress_1_numbers_in_disguise_are_seen() {
        for bad in [
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://017700000001/",
            "http://[::1]:80/",
            "http://[::ffff:169.254.169.254]/latest/meta-data",
            "http://\u{ff11}27.0.0.1/",
        ] {
            let refused = egress(false).look_at(bad).unwrap_err().to_string();
            assert!(refused.contains("--to-private"), "{bad}: {refused}");
            egress(true).look_at(bad).unwrap();
        }
        assert!(egress(false).look_at("https://example.org/").is_ok());
        assert!(egress(false).look_at("/only/a/path").is_err());
    }

    /// EGRESS-1: a name of this machine is no way around it.
    #[tokio::test]
    async fn egress_1_names_of_this_machine_are_refused() {
        let to = egress(false);
        let url = to.look_at("http://localhost:1/").unwrap();
        let error = to.client().get(url).send().await.unwrap_err();
        assert!(matches!(refused(&error), Some(Refused::Private { .. })), "{error:?}");
        let to = egress(true);
        let url = to.look_at("http://localhost:1/").unwrap();
        let error = to.client().get(url).send().await.unwrap_err();
        assert!(refused(&error).is_none() && error.is_connect(), "{error:?}");
    }
}
