use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cairn_access::{Access, Peer};
use cairn_env::Env;
use cairn_kv::Kv;
use cairn_mesh::listen::{self, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::connection::{Connection, Counts, Home};
use crate::limits::{CONNECTIONS_MAX, HEAVY_MAX, STOP_WAIT, STRANGER_WAIT};
use crate::scans::Scans;
use crate::session::Session;
use crate::work::{Place, Turns};

/// What somebody gets who does not speak TLS to a port that takes nothing else.
const PLAIN: &[u8] = b"-ERR this port speaks TLS: use rediss:// or --tls\r\n";

/// How many there were since the process began, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Connections that are open.
    pub connections: u64,
    /// Commands that were answered.
    pub commands: u64,
    /// Errors among the answers.
    pub errors: u64,
}

/// The door of a node for clients of Redis. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

struct Shared {
    place: Arc<Place>,
    access: Access,
    connections: Arc<Semaphore>,
    /// Places of connections that hold much of commands.
    heavy: Arc<Semaphore>,
    counts: Arc<Counts>,
    ids: AtomicI64,
}

impl Door {
    /// A door to these namespaces.
    #[must_use]
    pub fn new(kv: Kv, access: Access, env: &Env) -> Self {
        let scans = Scans::new(Arc::clone(&env.rng));
        let turns = Turns::new(env);
        let heavy = Arc::new(Semaphore::new(HEAVY_MAX));
        let place = Arc::new(Place { kv, env: env.clone(), scans, turns, heavy });
        Self(Arc::new(Shared {
            place,
            access,
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            heavy: Arc::new(Semaphore::new(HEAVY_MAX)),
            counts: Arc::default(),
            ids: AtomicI64::new(0),
        }))
    }

    /// How many commands and connections there are.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let free = self.0.connections.available_permits();
        let Counts { commands, errors } = &*self.0.counts;
        Numbers {
            connections: CONNECTIONS_MAX.saturating_sub(free).saturating_sub(1) as u64,
            commands: commands.load(Ordering::Relaxed),
            errors: errors.load(Ordering::Relaxed),
        }
    }

    /// Answers connections of `listener` until `shutdown` is ready; then what is being done is answered, for a
    /// bounded while.
    pub async fn serve(
        &self,
        listener: TcpListener,
        transport: Transport,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let env = &self.0.place.env;
        // Each connection has a receiver, so the sender knows when the last one is gone.
        let (end, ending) = watch::channel(false);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listen::accept(&listener, &self.0.connections, env) => accepted,
            };
            let Some((stream, address, place)) = accepted else { continue };
            let (door, transport, ending) = (self.clone(), transport.clone(), ending.clone());
            // What a connection wakes is at home: there it wakes no other thread.
            env.spawn.task(Box::pin(async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => door.greet(stream, address, transport, ending).await,
                    Err(error) => tracing::warn!(%error, "a connection was not taken over"),
                }
                drop(place);
            }));
        }
        drop((listener, ending));
        end.send_replace(true);
        tokio::select! {
            biased;
            () = end.closed() => {}
            () = env.clock.sleep(STOP_WAIT) => {
                tracing::warn!("commands were cut off by the shutdown");
            }
        }
    }

    async fn greet(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        transport: Transport,
        ending: watch::Receiver<bool>,
    ) {
        let within = (&self.0.place.env.clock, STRANGER_WAIT);
        match transport {
            Transport::Plain => {
                self.answer(stream, listen::plain_peer(address), ending).await;
            }
            Transport::Tls(config) => {
                let shaken = listen::shake_hands(config, stream, address, within, PLAIN).await;
                if let Some((stream, peer)) = shaken {
                    Box::pin(self.answer(stream, peer, ending)).await;
                }
            }
        }
    }

    async fn answer<S>(&self, stream: S, peer: Peer, ending: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Shared { place, access, heavy, counts, ids, .. } = &*self.0;
        let home = Home {
            clock: Arc::clone(&place.env.clock),
            heavy: Arc::clone(heavy),
            counts: Arc::clone(counts),
            ending,
        };
        let id = ids.fetch_add(1, Ordering::Relaxed) + 1;
        let session = Session::new(Arc::clone(place), access.clone(), peer, id);
        Connection::new(stream, home, session).run().await;
    }
}
