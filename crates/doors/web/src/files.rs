//! Routes to files of datasets: GET and HEAD, with entity tags, conditions and ranges.
//!
//! A folder is answered with its `index.html`, a folder without the last slash with where it is. What a tag leads to is
//! looked at for each request, as far as a node remembers tags.

use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use cairn_datasets::{Browser, Dataset, Error as DataError};
use cairn_files::{Ask, Error as FileError};
use cairn_functions::{Auth, Match, RouteFiles, names_of};
use cairn_tree::{Content, Entry, Kind, Root, Time};

use crate::Shared;
use crate::error::Error;

const INDEX: &[u8] = b"index.html";

/// Answers with the file that a request asks for.
pub(crate) async fn serve(
    door: &Shared,
    found: &Match,
    files: &RouteFiles,
    parts: &Parts,
) -> Result<Response, Error> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Error::Method(vec!["GET".to_owned(), "HEAD".to_owned()]));
    }
    let function = &found.target.function;
    let dataset = Dataset { project: function.project.clone(), name: function.name.clone() };
    let browser = Browser::warm(&door.datasets, dataset);
    let (_, root) = browser.open(&files.tag).await.map_err(failed)?;
    let asked = found.rest().unwrap_or_default();
    let answer = match looked(&browser, &root, files, asked).await? {
        Looked::File(file) => file,
        Looked::Slash => return Ok(slash(parts)),
        Looked::Nothing => fallback(&browser, &root, files).await?.ok_or(Error::NoFile)?,
    };
    let ask = Ask { method: &parts.method, headers: &parts.headers, rng: door.env.rng.as_ref() };
    let (content, mtime, name) = &answer;
    let sent = cairn_files::serve(&ask, &browser, (content, *mtime), name).await;
    let mut response = sent.map_err(|error| match error {
        FileError::Range { len } => Error::Range(len),
        FileError::NoPath { .. } => Error::NoFile,
        FileError::Data(error) => failed(error),
    })?;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The tag may move and grants change: a cache asks each time, and with the entity tag that costs little.
    let cached = match found.target.auth {
        Auth::None => "no-cache",
        Auth::Cairn => "private, no-cache",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
    Ok(response)
}

type File = (Content, Time, Vec<u8>);

enum Looked {
    File(File),
    /// A folder that was asked for without the last slash.
    Slash,
    Nothing,
}

async fn looked(
    browser: &Browser,
    root: &Root,
    files: &RouteFiles,
    asked: &str,
) -> Result<Looked, Error> {
    let folder = asked.is_empty() || asked.ends_with('/');
    let asked = asked.strip_suffix('/').unwrap_or(asked);
    let below = if asked.is_empty() { Some(Vec::new()) } else { names_of(asked) };
    let (Some(mut path), Some(below)) = (base(files), below) else { return Ok(Looked::Nothing) };
    let whole = below.is_empty();
    path.extend(below);
    let Some(entry) = entry(browser, root, &path).await? else { return Ok(Looked::Nothing) };
    match entry.kind {
        // One file is what the route itself leads to.
        Kind::File { content } if whole || !folder => {
            let name = path.pop().unwrap_or_default();
            Ok(Looked::File((content, entry.meta.mtime, name)))
        }
        Kind::Directory { .. } if folder => {
            path.push(INDEX.to_vec());
            Ok(file(browser, root, &path).await?.map_or(Looked::Nothing, Looked::File))
        }
        Kind::Directory { .. } => Ok(Looked::Slash),
        _ => Ok(Looked::Nothing),
    }
}

async fn fallback(
    browser: &Browser,
    root: &Root,
    files: &RouteFiles,
) -> Result<Option<File>, Error> {
    let below = files.fallback.as_deref().and_then(names_of);
    let (Some(mut path), Some(below)) = (base(files), below) else { return Ok(None) };
    path.extend(below);
    file(browser, root, &path).await
}

/// The names of what the route leads to.
fn base(files: &RouteFiles) -> Option<Vec<Vec<u8>>> {
    if files.path.is_empty() { Some(Vec::new()) } else { names_of(&files.path) }
}

async fn file(browser: &Browser, root: &Root, path: &[Vec<u8>]) -> Result<Option<File>, Error> {
    let Some(found) = entry(browser, root, path).await? else { return Ok(None) };
    let Kind::File { content } = found.kind else { return Ok(None) };
    let name = path.last().cloned().unwrap_or_default();
    Ok(Some((content, found.meta.mtime, name)))
}

/// What is at a path, through symbolic links that stay inside the version.
async fn entry(browser: &Browser, root: &Root, path: &[Vec<u8>]) -> Result<Option<Entry>, Error> {
    match cairn_files::resolve(browser, root, path).await {
        Ok(entry) => Ok(Some(entry)),
        Err(FileError::Data(error)) => Err(failed(error)),
        Err(_) => Ok(None),
    }
}

/// Leads to a folder with its slash, for links in its page are relative to that.
fn slash(parts: &Parts) -> Response {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // Never `//`, which would lead to another host.
    let path = format!("/{}/{query}", parts.uri.path().trim_matches('/'));
    let mut response = Response::default();
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    cairn_files::set(response.headers_mut(), header::LOCATION, &path);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn failed(error: DataError) -> Error {
    match error {
        DataError::NoDataset { .. } | DataError::NoTag { .. } | DataError::NoPath { .. } => {
            Error::NoFile
        }
        error => Error::Data(error),
    }
}
