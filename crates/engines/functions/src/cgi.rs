//! Requests for programs: the Common Gateway Interface (RFC 3875). The body is the standard input; what is known of the
//! request is in environment variables; the standard output is headers and a body, or where it does not begin with
//! such headers, a body alone.

use bytes::Bytes;
use cairn_access::Peer;
use cairn_wasm::{Body, Call, Chain, Done, Failure, whole};
use http::header::{CONTENT_TYPE, COOKIE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::percent_decode_str;

use crate::model::Function;

/// The longest body of a request for a program.
pub(crate) const INPUT_BYTES_MAX: usize = 1 << 20;
/// The longest headers that a program writes, and their number.
const HEADERS_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;
/// Headers that programs are not told, or not as headers: credentials, and one that would look like a setting of their own.
const UNTOLD: [&str; 4] = ["authorization", "content-length", "content-type", "proxy"];
/// Headers that are of a connection.
const OF_CONNECTIONS: [&str; 6] =
    ["connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"];
/// What makes lines at the beginning headers.
const TELLING: [HeaderName; 2] = [CONTENT_TYPE, LOCATION];

/// The call that a request is, or the answer to one that is none.
pub(crate) async fn call(
    function: &Function,
    request: Request<Body>,
) -> Result<Call, Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, INPUT_BYTES_MAX).collect().await;
    let input = body.map_err(|_| {
        let why = format!("a program takes a body of at most {INPUT_BYTES_MAX} bytes");
        plain(StatusCode::PAYLOAD_TOO_LARGE, &why)
    })?;
    let input = input.to_bytes();
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
    let mut environment = told(&parts.headers);
    let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let named = parts.uri.authority().map(|host| host.as_str()).or(host).unwrap_or_default();
    let port = named.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    let name = port.map_or(named, |port| &named[..named.len() - port.len() - 1]);
    let chain = parts.extensions.get::<Chain>().copied().unwrap_or_default();
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
    let port = port.unwrap_or(if peer.tls { "443" } else { "80" });
    let text = |name: HeaderName| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    for (name, value) in [
        ("GATEWAY_INTERFACE", "CGI/1.1".to_owned()),
        ("SERVER_SOFTWARE", "cairn".to_owned()),
        ("SERVER_PROTOCOL", format!("{:?}", parts.version)),
        ("SERVER_NAME", name.to_owned()),
        ("SERVER_PORT", port.to_owned()),
        ("REMOTE_ADDR", peer.address.map(|address| address.to_string()).unwrap_or_default()),
        ("REQUEST_METHOD", parts.method.to_string()),
        ("SCRIPT_NAME", String::new()),
        ("PATH_INFO", path),
        ("QUERY_STRING", parts.uri.query().unwrap_or_default().to_owned()),
        ("CONTENT_TYPE", text(CONTENT_TYPE)),
    ] {
        environment.push((name.to_owned(), value));
    }
    if !input.is_empty() {
        environment.push(("CONTENT_LENGTH".to_owned(), input.len().to_string()));
    }
    // They would be more than a text in what a program writes of it.
    if environment.iter().any(|(_, value)| value.contains(char::is_control)) {
        return Err(plain(StatusCode::BAD_REQUEST, "a control character is told to no program"));
    }
    Ok(Call {
        arguments: vec![function.name.to_string()],
        inputs: vec![cairn_wasm::held(input)],
        environment,
        chain,
    })
}

/// Headers as variables, `HTTP_NAME`; of several of a name one.
fn told(headers: &HeaderMap) -> Vec<(String, String)> {
    // One with a _ would stand for another one with a -, which a filter may have set.
    let names = headers.keys().filter(|name| !name.as_str().contains('_'));
    let names = names.filter(|name| !UNTOLD.contains(&name.as_str()));
    let told = names.map(|name| {
        let between = if *name == COOKIE { "; " } else { ", " };
        let values: Vec<_> =
            headers.get_all(name).iter().filter_map(|one| one.to_str().ok()).collect();
        let name = name.as_str().to_ascii_uppercase().replace('-', "_");
        (format!("HTTP_{name}"), values.join(between))
    });
    told.collect()
}

