//! One HTTP request, as little of the protocol as that takes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server may read half of its program at the first request, on a machine that others load.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The status of the answer to `METHOD TARGET`, with these header lines; none when nothing answers.
pub(crate) fn status(address: SocketAddr, request: &str, headers: &[&str]) -> Option<u16> {
    let ask = || -> std::io::Result<[u8; 12]> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let lines = format!("Host: {address}\r\nContent-Length: 0\r\nConnection: close\r\n");
        write!(stream, "{request} HTTP/1.1\r\n{lines}{headers}\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().ok()?;
    std::str::from_utf8(&answer).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}
