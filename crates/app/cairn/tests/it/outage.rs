//! A store that dies in the middle of the work, and comes back (BUCKET-1, BUCKET-6, DATASETS-3).

use cairn_testkit::store::{Kind, Server};

use crate::lab::Lab;
use crate::process::{files_below, until};
use crate::running_node::Node;
use crate::tree::{Rng, Tree};

const MIB: usize = 1 << 20;

/// Waits for the work to be under way, and takes the store away for a moment in the middle of it.
fn interrupt<T>(server: &mut Server, what: &str, begun: impl Fn() -> Option<T>) {
    until(what, begun);
    server.kill();
    server.restart().unwrap();
}

fn packs(lab: &Lab, least: usize) -> Option<()> {
    (files_below(&lab.bucket().join("packs")).len() >= least).then_some(())
}

#[test]
fn a_push_and_a_pull_outlive_their_store() {
    let mut server = Server::start(Kind::Versitygw).unwrap();
    let lab = Lab::on(&server, "p");
    let tree = Tree::noise(&mut Rng(81), &[10 * MIB; 8]);
    tree.write(&lab.path("src"));
    let push = lab.start("push src d:v1");
    interrupt(&mut server, "the first packs", || packs(&lab, 2));
    let ended = push.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    lab.verify();

    let pull = lab.start("pull d:v1 to");
    interrupt(&mut server, "the first files", || {
        (files_below(&lab.path("to")).len() > 1).then_some(())
    });
    let ended = pull.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    Tree::read(&lab.path("to")).assert_same(&tree, "d:v1");
}

#[test]
fn a_push_through_a_node_outlives_the_store() {
    let mut server = Server::start(Kind::Versitygw).unwrap();
    let direct = Lab::on(&server, "p");
    let node = Node::start(&direct);
    let lab = direct.through(&node);
    let tree = Tree::noise(&mut Rng(82), &[10 * MIB; 8]);
    tree.write(&lab.path("src"));
    let push = lab.start("push src d:v1");
    interrupt(&mut server, "the first packs", || packs(&lab, 2));
    let ended = push.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    lab.assert_version("d:v1", &tree);
    assert_eq!(node.stop().code, Some(0));
    direct.verify();
}

/// The store is killed again and again, at moments that nobody chose. What was acknowledged is there,
/// and no push that was not is there by half.
#[test]
fn a_store_that_keeps_dying_loses_nothing_acknowledged() {
    let mut server = Server::start(Kind::Versitygw).unwrap();
    let lab = Lab::on(&server, "p");
    let mut rng = Rng(83);
    let mut tree = Tree::random(&mut rng, 60);
    tree.write(&lab.path("src"));
    lab.ok("push src d:v0");
    let mut pushed = vec![tree.clone()];
    for round in 1..=12 {
        let before = tree.clone();
        tree.change(&mut rng);
        tree.write_over(&before, &lab.path("src"));
        let push = lab.start(&format!("push src d:v{round}"));
        let moment = std::time::Duration::from_millis(rng.next() % 120);
        let ended = push
            .meanwhile(moment, || {
                server.kill();
                server.restart().unwrap();
            })
            .end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        pushed.push(tree.clone());
        if round % 3 == 0 {
            lab.ok("gc --grace 0s");
        }
    }
    lab.verify();
    for (round, tree) in pushed.iter().enumerate() {
        lab.assert_version(&format!("d:v{round}"), tree);
    }
}
