//! Functions that are built and applied at every change.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Stdio};

use crate::functions::UP;
use crate::lab::Lab;
use crate::running_node::Node;

/// `cairn fn dev` in a folder, and what it says.
struct Dev {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Dev {
    /// Of a program of the template, with this as its build.
    fn start(lab: &Lab, node: &Node, build: &str) -> Self {
        let through = lab.through(node);
        through.ok("fn new live --template wat");
        let manifest = std::fs::read_to_string(lab.path("live/cairn.toml")).unwrap();
        lab.write("live/cairn.toml", format!("{manifest}build = \"{build}\"\n"));
        let mut dev = through.cairn("fn dev");
        let dev = dev.current_dir(lab.path("live")).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = dev.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// What it says until it waits.
    fn waits(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        for line in self.said.by_ref().lines().map_while(Result::ok) {
            if line.contains("waiting for changes") {
                return said;
            }
            said.push(line);
        }
        panic!("it ended: {said:?}");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().unwrap_or(());
        drop(self.child.wait());
    }
}

fn times(said: &[String], what: &str) -> usize {
    said.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn a_build_that_writes_files_anew_is_not_done_without_end() {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let build = "date +%s%N > build-info.txt";
    let mut dev = Dev::start(&lab, &node, build);
    let said = dev.waits();
    assert_eq!(times(&said, &format!("live: {build}")), 3, "{said:?}");
    let taken = "builds in a row changed build-info.txt: taken as made by the build";
    assert_eq!(times(&said, taken), 1, "{said:?}");
    let text = std::fs::read_to_string(lab.path("live/main.wat")).unwrap();
    for change in ["one", "two"] {
        // In one step, as editors do.
        lab.write("next.wat", format!("{text};; {change}\n"));
        std::fs::rename(lab.path("next.wat"), lab.path("live/main.wat")).unwrap();
        let said = dev.waits();
        assert_eq!((times(&said, build), times(&said, "taken")), (1, 0), "{said:?}");
    }
    // What builds make may be a person's as well.
    lab.write("live/build-info.txt", "mine");
    assert!(times(&dev.waits(), build) >= 1);
}

#[test]
fn what_is_saved_while_it_is_built_is_built_again() {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let build = "test -e ../saved || { touch ../saved; echo ';; saved' >> main.wat; }";
    let mut dev = Dev::start(&lab, &node, build);
    let said = dev.waits();
    assert_eq!((times(&said, "live: test"), times(&said, "taken")), (2, 0), "{said:?}");
}
