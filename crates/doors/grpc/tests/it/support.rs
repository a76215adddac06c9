//! A door to test against.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_access::{Access, Grant, Plain, PrincipalName, TokenId, TokenSpec};
use cairn_bucket::Bucket;
use cairn_datasets::{Datasets, Uploads};
use cairn_env::Env;
use cairn_grpc::proto::block::v1::block_api_client::BlockApiClient;
use cairn_grpc::proto::dataset::v1::dataset_api_client::DatasetApiClient;
use cairn_grpc::proto::dataset::v1::{
    Dataset, PushHeader, PushRequest, PushResponse, Target, push_request::Part,
};
use cairn_grpc::proto::function::v1::function_api_client::FunctionApiClient;
use cairn_grpc::proto::kv::v1::kv_api_client::KvApiClient;
use cairn_grpc::proto::kv::v1::{CreateNamespaceRequest, Namespace};
use cairn_grpc::{Door, Options};
use cairn_kv::Kv;
use cairn_partition::MemoryStore;
use tokio::sync::watch;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) datasets: Datasets,
    pub(crate) uploads: Uploads,
    pub(crate) kv: Kv,
    pub(crate) access: Access,
    pub(crate) root: String,
    pub(crate) stop: watch::Sender<bool>,
}

/// Shows a token, or none.
#[derive(Clone)]
pub(crate) struct Shows(pub(crate) Option<String>);

impl Interceptor for Shows {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

pub(crate) type Caller = InterceptedService<Channel, Shows>;

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Duration::from_secs(30)).await
    }

    pub(crate) async fn without_keys() -> Self {
        Self::set(Duration::from_secs(30), false).await
    }

    /// A server that waits for a client no longer than this.
    pub(crate) async fn with(body_wait: Duration) -> Self {
        Self::set(body_wait, true).await
    }

    async fn set(body_wait: Duration, keys: bool) -> Self {
        let env = Env::real();
        let bucket = Bucket::memory(&env);
        let options = cairn_blocks::Options::default();
        let datasets = Datasets::open_or_init(bucket.clone(), None, options, &env).await.unwrap();
        let (access, first) =
            Access::bootstrap(bucket, env.clone(), Arc::new(Plain)).await.unwrap();
        let root = first.unwrap().token.expose().to_owned();
        let uploads = Uploads::new(datasets.clone());
        let (stop, stopped) = watch::channel(false);
        let options = Options { body_wait, stopped: Some(stopped) };
        let kv = Kv::new(Arc::new(MemoryStore::new(&env)), &datasets);
        let keys = keys.then(|| kv.clone());
        let door =
            Door::new(datasets.clone(), uploads.clone(), (keys, None), access.clone(), options)
                .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        env.spawn.task(Box::pin(async move {
            axum::serve(listener, door.router()).await.unwrap();
        }));
        Self { address, datasets, uploads, kv, access, root, stop }
    }

    /// A principal with a token, and grants written as `ROLE PATTERN`.
    pub(crate) async fn user(&self, name: &str, grants: &[&str]) -> (TokenId, String) {
        let principal: PrincipalName = name.parse().unwrap();
        self.access.create_principal(&principal).await.unwrap();
        for grant in grants {
            let (role, pattern) = grant.split_once(' ').unwrap();
            let (subject, role) = (name.parse().unwrap(), role.parse().unwrap());
            let grant = Grant { subject, role, pattern: pattern.parse().unwrap() };
            self.access.add_grant(&grant).await.unwrap();
        }
        let spec = TokenSpec::api(principal, "test".parse().unwrap());
        let made = self.access.create_token(spec).await.unwrap();
        (made.info.id.clone(), made.token.expose().to_owned())
    }

    pub(crate) async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Channel::from_shared(uri).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn datasets_as(&self, token: Option<&str>) -> DatasetApiClient<Caller> {
        let shows = Shows(token.map(str::to_owned));
        DatasetApiClient::with_interceptor(self.channel().await, shows)
    }

    pub(crate) async fn blocks_as(&self, token: Option<&str>) -> BlockApiClient<Caller> {
        let shows = Shows(token.map(str::to_owned));
        BlockApiClient::with_interceptor(self.channel().await, shows)
    }

    pub(crate) async fn functions_as(&self, token: Option<&str>) -> FunctionApiClient<Caller> {
        let shows = Shows(token.map(str::to_owned));
        FunctionApiClient::with_interceptor(self.channel().await, shows)
    }

    pub(crate) async fn keys_as(&self, token: Option<&str>) -> KvApiClient<Caller> {
        let shows = Shows(token.map(str::to_owned));
        KvApiClient::with_interceptor(self.channel().await, shows)
            .max_decoding_message_size(64 << 20)
            .max_encoding_message_size(usize::MAX)
    }

    /// A client of root, and the namespace `carts`.
    pub(crate) async fn with_carts(&self) -> KvApiClient<Caller> {
        let mut client = self.keys_as(Some(&self.root)).await;
        let namespace = Some(carts());
        let asked = CreateNamespaceRequest { namespace, ..CreateNamespaceRequest::default() };
        client.create_namespace(asked).await.unwrap();
        client
    }

    /// Waits until nobody writes to the bucket, also those whose callers are gone.
    pub(crate) async fn pushes_have_ended(&self) {
        let blocks = self.datasets.blocks();
        blocks.refresh().await.unwrap();
        while blocks.usage().sessions > 0 {
            tokio::task::yield_now().await;
            blocks.refresh().await.unwrap();
        }
    }

    /// Pushes files as a tar, as root.
    pub(crate) async fn fill(&self, to: &str, files: &[(&str, &[u8])]) -> PushResponse {
        let mut client = self.datasets_as(Some(&self.root)).await;
        let messages = push_messages(&[to], &tar(files));
        client.push(futures::stream::iter(messages)).await.unwrap().into_inner()
    }
}

/// What must come by itself; a test that would wait for ever fails instead.
pub(crate) async fn soon<T>(comes: impl Future<Output = T>) -> T {
    let wait = Duration::from_secs(60);
    tokio::time::timeout(wait, Box::pin(comes)).await.expect("it does not come")
}

pub(crate) fn target(text: &str) -> Target {
    let reference: cairn_base::Reference = text.parse().unwrap();
    Target {
        project: reference.project.to_string(),
        name: reference.name.to_string(),
        tag: reference.tag_or_latest().to_string(),
    }
}

pub(crate) fn carts() -> Namespace {
    Namespace { project: String::new(), name: "carts".to_owned() }
}

pub(crate) fn dataset(name: &str) -> Dataset {
    Dataset { project: String::new(), name: name.to_owned() }
}

pub(crate) fn header(to: &[&str]) -> PushRequest {
    let targets = to.iter().map(|to| target(to)).collect();
    let header = PushHeader { targets, ..PushHeader::default() };
    PushRequest { part: Some(Part::Header(header)) }
}

pub(crate) fn data(bytes: &[u8]) -> PushRequest {
    PushRequest { part: Some(Part::Data(Bytes::copy_from_slice(bytes))) }
}

/// A push of an archive in small pieces.
pub(crate) fn push_messages(to: &[&str], archive: &[u8]) -> Vec<PushRequest> {
    std::iter::once(header(to)).chain(archive.chunks(10_000).map(data)).collect()
}

pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_700_000_000);
        header.set_uid(1000);
        header.set_gid(1000);
        // By hand, for a builder does not write a path that climbs.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Bytes that do not repeat and do not compress.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}
