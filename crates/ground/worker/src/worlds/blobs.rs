//! Containers of objects.

use bytes::Bytes;
use cairn_wasm::{BlobError, Container};
use tokio::sync::SemaphorePermit;

use super::Worlds;
use crate::messages::{BlobsOp, OpenFile};
use crate::wire::{Message, Rest};

/// What a function asks of a container, of whose objects each may have so many bytes, done.
pub(super) async fn done(
    (worlds, token): (&Worlds, &str),
    (container, max): (&dyn Container, u64),
    op: BlobsOp,
    rest: Rest,
) -> Message {
    match op {
        BlobsOp::Made => Message::alone(&container.made().await),
        BlobsOp::Object { name } => {
            let opened = async {
                let file = worlds.file(token, container.object(&name).await?).await;
                file.map_err(|error| BlobError::Other(error.to_string()))
            };
            let opened: Result<OpenFile, BlobError> = opened.await;
            Message::alone(&opened)
        }
        BlobsOp::List { after } => Message::alone(&container.list(after.as_deref()).await),
        BlobsOp::Put { name, length } => {
            let put = async {
                let (_room, bytes) = bytes(worlds, length, max, rest).await?;
                container.put(&name, bytes).await
            };
            Message::alone(&put.await)
        }
        BlobsOp::Delete { names } => Message::alone(&container.delete(&names).await),
        BlobsOp::Clear => Message::alone(&container.clear().await),
    }
}

/// The bytes of an object, and the room that they take.
async fn bytes(
    worlds: &Worlds,
    length: usize,
    max: u64,
    rest: Rest,
) -> Result<(SemaphorePermit<'_>, Bytes), BlobError> {
    let failed = |why: String| BlobError::Other(why);
    if length as u64 > max {
        return Err(failed(format!("it has {length} bytes, and {max} are allowed")));
    }
    let room = worlds.room(length).await.ok_or_else(|| failed("the node stops".to_owned()))?;
    let all = rest.all(length).await.map_err(|error| failed(error.to_string()))?;
    if all.len() != length {
        return Err(failed("it is cut".to_owned()));
    }
    Ok((room, all))
}
