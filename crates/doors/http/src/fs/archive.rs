//! A directory as one file, made while it is sent. Nothing is kept: memory does not grow with the
//! directory, but for a zip's table of contents.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_datasets::{Browser, ContentStream, Listed};
use cairn_env::Env;
use cairn_tree::{Content, Entry, Kind, Root};
use tokio::sync::mpsc;

use super::first_name;
use super::location::Location;
use super::set;
use super::tar::Tar;
use super::walk::{Walker, encoded};
use super::zip::Zip;
use crate::call::{Call, begun, respond};
use crate::error::Error;

/// Pieces between the maker and the socket.
const PIECES_AHEAD: usize = 4;
/// Output is handed on in pieces of about this size.
pub(super) const PIECE_BYTES: usize = 256 * 1024;

/// A format that is written front to back. Each call may compute for a while, so it runs where that
/// holds nobody up.
pub(super) trait Format: Send + Sized + 'static {
    /// Begins an entry; what follows with [`Format::data`] is the content of a file.
    fn entry(&mut self, entry: &Item) -> Result<(), Error>;
    /// Bytes of the file that was begun.
    fn data(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// Ends the file that was begun.
    fn file_end(&mut self) -> Result<(), Error>;
    /// Ends the archive.
    fn end(&mut self) -> Result<(), Error>;
    /// What was written since the last call.
    fn take(&mut self) -> Vec<u8>;
    /// How much that would be.
    fn held(&self) -> usize;
}

/// An entry of an archive.
#[derive(Debug)]
pub(super) struct Item {
    /// Its path from the directory that is archived.
    pub(super) path: Vec<u8>,
    /// Its permission bits.
    pub(super) mode: u32,
    /// The owner's number.
    pub(super) uid: u32,
    /// The group's number.
    pub(super) gid: u32,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    /// What it is.
    pub(super) kind: ItemKind,
}

#[derive(Debug)]
pub(super) enum ItemKind {
    File { len: u64 },
    Directory,
    Symlink { target: Vec<u8> },
}

pub(super) async fn download(
    call: Call,
    browser: Browser,
    root: Root,
    top: Entry,
    location: &Location,
) -> Result<Response, Error> {
    let (media_type, ending) = match call.query("download")?.as_deref() {
        Some("tar.zst") => ("application/zstd", "tar.zst"),
        Some("zip") => ("application/zip", "zip"),
        _ => return Err(Error::invalid("?download= takes tar.zst or zip")),
    };
    let mut response = respond(StatusCode::OK, media_type, Body::empty());
    let name = match (location.path.last(), &location.name, &location.tag) {
        (Some(last), ..) => last.clone(),
        (None, Some(name), Some(tag)) => format!("{name}-{tag}").into_bytes(),
        _ => b"cairn".to_vec(),
    };
    let disposition = format!("attachment; filename*=UTF-8''{}.{ending}", encoded(&name));
    set(response.headers_mut(), header::CONTENT_DISPOSITION, &disposition);
    set(response.headers_mut(), header::CACHE_CONTROL, "private, no-cache");
    set(response.headers_mut(), header::VARY, "Authorization");
    if call.method == Method::HEAD {
        return Ok(response);
    }
    let env = call.door.env().clone();
    let pieces = match ending {
        "zip" => start(&env, Zip::default(), browser, root, top),
        _ => start(&env, Tar::new()?, browser, root, top),
    };
    *response.body_mut() = Body::from_stream(begun(pieces).await?);
    Ok(response)
}

type Piece = Result<Bytes, Error>;

/// Makes the archive in a task that waits for the socket, and ends with it.
fn start<F: Format>(
    env: &Env,
    format: F,
    browser: Browser,
    root: Root,
    top: Entry,
) -> futures::stream::BoxStream<'static, Piece> {
    let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let maker = Maker { env: env.clone(), format: Some(format), browser, root, sender };
    env.spawn.task(Box::pin(maker.make(top)));
    Box::pin(futures::stream::poll_fn(move |context| pieces.poll_recv(context)))
}

struct Maker<F> {
    env: Env,
    /// Away while a worker writes into it.
    format: Option<F>,
    browser: Browser,
    root: Root,
    sender: mpsc::Sender<Piece>,
}

impl<F: Format> Maker<F> {
    async fn make(mut self, top: Entry) {
        if let Err(error) = self.all(&top).await {
            // The error breaks the connection (HTTP-1); when that is gone already, nobody is left.
            drop(self.sender.send(Err(error)).await);
        }
    }

    async fn all(&mut self, top: &Entry) -> Result<(), Error> {
        let mut walker = Walker::new(&self.browser, top, Vec::new());
        while let Some(listed) = walker.next().await? {
            self.one(listed).await?;
        }
        self.write(Format::end).await?;
        self.hand_on(1).await
    }

    async fn one(&mut self, listed: Listed) -> Result<(), Error> {
        let Listed { path, entry } = listed;
        let entry = first_name(&self.browser, &self.root, entry).await?;
        let (kind, content) = match entry.kind {
            Kind::File { content } => (ItemKind::File { len: content.len }, Some(content)),
            Kind::Directory { .. } => (ItemKind::Directory, None),
            Kind::Symlink { target } => (ItemKind::Symlink { target }, None),
            Kind::Hardlink { .. } => {
                return Err(Error::Internal { detail: "a hard link was not followed".to_owned() });
            }
        };
        let item = Item {
            path,
            mode: entry.meta.mode,
            uid: entry.meta.uid,
            gid: entry.meta.gid,
            mtime: entry.meta.mtime.secs,
            kind,
        };
        self.write(move |format| format.entry(&item)).await?;
        if let Some(content) = content {
            self.content(&content).await?;
        }
        self.hand_on(PIECE_BYTES).await
    }

    async fn content(&mut self, content: &Content) -> Result<(), Error> {
        let mut stream: ContentStream = self.browser.content(content, 0..content.len).await?;
        while let Some(piece) = stream.next().await? {
            self.write(move |format| format.data(&piece)).await?;
            self.hand_on(PIECE_BYTES).await?;
        }
        self.write(Format::file_end).await
    }

    /// Lets a worker write into the format.
    async fn write(
        &mut self,
        work: impl FnOnce(&mut F) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let Some(mut format) = self.format.take() else { return Err(cairn_env::Lost.into()) };
        let worked = self.env.spawn.run(move || {
            let written = work(&mut format);
            (format, written)
        });
        let (format, written) = worked.await?;
        self.format = Some(format);
        written
    }

    /// Hands on what was written, when it is at least so much.
    async fn hand_on(&mut self, least: usize) -> Result<(), Error> {
        let Some(format) = &mut self.format else { return Err(cairn_env::Lost.into()) };
        if format.held() < least {
            return Ok(());
        }
        let piece = Bytes::from(format.take());
        self.sender.send(Ok(piece)).await.map_err(|_| Error::Worker(cairn_env::Lost))
    }
}
