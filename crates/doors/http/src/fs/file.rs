use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use cairn_datasets::{Browser, ContentStream};
use cairn_tree::{Content, Entry};

use crate::call::{Call, begun, respond};
use crate::error::Error;

pub(crate) async fn serve(
    call: Call,
    browser: &Browser,
    _entry: &Entry,
    content: &Content,
) -> Result<Response, Error> {
    let mut response = respond(StatusCode::OK, "application/octet-stream", Body::empty());
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(content.len));
    super::sandbox(response.headers_mut());
    if call.method != Method::HEAD {
        let stream = browser.content(content, 0..content.len).await?;
        *response.body_mut() = Body::from_stream(begun(pieces(stream)).await?);
    }
    Ok(response)
}

/// A content stream as the pieces of a body.
pub(crate) fn pieces(
    stream: ContentStream,
) -> impl futures::Stream<Item = Result<bytes::Bytes, Error>> + Send + 'static {
    futures::stream::try_unfold(stream, |mut stream| async move {
        Ok(stream.next().await?.map(|piece| (piece, stream)))
    })
}
