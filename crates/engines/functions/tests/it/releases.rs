//! Deploying, switching, removing.

use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_functions::{Auth, Call, Error, Limits, RELEASES_KEPT, Settings, State};
use cairn_kv::{Error as KvError, Namespace};
use futures::SinkExt as _;
use http_body_util::BodyExt as _;

use crate::lab::{COMMAND, Lab, USELESS, function, hello};

async fn numbers(lab: &Lab, name: &str) -> Vec<u32> {
    let all = lab.functions.releases(&function(name)).await.unwrap();
    all.iter().map(|release| release.number).collect()
}

/// FUNCTIONS-2: a switch is seen by the next call.
#[tokio::test]
async fn functions_2_the_newest_release_answers_until_another_is_chosen() {
    let lab = Lab::new().await;
    let of = function("greeter");
    assert_eq!(lab.deployed("greeter", &hello()).await, 1);
    lab.functions
        .add_route(&of, (&"/{*p}".parse().unwrap(), None), Auth::None, "root")
        .await
        .unwrap();
    assert_eq!(lab.get("x.org/a").await, "hello /a\n");
    let settings = Settings {
        environment: [("WHO".to_owned(), "two".to_owned())].into(),
        ..Settings::default()
    };
    let second = lab.functions.deploy(&of, hello(), &settings, "root").await.unwrap();
    lab.functions.decided(&of, second.number, Duration::from_secs(60)).await.unwrap();
    assert_eq!(lab.get("x.org/environment").await, "[(\"WHO\", \"two\")]\n");
    lab.functions.switch(&of, 1).await.unwrap();
    assert_eq!(lab.get("x.org/environment").await, "[]\n");
    let info = lab.functions.function(&of).await.unwrap();
    assert_eq!((info.current, info.newest), (Some(1), 2));
    assert_eq!(numbers(&lab, "greeter").await, [2, 1]);
    let missing = lab.functions.switch(&of, 3).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

/// FUNCTIONS-3: it is kept, and says why.
#[tokio::test]
async fn functions_3_what_cannot_be_compiled_never_answers() {
    let lab = Lab::new().await;
    let of = function("f");
    lab.deployed("f", COMMAND).await;
    let failed = lab.deploy("f", USELESS).await.unwrap();
    let State::Failed { why } = &failed.state else { panic!("{failed:?}") };
    assert!(why.contains("exports nothing"), "{why}");
    assert_eq!(lab.functions.function(&of).await.unwrap().current, Some(1));
    let refused = lab.functions.switch(&of, 2).await.unwrap_err();
    assert!(matches!(refused, Error::NotReady { .. }), "{refused}");
    let refused = lab.deploy("f", b"no wasm").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let limits = Limits { cpu_ms: u64::MAX, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let code = Bytes::from_static(COMMAND);
    let refused = lab.functions.deploy(&of, code, &settings, "root").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(numbers(&lab, "f").await, [2, 1]);
}

#[tokio::test]
async fn functions_3_a_node_that_comes_after_compiles_what_was_left() {
    let mut lab = Lab::new().await;
    let of = function("f");
    let code = Bytes::from_static(COMMAND);
    lab.functions.deploy(&of, code, &Settings::default(), "root").await.unwrap();
    lab.restart();
    lab.functions.read().await.unwrap();
    let release = lab.functions.decided(&of, 1, Duration::from_secs(60)).await.unwrap();
    assert_eq!(release.state, State::Ready { kind: "command".to_owned() });
    let done = lab.functions.run(&of, Call::default()).await.unwrap();
    assert_eq!(done.exit, 0);
}

#[tokio::test]
async fn old_releases_go_and_their_code_with_the_last() {
    let lab = Lab::new().await;
    for _ in 0..RELEASES_KEPT + 3 {
        lab.deployed("f", COMMAND).await;
    }
    let newest = u32::try_from(RELEASES_KEPT + 3).unwrap();
    let kept: Vec<u32> = (3..=newest).rev().collect();
    assert_eq!(numbers(&lab, "f").await, kept);
    lab.deployed("g", COMMAND).await;
    assert_eq!(lab.functions.list(&"main".parse().unwrap()).await.unwrap().len(), 2);
    lab.functions.remove(&function("f"), false).await.unwrap();
    // Another one has the same code.
    lab.functions.run(&function("g"), Call::default()).await.unwrap();
    lab.functions.remove(&function("g"), false).await.unwrap();
    let gone = lab.functions.run(&function("g"), Call::default()).await.unwrap_err();
    assert!(matches!(gone, Error::NoFunction { .. }), "{gone}");
    assert_eq!(lab.functions.list(&"main".parse().unwrap()).await.unwrap(), []);
    let own = lab.kv.of_engines();
    let of =
        Namespace { project: "main".parse().unwrap(), name: "cairn.functions".parse().unwrap() };
    let page = own.scan(&of, &cairn_kv::Scan::of(cairn_kv::KeyRange::all())).await.unwrap();
    assert_eq!(page.entries, []);
}

#[tokio::test]
async fn kv_2_no_door_reaches_what_functions_are_kept_in() {
    let lab = Lab::new().await;
    lab.deployed("f", COMMAND).await;
    let of =
        Namespace { project: "main".parse().unwrap(), name: "cairn.functions".parse().unwrap() };
    assert!(matches!(lab.kv.status(&of).await, Err(KvError::Own { .. })));
    assert!(matches!(lab.kv.remove(&of).await, Err(KvError::Own { .. })));
    assert_eq!(lab.kv.list(&of.project).await.unwrap(), []);
}

#[tokio::test]
async fn where_nothing_was_deployed_there_is_nothing() {
    let lab = Lab::new().await;
    let project = "main".parse().unwrap();
    assert_eq!(lab.functions.list(&project).await.unwrap(), []);
    assert_eq!(lab.functions.routes(&project).await.unwrap(), []);
    let missing = lab.functions.run(&function("f"), Call::default()).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_went_wrong_is_in_the_functions_own_log() {
    let lab = Lab::new().await;
    let of = function("f");
    lab.deployed("f", &hello()).await;
    lab.functions
        .add_route(&of, (&"/{*p}".parse().unwrap(), None), Auth::None, "root")
        .await
        .unwrap();
    let told = lab.get("x.org/panic").await;
    assert!(told.starts_with("@main/f: it trapped"), "{told}");
    let lines = lab.functions.logs(&of, (None, 0), Duration::ZERO).await.unwrap().0;
    let text: Vec<_> = lines.iter().map(|line| format!("{} {}", line.stream, line.text)).collect();
    assert!(
        text.iter().any(|line| line.contains("stderr") && line.contains("on purpose")),
        "{text:?}"
    );
    assert!(text.iter().any(|line| line.starts_with("cairn it trapped")), "{text:?}");
    let counted = lab.functions.counted();
    assert_eq!((counted[0].calls, counted[0].failures), (1, 1));
}

/// A function that is removed while it runs answers what it was asked, and nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn functions_2_a_call_outlives_its_function() {
    let lab = Lab::new().await;
    lab.deployed("hello", &hello()).await;
    let (mut send, rest) = futures::channel::mpsc::channel::<Result<_, std::io::Error>>(0);
    let part = |text: &'static str| Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes())));
    let body = cairn_wasm::streamed(http_body_util::StreamBody::new(rest));
    let asked = http::Request::post("http://hello/echo").body(body).unwrap();
    let hello = function("hello");
    let reached = lab.functions.reach(&hello).await.unwrap();
    let running = async {
        let answered = lab.functions.request_to(&reached, asked).await.unwrap();
        answered.into_body().collect().await.unwrap().to_bytes()
    };
    let meanwhile = async {
        // The second part is taken when it has read the first.
        send.send(part("begun, ")).await.unwrap();
        send.send(part("told more, ")).await.unwrap();
        lab.functions.remove(&hello, false).await.unwrap();
        let late = http::Request::get("http://hello/");
        let late = late.body(cairn_wasm::whole(Bytes::new())).unwrap();
        let told = lab.functions.request(&hello, late).await.err().unwrap();
        assert!(matches!(told, Error::NoFunction { .. }), "{told}");
        send.send(part("and ended")).await.unwrap();
        drop(send);
    };
    let (answered, ()) = futures::join!(running, meanwhile);
    assert_eq!(answered, "begun, told more, and ended");
}
