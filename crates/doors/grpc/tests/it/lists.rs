//! Lists and their pages.

use cairn_grpc::proto::dataset::v1::{
    self as api, CopyTag, HistoryRequest, ListDatasetsRequest, ListRequest, ListTagsRequest,
    LookupRequest, PublishRequest, entry, publish_request::What,
};
use tonic::Code;

use crate::support::{Server, dataset, target};

/// GRPC-2, defect 10 of the earlier system: its page tokens were ignored.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_2_every_list_has_pages() {
    let server = Server::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        server.fill(&format!("{name}:v1"), &[("x", name.as_bytes())]).await;
        server.fill(&format!("a:v-{name}"), &[("x", name.as_bytes())]).await;
        server.fill("a:moved", &[("x", name.as_bytes())]).await;
    }
    let mut client = server.datasets_as(Some(&server.root)).await;
    for page_size in [1, 2, 3, 5, 6, 1000] {
        let mut found = [Vec::new(), Vec::new(), Vec::new()];
        let mut page_token = String::new();
        loop {
            let project = "main".to_owned();
            let asked = ListDatasetsRequest { project, page_size, page_token };
            let page = client.list_datasets(asked).await.unwrap().into_inner();
            assert!(page.datasets.len() <= usize::try_from(page_size).unwrap());
            found[0].extend(page.datasets.into_iter().map(|one| one.dataset.unwrap().name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        loop {
            let asked = ListTagsRequest { dataset: Some(dataset("a")), page_size, page_token };
            let page = client.list_tags(asked).await.unwrap().into_inner();
            found[1].extend(page.tags.into_iter().map(|tag| tag.tag));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        loop {
            let target = Some(target("a:moved"));
            let asked = HistoryRequest { target, page_size, page_token };
            let page = client.history(asked).await.unwrap().into_inner();
            found[2].extend(page.versions.into_iter().map(|v| format!("{:?}", v.root)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found[0], ["a", "b", "c", "d", "e"]);
        assert_eq!(found[1], ["moved", "v-a", "v-b", "v-c", "v-d", "v-e", "v1"]);
        assert_eq!(found[2].len(), 5);
        found[2].dedup();
        assert_eq!(found[2].len(), 5);
    }
}

/// All pages of a directory are of the version that the first one was of, also when its tag moves.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_2_a_directory_is_listed_of_one_version() {
    let server = Server::start().await;
    let names: Vec<String> = (0..25).map(|number| format!("d/file{number:02}")).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    server.fill("data:v1", &files).await;
    let mut client = server.datasets_as(Some(&server.root)).await;
    let ask = |page_token: String| ListRequest {
        target: Some(target("data:v1")),
        path: b"d".to_vec().into(),
        page_size: 10,
        page_token,
    };
    let first = client.list(ask(String::new())).await.unwrap().into_inner();
    server.fill("data:v1", &[("d/other", b"other")]).await;
    let second = client.list(ask(first.next_page_token.clone())).await.unwrap().into_inner();
    let third = client.list(ask(second.next_page_token.clone())).await.unwrap().into_inner();
    assert_eq!(third.next_page_token, "");
    assert_eq!((&first.version, &first.version), (&second.version, &third.version));
    let listed = [first.entries, second.entries, third.entries].concat();
    assert_eq!(listed.len(), 25);
    for (entry, name) in listed.iter().zip(&names) {
        assert_eq!(entry.name, name.trim_start_matches("d/").as_bytes());
        assert_eq!((entry.kind(), entry.size, entry.mode), (entry::Kind::File, 8, 0o640));
        assert_eq!(entry.modified_at.unwrap().seconds, 1_700_000_000);
    }
    let anew = client.list(ask(String::new())).await.unwrap().into_inner();
    assert_eq!(anew.entries.len(), 1);
    // A token of another directory, and a version that is gone with its tag.
    let asked = ListRequest { path: Vec::new().into(), ..ask(first.next_page_token.clone()) };
    assert_eq!(client.list(asked).await.unwrap_err().code(), Code::InvalidArgument);
    let tag = cairn_datasets::Target {
        dataset: cairn_datasets::Dataset {
            project: "main".parse().unwrap(),
            name: "data".parse().unwrap(),
        },
        tag: "v1".parse().unwrap(),
    };
    cairn_datasets::Store::remove(&server.datasets, &tag).await.unwrap();
    server.fill("data:v1", &[("d/again", b"again")]).await;
    let gone = client.list(ask(first.next_page_token)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
    assert!(gone.message().contains("anew"), "{gone}");
    let file = ListRequest { path: b"d/again".to_vec().into(), ..ask(String::new()) };
    assert_eq!(client.list(file).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_looked_up_and_moved() {
    let server = Server::start().await;
    let pushed = server.fill("@team/data:v1", &[("a", b"one"), ("b/c", b"two")]).await;
    let version = pushed.version.unwrap();
    assert_eq!((version.files, version.bytes, version.by.as_str()), (2, 6, "root"));
    let mut client = server.datasets_as(Some(&server.root)).await;
    let copy = CopyTag { from: Some(target("@team/data:v1")), to: Some(target("@team/data")) };
    let copied = client.publish(PublishRequest { what: Some(What::Copy(copy)) }).await;
    assert_eq!(copied.unwrap().into_inner().version.unwrap().root, version.root);
    // `latest` is what an empty tag means.
    let latest = api::Target { project: "team".into(), name: "data".into(), tag: String::new() };
    let found = client.lookup(LookupRequest { target: Some(latest) }).await.unwrap().into_inner();
    let found = found.version.unwrap();
    assert_eq!((found.root, found.files), (version.root, 2));
    assert!(found.published_at.unwrap().seconds > 1_700_000_000);
    // Defect 10 of the earlier system: a missing tag was an internal error.
    for missing in ["@team/data:v9", "@team/nothing:v1", "data:v1"] {
        let asked = LookupRequest { target: Some(target(missing)) };
        let status = client.lookup(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{missing}: {status}");
    }
    let apart = CopyTag { from: Some(target("@team/data:v1")), to: Some(target("data:v1")) };
    let refused = client.publish(PublishRequest { what: Some(What::Copy(apart)) }).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}
