//! What a store answered, in the words that help a person.
//!
//! Servers answer with documents: an error of S3 may repeat the whole request, bytes and all, and
//! carries ids of no use here. What is kept is the request, the status, the code and the message.

use std::error::Error as StdError;
use std::fmt;

use crate::local::Failure;

/// The longest text of a cause, in bytes.
const TEXT_BYTES_MAX: usize = 600;
/// Where clients of the clouds look for credentials when none are set.
const METADATA_SERVICES: [&str; 2] = ["//169.254.169.254", "//metadata.google.internal"];
const NO_CREDENTIALS: &str = "no credentials are set, and the metadata service of this machine gives \
    none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what gs:// and az:// take";
/// The longest part of an answer that is no document of a known form, in bytes.
const BODY_BYTES_MAX: usize = 200;

/// Why the store did not do what it was asked for.
#[derive(Clone)]
pub struct Cause {
    text: String,
    unsent: bool,
    credentials: bool,
}

impl Cause {
    pub(crate) fn of(error: &object_store::Error) -> Self {
        let local = links(error).find_map(|cause| cause.downcast_ref::<Failure>());
        let mut text = match local {
            Some(failure) => chain_text(failure),
            None => {
                let text = chain_text(error);
                request(&text).unwrap_or(text)
            }
        };
        let credentials = METADATA_SERVICES.iter().any(|service| text.contains(service));
        if credentials {
            text = format!("{NO_CREDENTIALS}: {text}");
        }
        Self { unsent: unsent(error), credentials, ..Self::new(&text) }
    }

    pub(crate) fn new(text: &str) -> Self {
        Self { text: cut(text, TEXT_BYTES_MAX).to_owned(), unsent: false, credentials: false }
    }

    /// It was credentials that were asked for, not the store.
    pub(crate) fn credentials(&self) -> bool {
        self.credentials
    }

    /// No connection stood, so the store never saw the request.
    pub(crate) fn unsent(&self) -> bool {
        self.unsent
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl StdError for Cause {}

/// An error and its causes, outermost first.
pub(crate) fn links(
    error: &object_store::Error,
) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |&error| error.source())
}

/// An error with its causes as one text, each once.
pub(crate) fn chain_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&error| error.source()) {
        let next = cause.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
    }
    text
}

#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
fn unsent(error: &object_store::Error) -> bool {
    use object_store::client::{HttpError, HttpErrorKind};

    let found = links(error).find_map(|cause| cause.downcast_ref::<HttpError>());
    found.is_some_and(|error| error.kind() == HttpErrorKind::Connect)
}

#[cfg(not(any(feature = "s3", feature = "gs", feature = "az")))]
fn unsent(_error: &object_store::Error) -> bool {
    false
}

/// `METHOD URL: what went wrong`, out of the text of a remote store's error: its type is not public.
/// The query of the URL stays away, as it may carry a signature.
fn request(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("Error performing ")?;
    let (method, rest) = rest.split_once(' ')?;
    let (url, rest) = rest.split_once(" in ")?;
    let (_, wrong) = rest.split_once(" - ")?;
    let url = url.split('?').next().unwrap_or(url);
    let wrong = match wrong.split_once("status code: ") {
        Some((_, answer)) => {
            let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
            format!("{status}{}", document(body))
        }
        None => {
            let wrong = wrong.strip_prefix("HTTP error: ").unwrap_or(wrong);
            wrong.strip_prefix("error sending request: ").unwrap_or(wrong).to_owned()
        }
    };
    Some(format!("{method} {url}: {wrong}"))
}

/// `: CODE: MESSAGE` of an error document, or the beginning of something else; nothing of nothing.
fn document(body: &str) -> String {
    let known = [element(body, "Code"), element(body, "Message")];
    let mut parts: Vec<String> = known.into_iter().flatten().map(one_line).collect();
    if parts.is_empty() {
        parts.push(one_line(cut(body, BODY_BYTES_MAX)));
    }
    parts.into_iter().filter(|part| !part.is_empty()).map(|part| format!(": {part}")).collect()
}

/// What stands between the first `<name>` and its end.
pub(crate) fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> String {
        Cause::of(&object_store::Error::Generic { store: "S3", source: text.into() }).to_string()
    }

    #[test]
    fn an_error_document_is_its_code_and_message() {
        let text = "Error performing GET http://s3:1/b/k?X-Sig=hunter2 in 3.1ms - Server returned \
            non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>Mismatch\
            </Code><Message>Check \n your key.</Message><StringToSign>x</StringToSign></Error>";
        assert_eq!(of(text), "GET http://s3:1/b/k: 403 Forbidden: Mismatch: Check your key.");
    }

    #[test]
    fn other_answers_are_cut() {
        let text = "Error performing PUT http://s3/k in 1s - Server returned non-2xx status code: \
            502 Bad Gateway: <html>\n<body>a proxy";
        assert_eq!(of(text), "PUT http://s3/k: 502 Bad Gateway: <html> <body>a proxy");
        let text = "Error performing HEAD http://s3/k in 1s - Server returned non-2xx status code: \
            404 Not Found: ";
        assert_eq!(of(text), "HEAD http://s3/k: 404 Not Found");
        let text = "Error performing GET http://s3/k in 1s - HTTP error: error sending request: \
            refused";
        assert_eq!(of(text), "GET http://s3/k: refused");
        let long: &'static str = Box::leak("ä".repeat(TEXT_BYTES_MAX).into_boxed_str());
        assert!(of(long).len() <= TEXT_BYTES_MAX);
    }
}