/// The answer of a program that is a filter: with a status that it wrote itself, and a good end.
pub(crate) fn verdict(done: Done) -> Result<Response<Body>, Failure> {
    let refused = |detail: &str| Err(Failure::NoAnswer { detail: detail.to_owned() });
    if done.exit != 0 {
        return refused("a program that is a filter ends with 0");
    }
    match parsed(&done.output) {
        Some(Head { said: Some(_), .. }) => answer(done),
        _ => refused("a program that is a filter writes headers with a Status"),
    }
}

/// The answer that a program wrote.
pub(crate) fn answer(done: Done) -> Result<Response<Body>, Failure> {
    let Done { output, exit } = done;
    if let Some(Head { said, headers, length }) = parsed(&output) {
        let redirects = headers.contains_key(LOCATION);
        let found = if redirects { StatusCode::FOUND } else { StatusCode::OK };
        let mut response = Response::new(whole(output.slice(length..)));
        (*response.status_mut(), *response.headers_mut()) = (said.unwrap_or(found), headers);
        return Ok(response);
    }
    if exit != 0 {
        let detail = format!("it wrote no headers and ended with {exit}");
        return Err(Failure::NoAnswer { detail });
    }
    let text = std::str::from_utf8(&output).is_ok();
    let media_type = if text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    let mut response = Response::new(whole(output));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// The headers that an output begins with.
struct Head {
    /// Their status.
    said: Option<StatusCode>,
    headers: HeaderMap,
    /// Their bytes: where the body begins.
    length: usize,
}

/// Headers at the beginning of an output: all lines up to an empty one must be some, and one of them a telling one.
fn parsed(output: &[u8]) -> Option<Head> {
    let (mut headers, mut status, mut at) = (HeaderMap::new(), None, 0);
    loop {
        let rest = output.get(at..HEADERS_BYTES_MAX.min(output.len()))?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        at += end + 1;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"status") {
            status = Some(StatusCode::from_bytes(value.get(..3)?).ok()?);
            continue;
        }
        let (name, value) =
            (HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
        headers.append(name, value);
        if headers.len() > HEADERS_MAX {
            return None;
        }
    }
    if status.is_none() && !TELLING.iter().any(|name| headers.contains_key(name)) {
        return None;
    }
    // The door says how long it is and how it is sent.
    for name in OF_CONNECTIONS {
        headers.remove(name);
    }
    Some(Head { said: status, headers, length: at })
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(output: &str) -> (u16, Vec<String>, String) {
        let done = Done { output: Bytes::copy_from_slice(output.as_bytes()), exit: 0 };
        let response = answer(done).unwrap();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let status = response.status().as_u16();
        let body = futures::executor::block_on(response.into_body().collect()).unwrap().to_bytes();
        (status, headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn headers_are_those_of_rfc_3875_and_what_are_none_is_the_body() {
        let (status, headers, body) = answered("Content-Type: text/html\nX-A: b\n\n<p>\n");
        assert_eq!((status, body.as_str()), (200, "<p>\n"));
        assert_eq!(headers, ["content-type: text/html", "x-a: b"]);
        assert_eq!(answered("Status: 404 Not Found\r\n\r\n").0, 404);
        assert_eq!(answered("Location: /x\n\n").0, 302);
        let (status, headers, _) =
            answered("Content-Type: a/b\nContent-Length: 7\nStatus: 201\n\n");
        assert_eq!((status, headers), (201, vec!["content-type: a/b".to_owned()]));
        for plain in [
            "hello\n",
            "name: value\n\nbody",
            "Content-Type: text/html\nno header\n\n",
            "Content-Type: text/html\n",
            "Status: x\n\n",
            "",
        ] {
            let (status, headers, body) = answered(plain);
            assert_eq!((status, body.as_str()), (200, plain));
            assert_eq!(headers, ["content-type: text/plain; charset=utf-8"]);
        }
        let done = Done { output: Bytes::from_static(b"half of it"), exit: 1 };
        assert!(matches!(answer(done), Err(Failure::NoAnswer { .. })));
    }

    /// WEB-3: what a filter does not say lets nothing pass.
    #[test]
    fn a_filter_says_its_status_and_ends_well() {
        let verdict = |output: &'static str, exit| {
            let done = Done { output: Bytes::from_static(output.as_bytes()), exit };
            verdict(done).map(|response| response.status().as_u16()).ok()
        };
        assert_eq!(verdict("Status: 204\n\n", 0), Some(204));
        assert_eq!(verdict("Status: 403 Forbidden\nContent-Type: a/b\n\nno", 0), Some(403));
        for (output, exit) in [
            ("Status: 204\n\n", 1),
            ("Status: 403\n", 0),
            ("Status: 302\nLocation: /\x01\n\n", 0),
            ("Content-Type: text/plain\n\n", 0),
            ("", 0),
        ] {
            assert_eq!(verdict(output, exit), None, "{output:?} {exit}");
        }
    }

    #[tokio::test]
    async fn a_program_is_told_of_the_request_and_of_no_credential() {
        let function = Function { project: "main".parse().unwrap(), name: "f".parse().unwrap() };
        let request = Request::post("http://example.org/a%20b?c=d%20e")
            .header("authorization", "Basic x")
            .header("proxy", "http://evil.example")
            .header("cookie", "a=b")
            .header("cookie", "c=d")
            .header("content-type", "text/plain")
            .header("x_two_words", "2")
            .header("x-two-words", "1");
        let request = request.body(whole(Bytes::from_static(b"input"))).unwrap();
        let call = call(&function, request).await.unwrap();
        let input = call.inputs[0].read(0, 100).await.unwrap();
        assert_eq!((call.arguments, &input[..]), (vec!["f".to_owned()], &b"input"[..]));
        let value = |name: &str| {
            let found = call.environment.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        for (name, expected) in [
            ("REQUEST_METHOD", "POST"),
            ("PATH_INFO", "/a b"),
            ("QUERY_STRING", "c=d%20e"),
            ("SERVER_NAME", "example.org"),
            ("SERVER_PORT", "80"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("CONTENT_TYPE", "text/plain"),
            ("CONTENT_LENGTH", "5"),
            ("HTTP_COOKIE", "a=b; c=d"),
            ("HTTP_X_TWO_WORDS", "1"),
        ] {
            assert_eq!(value(name), Some(expected), "{name}");
        }
        assert_eq!((value("HTTP_AUTHORIZATION"), value("HTTP_PROXY")), (None, None));
        assert_eq!(call.environment.iter().filter(|(_, value)| value == "2").count(), 0);
    }

    #[tokio::test]
    async fn what_a_program_cannot_be_told_is_refused() {
        let function = Function { project: "main".parse().unwrap(), name: "f".parse().unwrap() };
        let long = whole(Bytes::from(vec![0; INPUT_BYTES_MAX + 1]));
        let refused = call(&function, Request::post("/").body(long).unwrap()).await.unwrap_err();
        assert_eq!(refused.status(), 413);
        for path in ["/%00", "/%0a", "/x%0D%0Acairn-set-x-user:%20root"] {
            let request = Request::get(path).body(whole(Bytes::new())).unwrap();
            assert_eq!(call(&function, request).await.unwrap_err().status(), 400, "{path}");
        }
    }

    proptest! {
        /// Whatever a program writes is an answer, and its body the end of it.
        #[test]
        fn any_output_is_an_answer(output in prop::collection::vec(any::<u8>(), 0..200), head in "(Content-Type: a/b|Status: 2[0-9]{2}|[a-z:]{0,9})\r?\n{0,2}") {
            let output = Bytes::from([head.as_bytes(), &output].concat());
            let response = answer(Done { output: output.clone(), exit: 0 }).unwrap();
            let body = futures::executor::block_on(response.into_body().collect()).unwrap().to_bytes();
            prop_assert!(output.ends_with(&body));
        }
    }
}
