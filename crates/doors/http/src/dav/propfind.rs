//! PROPFIND: a resource, and what is directly in it.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use cairn_access::Visit;
use cairn_base::DatasetName;
use cairn_datasets::{Browser, Dataset, Datasets, Entries, Store as _, Version};
use cairn_tree::{Entry, Kind, Root};
use futures::{Stream, StreamExt as _};

use super::XML;
use super::multistatus::{File, HEAD, Resource, TAIL};
use super::request::{Asked, parse};
use crate::call::{Call, begun, respond};
use crate::error::Error;
use crate::fs::{Location, Validators, first_name, http_date, media_type, resolve};

const NS_PER_S: i64 = 1_000_000_000;
/// Entries that are put into one piece of an answer.
const BATCH: usize = 64;

pub(super) async fn answer(mut call: Call) -> Result<Response, Error> {
    let body = call.bytes().await?;
    let Some(children) = wants_children(&call.headers)? else { return Ok(endless()) };
    let asked = parse(&body)?;
    let names = call.args.tail().to_vec();
    let location = Location::parse(&names)?;
    let Some(dataset) = location.dataset() else {
        let (store, visit) = (call.door.datasets().clone(), call.visit()?.clone());
        let found = datasets(store, visit, &location, names, children).await?;
        return Ok(all_at_once(&found, &asked));
    };
    let Some(tag) = location.tag.clone() else {
        let store = call.door.datasets().clone();
        let found = tags(store, &dataset, names, children).await?;
        return Ok(all_at_once(&found, &asked));
    };
    let browser = Browser::new(std::sync::Arc::new(call.door.datasets().clone()), dataset);
    let (_, root) = browser.open(&tag).await?;
    let entry = resolve(&browser, &root, &location.path).await?;
    let page = match entry.kind {
        Kind::File { .. } if call.args.ends_with_slash() => {
            let detail = "it is a file; ask for it without the last /".to_owned();
            return Err(Error::NoPath { detail });
        }
        Kind::Directory { page, .. } if children => Some(page),
        _ => None,
    };
    let first = resource(names.clone(), &entry);
    let Some(page) = page else { return Ok(all_at_once(&[first], &asked)) };
    let entries = browser.entries(page);
    let listing = Listing { browser, root, entries, names, path: location.path, asked };
    let pieces = begun(listing.pieces(&first)).await?;
    Ok(respond(StatusCode::MULTI_STATUS, XML, Body::from_stream(pieces)))
}

/// Whether the children are asked for too; none when all that is below is, which a request that does
/// not say how deep means.
fn wants_children(headers: &HeaderMap) -> Result<Option<bool>, Error> {
    match headers.get("depth").map(|depth| depth.as_bytes().trim_ascii()) {
        Some(b"0") => Ok(Some(false)),
        Some(b"1") => Ok(Some(true)),
        None => Ok(None),
        Some(depth) if depth.eq_ignore_ascii_case(b"infinity") => Ok(None),
        Some(_) => Err(Error::invalid("Depth is 0 or 1 here")),
    }
}

/// RFC 4918, section 9.1: a server may refuse to list all that is below, and says so.
fn endless() -> Response {
    let body = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
                <D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>\n";
    respond(StatusCode::FORBIDDEN, XML, body)
}

fn all_at_once(found: &[Resource], asked: &Asked) -> Response {
    let mut text = HEAD.to_owned();
    for resource in found {
        resource.write(asked, &mut text);
    }
    text.push_str(TAIL);
    respond(StatusCode::MULTI_STATUS, XML, text)
}

fn collection(names: &[Vec<u8>], name: Option<&str>, newest: Option<&Version>) -> Resource {
    let mut names = names.to_vec();
    names.extend(name.map(|name| name.as_bytes().to_vec()));
    let modified = newest.and_then(|version| http_date(version.time_ns.div_euclid(NS_PER_S)));
    Resource { names, modified, file: None }
}

