//! Triggers of keys that another node has.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cairn_functions::{Functions, TriggerSpec};
use cairn_kv::{Kv, Namespace, Put, Settings};
use cairn_partition::{
    AnyPartition, AnyPartitions, Error, Here, MemoryStore, Name, Partitions, Step, Usage,
};

use crate::lab::{Lab, engine_of, function};

/// A program that keeps what it is told as `told` among its own keys.
const KEEPS: &[u8] = br#"(module
    (import "core" "get_input_buffer_id" (func $input (result i32)))
    (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
    (import "core" "persistence_set" (func $set (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "told")
    (func (export "main") (result i32)
        (call $set (i32.const 16) (i32.const 4) (i32.const 1024)
            (call $read (call $input) (i32.const 1024) (i32.const 60000)))))"#;

/// The partitions of a node, of which another one has `carts`.
struct Without(AnyPartitions);

impl Without {
    fn check(name: &Name) -> Result<(), Error> {
        if !name.as_str().ends_with("/carts") {
            return Ok(());
        }
        let (name, node) = (name.to_string(), "another".to_owned());
        Err(Error::Elsewhere { name, node, address: None, left: Duration::from_secs(1) })
    }
}

#[async_trait]
impl Partitions for Without {
    async fn create(&self, name: &Name, settings: Settings) -> Result<AnyPartition, Error> {
        self.0.create(name, settings).await
    }

    async fn clone_to(
        &self,
        name: &Name,
        to: &Name,
        before: Step<'_>,
    ) -> Result<AnyPartition, Error> {
        self.0.clone_to(name, to, before).await
    }

    async fn open(&self, name: &Name) -> Result<AnyPartition, Error> {
        Self::check(name)?;
        self.0.open(name).await
    }

    async fn here(&self, name: &Name) -> Result<Here, Error> {
        self.0.here(name).await
    }

    async fn change(&self, name: &Name, settings: Settings) -> Result<(), Error> {
        self.0.change(name, settings).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>, Error> {
        self.0.list(prefix).await
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        self.0.remove(name).await
    }

    fn usage(&self) -> Option<Usage> {
        self.0.usage()
    }
}

/// FUNCTIONS-10: they are looked at in the bucket.
#[tokio::test]
async fn functions_10_what_another_node_has_is_told_as_the_bucket_has_it() {
    let mut lab = Lab::new().await;
    let store: AnyPartitions = Arc::new(MemoryStore::new(&lab.env));
    let in_bucket = Kv::new(Arc::clone(&store), &lab.datasets);
    lab.kv = Kv::new(Arc::new(Without(store)), &lab.datasets);
    let functions: Functions = engine_of((&lab.kv, &in_bucket), &lab);
    lab.functions = functions;
    let namespace =
        |name: &str| Namespace { project: "main".parse().unwrap(), name: name.parse().unwrap() };
    in_bucket.create(&namespace("carts"), Settings::default()).await.unwrap();
    lab.deployed("f", KEEPS).await;
    for (role, of) in [("reader", "carts"), ("writer", "f")] {
        let grant = cairn_access::Grant {
            subject: "function/@main/f".parse().unwrap(),
            role: role.parse().unwrap(),
            pattern: format!("@main/{of}").parse().unwrap(),
        };
        lab.access.add_grant(&grant).await.unwrap();
    }
    let spec =
        TriggerSpec { namespace: "carts".to_owned(), prefix: String::new(), path: "/".to_owned() };
    let key = (function("f"), "news".parse().unwrap());
    lab.functions.add_trigger(&key, &spec, "root").await.unwrap();
    let put = Put { key: "cart".into(), value: "full".into(), ..Put::default() };
    in_bucket.put(&namespace("carts"), put).await.unwrap();
    let told = async {
        loop {
            let kept = lab.kv.get(&namespace("f"), b"told", cairn_kv::At::Durable).await;
            if let Ok(Some(kept)) = kept {
                return kept.value;
            }
            lab.env.clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let told = tokio::select! {
        biased;
        told = told => told,
        () = lab.functions.keep_running() => panic!("it never ends"),
        () = lab.env.clock.sleep(Duration::from_secs(60)) => panic!("it was not told"),
    };
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains(r#""key":"cart""#) && told.contains(r#""value":"full""#), "{told}");
}
