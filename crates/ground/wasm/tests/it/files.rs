//! Files that programs see, which know nothing but how to open them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cairn_wasm::{
    Body, Call, Code, Command, FileError, Files, Found, Limits, Listed, Outside, OutsideError,
    World, held, prepare, whole,
};

use crate::lab::{Kept, code, world};

/// Files by their paths.
struct Tree(BTreeMap<&'static str, &'static str>);

#[async_trait::async_trait]
impl Files for Tree {
    async fn find(&self, path: &str) -> Result<Found, FileError> {
        if path == "secret" {
            return Err(FileError::Denied);
        }
        if let Some(text) = self.0.get(path) {
            return Ok(Found::File(held(Bytes::from_static(text.as_bytes()))));
        }
        let below = format!("{path}/");
        let folder = path.is_empty() || self.0.keys().any(|key| key.starts_with(&below));
        if folder { Ok(Found::Folder) } else { Err(FileError::NotFound) }
    }

    // One name at a time, so that guests ask again and again.
    async fn list(&self, path: &str, after: Option<&str>) -> Result<Vec<Listed>, FileError> {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let names = self.0.keys().filter_map(|key| key.strip_prefix(&below));
        let listed = names.map(|rest| match rest.split_once('/') {
            Some((folder, _)) => Listed { name: folder.to_owned(), folder: true },
            None => Listed { name: rest.to_owned(), folder: false },
        });
        let next = listed.into_iter().find(|one| after.is_none_or(|after| *one.name > *after));
        Ok(next.into_iter().collect())
    }
}

/// Says what it is asked.
pub(crate) struct Echo;

#[async_trait::async_trait]
impl Outside for Echo {
    async fn send(&self, asked: http::Request<Body>) -> Result<http::Response<Body>, OutsideError> {
        let status = match asked.uri().path() {
            "/missing" => 404,
            "/broken" => 500,
            "/elsewhere" => return Err(OutsideError::Denied("not there".to_owned())),
            _ => 200,
        };
        let text = format!("{} {}", asked.method(), asked.uri());
        Ok(http::Response::builder().status(status).body(whole(text.into())).unwrap())
    }
}

fn given() -> (World, Arc<Kept>) {
    let files =
        [("notes/a.txt", "alpha"), ("notes/b/c.txt", "gamma"), ("notes/d.txt", "delta"), ("x", "")];
    let (world, kept) = world();
    let (files, outside) = (Arc::new(Tree(files.into())), Arc::new(Echo));
    (World { files, outside, ..world }, kept)
}

async fn uppercase() -> Code {
    static BUILT: OnceLock<Bytes> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let module = cairn_testkit::guests::c("uppercase").unwrap();
        prepare(&std::fs::read(module).unwrap()).unwrap().component
    });
    code(built.clone()).await
}

/// What the program writes with these arguments, and what it says when it fails.
async fn ran(arguments: &[&str], inputs: &[&'static str]) -> (String, String) {
    let (world, kept) = given();
    let arguments = [&["uppercase"], arguments].concat();
    let call = Call {
        arguments: arguments.into_iter().map(str::to_owned).collect(),
        inputs: inputs.iter().map(|text| held(Bytes::from_static(text.as_bytes()))).collect(),
        ..Call::default()
    };
    let command = Command::new(&uppercase().await, Limits::default(), world).unwrap();
    let done = command.run(call).await.unwrap();
    assert_eq!(done.exit == 0, kept.lines().is_empty(), "{:?}", kept.lines());
    (String::from_utf8(done.output.to_vec()).unwrap(), kept.lines().concat())
}

#[tokio::test]
async fn a_program_reads_its_inputs_and_writes_its_output_as_files() {
    for (arguments, expected) in [
        (&["api://output", "api://input"][..], "FIRST"),
        (&["api://output", "api://input/0", "api://input/1"], "FIRSTSECOND"),
        (&["/api/output", "/api/input/1", "/api/input"], "SECONDFIRST"),
        (&["/api/output", "/api"], "./\n../\ninput\noutput\n"),
    ] {
        let (output, said) = ran(arguments, &["first", "second"]).await;
        assert_eq!((output.as_str(), said.as_str()), (expected, ""), "{arguments:?}");
    }
    let (_, said) = ran(&["api://output", "api://input/2"], &["first", "second"]).await;
    assert!(said.contains("api://input/2: No such file or directory"), "{said}");
}

#[tokio::test]
async fn a_program_reads_what_its_world_gives_and_what_others_serve() {
    for (from, expected) in [
        ("data://notes/a.txt", "ALPHA"),
        ("/data/notes/b/c.txt", "GAMMA"),
        ("/data/notes/b/../d.txt", "DELTA"),
        ("data://x", ""),
        ("/data", "./\n../\nnotes/\nx\n"),
        ("data://notes", "./\n../\na.txt\nb/\nd.txt\n"),
        ("https://example.org/a/b?c=d", "GET HTTPS://EXAMPLE.ORG/A/B?C=D"),
        ("http://example.org:81/", "GET HTTP://EXAMPLE.ORG:81/"),
    ] {
        let (output, said) = ran(&["api://output", from], &[]).await;
        assert_eq!((output.as_str(), said.as_str()), (expected, ""), "{from}");
    }
}

#[tokio::test]
async fn what_is_not_given_is_not_there() {
    for (to, from, why) in [
        ("api://output", "data://missing", "No such file or directory"),
        ("api://output", "data://secret", "Permission denied"),
        ("api://output", "data://notes/../../etc/passwd", "not permitted"),
        ("api://output", "/etc/passwd", "Capabilities insufficient"),
        ("api://output", "https://example.org/missing", "No such file or directory"),
        ("api://output", "https://example.org/broken", "status 500"),
        ("api://output", "https://example.org/elsewhere", "Permission denied"),
        ("data://notes/a.txt", "data://x", "Read-only file system"),
        ("data://notes/new", "data://x", "Read-only file system"),
        ("/tmp/new", "data://x", "Capabilities insufficient"),
    ] {
        let (_, said) = ran(&[to, from], &[]).await;
        assert!(said.contains(why), "{to} {from}: {said}");
    }
}
