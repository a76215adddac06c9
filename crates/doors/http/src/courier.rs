//! Carries the events of hooks to their receivers, signed by Standard Webhooks
//! (<https://www.standardwebhooks.com>): `webhook-id`, `webhook-timestamp`, and `webhook-signature`
//! with `v1,` and the HMAC-SHA256 of both and the body.
//!
//! Addresses come from users, and the node stands where its users may not: so a receiver must have a
//! public address unless the operator says otherwise, redirects are not followed, an answer counts by
//! its status alone and is not read, and all of it ends within [`HOOK_WAIT_MAX`]. A name is resolved
//! here and the connection goes to the very addresses that were looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64ct::{Base64, Encoding as _};
use cairn_datasets::{Courier, Error, Parcel};
use cairn_env::Clock;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::limits::{HOOK_CONNECT_MAX, HOOK_WAIT_MAX};

const NS_PER_S: i64 = 1_000_000_000;
/// What the text of a secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// A secret as receivers take it.
#[must_use]
pub fn secret_text(secret: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", Base64::encode_string(secret))
}

/// Carries events over HTTP.
pub struct Post {
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    private: bool,
}

impl Post {
    /// A courier; `private` lets it go to addresses of this machine and its networks.
    ///
    /// # Errors
    /// [`Error::Invalid`] when this system cannot make TLS connections.
    pub fn new(clock: Arc<dyn Clock>, private: bool) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(HOOK_CONNECT_MAX)
            .timeout(HOOK_WAIT_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .no_proxy()
            .dns_resolver(Arc::new(Public { private }))
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Invalid { detail: format!("no client for hooks: {error}") })?;
        Ok(Self { client, clock, private })
    }

    /// Addresses that are written as numbers are not resolved.
    fn look_at(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|error| format!("{url:?} is no address: {error}"))?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err("its address has no host".to_owned()),
        };
        match address {
            Some(address) if !self.private && !is_public(address) => Err(not_public(&url)),
            _ => Ok(url),
        }
    }
}

fn not_public(url: &Url) -> String {
    format!(
        "{} is not a public address; the operator allows such receivers with \
         `cairn up --hooks-to-private`",
        url.host_str().unwrap_or_default()
    )
}

/// The header of a signature.
fn signature(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", Base64::encode_string(context.sign().as_ref()))
}

#[async_trait]
impl Courier for Post {
    async fn carry(&self, parcel: &Parcel) -> Result<(), String> {
        let url = self.look_at(&parcel.url)?;
        let timestamp = self.clock.wall_ns() / NS_PER_S;
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &parcel.id)
            .header("webhook-timestamp", timestamp)
            .header(
                "webhook-signature",
                signature(&parcel.secret, &parcel.id, timestamp, &parcel.body),
            )
            .body(parcel.body.clone());
        let response = request.send().await.map_err(|error| crate::client::reasons(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let hint = if status.is_redirection() { "; redirects are not followed" } else { "" };
        Err(format!("it answered {status}{hint}"))
    }
}

/// Resolves names to public addresses alone.
struct Public {
    private: bool,
}

impl Resolve for Public {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let all: Vec<SocketAddr> = found.collect();
            let good: Vec<SocketAddr> =
                all.iter().copied().filter(|at| private || is_public(at.ip())).collect();
            if good.is_empty() && !all.is_empty() {
                let why = format!(
                    "{} has no public address; the operator allows such receivers with `cairn up \
                     --hooks-to-private`",
                    name.as_str()
                );
                return Err(why.into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public internet: not of this machine, of a private or local
/// network, or for special use (the registries of RFC 6890), nor a way to write such a one.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && matches!(b, 18 | 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Addresses of the older internet in newer clothes: mapped, translated, tunnelled.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // 2001::/23 and 2001:db8::/32 are for special uses, 3fff::/20 for documents.
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x3fff, second, ..] => second >= 0x1000,
        // All that is given out is in 2000::/3.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_reached() {
        for good in
            ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "2a00:1450::1"]
        {
            assert!(is_public(good.parse().unwrap()), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "3fff::1",
        ] {
            assert!(!is_public(bad.parse().unwrap()), "{bad}");
        }
    }

    /// However a number is written, it is looked at.
    #[test]
    fn numbers_in_disguise_are_seen() {
        let clock = cairn_env::Env::real().clock;
        let post = Post::new(clock, false).unwrap();
        for bad in [
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://017700000001/",
            "http://[::1]:80/",
            "http://[::ffff:169.254.169.254]/latest/meta-data",
            "http://\u{ff11}27.0.0.1/",
        ] {
            assert!(post.look_at(bad).unwrap_err().contains("not a public address"), "{bad}");
        }
        assert!(post.look_at("https://example.org/").is_ok());
    }

    /// The example of the specification's own library.
    #[test]
    fn the_signature_is_the_standards() {
        let secret = Base64::decode_vec("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
