//! What functions are asked and answer.

use cairn_wasm::{HttpFunction, Limits, Reuse, World};

use crate::lab::{code, function, get, hello, post, world};

#[tokio::test]
async fn a_function_answers() {
    let (hello, _) = function(Limits::default()).await;
    assert_eq!(get(&hello, "/a?b=c").await.unwrap(), (200, "hello /a?b=c\n".to_owned()));
    let body = "x".repeat(300_000);
    assert_eq!(post(&hello, "/echo", &body).await.unwrap(), (200, body));
}

#[tokio::test]
async fn each_request_has_a_fresh_instance_unless_it_is_reused() {
    let (fresh, _) = function(Limits::default()).await;
    for _ in 0..3 {
        assert_eq!(get(&fresh, "/seen").await.unwrap().1, "1\n");
    }
    let reuse = Reuse { requests: 2, ..Reuse::default() };
    let (reused, _) = function(Limits { reuse, ..Limits::default() }).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(get(&reused, "/seen").await.unwrap().1);
    }
    assert_eq!(seen, ["1\n", "2\n", "1\n", "2\n"]);
}

#[tokio::test]
async fn its_environment_is_what_was_given_and_nothing_of_the_node() {
    let (world, _) = world();
    let environment = vec![("NAME".to_owned(), "value".to_owned())];
    let world = World { environment, ..world };
    let function = HttpFunction::new(&code(hello()).await, Limits::default(), world).unwrap();
    assert_eq!(get(&function, "/environment").await.unwrap().1, "[(\"NAME\", \"value\")]\n");
}

#[tokio::test]
async fn what_it_writes_goes_to_its_log() {
    let (hello, kept) = function(Limits::default()).await;
    assert_eq!(get(&hello, "/log").await.unwrap().1, "written\n");
    assert_eq!(kept.lines(), ["stdout: to stdout", "stderr: to stderr"]);
}
