//! An engine, guests and requests.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use cairn_access::{Access, Plain};
use cairn_bucket::Bucket;
use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_functions::{Error, Function, Functions, Match, Release, Settings, State, Tiers};
use cairn_kv::Kv;
use cairn_partition::MemoryStore;
use cairn_wasm::{Options, Runtime};
use cairn_worker::{Program, Workers};
use http_body_util::BodyExt as _;

/// The sample that answers requests.
pub(crate) fn hello() -> Bytes {
    static BUILT: OnceLock<Bytes> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        std::fs::read(cairn_testkit::guests::rust("hello").unwrap()).unwrap().into()
    });
    built.clone()
}

/// A program that does nothing.
pub(crate) const COMMAND: &[u8] =
    br#"(module (memory (export "memory") 1) (func (export "_start")))"#;
/// What is a component and nothing that can be run.
pub(crate) const USELESS: &[u8] = b"(component)";

pub(crate) struct Lab {
    pub(crate) env: Env,
    pub(crate) kv: Kv,
    pub(crate) datasets: Datasets,
    pub(crate) access: Access,
    pub(crate) functions: Functions,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let env = Env::real();
        let options = cairn_blocks::Options::default();
        let bucket = Bucket::memory(&env);
        let (access, _) =
            Access::bootstrap(bucket.clone(), env.clone(), Arc::new(Plain)).await.unwrap();
        let datasets = Datasets::open_or_init(bucket, None, options, &env).await.unwrap();
        let kv = Kv::new(Arc::new(MemoryStore::new(&env)), &datasets);
        let functions = engine(&kv, &datasets, &access, &env);
        Self { env, kv, datasets, access, functions }
    }

    /// Another node on the same, once this one is gone.
    pub(crate) fn restart(&mut self) {
        self.functions = engine(&self.kv, &self.datasets, &self.access, &self.env);
    }

    pub(crate) async fn deploy(&self, name: &str, code: &[u8]) -> Result<Release, Error> {
        let (function, code) = (function(name), Bytes::copy_from_slice(code));
        let settings = Settings::default();
        let release = self.functions.deploy(&function, code, &settings, "root").await?;
        self.functions.decided(&function, release.number, Duration::from_secs(60)).await
    }

    pub(crate) async fn deployed(&self, name: &str, code: &[u8]) -> u32 {
        let release = self.deploy(name, code).await.unwrap();
        assert!(matches!(release.state, State::Ready { .. }), "{release:?}");
        release.number
    }

    pub(crate) async fn find(&self, method: &str, url: &str) -> Option<Match> {
        let (host, path) = url.split_once('/').unwrap();
        self.functions.read().await.unwrap();
        self.functions.find(method, host, &format!("/{path}")).await.ok()
    }

    /// What the function of a route answers to a request for it.
    pub(crate) async fn get(&self, url: &str) -> String {
        let Some(found) = self.find("GET", url).await else { return "no route".to_owned() };
        let body = cairn_wasm::whole(Bytes::new());
        let request = http::Request::get(format!("http://{url}")).body(body).unwrap();
        match self.functions.request(&found.target.function, request).await {
            Ok(response) => {
                let bytes = response.into_body().collect().await.unwrap().to_bytes();
                String::from_utf8(bytes.to_vec()).unwrap()
            }
            Err(error) => error.to_string(),
        }
    }
}

fn engine(kv: &Kv, datasets: &Datasets, access: &Access, env: &Env) -> Functions {
    let egress = cairn_functions::egress(false, env).unwrap();
    Functions::new((kv, kv, datasets), access, tiers(env), egress, env)
}

/// An engine on other keys than the lab's.
pub(crate) fn engine_of((kv, in_bucket): (&Kv, &Kv), lab: &Lab) -> Functions {
    let (own, tiers) = ((kv, in_bucket, &lab.datasets), tiers(&lab.env));
    let egress = cairn_functions::egress(false, &lab.env).unwrap();
    Functions::new(own, &lab.access, tiers, egress, &lab.env)
}

fn tiers(env: &Env) -> Tiers {
    let runtime = Runtime::start(Options::default(), env).unwrap();
    let workers = Workers::new(Program { path: "none".into(), arguments: Vec::new() }, env);
    Tiers { runtime, workers }
}

pub(crate) fn function(name: &str) -> Function {
    Function { project: "main".parse().unwrap(), name: name.parse().unwrap() }
}
