//! ACCESS-1 and ACCESS-2: who may call which RPC.

use std::collections::{BTreeMap, BTreeSet};

use cairn_grpc::proto::block::v1 as block;
use cairn_grpc::proto::dataset::v1::{
    self as api, CopyTag, PublishRequest, PublishUpload, publish_request::What,
};
use cairn_grpc::proto::function::v1 as proto;
use cairn_grpc::proto::kv::v1 as kv;
use cairn_grpc::{RPCS, described_paths};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Caller, Server, Shows, dataset, push_messages, tar, target};

/// What each RPC is, said a second time. One that is not here fails the test.
const CLASSES: &[(&str, &str)] = &[
    ("/cairn.dataset.v1.DatasetAPI/ListDatasets", "look"),
    ("/cairn.dataset.v1.DatasetAPI/ListTags", "read"),
    ("/cairn.dataset.v1.DatasetAPI/Lookup", "read"),
    ("/cairn.dataset.v1.DatasetAPI/History", "read"),
    ("/cairn.dataset.v1.DatasetAPI/List", "read"),
    ("/cairn.dataset.v1.DatasetAPI/Publish", "write"),
    ("/cairn.dataset.v1.DatasetAPI/Push", "write"),
    ("/cairn.dataset.v1.DatasetAPI/Follow", "read"),
    ("/cairn.block.v1.BlockAPI/Begin", "write"),
    ("/cairn.block.v1.BlockAPI/Missing", "upload"),
    ("/cairn.block.v1.BlockAPI/Upload", "upload"),
    ("/cairn.block.v1.BlockAPI/Keep", "upload"),
    ("/cairn.block.v1.BlockAPI/Abandon", "upload"),
    ("/cairn.block.v1.BlockAPI/Download", "read"),
    ("/cairn.kv.v1.KvAPI/ListNamespaces", "look"),
    ("/cairn.kv.v1.KvAPI/GetNamespace", "read"),
    ("/cairn.kv.v1.KvAPI/CreateNamespace", "write"),
    ("/cairn.kv.v1.KvAPI/ChangeNamespace", "write"),
    ("/cairn.kv.v1.KvAPI/RemoveNamespace", "write"),
    ("/cairn.kv.v1.KvAPI/Get", "read counted"),
    ("/cairn.kv.v1.KvAPI/Put", "write counted"),
    ("/cairn.kv.v1.KvAPI/Delete", "write counted"),
    ("/cairn.kv.v1.KvAPI/SetTtl", "write counted"),
    ("/cairn.kv.v1.KvAPI/Commit", "write counted"),
    ("/cairn.kv.v1.KvAPI/DeleteRange", "write counted"),
    ("/cairn.kv.v1.KvAPI/Scan", "read counted"),
    ("/cairn.kv.v1.KvAPI/Watch", "read"),
    ("/cairn.kv.v1.KvAPI/Write", "write counted"),
    ("/cairn.function.v1.FunctionAPI/Invoke", "call counted"),
    ("/cairn.function.v1.FunctionAPI/Begin", "call"),
    ("/cairn.function.v1.FunctionAPI/Get", "call"),
    ("/grpc.health.v1.Health/Check", "open"),
    ("/grpc.health.v1.Health/Watch", "open"),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "description"),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "description"),
];

/// The callers, in the order of the columns below.
const CALLERS: [&str; 7] = ["nobody", "bad", "revoked", "elsewhere", "reader", "writer", "root"];

/// What each caller gets.
fn expected(class: &str) -> [Code; 7] {
    use Code::{NotFound, Ok, PermissionDenied as Denied, Unauthenticated as Who, Unimplemented};
    match class {
        "open" => [Ok; 7],
        // Nobody has to say who asks; who does, must be right (ACCESS-2).
        "description" => [Ok, Who, Who, Ok, Ok, Ok, Ok],
        "look" | "read" | "read counted" => [Who, Who, Who, Denied, Ok, Ok, Ok],
        "write" | "write counted" => [Who, Who, Who, Denied, Denied, Ok, Ok],
        // This node has no functions, and says so to who may call them alone.
        "call" | "call counted" => [Who, Who, Who, Denied, Denied, Unimplemented, Unimplemented],
        // Somebody else's upload is none, whoever asks.
        "upload" => [Who, Who, Who, NotFound, NotFound, Ok, NotFound],
        other => panic!("no class {other}"),
    }
}

fn code<T>(answer: Result<T, tonic::Status>) -> Code {
    answer.err().map_or(Code::Ok, |status| status.code())
}

