//! A door to test against, and a client that sends what it is told.

use std::sync::Arc;

use cairn_access::{Access, Grant, Plain, PrincipalName, TokenId, TokenSpec};
use cairn_bucket::Bucket;
use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_kv::{Kv, Namespace, Settings};
use cairn_mesh::listen::Transport;
use cairn_partition::MemoryStore;
use cairn_redis::Door;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) kv: Kv,
    pub(crate) access: Access,
    pub(crate) root: String,
    pub(crate) door: Door,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

pub(crate) fn carts() -> Namespace {
    Namespace { project: "main".parse().unwrap(), name: "carts".parse().unwrap() }
}

impl Server {
    /// With the namespaces `carts` and `other`.
    pub(crate) async fn start() -> Self {
        Box::pin(Self::on(Env::real())).await
    }

    pub(crate) async fn on(env: Env) -> Self {
        let bucket = Bucket::memory(&env);
        let options = cairn_blocks::Options::default();
        let datasets = Datasets::open_or_init(bucket.clone(), None, options, &env).await.unwrap();
        let (access, first) =
            Access::bootstrap(bucket, env.clone(), Arc::new(Plain)).await.unwrap();
        let root = first.unwrap().token.expose().to_owned();
        let kv = Kv::new(Arc::new(MemoryStore::new(&env)), &datasets);
        for name in ["carts", "other"] {
            let namespace = Namespace { name: name.parse().unwrap(), ..carts() };
            kv.create(&namespace, Settings::default()).await.unwrap();
        }
        let door = Door::new(kv.clone(), access.clone(), &env);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let serving = door.clone();
        let served = tokio::spawn(async move {
            serving.serve(listener, Transport::Plain, async { drop(stopped.await) }).await;
        });
        Self { address, kv, access, root, door, stop, served }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.served.await.unwrap();
    }

    /// A principal with a token, and grants written as `ROLE PATTERN`.
    pub(crate) async fn user(&self, name: &str, grants: &[&str]) -> (TokenId, String) {
        Box::pin(self.make_user(name, grants)).await
    }

    async fn make_user(&self, name: &str, grants: &[&str]) -> (TokenId, String) {
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

    pub(crate) async fn stranger(&self) -> Client {
        Client::connect(&self.address).await
    }

    /// A client of root at `carts`.
    pub(crate) async fn client(&self) -> Client {
        self.client_as("main/carts", &self.root).await
    }

    pub(crate) async fn client_as(&self, namespace: &str, token: &str) -> Client {
        let mut client = self.stranger().await;
        assert_eq!(client.ask(&["AUTH", namespace, token]).await, "+OK");
        client
    }
}

/// Sends what it is told, and reads whole answers.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A command as an array of bulk strings.
pub(crate) fn command(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer as it came; none when the connection is over.
    pub(crate) async fn answer(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = whole(&self.read) {
                let rest = self.read.split_off(end);
                return Some(std::mem::replace(&mut self.read, rest));
            }
            self.read.reserve(64 * 1024);
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The answer to a command, without the ends of its lines.
    pub(crate) async fn ask(&mut self, words: &[impl AsRef<[u8]>]) -> String {
        self.send(&command(words)).await;
        let answer = self.answer().await.expect("the connection is over");
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.trim_end().replace("\r\n", " ")
    }
}

/// Where the first answer ends, when all of it is here.
fn whole(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).unwrap().parse::<i64>().unwrap();
    let items = match bytes[0] {
        b'+' | b'-' | b':' | b'_' => return Some(line),
        b'$' => {
            let Ok(length) = usize::try_from(number()) else { return Some(line) };
            return (bytes.len() >= line + length + 2).then_some(line + length + 2);
        }
        b'*' => number().max(0),
        b'%' => number() * 2,
        other => panic!("no answer begins with {other}"),
    };
    let mut end = line;
    for _ in 0..items {
        end += whole(&bytes[end..])?;
    }
    Some(end)
}
