//! What nobody waits for with a connection: a function that answers requests is asked by POST, and all of its answer is taken.

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http_body_util::BodyExt as _;

use super::Functions;
use crate::error::Error;
use crate::model::Function;

/// What is asked.
pub(super) struct Post<'a> {
    pub(super) path: &'a str,
    /// What the function is told beside it.
    pub(super) told: Vec<(&'static str, String)>,
    pub(super) media_type: Option<&'a str>,
    pub(super) input: Bytes,
}

impl Functions {
    /// What a function answered, with at most `kept` bytes of it, or why it has no whole answer. Without `kept` what it
    /// answers is taken and let go.
    pub(super) async fn post(
        &self,
        function: &Function,
        post: Post<'_>,
        kept: Option<u64>,
    ) -> Result<Result<(Parts, Bytes), String>, Error> {
        let mut request = http::Request::post(format!("http://{}{}", function.name, post.path));
        for (header, value) in post.told {
            request = request.header(header, value);
        }
        if let Some(media_type) = post.media_type {
            request = request.header(CONTENT_TYPE, media_type);
        }
        let invalid = |error: http::Error| Error::Invalid { why: error.to_string() };
        let request = request.body(cairn_wasm::whole(post.input)).map_err(invalid)?;
        let (parts, mut body) = self.request(function, request).await?.into_parts();
        let mut output = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Ok(Err(format!("its answer broke off: {error}"))),
            };
            let (Some(kept), Some(data)) = (kept, frame.data_ref()) else { continue };
            output.extend_from_slice(data);
            if output.len() as u64 > kept {
                return Ok(Err(too_long(kept)));
            }
        }
        Ok(Ok((parts, output.freeze())))
    }
}

pub(super) fn too_long(limit: u64) -> String {
    format!(
        "its output has more than {limit} bytes: limits.output_bytes, and 64 MiB where it is kept"
    )
}
