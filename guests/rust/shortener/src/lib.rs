//! A shortener of addresses: POST one to have a short one, GET that to be led to it. They are kept in the
//! function's own namespace of keys.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

use self::keys::wasi::keyvalue::{atomics, batch, store};

mod keys {
    wit_bindgen::generate!({
        path: "../../../crates/ground/wasm/wit",
        world: "wasi:keyvalue/imports",
        generate_all,
    });
}

const ADDRESS_BYTES_MAX: u64 = 2048;
/// Where it is counted how many addresses there are, and what the keys of addresses begin with.
const COUNT: &str = "count";
const ADDRESS: &str = "address/";

struct Shortener;
wasip2::http::proxy::export!(Shortener);

/// A status, an address to be led to, and a text.
type Answer = (u16, Option<String>, String);

impl Guest for Shortener {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, location, text) = answered(&request)
            .unwrap_or_else(|error| (status(&error), None, format!("{error:?}\n")));
        let headers = Fields::new();
        if let Some(location) = location {
            headers.set("location", &[location.into_bytes()]).expect("the header is allowed");
        }
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).expect("it is a status");
        let body = response.body().expect("it is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("it is taken once");
        for piece in text.as_bytes().chunks(4096) {
            stream.blocking_write_and_flush(piece).expect("the client is there");
        }
        drop(stream);
        OutgoingBody::finish(body, None).expect("the body is whole");
    }
}

fn status(error: &store::Error) -> u16 {
    match error {
        store::Error::AccessDenied => 403,
        store::Error::NoSuchStore => 404,
        store::Error::Other(_) => 503,
    }
}

fn answered(request: &IncomingRequest) -> Result<Answer, store::Error> {
    let path = request.path_with_query().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let all = store::open("default")?;
    match (request.method(), name) {
        (Method::Post, _) => {
            let address = body(request);
            let number = atomics::increment(&all, COUNT, 1)?;
            all.set(&format!("{ADDRESS}{number}"), address.as_bytes())?;
            Ok((201, None, format!("{number}\n")))
        }
        (Method::Get, "") => listed(&all),
        (Method::Get, name) => match all.get(&format!("{ADDRESS}{name}"))? {
            Some(address) => {
                Ok((302, Some(String::from_utf8_lossy(&address).into_owned()), String::new()))
            }
            None => Ok(missing()),
        },
        (Method::Put, name) if !all.exists(&format!("{ADDRESS}{name}"))? => Ok(missing()),
        (Method::Put, name) => Ok((200, None, replaced(&all, name, &body(request))?)),
        (Method::Delete, _) => {
            let keys = all.list_keys(None)?.keys;
            batch::delete_many(&all, &keys)?;
            Ok((200, None, format!("{} keys\n", keys.len())))
        }
        _ => Ok((405, None, "POST, GET, PUT or DELETE\n".to_owned())),
    }
}

fn missing() -> Answer {
    (404, None, "there is no such address\n".to_owned())
}

/// All keys and values, a line each.
fn listed(all: &store::Bucket) -> Result<Answer, store::Error> {
    let keys = all.list_keys(None)?.keys;
    let found = batch::get_many(all, &keys)?;
    let lines = found
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key} {}\n", String::from_utf8_lossy(&value)));
    Ok((200, None, lines.collect()))
}

/// Puts another address, and tells the one before.
fn replaced(all: &store::Bucket, name: &str, address: &str) -> Result<String, store::Error> {
    let key = format!("{ADDRESS}{name}");
    let mut seen = atomics::Cas::new(all, &key)?;
    loop {
        let before = seen.current()?.unwrap_or_default();
        match atomics::swap(seen, address.as_bytes()) {
            Ok(()) => return Ok(format!("{}\n", String::from_utf8_lossy(&before))),
            Err(atomics::CasError::CasFailed(now)) => seen = now,
            Err(atomics::CasError::StoreError(error)) => return Err(error),
        }
    }
}

fn body(request: &IncomingRequest) -> String {
    let body = request.consume().expect("it is taken once");
    let stream = body.stream().expect("it is taken once");
    let mut all = Vec::new();
    while let Ok(piece) = stream.blocking_read(ADDRESS_BYTES_MAX) {
        all.extend_from_slice(&piece);
    }
    String::from_utf8_lossy(&all).trim().to_owned()
}
