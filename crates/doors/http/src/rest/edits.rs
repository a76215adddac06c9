//! Edits: a dataset changed file by file, for browsers and curl. An edit belongs to the principal that
//! opened it, and every request asks again whether that one may write its dataset. Until it is published it
//! changes nothing that anybody sees.

use axum::http::{StatusCode, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use cairn_datasets::{
    EDITS_MAX, EditFile, EditId, EditPublication, EditStatus, Expect, FileWrite, Target,
};
use cairn_tree::Time;
use futures::StreamExt as _;

use super::maintenance::told;
use super::route;
use crate::api::{self, BeginEdit, EditOpened, PublishEdit, PublishedVersion, Stored};
use crate::call::{Call, changed, json, no_content, parse_json};
use crate::error::Error;
use crate::limits::{EDIT_BODY_BYTES_MAX, EDIT_PAGE_MAX, EDIT_PIECE_BYTES};
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const PUT_QUERY: &[Query] = &[
    Query::new(
        "offset",
        "Where the body begins in the file: what was received before. 0 unless told.",
        COUNT,
    ),
    Query::new(
        "size",
        "The length of the whole file. Needed, unless the body is all of it.",
        COUNT,
    ),
    Query::new(
        "mtime",
        "When its content last changed, in seconds since 1970 UTC, with or without a fraction.",
        Holds::Text,
    ),
    Query::new(
        "executable",
        "Whether it may be run. Unless told, a file keeps its mode.",
        Holds::Flag,
    ),
];
const PAGE: &[Query] = &[
    Query::new("limit", "Paths of a page.", Holds::Number(1, EDIT_PAGE_MAX as u64)),
    Query::new("after", "`next` of the page before.", Holds::Text),
];
/// A file's longest length is an `i64`.
const COUNT: Holds = Holds::Number(0, i64::MAX as u64);

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "edits", ..Doc::default() };
    let edit = "/api/v1/edits/{edit}";
    let file = "/api/v1/edits/{edit}/files/{*path}";
    vec![
        route!(POST "/api/v1/projects/{project}/datasets/{name}/edits", begin)
            .permission(route::WRITE)
            .changes_nothing()
            .doc(Doc {
                summary: "Opens an edit of a tag, which need not be there. One that is silent for 15 \
                          minutes may be forgotten.",
                takes: BodyDoc::Json(shape::<BeginEdit>),
                answers: BodyDoc::Json(shape::<EditOpened>),
                status: 201,
                ..doc
            }),
        route!(GET edit, status).permission(route::EDIT).doc(Doc {
            summary: "What the edit has so far, by path.",
            query: PAGE,
            answers: BodyDoc::Json(shape::<api::schema::EditStatus>),
            ..doc
        }),
        route!(DELETE edit, abandon).permission(route::EDIT).changes_nothing().doc(Doc {
            summary: "Gives the edit up. What it stored is reused or collected.",
            status: 204,
            ..doc
        }),
        route!(PUT file, put)
            .permission(route::EDIT)
            .changes_nothing()
            .body_max(EDIT_BODY_BYTES_MAX)
            .doc(Doc {
                summary: "Puts a file, or the next part of it, of at most 64 MiB. What arrived counts, \
                          also when the body breaks off; a part that does not go on where the file ends \
                          is answered with 409 and the bytes received. Archives are stored as they are.",
                query: PUT_QUERY,
                takes: BodyDoc::Other("application/octet-stream", "The bytes from `offset` on."),
                answers: BodyDoc::Json(shape::<api::schema::EditFile>),
                ..doc
            }),
        route!(DELETE file, remove).permission(route::EDIT).changes_nothing().doc(Doc {
            summary: "Takes a file or a directory out of the version to come.",
            status: 204,
            ..doc
        }),
        route!(POST "/api/v1/edits/{edit}/publish", publish).permission(route::EDIT).doc(Doc {
            summary: "Puts the changes into what the tag points to now, and moves it. The edit ends, \
                      unless this is refused.",
            takes: BodyDoc::Json(shape::<PublishEdit>),
            optional: true,
            answers: BodyDoc::Json(shape::<PublishedVersion>),
            ..doc
        }),
    ]
}