/// Calls one RPC with a message that is right for whoever may.
async fn call(server: &Server, path: &str, token: Option<&str>, upload: &str) -> Code {
    if let Some(rpc) = path.strip_prefix("/cairn.function.v1.FunctionAPI/") {
        return call_function(server, rpc, token).await;
    }
    if let Some(rpc) = path.strip_prefix("/cairn.kv.v1.KvAPI/") {
        return call_keys(server, rpc, token).await;
    }
    let mut datasets = server.datasets_as(token).await;
    let mut blocks = server.blocks_as(token).await;
    let (at, upload) = (Some(target("data:v1")), upload.to_owned());
    let ids = vec![vec![7; 32].into()];
    let listed = api::ListRequest { target: at.clone(), ..Default::default() };
    match path.rsplit_once('/').unwrap().1 {
        "ListDatasets" => code(datasets.list_datasets(api::ListDatasetsRequest::default()).await),
        "ListTags" => {
            let dataset = Some(dataset("data"));
            let asked = api::ListTagsRequest { dataset, ..Default::default() };
            code(datasets.list_tags(asked).await)
        }
        "Lookup" => code(datasets.lookup(api::LookupRequest { target: at }).await),
        "History" => {
            let asked = api::HistoryRequest { target: at, ..Default::default() };
            code(datasets.history(asked).await)
        }
        "List" => code(datasets.list(listed).await),
        "Publish" => {
            let copy = CopyTag { from: at, to: Some(target("data:copy")) };
            code(datasets.publish(PublishRequest { what: Some(What::Copy(copy)) }).await)
        }
        "Push" => {
            let messages = push_messages(&["data:pushed"], &tar(&[("a", b"a")]));
            code(datasets.push(futures::stream::iter(messages)).await)
        }
        "Follow" => {
            let followed = datasets.follow(api::FollowRequest { target: at }).await;
            match followed {
                Ok(stream) => code(stream.into_inner().message().await),
                Err(status) => status.code(),
            }
        }
        "Begin" => {
            let begun =
                blocks.begin(block::BeginRequest { targets: vec![target("data:up")] }).await;
            if let Ok(begun) = &begun {
                let upload = begun.get_ref().upload.clone();
                blocks.abandon(block::AbandonRequest { upload }).await.unwrap();
            }
            code(begun)
        }
        "Missing" => code(blocks.missing(block::MissingRequest { upload, ids }).await),
        "Keep" => code(blocks.keep(block::KeepRequest { upload }).await),
        "Abandon" => {
            let code = code(blocks.abandon(block::AbandonRequest { upload }).await);
            if code == Code::Ok { Code::Ok } else { code }
        }
        "Upload" => {
            let part = Some(block::upload_request::Part::Chunk(block::Chunk::default()));
            let messages = [block::UploadRequest { upload, part }];
            let answer = code(blocks.upload(futures::stream::iter(messages)).await);
            // It came to the handler, which does not take a chunk without an id.
            if answer == Code::InvalidArgument { Code::Ok } else { answer }
        }
        "Download" => {
            let file = block::File { tag: "v1".to_owned(), path: b"a".to_vec().into() };
            let asked = block::DownloadRequest {
                dataset: Some(dataset("data")),
                what: Some(block::download_request::What::File(file)),
                ..Default::default()
            };
            code(blocks.download(asked).await)
        }
        "Check" => code(health(server, token).await.check(HealthCheckRequest::default()).await),
        "Watch" => code(health(server, token).await.watch(HealthCheckRequest::default()).await),
        "ServerReflectionInfo" => reflect(server, path, token).await,
        other => panic!("{other} is not called by this test"),
    }
}

/// Calls one RPC of functions.
async fn call_function(server: &Server, rpc: &str, token: Option<&str>) -> Code {
    let mut client = server.functions_as(token).await;
    let named = proto::Function { project: String::new(), name: "data".to_owned() };
    let function = Some(named);
    match rpc {
        "Invoke" => {
            code(client.invoke(proto::InvokeRequest { function, ..Default::default() }).await)
        }
        "Begin" => code(client.begin(proto::BeginRequest { function, ..Default::default() }).await),
        _ => code(client.get(proto::GetRequest { function, ..Default::default() }).await),
    }
}

