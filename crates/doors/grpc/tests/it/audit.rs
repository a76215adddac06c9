//! ACCESS-6 at this door: what calls leave in the audit log.

use cairn_audit::{Filter, Line, Outcome};
use cairn_grpc::proto::dataset::v1::{
    CopyTag, LookupRequest, PublishRequest, PublishUpload, publish_request::What,
};
use futures::TryStreamExt as _;
use tonic::Request;

use crate::support::{Server, header, target};

/// All lines of the log, as `CALLER ACTION RESOURCE OUTCOME DETAIL`.
async fn told(server: &Server) -> Vec<String> {
    let log = server.access.audit().log().clone();
    let batches: Vec<_> =
        log.read(0, Filter::default()).await.unwrap().try_collect().await.unwrap();
    let lines = batches.into_iter().flat_map(|batch| batch.lines);
    let told = lines.map(|line| match line {
        Line::Entry(entry) => {
            let record = entry.record;
            let (caller, action) = (record.caller.to_string(), record.action.to_string());
            let (about, detail) = (record.resource.to_string(), record.detail.to_string());
            format!("{caller} {action} {about} {} {detail}", record.outcome)
        }
        Line::Gap(gap) => panic!("{gap:?}"),
    });
    told.collect()
}

/// A change is in the log when it is acknowledged: nothing is committed here before it is read.
#[tokio::test(flavor = "multi_thread")]
async fn access_6_what_publishes_is_recorded_before_it_is_acknowledged() {
    let server = Server::start().await;
    let begins = |lines: &[String], with: &str| lines.iter().any(|line| line.starts_with(with));
    let pushed = server.fill("data:v1", &[("a", b"a")]).await;
    let root = pushed.version.unwrap().root;
    let hex = cairn_chunk::ChunkId(root.as_ref().try_into().unwrap()).to_string();
    let lines = told(&server).await;
    let published = format!("root write_dataset @main/data changed published {hex} as");
    assert!(begins(&lines, &published), "{lines:#?}");
    assert!(begins(&lines, "root write_dataset @main/data allowed"), "{lines:#?}");

    let (_, writer) = server.user("writer", &["writer data"]).await;
    let mut datasets = server.datasets_as(Some(&writer)).await;
    let copy = CopyTag { from: Some(target("data:v1")), to: Some(target("data:v2")) };
    datasets.publish(PublishRequest { what: Some(What::Copy(copy)) }).await.unwrap();
    let lines = told(&server).await;
    assert!(begins(&lines, "writer write_dataset @main/data changed v2 is data:v1,"), "{lines:#?}");

    let mut blocks = server.blocks_as(Some(&writer)).await;
    let targets = vec![target("data:v3")];
    let begun = cairn_grpc::proto::block::v1::BeginRequest { targets };
    let upload = blocks.begin(begun).await.unwrap().into_inner().upload;
    let what = PublishUpload { upload, root, ..PublishUpload::default() };
    datasets.publish(PublishRequest { what: Some(What::Upload(what)) }).await.unwrap();
    let lines = told(&server).await;
    let published = format!("writer write_dataset @main/data changed published {hex} as");
    assert!(begins(&lines, &published), "{lines:#?}");

    // What fails is told too: a push that breaks off.
    let messages = futures::stream::iter([header(&["data:v4"]), header(&["data:v4"])]);
    assert!(datasets.push(messages).await.is_err());
    server.pushes_have_ended().await;
    crate::support::soon(async {
        while !begins(&told(&server).await, "writer write_dataset @main/data failed") {
            server.access.audit().commit().await.unwrap();
        }
    })
    .await;
}

/// What is refused before a caller is known, and what only reads, is recorded as at every door.
#[tokio::test(flavor = "multi_thread")]
async fn access_6_refusals_and_reads_are_recorded() {
    let server = Server::start().await;
    server.fill("data:v1", &[("a", b"a")]).await;
    let (_, reader) = server.user("reader", &["reader data"]).await;
    let asked = || LookupRequest { target: Some(target("data:v1")) };
    server.datasets_as(Some(&reader)).await.lookup(asked()).await.unwrap();
    let mut nobody = server.datasets_as(None).await;
    assert!(nobody.lookup(asked()).await.is_err());
    let mut twice = Request::new(asked());
    twice.metadata_mut().append("authorization", "Bearer a".parse().unwrap());
    twice.metadata_mut().append("authorization", "Bearer b".parse().unwrap());
    assert!(nobody.lookup(twice).await.is_err());
    server.access.audit().commit().await.unwrap();
    let lines = told(&server).await;
    for (who, outcome) in [("reader", Outcome::Allowed), ("anonymous", Outcome::Denied)] {
        let told = format!("{who} read_dataset @main/data {outcome}");
        assert!(lines.iter().any(|line| line.starts_with(&told)), "{told}: {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.contains("authenticate  refused")), "{lines:#?}");
}
