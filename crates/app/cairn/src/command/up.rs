use std::net::SocketAddr;
use std::path::PathBuf;

use cairn_node::{LogPlace, Node, NodeOptions, Tls};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli;
use crate::command::{cache, demo};
use crate::config::{Config, TlsConfig};
use crate::context::{Context, bucket_url, data_dir};
use crate::exit::Usage;
use crate::output;

pub(crate) async fn up(context: &Context, args: &cli::Up, config: &Config) -> anyhow::Result<()> {
    let bucket = match &context.global.bucket {
        Some(url) => bucket_url(url)?,
        None => local_bucket(args.data_dir.clone())?,
    };
    let options = NodeOptions {
        bucket: bucket.clone(),
        secret: context.secret()?,
        listen: typed_or_set(&args.listen, &config.node.listen),
        redis: typed_or_set(&args.redis, &config.node.redis),
        web: typed_or_set(&args.web, &config.node.web),
        functions_to_private: args.functions_to_private || config.node.functions_to_private,
        code: args.data_dir.clone().or_else(data_dir).map(|data| data.join("code")),
        tls: tls(args, &config.tls),
        door: door(args, config),
        collect: config.node.collect && !args.no_gc,
        disk_cache: cache::options(args, &config.cache, &bucket)?,
        log: log_place(args, &bucket)?,
    };
    let mut stop = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut node = Node::start(options, &context.env).await?;
    let token = node.first_token.take();
    announce(context, &node, &bucket, token.as_ref().map(|token| token.expose()))?;
    if args.demo {
        tokio::select! {
            shown = demo::demo(&node, token.as_ref().map(|token| token.expose())) => shown?,
            _ = stop.0.recv() => {}
            _ = stop.1.recv() => {}
        }
    }
    drop(token);
    tokio::select! {
        _ = stop.0.recv() => {}
        _ = stop.1.recv() => {}
    }
    tracing::info!("stopping");
    node.stop().await;
    Ok(())
}

fn typed_or_set(typed: &[SocketAddr], set: &[SocketAddr]) -> Vec<SocketAddr> {
    if typed.is_empty() { set.to_vec() } else { typed.to_vec() }
}

/// The log of a node on `bucket`: below the data directory, apart for each bucket.
fn log_place(args: &cli::Up, bucket: &str) -> anyhow::Result<Option<LogPlace>> {
    let Some(data) = args.data_dir.clone().or_else(data_dir) else {
        tracing::warn!(
            "no namespaces of keys: say where their log goes with --data-dir, or set HOME"
        );
        return Ok(None);
    };
    let name = blake3::hash(bucket.as_bytes()).to_hex();
    let dir = std::path::absolute(data)?.join("log").join(&name[..16]);
    Ok(Some(LogPlace { dir }))
}

fn door(args: &cli::Up, config: &Config) -> cairn_http::Options {
    let set = config.options();
    let public_url = args.public_url.clone().or_else(|| set.public_url.clone());
    let hooks_to_private = args.hooks_to_private || set.hooks_to_private;
    cairn_http::Options { hooks_to_private, public_url, ..set }
}

/// What was typed wins as a whole over what is set.
fn tls(args: &cli::Up, config: &TlsConfig) -> Tls {
    let typed = TlsConfig {
        cert: args.tls_cert.clone(),
        key: args.tls_key.clone(),
        names: args.tls_name.clone(),
        plain_http: args.plain_http,
    };
    let used = if typed == TlsConfig::default() { config.clone() } else { typed };
    match (used.cert, used.key) {
        (Some(certificate), Some(key)) => Tls::Files { certificate, key },
        _ if used.plain_http => Tls::Off,
        _ if used.names.is_empty() => Tls::Cluster,
        _ => Tls::ClusterFor(used.names),
    }
}

fn local_bucket(data_dir_given: Option<PathBuf>) -> anyhow::Result<String> {
    let directory = data_dir_given.or_else(data_dir).ok_or_else(|| {
        Usage("set HOME, or say where the data goes with --data-dir or --bucket".to_owned())
    })?;
    let bucket = std::path::absolute(directory)?.join("bucket");
    std::fs::create_dir_all(&bucket)?;
    bucket_url(&bucket.display().to_string())
}

fn announce(
    context: &Context,
    node: &Node,
    bucket: &str,
    token: Option<&str>,
) -> anyhow::Result<()> {
    let urls = &node.urls;
    for address in &node.exposed {
        output::note(&format!(
            "{address} is reachable from other machines and speaks without TLS: tokens and data can \
             be read on the way; put a TLS proxy in front of it"
        ));
    }
    let authority = hex::encode(node.authority.sha256());
    if context.global.json {
        return output::json(&serde_json::json!({
            "urls": urls, "redis_urls": node.redis_urls,
            "web_urls": node.web_urls, "bucket": bucket, "root_token": token, "authority_sha256": authority,
        }));
    }
    output::line(&format!("cairn {} on {}", env!("CARGO_PKG_VERSION"), urls.join(", ")))?;
    output::line(&format!("bucket      {bucket}"))?;
    if !node.redis_urls.is_empty() {
        output::line(&format!("redis       {}", node.redis_urls.join(", ")))?;
    }
    if !node.web_urls.is_empty() {
        output::line(&format!("functions   {}", node.web_urls.join(", ")))?;
    }
    if let Some(url) = urls.first().filter(|_| cairn_http::has_console()) {
        output::line(&format!("console     {url}/console/"))?;
    }
    if urls.iter().chain(&node.redis_urls).chain(&node.web_urls).any(|url| url.contains("s://")) {
        output::line(&format!("authority   sha256:{authority}"))?;
    }
    if let Some(token) = token {
        output::line(&format!("root token  {token}"))?;
        output::line("            shown once and stored as a hash: keep it, export CAIRN_TOKEN=…")?;
    }
    Ok(())
}