/// Calls one RPC of keys, on a namespace that is there.
async fn call_keys(server: &Server, rpc: &str, token: Option<&str>) -> Code {
    let mut client = server.keys_as(token).await;
    let name =
        cairn_kv::Namespace { project: "main".parse().unwrap(), name: "data".parse().unwrap() };
    match server.kv.create(&name, cairn_kv::Settings::default()).await {
        Ok(_) | Err(cairn_kv::Error::Exists { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let kept = cairn_kv::Commit::new().put("k", "v");
    server.kv.commit(&name, kept).await.unwrap();
    let namespace = Some(kv::Namespace { project: String::new(), name: "data".to_owned() });
    let key = bytes::Bytes::from_static(b"k");
    match rpc {
        "ListNamespaces" => {
            code(client.list_namespaces(kv::ListNamespacesRequest::default()).await)
        }
        "GetNamespace" => code(client.get_namespace(kv::GetNamespaceRequest { namespace }).await),
        "CreateNamespace" => {
            server.kv.remove(&name).await.unwrap();
            let asked = kv::CreateNamespaceRequest { namespace, ..Default::default() };
            code(client.create_namespace(asked).await)
        }
        "ChangeNamespace" => {
            let asked = kv::ChangeNamespaceRequest { namespace, settings: None };
            code(client.change_namespace(asked).await)
        }
        "RemoveNamespace" => {
            code(client.remove_namespace(kv::RemoveNamespaceRequest { namespace }).await)
        }
        "Get" => code(client.get(kv::GetRequest { namespace, key, at: None }).await),
        "Put" => {
            let asked = kv::PutRequest { namespace, key, ..Default::default() };
            code(client.put(asked).await)
        }
        "Delete" => {
            let asked = kv::DeleteRequest { namespace, key, ..Default::default() };
            code(client.delete(asked).await)
        }
        "SetTtl" => {
            code(client.set_ttl(kv::SetTtlRequest { namespace, key, ttl_ms: Some(60_000) }).await)
        }
        "Commit" => {
            code(client.commit(kv::CommitRequest { namespace, ..Default::default() }).await)
        }
        "DeleteRange" => {
            let asked = kv::DeleteRangeRequest { namespace, all: true, ..Default::default() };
            code(client.delete_range(asked).await)
        }
        "Scan" => {
            let asked = kv::ScanRequest { namespace, ..Default::default() };
            code(client.scan(asked).await)
        }
        "Watch" => {
            let asked = kv::WatchRequest { namespace, range: None, after: None };
            code(client.watch(asked).await)
        }
        "Write" => {
            let message = kv::WriteRequest { namespace, ..Default::default() };
            match client.write(futures::stream::iter([message])).await {
                Ok(answers) => code(answers.into_inner().message().await),
                Err(status) => status.code(),
            }
        }
        other => panic!("{other} is not called by this test"),
    }
}

async fn health(server: &Server, token: Option<&str>) -> HealthClient<Caller> {
    HealthClient::with_interceptor(server.channel().await, Shows(token.map(str::to_owned)))
}

async fn reflect(server: &Server, path: &str, token: Option<&str>) -> Code {
    macro_rules! listed {
        ($version:ident) => {{
            use tonic_reflection::pb::$version as pb;
            let asked = pb::ServerReflectionRequest {
                host: String::new(),
                message_request: Some(pb::server_reflection_request::MessageRequest::ListServices(
                    String::new(),
                )),
            };
            let shows = Shows(token.map(str::to_owned));
            let mut client = pb::server_reflection_client::ServerReflectionClient::with_interceptor(
                server.channel().await,
                shows,
            );
            let answer = client.server_reflection_info(futures::stream::iter([asked])).await;
            match answer {
                Ok(stream) => code(stream.into_inner().message().await),
                Err(status) => status.code(),
            }
        }};
    }
    if path.contains("v1alpha") { listed!(v1alpha) } else { listed!(v1) }
}

/// ACCESS-1, ACCESS-2: every RPC that is served, by every kind of caller. What is served comes from the
/// descriptors themselves, so that a new RPC without an entry fails.
#[tokio::test(flavor = "multi_thread")]
async fn access_1_every_rpc_asks_who_and_whether() {
    let classes: BTreeMap<&str, &str> = CLASSES.iter().copied().collect();
    let mut served = described_paths(cairn_grpc::proto::DESCRIPTORS).unwrap();
    for descriptors in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        served.extend(described_paths(descriptors).unwrap());
    }
    let declared: BTreeSet<String> = RPCS.iter().map(|rpc| rpc.path.to_owned()).collect();
    assert_eq!(served, declared);
    assert_eq!(served, classes.keys().map(|path| (*path).to_owned()).collect());

    let server = Server::start().await;
    server.fill("data:v1", &[("a", b"a")]).await;
    let (_, elsewhere) = server.user("elsewhere", &["admin @other/*"]).await;
    let (_, reader) = server.user("reader", &["reader data"]).await;
    let (_, writer) = server.user("writer", &["writer data"]).await;
    let (gone, revoked) = server.user("revoked", &["admin *"]).await;
    server.access.revoke_token(&gone).await.unwrap();
    let (most, last) = server.root.split_at(server.root.len() - 1);
    let bad = format!("{most}{}", if last == "x" { "y" } else { "x" });
    for rpc in RPCS {
        // ACCESS-9: what is counted is said a second time, too.
        assert_eq!(rpc.counted, classes[rpc.path].ends_with(" counted"), "{}", rpc.path);
        let codes = expected(classes[rpc.path]);
        for (caller, expected) in CALLERS.into_iter().zip(codes) {
            let token = match caller {
                "nobody" => None,
                "bad" => Some(bad.as_str()),
                "revoked" => Some(revoked.as_str()),
                "elsewhere" => Some(elsewhere.as_str()),
                "reader" => Some(reader.as_str()),
                "writer" => Some(writer.as_str()),
                _ => Some(server.root.as_str()),
            };
            let targets: Vec<cairn_datasets::Target> = vec![cairn_datasets::Target {
                dataset: cairn_datasets::Dataset {
                    project: "main".parse().unwrap(),
                    name: "data".parse().unwrap(),
                },
                tag: "up".parse().unwrap(),
            }];
            let upload = server.uploads.begin(&targets, "writer").await.unwrap().to_string();
            let found = call(&server, rpc.path, token, &upload).await;
            assert_eq!(found, expected, "{} by {caller}", rpc.path);
            let upload = cairn_datasets::UploadId::from_hex(&upload).unwrap();
            // The RPC that ends it may have done so.
            drop(server.uploads.abandon(upload, "writer").await);
        }
    }
}

/// A writer of one dataset neither copies from what it may not read nor publishes another's upload.
#[tokio::test(flavor = "multi_thread")]
async fn access_1_publishing_asks_for_both_sides() {
    let server = Server::start().await;
    server.fill("secret:v1", &[("a", b"a")]).await;
    server.fill("data:v1", &[("b", b"b")]).await;
    let (_, writer) = server.user("writer", &["writer data"]).await;
    let mut client = server.datasets_as(Some(&writer)).await;
    for (from, to, expected) in [
        ("secret:v1", "data:stolen", Code::PermissionDenied),
        ("data:v1", "secret:v1", Code::PermissionDenied),
        ("data:v1", "data:v2", Code::Ok),
    ] {
        let copy = CopyTag { from: Some(target(from)), to: Some(target(to)) };
        let answer = client.publish(PublishRequest { what: Some(What::Copy(copy)) }).await;
        assert_eq!(code(answer), expected, "{from} to {to}");
    }
    let mut root = server.blocks_as(Some(&server.root)).await;
    let targets = vec![target("data:v3")];
    let begun = root.begin(block::BeginRequest { targets }).await.unwrap().into_inner();
    let upload = PublishUpload {
        upload: begun.upload,
        root: vec![0; 32].into(),
        message: None,
        expires_at: None,
    };
    let what = What::Upload(upload.clone());
    let answer = client.publish(PublishRequest { what: Some(what) }).await;
    assert_eq!(code(answer), Code::NotFound);
    // Its owner is told that the tree is not there.
    let mut owner = server.datasets_as(Some(&server.root)).await;
    let refused = owner.publish(PublishRequest { what: Some(What::Upload(upload)) }).await;
    let refused = refused.unwrap_err();
    assert!(!matches!(refused.code(), Code::Ok | Code::Internal), "{refused}");
}

/// Lists show what the caller may read.
#[tokio::test(flavor = "multi_thread")]
async fn access_4_lists_are_filtered() {
    let server = Server::start().await;
    for name in ["a:v1", "b:v1", "c:v1"] {
        server.fill(name, &[("x", b"x")]).await;
    }
    let (_, reader) = server.user("reader", &["reader b"]).await;
    let mut client = server.datasets_as(Some(&reader)).await;
    let found = client.list_datasets(Request::new(api::ListDatasetsRequest::default())).await;
    let found = found.unwrap().into_inner();
    let names: Vec<String> =
        found.datasets.into_iter().map(|one| one.dataset.unwrap().name).collect();
    assert_eq!(names, ["b"]);
}
