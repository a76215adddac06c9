//! A shelf of files: PUT one, GET it or a part of it, DELETE it; GET / lists them. They are objects of the container that
//! `CONTAINER` names, which is a dataset: each change is a version of it.
//!
//! PUT / makes the container, DELETE / empties it, DELETE /?container removes it. POST /NAME?copy=FROM and
//! POST /NAME?move=FROM put a file where another one is; FROM may be in another container, as CONTAINER=NAME. What paths
//! begin with is `BELOW`.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, StreamError};

use self::objects::wasi::blobstore::blobstore::{self, Container, ObjectId};
use self::objects::wasi::blobstore::types::{IncomingValue, OutgoingValue};

mod objects {
    wit_bindgen::generate!({
        path: "../../../crates/ground/wasm/wit",
        world: "wasi:blobstore/imports",
        with: { "wasi:io/streams@0.2.0": wasip2::io::streams },
        generate_all,
    });
}

/// Bytes that are moved at a time.
const PIECE: u64 = 64 << 10;
/// Names of a page.
const NAMES: u64 = 100;

struct Shelf;
wasip2::http::proxy::export!(Shelf);

/// What is answered: a status and a text, or bytes of an object.
enum Answer {
    Text(u16, String),
    Object(u16, InputStream),
}

impl Guest for Shelf {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer =
            answered(&request).unwrap_or_else(|why| Answer::Text(status(&why), why + "\n"));
        let (Answer::Text(status, _) | Answer::Object(status, _)) = &answer;
        let response = OutgoingResponse::new(Fields::new());
        response.set_status_code(*status).expect("it is a status");
        let body = response.body().expect("it is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("it is taken once");
        match answer {
            Answer::Text(_, text) => {
                for piece in text.as_bytes().chunks(4096) {
                    stream.blocking_write_and_flush(piece).expect("the client is there");
                }
            }
            Answer::Object(_, bytes) => loop {
                match stream.blocking_splice(&bytes, PIECE) {
                    Ok(_) => {}
                    Err(StreamError::Closed) => break,
                    // The answer breaks off.
                    Err(error) => panic!("{error:?}"),
                }
            },
        }
        drop(stream);
        OutgoingBody::finish(body, None).expect("the body is whole");
    }
}

/// The interface has texts for errors, and these are ours.
fn status(why: &str) -> u16 {
    if why.starts_with("there is no such") {
        404
    } else if why.starts_with("the function may not") {
        403
    } else {
        409
    }
}

fn answered(request: &IncomingRequest) -> Result<Answer, String> {
    let asked = request.path_with_query().unwrap_or_default();
    let (path, query) = asked.split_once('?').unwrap_or((&asked, ""));
    let below = std::env::var("BELOW").unwrap_or_default();
    let name = path.strip_prefix(&below).unwrap_or(path).trim_start_matches('/');
    let container = std::env::var("CONTAINER").map_err(|_| "CONTAINER is not set".to_owned())?;
    let done = |status| Ok(Answer::Text(status, String::new()));
    match (request.method(), name, query) {
        (Method::Put, "", _) => {
            let made = blobstore::create_container(&container)?;
            Ok(Answer::Text(201, format!("{}\n", made.name()?)))
        }
        (Method::Delete, "", "container") => {
            blobstore::delete_container(&container)?;
            done(200)
        }
        (Method::Get, "", "exists") => {
            Ok(Answer::Text(200, format!("{}\n", blobstore::container_exists(&container)?)))
        }
        (method, name, query) => on_shelf(request, &container, (method, name, query)),
    }
}

