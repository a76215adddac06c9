//! Edits over REST: for files that are changed without a push.

use bytes::Bytes;
use cairn_datasets::{Error, Target, Version};
use reqwest::Method;

use super::http::{Again, Node};
use super::store::below;
use crate::api::{BeginEdit, EditOpened, PublishEdit, PublishedVersion};

/// An edit of a node. It belongs to whoever opened it.
#[derive(Clone, Debug)]
pub struct NodeEdit {
    node: Node,
    id: String,
}

/// A part of a file of an edit.
#[derive(Clone, Copy, Debug)]
pub struct FilePart<'a> {
    /// The file's path.
    pub path: &'a [String],
    /// Where the part begins.
    pub offset: u64,
    /// The length of the whole file.
    pub size: u64,
    /// When its content last changed: seconds since 1970 UTC, with a fraction.
    pub mtime: &'a str,
    /// Whether it may be run.
    pub executable: bool,
}

impl Node {
    /// Opens an edit.
    ///
    /// # Errors
    /// [`Error::Remote`], as everywhere here: what the node said, or that it cannot be reached.
    pub async fn begin_edit(&self, target: &Target) -> Result<NodeEdit, Error> {
        let body = BeginEdit { tag: target.tag.to_string() };
        let path = below(&target.dataset, "edits");
        let opened: EditOpened = self.call(Method::POST, &path, &body, Again::Unsent).await?;
        Ok(NodeEdit { node: self.clone(), id: opened.id })
    }
}

impl NodeEdit {
    fn path<'a>(&'a self, what: &'a str, names: &'a [String]) -> Vec<&'a str> {
        let names = names.iter().map(String::as_str);
        ["api", "v1", "edits", &self.id, what].into_iter().chain(names).collect()
    }

    /// Puts a part of a file, of at most [`EDIT_BODY_BYTES_MAX`](crate::limits::EDIT_BODY_BYTES_MAX).
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn put(&self, part: FilePart<'_>, bytes: Bytes) -> Result<(), Error> {
        let (offset, size) = (part.offset.to_string(), part.size.to_string());
        let executable = if part.executable { "true" } else { "false" };
        let query = [
            ("offset", offset.as_str()),
            ("size", &size),
            ("mtime", part.mtime),
            ("executable", executable),
        ];
        let body = Some(("application/octet-stream", bytes));
        let path = self.path("files", part.path);
        self.node.send(Method::PUT, &path, &query, body, Again::Unsent).await.map(drop)
    }

    /// Takes a file or a directory out.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn remove(&self, path: &[String]) -> Result<(), Error> {
        self.node.delete(&self.path("files", path)).await
    }

    /// Publishes it.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn publish(&self, asked: &PublishEdit) -> Result<Version, Error> {
        let path = self.path("publish", &[]);
        let published: PublishedVersion =
            self.node.call(Method::POST, &path, asked, Again::Unsent).await?;
        Ok(published.version)
    }

    /// Gives it up.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub async fn abandon(&self) -> Result<(), Error> {
        self.node.delete(&["api", "v1", "edits", &self.id]).await
    }
}
