//! A client of one namespace: HTTP/1.0, a connection for each request, nothing of ours.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::running_node::Node;

/// A node answers everything before this, if only that it does not know; what takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Where a namespace is asked for.
#[derive(Clone)]
pub(super) struct Client {
    address: String,
    token: String,
    /// `/api/v1/kv/PROJECT/NAME`.
    pub(super) base: String,
}

/// What a node answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// Nobody has heard the question.
    Before,
    /// Somebody may have.
    After {
        #[expect(dead_code, reason = "it is printed")]
        why: String,
    },
}

impl Client {
    pub(super) fn of(node: &Node, name: &str) -> Self {
        let address = node.url.replace("http://", "");
        let base = format!("/api/v1/kv/main/{name}");
        Self { address, token: node.token.clone(), base }
    }

    /// Sends a request and leaves the answer to be read.
    fn send(
        &self,
        method: &str,
        below: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<BufReader<TcpStream>, Lost> {
        let mut stream = TcpStream::connect(&self.address).map_err(|_| Lost::Before)?;
        stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
        let mut head = format!("{method} {}{below} HTTP/1.0\r\n{headers}", self.base);
        write!(head, "Host: {}\r\nAuthorization: Bearer {}\r\n", self.address, self.token).unwrap();
        write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
        let sent = stream.write_all(&[head.as_bytes(), body].concat());
        sent.map_err(|error| Lost::After { why: error.to_string() })?;
        Ok(BufReader::new(stream))
    }

    /// The answer to a request; `headers` are whole lines.
    pub(super) fn ask(
        &self,
        method: &str,
        below: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer, Lost> {
        let mut reader = self.send(method, below, headers, body)?;
        let after = |error: std::io::Error| {
            let hangs = error.kind() == std::io::ErrorKind::WouldBlock;
            assert!(!hangs, "{method} {below} was not answered within {ANSWER_MAX:?}");
            Lost::After { why: error.to_string() }
        };
        let (status, head) = read_head(&mut reader).map_err(after)?;
        let mut body = Vec::new();
        reader.read_to_end(&mut body).map_err(after)?;
        let answer = Answer { status, head, body };
        let length = answer.header("content-length").map(|text| text.parse::<usize>().unwrap());
        if method != "HEAD" && length.is_some_and(|length| length != answer.body.len()) {
            return Err(Lost::After { why: "the answer was cut off".to_owned() });
        }
        Ok(answer)
    }

    /// Asks until somebody answers with this status. What else is answered is printed, for the test's log.
    #[track_caller]
    pub(super) fn insist(&self, method: &str, below: &str, body: &[u8], status: u16) -> Answer {
        let mut told = String::new();
        crate::process::until(&format!("{status} for {method} {below}"), || {
            let answer = self.ask(method, below, "", body);
            if answer.as_ref().is_ok_and(|answer| answer.status == status) {
                return answer.ok();
            }
            let reason = answer.map_or_else(|lost| format!("{lost:?}"), |answer| answer.reason());
            if reason != told {
                println!("{method} {below}: {reason}");
                told = reason;
            }
            None
        })
    }

    /// The lines of a watch after a commit; none when the node does not let it begin now.
    pub(super) fn watch(&self, after: u64) -> Option<impl Iterator<Item = Value> + use<>> {
        let mut reader = self.send("GET", &format!("/watch?after={after}"), "", b"").ok()?;
        let (status, head) = read_head(&mut reader).ok()?;
        if status != 200 {
            let mut body = String::new();
            reader.read_to_string(&mut body).ok()?;
            let answer = Answer { status, head, body: body.into_bytes() };
            assert!(answer.is_not_now(), "a watch after {after}: {}", answer.text());
            return None;
        }
        // A line that was cut off is none.
        let lines = reader.lines().map_while(Result::ok);
        Some(lines.map_while(|line| serde_json::from_str(&line).ok()))
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// The status and what was said, without its numbers: what is said alike counts together.
    pub(super) fn reason(&self) -> String {
        let said = self.json();
        let message = said["error"]["message"].as_str().unwrap_or_else(|| panic!("{said}"));
        format!("{} {}", self.status, message.replace(|char: char| char.is_ascii_digit(), ""))
    }

    /// Whether it says that nobody can answer now.
    pub(super) fn is_not_now(&self) -> bool {
        matches!(self.status, 421 | 503 | 504) || self.is_from_the_dark()
    }

    /// Whether the disk with the bucket is gone from below a node that still runs.
    pub(super) fn is_from_the_dark(&self) -> bool {
        self.status == 500 && self.text().contains("the store failed")
    }

    pub(super) fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    /// The commit in the `ETag`.
    pub(super) fn etag(&self) -> u64 {
        self.header("etag").unwrap().trim_matches('"').parse().unwrap()
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> std::io::Result<(u16, String)> {
    let cut = || std::io::Error::other("the answer was cut off");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(cut());
        }
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    Ok((status, head))
}