async fn datasets(
    store: Datasets,
    visit: Visit,
    location: &Location,
    names: Vec<Vec<u8>>,
    children: bool,
) -> Result<Vec<Resource>, Error> {
    let mut found = vec![collection(&names, None, None)];
    if children {
        let project = &location.project;
        let all = store.list(project).await?;
        let readable = all.iter().filter(|summary| {
            let name = summary.name.parse::<DatasetName>();
            name.is_ok_and(|name| visit.may_read(project, &name))
        });
        let each =
            readable.map(|summary| collection(&names, Some(&summary.name), Some(&summary.newest)));
        found.extend(each);
    }
    Ok(found)
}

async fn tags(
    store: Datasets,
    dataset: &Dataset,
    names: Vec<Vec<u8>>,
    children: bool,
) -> Result<Vec<Resource>, Error> {
    let mut all = store.tags(dataset).await?;
    all.sort_by(|a, b| a.tag.cmp(&b.tag));
    let newest = all.iter().map(|tag| &tag.current).max_by_key(|version| version.time_ns);
    let mut found = vec![collection(&names, None, newest)];
    if children {
        found.extend(all.iter().map(|tag| collection(&names, Some(&tag.tag), Some(&tag.current))));
    }
    Ok(found)
}

/// A file or a directory as a resource; `names` is its path.
fn resource(names: Vec<Vec<u8>>, entry: &Entry) -> Resource {
    let file = match &entry.kind {
        Kind::File { content } => Some(File {
            len: content.len,
            etag: Validators::new(content, entry.meta.mtime).etag,
            media_type: media_type(names.last().map_or(b"", Vec::as_slice)),
        }),
        _ => None,
    };
    Resource { names, modified: http_date(entry.meta.mtime.secs), file }
}

/// A directory on its way to a client.
struct Listing {
    browser: Browser,
    root: Root,
    entries: Entries,
    /// Its path below `/dav/`.
    names: Vec<Vec<u8>>,
    /// Its path inside the version.
    path: Vec<Vec<u8>>,
    asked: Asked,
}

impl Listing {
    fn pieces(self, first: &Resource) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let mut head = HEAD.to_owned();
        first.write(&self.asked, &mut head);
        let rest = futures::stream::try_unfold(Some(self), |listing| async move {
            let Some(mut listing) = listing else { return Ok(None) };
            let (piece, more) = listing.batch().await?;
            Ok(Some((piece, more.then_some(listing))))
        });
        // The head waits for the first entries, so that an error there is an answer of its own.
        let mut head = Some(head);
        rest.map(move |piece: Result<Bytes, Error>| {
            let head = head.take();
            piece.map(|piece| {
                head.map_or(piece.clone(), |head| [head.as_bytes(), &piece].concat().into())
            })
        })
    }

    /// The next entries, and whether there may be more.
    async fn batch(&mut self) -> Result<(Bytes, bool), Error> {
        let mut text = String::new();
        for _ in 0..BATCH {
            let Some(entry) = self.entries.next().await? else {
                text.push_str(TAIL);
                return Ok((text.into(), false));
            };
            if let Some(entry) = self.shown(entry).await? {
                let mut names = self.names.clone();
                names.push(entry.name.clone());
                resource(names, &entry).write(&self.asked, &mut text);
            }
        }
        Ok((text.into(), true))
    }

    /// What an entry is listed as, if it is.
    async fn shown(&self, entry: Entry) -> Result<Option<Entry>, Error> {
        match entry.kind {
            Kind::File { .. } | Kind::Directory { .. } => Ok(Some(entry)),
            Kind::Hardlink { .. } => Ok(Some(first_name(&self.browser, &self.root, entry).await?)),
            Kind::Symlink { .. } => {
                let mut path = self.path.clone();
                path.push(entry.name.clone());
                match resolve(&self.browser, &self.root, &path).await {
                    Ok(found) if matches!(found.kind, Kind::File { .. }) => {
                        Ok(Some(Entry { name: entry.name, ..found }))
                    }
                    Ok(_) | Err(cairn_files::Error::NoPath { .. }) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}
