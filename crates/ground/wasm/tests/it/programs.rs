//! Programs by the worlds of `cairn:compute`.

use bytes::Bytes;
use cairn_wasm::{Call, Command, Kind, Limits, held, prepare};

use crate::lab::{code, world};

/// The exit code, the output and the log of a sample.
async fn run(
    guest: &str,
    arguments: &[&str],
    inputs: &[&'static str],
    environment: &[(&str, &str)],
) -> (i32, String, String) {
    let module = std::fs::read(cairn_testkit::guests::rust(guest).unwrap()).unwrap();
    let code = code(prepare(&module).unwrap().component).await;
    assert_eq!(code.kind(), Kind::Command);
    let (world, kept) = world();
    let call = Call {
        arguments: [&["f"], arguments].concat().into_iter().map(str::to_owned).collect(),
        inputs: inputs.iter().map(|text| held(Bytes::from_static(text.as_bytes()))).collect(),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Call::default()
    };
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let done = Command::new(&code, limits, world).unwrap().run(call).await.unwrap();
    (done.exit, String::from_utf8(done.output.to_vec()).unwrap(), kept.lines().concat())
}

fn well(output: &str) -> (i32, String, String) {
    (0, output.to_owned(), String::new())
}

#[tokio::test]
async fn a_transform_makes_an_output_of_an_input() {
    assert_eq!(run("capitals", &[], &["one two\n"], &[]).await, well("ONE TWO\n"));
    assert_eq!(run("capitals", &["words"], &["one two"], &[]).await, well("ONE\nTWO"));
    assert_eq!(run("capitals", &[], &[], &[]).await, well(""));
    let (exit, _, log) = run("capitals", &["x"], &["one"], &[]).await;
    assert!(exit == 1 && log.contains("stderr: it takes words or nothing"), "{exit} {log}");
}

#[tokio::test]
async fn a_reduction_makes_one_output_of_several_inputs() {
    let merged = run("merge", &[], &["a\nc\ne\n", "", "b\nc\nd"], &[]).await;
    assert_eq!(merged, well("a\nb\nc\nd\ne\n"));
    assert_eq!(run("merge", &[], &[], &[]).await, well(""));
}

#[tokio::test]
async fn what_a_schedule_calls_is_told_for_when() {
    let due = [
        ("HTTP_CAIRN_SCHEDULE", "nightly"),
        ("HTTP_CAIRN_TICK", "1700000000000"),
        ("HTTP_CAIRN_ATTEMPT", "2"),
    ];
    let told = run("diary", &[], &[], &due).await;
    assert_eq!(told, well("nightly at 1700000000000, attempt 2\n"));
    assert_eq!(run("diary", &[], &[], &[]).await, well("by hand\n"));
    let (exit, _, log) = run("diary", &["fail"], &[], &due).await;
    assert!(exit == 1 && log == "stderr: it was asked to fail", "{exit} {log}");
}

#[tokio::test]
async fn a_filter_decides_as_filters_write_it() {
    let asked = |path: &'static str, name: Option<&'static str>| {
        let mut environment = vec![("REQUEST_METHOD", "GET"), ("PATH_INFO", path)];
        environment.extend([("QUERY_STRING", "b=c"), ("GATEWAY_INTERFACE", "CGI/1.1")]);
        environment.extend(name.map(|name| ("HTTP_X_NAME", name)));
        environment
    };
    let decided = run("doorkeeper", &[], &[], &asked("/a", None)).await;
    assert_eq!(decided, well("Status: 204\r\n\r\n"));
    let expected = "Status: 204\r\ncairn-path: /a?from=me\r\ncairn-set-x-name: ME\r\n\r\n";
    assert_eq!(run("doorkeeper", &[], &[], &asked("/a", Some("me"))).await, well(expected));
    let expected =
        "Status: 403\r\ncontent-type: text/plain\r\n\r\nGET /private?b=c is not for you\n";
    assert_eq!(run("doorkeeper", &[], &[], &asked("/private", None)).await, well(expected));
    // What would be more than a value of a header stops the request.
    for (path, name, why) in
        [("/broken", None, "asked to fail"), ("/a", Some("x\r\ncairn-set-y: z"), "no header")]
    {
        let (exit, output, log) = run("doorkeeper", &[], &[], &asked(path, name)).await;
        assert!(exit == 1 && output.is_empty() && log.contains(why), "{exit} {output} {log}");
    }
}
