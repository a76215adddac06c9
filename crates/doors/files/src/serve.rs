//! One file: whole, in ranges, or not at all because the client has it.

use std::fmt::Display;
use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_datasets::{Browser, ContentStream};
use cairn_env::Rng;
use cairn_tree::{Content, Time};
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use crate::Error;
use crate::conditional::{Validators, Verdict};
use crate::media::media_type;
use crate::range::{Asked, parse};

/// Room for the headers of a usual answer.
const HEADERS_USUAL: usize = 14;

/// What is asked of a file: a GET or a HEAD.
pub struct Ask<'a> {
    /// The method.
    pub method: &'a Method,
    /// Conditions and ranges are read of them.
    pub headers: &'a HeaderMap,
    /// Where boundaries between ranges come from.
    pub rng: &'a dyn Rng,
}

/// Answers with a file, as its name says what it is; what else a door says of it is the door's.
///
/// # Errors
/// [`Error::Range`]; [`Error::Data`]. What fails later breaks the body.
pub async fn serve(
    ask: &Ask<'_>,
    browser: &Browser,
    (content, mtime): (&Content, Time),
    name: &[u8],
) -> Result<Response, Error> {
    let validators = Validators::new(content, mtime);
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(HEADERS_USUAL);
    describe(response.headers_mut(), &validators);
    match validators.check(ask.headers) {
        Verdict::Go => {}
        Verdict::NotModified => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Verdict::Failed => {
            *response.status_mut() = StatusCode::PRECONDITION_FAILED;
            return Ok(response);
        }
    }
    let media_type = media_type(name);
    // Of two that may say two things none counts.
    let only = ask.headers.get_all(header::RANGE).iter().count() == 1;
    let counts = only && ask.method == Method::GET;
    let asked = ask.headers.get(header::RANGE).filter(|_| counts);
    let asked = asked.filter(|_| validators.range_counts(ask.headers));
    let asked = asked.map_or(Asked::Whole, |value| parse(value.as_bytes(), content.len));
    let plan = match asked {
        Asked::Unsatisfiable => return Err(Error::Range { len: content.len }),
        Asked::Whole => Plan::one(0..content.len),
        Asked::Ranges(ranges) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            match <[Range<u64>; 1]>::try_from(ranges) {
                Ok([range]) => {
                    let text = format!("bytes {}-{}/{}", range.start, range.end - 1, content.len);
                    set(response.headers_mut(), header::CONTENT_RANGE, &text);
                    Plan::one(range)
                }
                Err(ranges) => Plan::many(ask.rng, ranges, media_type, content.len),
            }
        }
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, plan.len().into());
    set(response.headers_mut(), header::CONTENT_TYPE, plan.media_type(media_type));
    if ask.method != Method::HEAD {
        *response.body_mut() = plan.body(browser, content).await?;
    }
    Ok(response)
}

fn describe(headers: &mut HeaderMap, validators: &Validators) {
    set(headers, header::ETAG, &validators.etag);
    if let Some(modified) = validators.last_modified() {
        set(headers, header::LAST_MODIFIED, &modified);
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// Sets a header, unless the value is none.
pub fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A stream whose first piece was seen to be good.
///
/// # Errors
/// That of the first piece.
pub async fn begun<E: Display + Send + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Result<impl Stream<Item = Result<Bytes, E>> + Send + 'static, E> {
    let mut pieces = Box::pin(pieces);
    let first = pieces.next().await.transpose()?;
    let first = futures::stream::iter(first.map(Ok));
    Ok(first.chain(logged(pieces)))
}

/// A stream whose error is told to the log: its client learns only that the connection broke.
pub fn logged<E: Display + Send + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static {
    pieces.inspect(|piece| {
        if let Err(error) = piece {
            tracing::error!(%error, "a response breaks off");
        }
    })
}

/// What a body is made of.
struct Plan {
    parts: Vec<Part>,
    boundary: Option<String>,
}

enum Part {
    Text(Bytes),
    File(Range<u64>),
}

impl Plan {
    fn one(range: Range<u64>) -> Self {
        Self { parts: vec![Part::File(range)], boundary: None }
    }

    /// `multipart/byteranges`, RFC 9110, section 14.6.
    fn many(rng: &dyn Rng, ranges: Vec<Range<u64>>, media_type: &str, len: u64) -> Self {
        let mut random = [0; 16];
        rng.fill(&mut random);
        let boundary = hex::encode(random);
        let mut parts = Vec::new();
        for range in ranges {
            let (first, last) = (range.start, range.end - 1);
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: {media_type}\r\n\
                 Content-Range: bytes {first}-{last}/{len}\r\n\r\n"
            );
            parts.extend([Part::Text(head.into()), Part::File(range)]);
        }
        parts.push(Part::Text(format!("\r\n--{boundary}--\r\n").into()));
        Self { parts, boundary: Some(format!("multipart/byteranges; boundary={boundary}")) }
    }

    fn len(&self) -> u64 {
        let len = |part: &Part| match part {
            Part::Text(text) => text.len() as u64,
            Part::File(range) => range.end - range.start,
        };
        self.parts.iter().map(len).sum()
    }

    fn media_type<'a>(&'a self, of_file: &'a str) -> &'a str {
        self.boundary.as_deref().unwrap_or(of_file)
    }

    /// The bytes of this plan. What fits into one piece is sent as one, the rest while it is read.
    async fn body(self, browser: &Browser, content: &Content) -> Result<Body, Error> {
        let [Part::File(range)] = self.parts.as_slice() else {
            return Ok(Body::from_stream(begun(self.stream(browser, content)).await?));
        };
        if let Some(all) = browser.at_hand(content, range) {
            return Ok(Body::from(all));
        }
        let mut stream = browser.content(content, range.clone()).await?;
        let Some(first) = stream.next().await? else { return Ok(Body::empty()) };
        if stream.left() == 0 {
            return Ok(Body::from(first));
        }
        let first = futures::stream::iter([Ok(first)]);
        Ok(Body::from_stream(first.chain(logged(pieces(stream.reading_ahead())))))
    }

    fn stream(
        self,
        browser: &Browser,
        content: &Content,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let (browser, content) = (browser.clone(), content.clone());
        let parts = futures::stream::iter(self.parts).then(move |part| {
            let (browser, content) = (browser.clone(), content.clone());
            async move {
                Ok::<_, Error>(match part {
                    Part::Text(text) => futures::stream::iter([Ok(text)]).left_stream(),
                    Part::File(range) => {
                        let stream = browser.content(&content, range).await?;
                        pieces(stream.reading_ahead()).right_stream()
                    }
                })
            }
        });
        parts.try_flatten()
    }
}

/// A content stream as the pieces of a body.
pub fn pieces(stream: ContentStream) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    futures::stream::try_unfold(stream, |mut stream| async move {
        Ok(stream.next().await?.map(|piece| (piece, stream)))
    })
}
