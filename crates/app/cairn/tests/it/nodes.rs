//! Several nodes on one bucket (BUCKET-2): nothing that a node keeps in memory is the truth.

use cairn_testkit::store::{Kind, Server};

use crate::lab::Lab;
use crate::process::until;
use crate::running_node::Node;
use crate::tree::{Rng, Tree};

#[test]
fn what_one_node_takes_another_gives() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let direct = Lab::on(&server, "p");
    let first = Node::start(&direct);
    let second = first.beside(&direct);
    let labs = [direct.through(&first), direct.through(&second)];
    let mut rng = Rng(91);
    let mut tree = Tree::random(&mut rng, 40);
    tree.write(&direct.path("src"));
    for round in 0..6 {
        let (taking, giving) = (&labs[round % 2], &labs[(round + 1) % 2]);
        taking.ok(&format!("push src d:v{round} d:latest"));
        giving.assert_version(&format!("d:v{round}"), &tree);
        giving.assert_version("d:latest", &tree);
        assert_eq!(giving.tags("d").len(), round + 2);
        let before = tree.clone();
        tree.change(&mut rng);
        tree.write_over(&before, &direct.path("src"));
    }
    // Tokens and grants are in the bucket, too.
    let token = labs[0].json("token create bob")[0]["token"].as_str().unwrap().to_owned();
    labs[0].ok("grant add bob reader d");
    let bob = labs[1].with("CAIRN_TOKEN", &token);
    until("the other node to know the token", || (bob.run("ls d").code == Some(0)).then_some(()));
    bob.fails("push src d:bob", 4);
    first.kill();
    labs[1].verify();
    assert_eq!(second.stop().code, Some(0));
}

#[test]
fn pushes_through_two_nodes_to_one_tag_all_count() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let direct = Lab::on(&server, "p");
    let first = Node::start(&direct);
    let second = first.beside(&direct);
    let labs = [direct.through(&first), direct.through(&second)];
    let trees: Vec<Tree> = (0..6).map(|seed| Tree::random(&mut Rng(92 + seed), 20)).collect();
    for (index, tree) in trees.iter().enumerate() {
        tree.write(&direct.path(&format!("src{index}")));
    }
    let pushes: Vec<_> = (0..trees.len())
        .map(|index| labs[index % 2].start(&format!("push src{index} d:same d:own{index}")))
        .collect();
    let collections: Vec<_> = labs.iter().map(|lab| lab.start("gc --grace 0s")).collect();
    for running in pushes.into_iter().chain(collections) {
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    assert_eq!(labs[0].json("log d:same").len(), trees.len());
    for (index, tree) in trees.iter().enumerate() {
        labs[(index + 1) % 2].assert_version(&format!("d:own{index}"), tree);
    }
    assert_eq!(labs[0].ok("log d:same"), labs[1].ok("log d:same"));
    direct.verify();
}