fn on_shelf(
    request: &IncomingRequest,
    container: &str,
    asked: (Method, &str, &str),
) -> Result<Answer, String> {
    let shelf = blobstore::get_container(container)?;
    let done = |status| Ok(Answer::Text(status, String::new()));
    match asked {
        (Method::Get, "", "info") => {
            let info = shelf.info()?;
            Ok(Answer::Text(200, format!("{} {}\n", info.name, info.created_at > 0)))
        }
        (Method::Get, "", _) => Ok(Answer::Text(200, listed(&shelf)?)),
        (Method::Delete, "", _) => shelf.clear().and_then(|()| done(200)),
        (Method::Get, name, "info") => {
            let info = shelf.object_info(name)?;
            let fresh = info.created_at > 0;
            Ok(Answer::Text(
                200,
                format!("{}/{} {} {fresh}\n", info.container, info.name, info.size),
            ))
        }
        (Method::Get, name, "exists") => {
            Ok(Answer::Text(200, format!("{}\n", shelf.has_object(name)?)))
        }
        (Method::Get, name, "whole") => {
            let value = shelf.get_data(name, 0, u64::MAX)?;
            let bytes = IncomingValue::incoming_value_consume_sync(value)?;
            Ok(Answer::Text(200, format!("{} bytes\n", bytes.len())))
        }
        (Method::Get, name, _) => {
            let (status, start, end) = range(request);
            let value = shelf.get_data(name, start, end)?;
            Ok(Answer::Object(status, IncomingValue::incoming_value_consume_async(value)?))
        }
        (Method::Put, name, query) => put(request, &shelf, name, query).and_then(|()| done(201)),
        (Method::Delete, names, _) => {
            let names: Vec<String> = names.split(',').map(str::to_owned).collect();
            match names.as_slice() {
                [name] => shelf.delete_object(name)?,
                names => shelf.delete_objects(names)?,
            }
            done(200)
        }
        (Method::Post, name, query) => {
            let to = ObjectId { container: container.to_owned(), object: name.to_owned() };
            let (how, from) = query.split_once('=').ok_or("?copy=FROM or ?move=FROM")?;
            let (other, object) = from.split_once('=').unwrap_or((container, from));
            let from = ObjectId { container: other.to_owned(), object: object.to_owned() };
            match how {
                "move" => blobstore::move_object(&from, &to)?,
                _ => blobstore::copy_object(&from, &to)?,
            }
            done(201)
        }
        _ => Ok(Answer::Text(405, "GET, PUT, POST or DELETE\n".to_owned())),
    }
}

/// `bytes=FIRST-LAST`, or everything.
fn range(request: &IncomingRequest) -> (u16, u64, u64) {
    let asked = request.headers().get("range").into_iter().next().unwrap_or_default();
    let asked = String::from_utf8(asked).unwrap_or_default();
    let bounds = asked.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    match bounds {
        None => (200, 0, u64::MAX),
        Some((first, last)) => (206, first.parse().unwrap_or(0), last.parse().unwrap_or(u64::MAX)),
    }
}

/// Names, a line each, and how many there are.
fn listed(shelf: &Container) -> Result<String, String> {
    let names = shelf.list_objects()?;
    let mut all = Vec::new();
    loop {
        let (some, ended) = names.read_stream_object_names(NAMES)?;
        all.extend(some);
        if ended {
            break;
        }
    }
    let again = shelf.list_objects()?;
    let (skipped, ended) = again.skip_stream_object_names(u64::MAX)?;
    assert!(ended && skipped == all.len() as u64, "{skipped} of {}", all.len());
    Ok(all.into_iter().map(|name| name + "\n").collect())
}

/// Puts what is sent. Of the two orders that clients have, `query` says which.
fn put(
    request: &IncomingRequest,
    shelf: &Container,
    name: &str,
    query: &str,
) -> Result<(), String> {
    let value = OutgoingValue::new_outgoing_value();
    let stream = value.outgoing_value_write_body().map_err(|()| "it is taken once")?;
    if query != "after" {
        shelf.write_data(name, &value)?;
    }
    let body = request.consume().expect("it is taken once");
    let bytes = body.stream().expect("it is taken once");
    loop {
        match stream.blocking_splice(&bytes, PIECE) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    drop(stream);
    if query == "after" {
        shelf.write_data(name, &value)?;
    }
    if query == "unfinished" {
        return Ok(());
    }
    OutgoingValue::finish(value)
}