async fn begin(mut call: Call) -> Result<Response, Error> {
    let asked: BeginEdit = call.json().await?;
    let target = Target { dataset: call.args.dataset()?, tag: asked.tag.parse()? };
    let (edits, owner) = (call.door.edits().clone(), call.by()?);
    let id = match call.to_its_end(async move { edits.begin(&target, &owner).await }).await? {
        Err(cairn_datasets::Error::TooMany { .. }) => {
            return Err(Error::Uploads { what: "edits", max: EDITS_MAX });
        }
        other => other?,
    };
    json(StatusCode::CREATED, &EditOpened { id: id.to_string() })
}

/// The edit in the path and its owner.
fn edit(call: &Call) -> Result<(EditId, String), Error> {
    Ok((call.args.edit()?, call.by()?))
}

/// The path of a file, every name of which counts.
fn path(call: &Call) -> Result<Vec<Vec<u8>>, Error> {
    let raw = call.uri.path();
    if raw.contains("//") || raw.ends_with('/') {
        return Err(Error::invalid(
            "the path of a file has no empty name, and no slash at its end",
        ));
    }
    Ok(call.args.tail().to_vec())
}

async fn put(mut call: Call) -> Result<Response, Error> {
    let mut write = file_write(&call)?;
    let mut body = call.take_body();
    let mut held = BytesMut::new();
    let mut stored = None;
    loop {
        let next = body.next().await;
        let ended = !matches!(next, Some(Ok(_)));
        if let Some(Ok(piece)) = &next {
            held.extend_from_slice(piece);
        }
        while held.len() >= EDIT_PIECE_BYTES {
            let piece = held.split_to(EDIT_PIECE_BYTES).freeze();
            stored = Some(take(&call, &mut write, piece).await?);
        }
        if ended && (!held.is_empty() || stored.is_none()) {
            stored = Some(take(&call, &mut write, held.split().freeze()).await?);
        }
        // What arrived before the body broke off is kept.
        if let Some(Err(error)) = next {
            return Err(error);
        }
        if let (true, Some(stored)) = (ended, &stored) {
            return json(StatusCode::OK, &told::<_, api::schema::EditFile>(stored)?);
        }
    }
}

/// Hands a piece on, to its end: a client that goes away leaves whole pieces.
fn take(
    call: &Call,
    write: &mut FileWrite,
    piece: Bytes,
) -> impl Future<Output = Result<EditFile, Error>> + Send + use<> {
    let (edits, edit) = (call.door.edits().clone(), edit(call));
    let this = write.clone();
    write.offset += piece.len() as u64;
    let work = call.to_its_end(async move {
        let (id, owner) = edit?;
        Ok::<_, Error>(edits.write(id, &owner, this, piece).await?)
    });
    async move { work.await? }
}

fn file_write(call: &Call) -> Result<FileWrite, Error> {
    let length = call.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|text| text.parse::<u64>().ok());
    let offset = count(call, "offset")?.unwrap_or(0);
    let size = match (count(call, "size")?, length) {
        (Some(size), _) => size,
        (None, Some(length)) if offset == 0 => length,
        _ => return Err(Error::invalid("?size= is missing: the length of the whole file")),
    };
    if length.is_some_and(|length| offset.saturating_add(length) > size) {
        return Err(Error::invalid(format!("the body goes beyond the file's {size} bytes")));
    }
    let mtime = call.query("mtime")?.map(|text| time(&text)).transpose()?;
    let executable = match call.query_bytes("executable") {
        None => None,
        Some(_) => Some(call.flag("executable")?),
    };
    Ok(FileWrite { path: path(call)?, offset, size, mtime, executable })
}

