//! The same functions give the same in each tier.

use std::sync::Arc;

use bytes::Bytes;
use cairn_wasm::{Call, Chain, Failure, Limits, Reuse, held};

use crate::lab::{Callable, Ground, TIERS, answer, hello, request, rust, uppercase};

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers() {
    for tier in TIERS {
        let ground = Arc::new(Ground::default());
        let world = ground.world(&[("NAME", "value")]);
        let hello = Callable::of(tier, hello(), Limits::default(), world).await;
        let long = "x".repeat(3_000_000);
        for (method, path, body, expected) in [
            ("GET", "/a?b=c", "", "hello /a?b=c\n"),
            ("POST", "/echo", long.as_str(), &long),
            ("PUT", "/method", "", "Method::Put\n"),
            ("GET", "/environment", "", "[(\"NAME\", \"value\")]\n"),
            ("GET", "/seen", "", "1\n"),
            ("GET", "/seen", "", "1\n"),
            ("GET", "/log", "", "written\n"),
        ] {
            let (status, text) = hello.asked(method, path, body).await.unwrap();
            assert_eq!((status, text == expected), (200, true), "{tier:?} {path}");
        }
        assert_eq!(ground.lines(), ["stdout: to stdout", "stderr: to stderr"], "{tier:?}");
        let mut headers = request("GET", "/headers", "");
        headers.headers_mut().insert("x-a", "b".parse().unwrap());
        headers.headers_mut().insert("connection", "close".parse().unwrap());
        let seen = answer(hello.handle(headers).await.unwrap()).await.unwrap().1;
        assert_eq!(seen, "[(\"x-a\", \"b\")]\n", "{tier:?}");
        // As a door of HTTP/1 has it.
        let mut relative = request("GET", "/x", "");
        *relative.uri_mut() = "/headers?x".parse().unwrap();
        relative.headers_mut().insert("host", "example.org".parse().unwrap());
        let told = answer(hello.handle(relative).await.unwrap()).await.unwrap();
        assert_eq!(told, (200, "hello /headers?x\n".to_owned()), "{tier:?}");
        let cookies = hello.handle(request("GET", "/cookies", "")).await.unwrap();
        assert_eq!(cookies.headers().get_all("set-cookie").iter().count(), 3, "{tier:?}");
        let head = hello.handle(request("HEAD", "/x", "")).await.unwrap();
        assert_eq!(head.status(), 200, "{tier:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits() {
    let limits = Limits {
        cpu_ms: 200,
        wall_ms: 4000,
        memory_bytes: 16 << 20,
        log_bytes: 1000,
        ..Limits::default()
    };
    for tier in TIERS {
        let ground = Arc::new(Ground::default());
        let hello = Callable::of(tier, hello(), limits.clone(), ground.world(&[])).await;
        for (path, expected) in [
            ("/loop", Failure::Cpu { limit_ms: 200 }),
            ("/sleep", Failure::Wall { limit_ms: 4000 }),
            ("/memory", Failure::Memory { limit_bytes: 16 << 20 }),
        ] {
            assert_eq!(hello.asked("GET", path, "").await, Err(expected), "{tier:?} {path}");
            assert_eq!(hello.asked("GET", "/x", "").await.unwrap().0, 200, "{tier:?} {path}");
        }
        let failed = hello.asked("GET", "/panic", "").await.unwrap_err();
        let Failure::Trap { message, backtrace } = &failed else { panic!("{tier:?} {failed}") };
        assert!(message.contains("unreachable"), "{tier:?} {message}");
        assert!(backtrace.contains("rust_panic"), "{tier:?} {backtrace}");
        assert!(ground.lines().iter().any(|line| line.contains("on purpose")), "{tier:?}");
        let silent = hello.asked("GET", "/silent", "").await.unwrap_err();
        assert!(matches!(silent, Failure::NoAnswer { .. }), "{tier:?} {silent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_and_reuse() {
    let reuse = Reuse { requests: 2, idle_ms: 60_000, ..Reuse::default() };
    let limits = Limits { concurrency: 1, queue: 1, wall_ms: 500, reuse, ..Limits::default() };
    for tier in TIERS {
        let ground = Arc::new(Ground::default());
        let hello = Callable::of(tier, hello(), limits.clone(), ground.world(&[])).await;
        let mut seen = Vec::new();
        for _ in 0..40 {
            seen.push(hello.asked("GET", "/seen", "").await.unwrap().1);
        }
        // One that has not ended yet when the next request comes is not used for it.
        assert!(
            seen.iter().all(|seen| ["1\n", "2\n"].contains(&seen.as_str())),
            "{tier:?} {seen:?}"
        );
        assert!(seen.iter().any(|seen| seen == "2\n"), "{tier:?} {seen:?}");
        // Each lasts, in whichever order they come.
        let all = ["/sleep"; 3].map(|path| hello.asked("GET", path, ""));
        let ended = futures_of(all).await;
        let is = |failure: &Failure| ended.iter().any(|end| end.as_ref() == Err(failure));
        assert!(is(&Failure::Busy { running: 1, waiting: 1 }), "{tier:?} {ended:?}");
        assert!(is(&Failure::Wall { limit_ms: 500 }), "{tier:?} {ended:?}");
    }
}

/// All of them, begun in their order.
async fn futures_of<F: Future, const N: usize>(all: [F; N]) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (one, ended) in &mut all {
            if ended.is_none() {
                match one.as_mut().poll(context) {
                    std::task::Poll::Ready(end) => *ended = Some(end),
                    std::task::Poll::Pending => {}
                }
            }
        }
        match all.iter().all(|(_, ended)| ended.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(|(_, ended)| ended).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_files() {
    for tier in TIERS {
        let ground = Arc::new(Ground::default());
        let limits = Limits { output_bytes: 100_000, ..Limits::default() };
        let program = Callable::of(tier, uppercase(), limits, ground.world(&[])).await;
        let inputs = ["first", "second"].map(|text| held(Bytes::from_static(text.as_bytes())));
        let call = |arguments: &[&str]| Call {
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            inputs: inputs.to_vec(),
            ..Call::default()
        };
        for (from, expected) in [
            ("api://input/1", "SECOND"),
            ("data://notes/a.txt", "ALPHA"),
            ("/data/notes/b/../d.txt", "DELTA"),
            ("data://notes", "./\n../\na.txt\nb/\nd.txt\n"),
            ("https://example.org/a", "GET HTTPS://EXAMPLE.ORG/A: "),
        ] {
            let ran = program.run(call(&["uppercase", "api://output", from])).await.unwrap();
            assert_eq!((ran.exit, &ran.output[..]), (0, expected.as_bytes()), "{tier:?} {from}");
        }
        for (from, why) in [
            ("data://missing", "No such file"),
            ("data://secret", "Permission denied"),
            ("/etc/passwd", "Capabilities insufficient"),
            ("https://example.org/elsewhere", "Permission denied"),
        ] {
            let ran = program.run(call(&["uppercase", "api://output", from])).await.unwrap();
            let said = ground.lines().pop().unwrap();
            assert_eq!((ran.exit, said.contains(why)), (1, true), "{tier:?} {from} {said}");
        }
        let long = held(Bytes::from("x".repeat(200_000)));
        let call =
            Call { inputs: vec![long], ..call(&["uppercase", "api://output", "api://input"]) };
        let failed = program.run(call).await;
        assert_eq!(failed, Err(Failure::Output { limit_bytes: 100_000 }), "{tier:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys() {
    for tier in TIERS {
        let ground = Arc::new(Ground::default());
        let world = ground.world(&[]);
        let shortener = Callable::of(tier, rust("shortener"), Limits::default(), world).await;
        for (method, path, body, expected) in [
            ("POST", "/s/", "http://example.org/a", (201, "1\n")),
            ("POST", "/s/", "http://example.org/b", (201, "2\n")),
            ("PUT", "/s/1", "http://example.org/c", (200, "http://example.org/a\n")),
            ("PUT", "/s/3", "http://example.org/c", (404, "there is no such address\n")),
            (
                "GET",
                "/s/",
                "",
                (200, "address/1 http://example.org/c\naddress/2 http://example.org/b\ncount 2\n"),
            ),
            ("DELETE", "/s/", "", (200, "3 keys\n")),
            ("GET", "/s/1", "", (404, "there is no such address\n")),
        ] {
            let (status, text) = shortener.asked(method, path, body).await.unwrap();
            assert_eq!((status, text.as_str()), expected, "{tier:?} {method} {path}");
        }
    }
}

/// FUNCTIONS-9: what a function sends is deeper than what it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn requests_to_others() {
    for tier in TIERS {
        let ground = Arc::new(Ground::default());
        let world = ground.world(&[("UPSTREAM", "http://example.org:81")]);
        let proxy = Callable::of(tier, rust("proxy"), Limits::default(), world).await;
        let mut asked = request("POST", "/a?b", "sent");
        asked.extensions_mut().insert(Chain { depth: 3 });
        let response = proxy.handle(asked).await.unwrap();
        assert_eq!(response.headers()["x-seen"], "yes", "{tier:?}");
        let told = answer(response).await.unwrap();
        assert_eq!(told, (203, "POST http://example.org:81/a?b: sent".to_owned()), "{tier:?}");
        assert_eq!(*ground.depths.lock().unwrap(), [4], "{tier:?}");
        let refused = proxy.asked("GET", "/elsewhere", "").await.unwrap();
        assert_eq!(refused.0, 502, "{tier:?} {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects() {
    for tier in TIERS {
        let ground = Arc::new(Ground::default());
        let world = ground.world(&[("CONTAINER", "shelf")]);
        let shelf = Callable::of(tier, rust("shelf"), Limits::default(), world).await;
        let long = "x".repeat(1_000_000);
        for (method, path, body) in [
            ("PUT", "/a", "alpha"),
            ("GET", "/a", ""),
            ("PUT", "/long", &long),
            ("GET", "/long", ""),
            ("POST", "/b?move=a", ""),
            ("GET", "/a", ""),
            ("GET", "/", ""),
            ("DELETE", "/b", ""),
            ("DELETE", "/?container", ""),
            ("GET", "/missing", ""),
        ] {
            let (status, text) = shelf.asked(method, path, body).await.unwrap();
            let mut seen = ground.lines.lock().unwrap();
            seen.push(format!(
                "{method} {path}: {status} {} {}",
                text.len(),
                &text[..text.len().min(80)]
            ));
        }
        let seen = ground.lines();
        static FIRST: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
        assert_eq!(FIRST.get_or_init(|| seen.clone()), &seen, "{tier:?}");
        assert!(seen.iter().any(|line| line.starts_with("GET /long: 200 1000000 xxx")), "{seen:?}");
    }
}
