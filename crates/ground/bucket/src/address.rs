//! From a URL to a store.

use std::sync::Arc;

use cairn_env::Env;
use object_store::ObjectStore;
use url::Url;

use crate::bucket::Opened;
use crate::cause::Cause;
use crate::local::LocalStore;
use crate::{Error, Memory, Options};

pub(crate) async fn open(text: &str, options: &Options, env: &Env) -> Result<Opened, Error> {
    let url = parse(text)?;
    match url.scheme() {
        "file" => local(&url, options, env).await,
        "memory" => memory(&url, env),
        "s3" | "gs" | "az" => remote(&url, options),
        other => Err(refuse(
            &url,
            &format!(
                "unknown scheme {other:?}; use file:///DIR, s3://BUCKET, gs://, az:// or memory://"
            ),
        )),
    }
}

fn parse(text: &str) -> Result<Url, Error> {
    let error = |reason: &str| Error::Url {
        // The text may be a secret in the wrong place: only its scheme is shown.
        url: text
            .split_once("://")
            .map_or("given", |(scheme, _)| scheme)
            .chars()
            .take(20)
            .collect(),
        reason: reason.to_owned(),
        source: None,
    };
    if text.len() > 2048 {
        return Err(error("it is longer than 2048 bytes"));
    }
    let url = Url::parse(text)
        .map_err(|_| error("it is not a URL; write file:///DIR for a directory, or s3://BUCKET"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(error(
            "credentials do not belong in the URL; set AWS_ACCESS_KEY_ID and the like",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(error("it has a `?` or a `#`; options come from flags and the environment"));
    }
    if url.scheme() != "file" && text.split('/').any(is_dots) {
        return Err(error("a part of its path is `.` or `..`, which names no place in a bucket"));
    }
    Ok(url)
}

/// `.` or `..`, also percent-encoded: a URL drops them, and would name another place than was written.
fn is_dots(part: &str) -> bool {
    let part = part.to_ascii_lowercase().replace("%2e", ".");
    part == "." || part == ".."
}

pub(crate) fn refuse(url: &Url, reason: &str) -> Error {
    Error::Url { url: url.to_string(), reason: reason.to_owned(), source: None }
}

async fn local(url: &Url, options: &Options, env: &Env) -> Result<Opened, Error> {
    let path = url
        .to_file_path()
        .map_err(|()| refuse(url, "a file URL has three slashes and an absolute path"))?;
    if path.parent().is_none() {
        return Err(refuse(url, "it names no directory; write file:///DIR"));
    }
    if !options.make && !path.exists() {
        return Err(Error::NoDirectory { path: path.display().to_string() });
    }
    let store = LocalStore::open(&path, options, env).await.map_err(|failure| Error::Url {
        url: url.to_string(),
        reason: failure.to_string(),
        source: Some(Cause::of(&failure.into())),
    })?;
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let once = Arc::clone(&store);
    Ok(Opened { url: url.to_string(), store, once, remote: false })
}

fn memory(url: &Url, env: &Env) -> Result<Opened, Error> {
    if url.host_str().is_some_and(|host| !host.is_empty()) || !matches!(url.path(), "" | "/") {
        return Err(refuse(url, "memory:// takes no name: every open makes a new one"));
    }
    let store: Arc<dyn ObjectStore> = Arc::new(Memory::new(env));
    let once = Arc::clone(&store);
    Ok(Opened { url: String::from("memory://"), store, once, remote: false })
}

#[cfg(not(any(feature = "s3", feature = "gs", feature = "az")))]
fn remote(url: &Url, _options: &Options) -> Result<Opened, Error> {
    Err(refuse(url, "this build has no remote stores; build with the features s3, gs or az"))
}

#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
fn remote(url: &Url, options: &Options) -> Result<Opened, Error> {
    crate::remote::open(url, options)
}