fn count(call: &Call, name: &str) -> Result<Option<u64>, Error> {
    let Some(text) = call.query(name)? else { return Ok(None) };
    let wrong = || Error::invalid(format!("?{name}= takes a number of bytes"));
    text.parse().ok().filter(|count| *count <= i64::MAX as u64).map(Some).ok_or_else(wrong)
}

/// Seconds since 1970, with up to nine digits after a point.
fn time(text: &str) -> Result<Time, Error> {
    let wrong = || Error::invalid("?mtime= takes seconds since 1970, such as 1700000000.25");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > 9 || !digits {
        return Err(wrong());
    }
    let secs: i64 = whole.parse().map_err(|_| wrong())?;
    let nanos: u32 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    match (whole.starts_with('-'), nanos) {
        // Nanoseconds count on from the second before.
        (true, 1..) => {
            let secs = secs.checked_sub(1).ok_or_else(wrong)?;
            Ok(Time { secs, nanos: 1_000_000_000 - nanos })
        }
        _ => Ok(Time { secs, nanos }),
    }
}

async fn status(call: Call) -> Result<Response, Error> {
    let limit = match call.query("limit")? {
        None => EDIT_PAGE_MAX,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=EDIT_PAGE_MAX).contains(limit))
            .ok_or_else(|| Error::invalid(format!("?limit= takes 1 to {EDIT_PAGE_MAX}")))?,
    };
    let after = call.query_bytes("after");
    let after: Option<Vec<Vec<u8>>> =
        after.map(|path| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect());
    let (edits, (id, owner)) = (call.door.edits().clone(), edit(&call)?);
    let work = async move { edits.status(id, &owner, limit, after.as_deref()).await };
    let status: EditStatus = call.to_its_end(work).await??;
    let told: api::schema::EditStatus = told(&status)?;
    json(StatusCode::OK, &told)
}

async fn remove(call: Call) -> Result<Response, Error> {
    let path = path(&call)?;
    let (edits, (id, owner)) = (call.door.edits().clone(), edit(&call)?);
    call.to_its_end(async move { edits.remove(id, &owner, path).await }).await??;
    Ok(no_content())
}

async fn publish(mut call: Call) -> Result<Response, Error> {
    let body = call.bytes().await?;
    let asked: PublishEdit =
        if body.is_empty() { PublishEdit::default() } else { parse_json(&body)? };
    let publication = EditPublication {
        expect: match asked.expect {
            None => Expect::Anything,
            Some(None) => Expect::Nothing,
            Some(Some(version)) => Expect::Version(version),
        },
        message: asked.message,
    };
    let (edits, (id, owner)) = (call.door.edits().clone(), edit(&call)?);
    let target = edits.target(id, &owner)?;
    let work = async move { edits.publish(id, &owner, &publication).await };
    let published = call.to_its_end(work).await??;
    let what = format!("published {} as {target}, edited file by file", published.version.root);
    let stored = Stored {
        chunks: published.stored.chunks,
        content_bytes: published.stored.content_bytes,
        stored_bytes: published.stored.stored_bytes,
        packs: published.stored.packs,
    };
    let published = PublishedVersion { version: published.version, stored };
    Ok(changed(json(StatusCode::OK, &published)?, what))
}

async fn abandon(call: Call) -> Result<Response, Error> {
    let (edits, (id, owner)) = (call.door.edits().clone(), edit(&call)?);
    call.to_its_end(async move { edits.abandon(id, &owner).await }).await??;
    Ok(no_content())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions() {
        for (text, secs, nanos) in [
            ("0", 0, 0),
            ("1700000000", 1_700_000_000, 0),
            ("1700000000.25", 1_700_000_000, 250_000_000),
            ("5.000000001", 5, 1),
            ("-1", -1, 0),
            ("-1.5", -2, 500_000_000),
        ] {
            assert_eq!(time(text).unwrap(), Time { secs, nanos }, "{text}");
        }
        for bad in
            ["", ".", "1.", ".5", "1e9", "1.0000000001", "1.-5", "99999999999999999999", " 1"]
        {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
