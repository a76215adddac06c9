use std::path::PathBuf;

use cairn_node::{Node, NodeOptions, Tls};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli;
use crate::command::demo;
use crate::context::{Context, bucket_url, data_dir};
use crate::exit::Usage;
use crate::output;

pub(crate) async fn up(context: &Context, args: &cli::Up) -> anyhow::Result<()> {
    let bucket = match &context.global.bucket {
        Some(url) => bucket_url(url)?,
        None => local_bucket(args.data_dir.clone())?,
    };
    let options = NodeOptions {
        bucket: bucket.clone(),
        secret: context.secret()?,
        listen: args.listen.clone(),
        tls: tls(args),
        public_url: args.public_url.clone(),
        collect: !args.no_gc,
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

fn tls(args: &cli::Up) -> Tls {
    match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => {
            Tls::Files { certificate: certificate.clone(), key: key.clone() }
        }
        _ if args.plain_http => Tls::Off,
        _ if args.tls_name.is_empty() => Tls::Cluster,
        _ => Tls::ClusterFor(args.tls_name.clone()),
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
    for (address, url) in node.addresses.iter().zip(urls) {
        if !address.ip().is_loopback() && url.starts_with("http:") {
            output::note(&format!(
                "{address} is reachable from other machines and speaks plain HTTP: tokens and \
                 data can be read on the way; put a TLS proxy in front of it"
            ));
        }
    }
    let authority = hex::encode(node.authority.sha256());
    if context.global.json {
        return output::json(&serde_json::json!({
            "urls": urls, "bucket": bucket, "root_token": token, "authority_sha256": authority,
        }));
    }
    output::line(&format!("cairn {} on {}", env!("CARGO_PKG_VERSION"), urls.join(", ")))?;
    output::line(&format!("bucket      {bucket}"))?;
    if urls.iter().any(|url| url.starts_with("https:")) {
        output::line(&format!("authority   sha256:{authority}"))?;
    }
    if let Some(token) = token {
        output::line(&format!("root token  {token}"))?;
        output::line("            shown once and stored as a hash: keep it, export CAIRN_TOKEN=…")?;
    }
    Ok(())
}
