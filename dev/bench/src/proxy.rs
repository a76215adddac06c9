//! A TCP proxy on loopback that counts what passes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Starts a proxy in front of `server` that lasts as long as this process.
pub(crate) fn start(server: SocketAddr) -> Result<(SocketAddr, Arc<Counts>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let counts = Arc::new(Counts::default());
    let counted = Arc::clone(&counts);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(server) else { continue };
            for (from, to, is_up) in [(&client, &server, true), (&server, &client, false)] {
                let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                let counts = Arc::clone(&counted);
                std::thread::spawn(move || {
                    copy(from, to, if is_up { &counts.up } else { &counts.down });
                });
            }
        }
    });
    Ok((address, counts))
}

fn copy(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        count.fetch_add(len as u64, Ordering::SeqCst);
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
}
