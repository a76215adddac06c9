//! Looking into versions: trees, differences, what one cost.

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use cairn_datasets::{Browser, Change, Listed, Node, stat};
use cairn_tree::{Entry, Kind, Root};
use futures::StreamExt as _;
use serde::Serialize;
use tokio::sync::mpsc;

use super::route;
use crate::api::schema;
use crate::call::{Call, LINES, json, line, streamed};
use crate::error::Error;
use crate::fs::{Walker, resolve_exact};
use crate::limits::PAGE_MAX;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

/// Lines on their way between the walk and the socket.
const LINES_AHEAD: usize = 256;

const TREE_QUERY: &[Query] = &[
    Query::new("limit", "Children of a page.", Holds::Number(1, PAGE_MAX as u64)),
    Query::new("after", "`next` of the page before.", Holds::Text),
    Query::new("recursive", "`true` gives everything below, as lines of JSON.", Holds::Flag),
];
const STAT_QUERY: &[Query] = &[Query::new(
    "against",
    "The tag to compare with; the version before when not given.",
    Holds::Name,
)];

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "versions", ..Doc::default() };
    let tree = Doc {
        summary: "The entry at a path; of a directory, a page of what is in it.",
        query: TREE_QUERY,
        answers: BodyDoc::JsonOrLines(shape::<schema::Listing>, shape::<schema::Node>),
        ..doc
    };
    let top = "/api/v1/projects/{project}/datasets/{name}/tags/{tag}/tree";
    let path = "/api/v1/projects/{project}/datasets/{name}/tags/{tag}/tree/{*path}";
    let diff = "/api/v1/projects/{project}/datasets/{name}/tags/{tag}/diff/{other}";
    let stat = "/api/v1/projects/{project}/datasets/{name}/tags/{tag}/stat";
    vec![
        route!(GET top, entry).permission(route::READ).doc(tree),
        route!(GET path, entry).permission(route::READ).doc(tree),
        route!(GET diff, diff_lines).permission(route::READ).doc(Doc {
            summary: "What changed from the tag to the other one.",
            answers: BodyDoc::Lines(shape::<schema::Change>),
            ..doc
        }),
        route!(GET stat, stat_json).permission(route::READ).doc(Doc {
            summary: "What a version shares with another one, and what its producer could do.",
            query: STAT_QUERY,
            answers: BodyDoc::Json(shape::<schema::Performance>),
            ..doc
        }),
    ]
}

#[derive(Serialize)]
struct Listing {
    entry: Node,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Vec<Node>>,
    next: Option<String>,
}

async fn entry(call: Call) -> Result<Response, Error> {
    let (browser, target) = (call.browser()?, call.args.target()?);
    let (limit, after) = (call.limit()?, call.query_bytes("after"));
    let recursive = call.flag("recursive")?;
    let names = call.args.tail().to_vec();
    let path = names.join(&b'/');
    let (_, root) = browser.open(&target.tag).await?;
    let found = resolve_exact(&browser, &root, &names).await?;
    if recursive {
        return recursively(browser, found, path).await;
    }
    listing(&browser, found, path, limit, after.as_deref()).await
}

/// An entry and a page of its children.
async fn listing(
    browser: &Browser,
    found: Entry,
    path: Vec<u8>,
    limit: usize,
    after: Option<&[u8]>,
) -> Result<Response, Error> {
    let page = match found.kind {
        Kind::Directory { page, .. } => Some(page),
        _ => None,
    };
    let mut listing = Listing {
        entry: Listed { path: path.clone(), entry: found }.node(),
        children: None,
        next: None,
    };
    if let Some(page) = page {
        let (children, next) = crate::fs::children(browser, page, limit, after).await?;
        let node = |entry: Entry| {
            let mut below = path.clone();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(&entry.name);
            Listed { path: below, entry }.node()
        };
        listing.children = Some(children.into_iter().map(node).collect());
        listing.next = next;
    }
    json(StatusCode::OK, &listing)
}

async fn recursively(browser: Browser, top: Entry, path: Vec<u8>) -> Result<Response, Error> {
    let walker = Walker::new(&browser, &top, path);
    let lines = futures::stream::try_unfold(walker, |mut walker| async move {
        match walker.next().await? {
            Some(listed) => Ok(Some((line(&listed.node())?, walker))),
            None => Ok(None),
        }
    });
    // Lines are short: a socket wants more of them at once.
    let batches = lines.ready_chunks(LINES_AHEAD).map(|lines| {
        let lines = lines.into_iter().collect::<Result<Vec<Bytes>, Error>>()?;
        Ok(Bytes::from(lines.concat()))
    });
    streamed(LINES, batches).await
}

async fn diff_lines(call: Call) -> Result<Response, Error> {
    let (browser, target) = (call.browser()?, call.args.target()?);
    let other = call.args.tag("other")?;
    let (_, old) = browser.open(&target.tag).await?;
    let (_, new) = browser.open(&other).await?;
    let (sender, mut lines) = mpsc::channel(LINES_AHEAD);
    let work = move || walk_differences(&browser, &old, &new, &sender);
    // The comparison hands its findings to a function that cannot wait; on a thread of its own it
    // may block instead, so a slow reader slows it down.
    call.door.env().spawn.thread(Box::new(work))?;
    let lines = futures::stream::poll_fn(move |context| lines.poll_recv(context));
    streamed(LINES, lines).await
}

fn walk_differences(
    browser: &Browser,
    old: &Root,
    new: &Root,
    sender: &mpsc::Sender<Result<Bytes, Error>>,
) {
    let mut visit = |change: &Change| {
        let line = line(&change.changed());
        // The reader went away: end the walk.
        sender.blocking_send(line).map_err(|_| Error::Worker(cairn_env::Lost))
    };
    let walked: Result<(), Error> = futures::executor::block_on(browser.diff(old, new, &mut visit));
    if let Err(error) = walked {
        drop(sender.blocking_send(Err(error)));
    }
}

async fn stat_json(call: Call) -> Result<Response, Error> {
    let (browser, target) = (call.browser()?, call.args.target()?);
    let against = call.query("against")?.map(|tag| tag.parse()).transpose()?;
    json(StatusCode::OK, &stat(&browser, &target.tag, against.as_ref()).await?)
}
