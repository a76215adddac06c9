//! Stores behind a network: S3 and its kin, Google Cloud Storage, Azure.
//!
//! Credentials and endpoints come from the environment, by the names their own tools use, and from
//! [`crate::Settings`], which win. Nothing is sent when a store is opened.
//!
//! There are two clients of each store. One never repeats a request, because [`crate::Bucket`]
//! must know how often a conditional write was sent (BUCKET-6); the other retries by itself and
//! serves those who only know `ObjectStore`. Both bound their connections.

use std::sync::Arc;

use object_store::limit::LimitStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use crate::address::refuse;
use crate::bucket::Opened;
use crate::cause::Cause;
use crate::key::prefix_path;
use crate::{Error, Options};

/// Until a connection stands.
const CONNECT_MAX: &str = "5 seconds";
/// Without a byte from the store.
const SILENCE_MAX: &str = "30 seconds";
/// A request with its body: bounds what the bucket's own deadline does not see.
const REQUEST_MAX: &str = "10 minutes";

/// Where in the store the bucket is.
struct Place<'a> {
    url: &'a Url,
    name: &'a str,
    prefix: Option<Path>,
    options: &'a Options,
}

type Built = object_store::Result<Arc<dyn ObjectStore>>;

pub(crate) fn open(url: &Url, options: &Options) -> Result<Opened, Error> {
    let name = url.host_str().unwrap_or_default();
    if name.is_empty() {
        return Err(refuse(url, "it names no bucket; write scheme://BUCKET/PREFIX"));
    }
    if url.port().is_some() {
        return Err(refuse(
            url,
            "a port does not belong here; set the endpoint in AWS_ENDPOINT_URL",
        ));
    }
    let text = percent_decode(url.path());
    let text = text.ok_or_else(|| {
        refuse(url, "its path is no percent-encoded UTF-8; a percent sign is written %25")
    })?;
    let prefix = prefix_path(text.trim_start_matches('/')).map_err(|error| match error {
        Error::Key { reason, .. } => refuse(url, &format!("its prefix is no key: {reason}")),
        error => error,
    })?;
    let place = Place { url, name, prefix, options };
    match url.scheme() {
        #[cfg(feature = "s3")]
        "s3" => place.opened(s3(&place)?),
        #[cfg(feature = "gs")]
        "gs" => place.opened(gs(&place)),
        #[cfg(feature = "az")]
        "az" => place.opened(az(&place)?),
        other => {
            Err(refuse(url, &format!("this build lacks it; build with the feature {other:?}")))
        }
    }
}

/// The path of a URL as text: `url` keeps it percent-encoded.
fn percent_decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl Place<'_> {
    /// The settings whose names begin with `family`, as the builders spell them.
    fn settings(&self, family: &'static str) -> impl Iterator<Item = (String, &str)> {
        let named = self.options.settings.iter();
        named
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .filter(move |(name, _)| name.starts_with(family))
    }

    fn opened(&self, build: impl Fn(RetryConfig) -> Built) -> Result<Opened, Error> {
        let never = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let patient = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: usize::try_from(self.options.attempts_max).unwrap_or(usize::MAX),
            retry_timeout: self.options.deadline,
        };
        let once = self.wrap(build(never))?;
        let store = self.wrap(build(patient))?;
        Ok(Opened { url: self.url.to_string(), store, once, remote: true })
    }

    fn wrap(&self, built: Built) -> Result<Arc<dyn ObjectStore>, Error> {
        let store = built.map_err(|error| Error::Url {
            url: self.url.to_string(),
            reason: String::from("its settings in the environment do not fit together"),
            source: Some(Cause::of(&error)),
        })?;
        let in_flight_max = self.options.remote_in_flight_max.max(1) as usize;
        let store = LimitStore::new(store, in_flight_max);
        Ok(match self.prefix.clone() {
            Some(prefix) => Arc::new(PrefixStore::new(store, prefix)),
            None => Arc::new(store),
        })
    }
}

