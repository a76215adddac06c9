//! TCP proxies on loopback: one counts what passes, one makes a server far away.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

const BUFFER_BYTES: usize = 64 * 1024;

/// Bytes from the client to the server, and back.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) up: AtomicU64,
    pub(crate) down: AtomicU64,
}

impl Counts {
    /// What was counted, and starts again from nothing.
    pub(crate) fn take(&self) -> (u64, u64) {
        (self.up.swap(0, Ordering::SeqCst), self.down.swap(0, Ordering::SeqCst))
    }
}

/// Requests by their method, those that list apart.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<BTreeMap<String, u64>>);

impl Requests {
    /// What was counted, and starts again from nothing.
    pub(crate) fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts what begins a request, and says whether it did. Clients of HTTP/1.1 send one after the other.
    fn look(&self, chunk: &[u8]) -> bool {
        let line = chunk.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let Some((method, rest)) = line.split_once(' ') else { return false };
        if !["GET", "HEAD", "PUT", "POST", "DELETE"].contains(&method) || !rest.contains("HTTP/") {
            return false;
        }
        let lists = method == "GET" && rest.contains("list-type=");
        let name = if lists { "LIST" } else { method };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(name.to_owned()).or_default() += 1;
        true
    }
}

/// Starts a proxy in front of `server` that lasts as long as this process.
pub(crate) fn start(server: SocketAddr) -> Result<(SocketAddr, Arc<Counts>)> {
    let counts = Arc::new(Counts::default());
    let counted = Arc::clone(&counts);
    let watch = move |is_up: bool, chunk: &[u8]| {
        let count = if is_up { &counted.up } else { &counted.down };
        count.fetch_add(chunk.len() as u64, Ordering::SeqCst);
    };
    Ok((listen(server, Arc::new(watch))?, counts))
}

/// Starts a proxy in front of a server that speaks HTTP/1.1: every request takes `delay` longer, and is
/// counted.
pub(crate) fn start_far(
    server: SocketAddr,
    delay: Duration,
) -> Result<(SocketAddr, Arc<Requests>)> {
    let requests = Arc::new(Requests::default());
    let counted = Arc::clone(&requests);
    let watch = move |is_up: bool, chunk: &[u8]| {
        if is_up && counted.look(chunk) {
            std::thread::sleep(delay);
        }
    };
    Ok((listen(server, Arc::new(watch))?, requests))
}

/// Sees what passes before it is passed on: whether to the server, and what.
type Watch = Arc<dyn Fn(bool, &[u8]) + Send + Sync>;

fn listen(server: SocketAddr, watch: Watch) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(server) else { continue };
            for (from, to, is_up) in [(&client, &server, true), (&server, &client, false)] {
                let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                let watch = Arc::clone(&watch);
                std::thread::spawn(move || copy(from, to, is_up, &watch));
            }
        }
    });
    Ok(address)
}

fn copy(mut from: TcpStream, mut to: TcpStream, is_up: bool, watch: &Watch) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        watch(is_up, &buffer[..len]);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    // A peer that closed already has nothing left to be told.
    drop(to.shutdown(Shutdown::Write));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_counted() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, counts) = start(server.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(&[1; 1000]).unwrap();
        let (mut served, _) = server.accept().unwrap();
        served.read_exact(&mut [0; 1000]).unwrap();
        served.write_all(&[2; 70_000]).unwrap();
        client.read_exact(&mut vec![0; 70_000]).unwrap();
        assert_eq!(counts.take(), (1000, 70_000));
        assert_eq!(counts.take(), (0, 0));
    }

    #[test]
    fn requests_are_counted_by_method() {
        let requests = Requests::default();
        for (chunk, begins) in [
            (&b"GET /b?list-type=2&prefix=x HTTP/1.1\r\nhost: h\r\n\r\n"[..], true),
            (b"GET /b/k HTTP/1.1\r\n\r\n", true),
            (b"PUT /b/k HTTP/1.1\r\n\r\nGET ", true),
            (b"GET to know it", false),
            (b"\xff\xff", false),
        ] {
            assert_eq!(requests.look(chunk), begins);
        }
        let counts = requests.take();
        let expected = ["GET", "LIST", "PUT"].map(|method| (method.to_owned(), 1));
        assert_eq!(counts, BTreeMap::from(expected));
        assert!(requests.take().is_empty());
    }
}
