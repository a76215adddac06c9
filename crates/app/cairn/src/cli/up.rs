//! What can be typed to start a node.

use std::path::PathBuf;

use clap::Args;

use crate::command::cache;

#[derive(Debug, Args)]
#[command(after_help = "EXAMPLES\n  \
    cairn up --demo                                 try it\n  \
    cairn up --bucket s3://my-bucket/cairn          serve a bucket\n  \
    cairn up --listen 0.0.0.0:7400                  beyond this machine, over TLS\n  \
    cairn up --redis 127.0.0.1:6379                 for clients of Redis too\n  \
    cairn up --web 127.0.0.1:7404                   functions answer requests there\n  \
    cairn up --tls-cert full.pem --tls-key key.pem  with a certificate of your own\n\n\
    On loopback a node speaks plain HTTP. Elsewhere it speaks TLS, with a certificate of your own or\n\
    one signed by the cluster's own authority, whose certificate is in the bucket and is printed by\n\
    `cairn cluster ca`.\n\
    At its first start a node prints one token for `root`. It is stored as a hash only.")]
pub(crate) struct Up {
    /// Where to listen; repeat for several addresses. 127.0.0.1:7400 when nothing is said
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<std::net::SocketAddr>,
    /// Where to listen for clients of Redis, which find a namespace of keys there: the user is
    /// PROJECT/NAMESPACE and the password a token. Repeat for several addresses; nowhere by default
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) redis: Vec<std::net::SocketAddr>,
    /// Where functions answer the requests that routes lead to them. Repeat for several addresses;
    /// nowhere by default
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) web: Vec<std::net::SocketAddr>,
    /// A certificate chain (PEM) for TLS on every address; read again when the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "CAIRN_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "CAIRN_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// TLS on every address, with a certificate of the cluster's authority that also holds this name;
    /// repeat for more
    #[arg(long, value_name = "NAME", conflicts_with = "tls_cert")]
    pub(crate) tls_name: Vec<String>,
    /// Plain HTTP on every address: only behind a proxy that ends TLS
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_name"])]
    pub(crate) plain_http: bool,
    /// Where browsers reach the node when that is not where they say: behind a proxy. Logins by
    /// identity providers come back to this address
    #[arg(long, value_name = "URL", env = "CAIRN_PUBLIC_URL", value_parser = public_url)]
    pub(crate) public_url: Option<String>,
    /// Where the bucket is kept when --bucket is not given
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where what was read of a bucket that is far away is kept; by default below the data directory.
    /// Given for a file:// bucket, that is cached too
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// How much that may be, as 20G or 500M; 0 for nothing. By default a tenth of what is free on its
    /// disk, and 20 GiB at most
    #[arg(long, value_name = "BYTES", value_parser = cache::size)]
    pub(crate) cache_size: Option<u64>,
    /// Push a tree in several versions, pull it back, and say what to try
    #[arg(long)]
    pub(crate) demo: bool,
    /// Do not collect in the background
    #[arg(long)]
    pub(crate) no_gc: bool,
    /// Let webhooks go to addresses of this machine and its networks
    #[arg(long)]
    pub(crate) hooks_to_private: bool,
    /// Let functions send requests to addresses of this machine and its networks
    #[arg(long)]
    pub(crate) functions_to_private: bool,
}

/// `http://` or `https://`, a host, and nothing that a path would be put behind.
pub(crate) fn public_url(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let fits = |host: &str| {
        let end = host.find('/').unwrap_or(host.len());
        end > 0 && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\@".contains(&byte))
    };
    match host {
        Some(host) if fits(host) => Ok(url.to_owned()),
        _ => Err("write it as https://cairn.example.org".to_owned()),
    }
}