/// Time limits of the connection, in a form that every builder takes.
fn limits() -> [(ClientConfigKey, &'static str); 3] {
    [
        (ClientConfigKey::ConnectTimeout, CONNECT_MAX),
        (ClientConfigKey::ReadTimeout, SILENCE_MAX),
        (ClientConfigKey::Timeout, REQUEST_MAX),
    ]
}

#[cfg(feature = "s3")]
fn s3<'a>(place: &'a Place<'_>) -> Result<impl Fn(RetryConfig) -> Built + use<'a>, Error> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};

    let begin = move || {
        let builder = AmazonS3Builder::from_env().with_bucket_name(place.name);
        // Settings of other stores may be there, too: what is not known here is not for us.
        place.settings("aws_").fold(builder, |builder, (key, value)| match key.parse::<Key>() {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        })
    };
    let set = |key: Key| begin().get_config_value(&key).unwrap_or_default();
    let http = set(Key::Client(ClientConfigKey::AllowHttp)) == "true";
    for (name, key) in
        [("AWS_ENDPOINT_URL_S3", Key::S3Endpoint), ("AWS_ENDPOINT_URL", Key::Endpoint)]
    {
        if let Some(reason) = endpoint_fault(name, "AWS", &set(key), http) {
            return Err(refuse(place.url, &reason));
        }
    }
    Ok(move |retry| {
        let mut builder = begin().with_retry(retry);
        for (key, value) in limits() {
            builder = builder.with_config(Key::Client(key), value);
        }
        Ok(Arc::new(builder.build()?) as Arc<dyn ObjectStore>)
    })
}

/// Why an endpoint cannot be one, or `None`. An empty one is not set.
#[cfg(any(feature = "s3", feature = "az"))]
fn endpoint_fault(name: &str, family: &str, endpoint: &str, http: bool) -> Option<String> {
    if endpoint.is_empty() {
        return None;
    }
    let url = Url::parse(endpoint).ok().filter(Url::has_host);
    match url.as_ref().map(Url::scheme) {
        Some("https") => None,
        Some("http") if http => None,
        Some("http") => {
            Some(format!("{name} is plain http; set {family}_ALLOW_HTTP=true if that is meant"))
        }
        _ => Some(format!("{name} is no URL; write https://HOST or https://HOST:PORT")),
    }
}

#[cfg(feature = "gs")]
fn gs<'a>(place: &'a Place<'_>) -> impl Fn(RetryConfig) -> Built + use<'a> {
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

    move |retry| {
        let mut builder =
            GoogleCloudStorageBuilder::from_env().with_bucket_name(place.name).with_retry(retry);
        for (key, value) in place.settings("google_") {
            if let Ok(key) = key.parse() {
                builder = builder.with_config(key, value);
            }
        }
        for (key, value) in limits() {
            builder = builder.with_config(GoogleConfigKey::Client(key), value);
        }
        Ok(Arc::new(builder.build()?) as Arc<dyn ObjectStore>)
    }
}

#[cfg(feature = "az")]
fn az<'a>(place: &'a Place<'_>) -> Result<impl Fn(RetryConfig) -> Built + use<'a>, Error> {
    use object_store::azure::{AzureConfigKey as Key, MicrosoftAzureBuilder};

    let begin = move || {
        let builder = MicrosoftAzureBuilder::from_env().with_container_name(place.name);
        place.settings("azure_").fold(builder, |builder, (key, value)| match key.parse::<Key>() {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        })
    };
    let set = |key: Key| begin().get_config_value(&key).unwrap_or_default();
    let http = set(Key::Client(ClientConfigKey::AllowHttp)) == "true";
    if let Some(reason) = endpoint_fault("AZURE_ENDPOINT", "AZURE", &set(Key::Endpoint), http) {
        return Err(refuse(place.url, &reason));
    }
    Ok(move |retry| {
        let mut builder = begin().with_retry(retry);
        for (key, value) in limits() {
            builder = builder.with_config(Key::Client(key), value);
        }
        Ok(Arc::new(builder.build()?) as Arc<dyn ObjectStore>)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded() {
        assert_eq!(percent_decode("/a%20b/%C3%A4").as_deref(), Some("/a b/ä"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }
}
