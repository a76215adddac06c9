//! Exchange buffers: bytes with headers and a status. The first two are what a program was called with and what it answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{FAILED, INPUT, OUTPUT};
use crate::files::Called;
use crate::guest::Guest;
use crate::sink::Take as _;

/// Buffers of a call at a time.
const BUFFERS_MAX: usize = 1000;
/// Headers of a buffer, and bytes of one of them.
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: usize = 8 << 10;
/// Bytes that are read at a time.
pub(super) const PART_BYTES_MAX: usize = 1 << 20;
/// What headers begin with that tell a function of My Own Cluster what it is asked.
const TELLS: &str = "x-moc-";

type Headers = BTreeMap<String, String>;

/// A buffer that a guest made.
#[derive(Default)]
pub(super) struct Buffer {
    pub(super) headers: Headers,
    pub(super) status: i32,
    pub(super) bytes: BytesMut,
}

/// What an answer begins with.
#[derive(Default)]
pub(super) struct Head {
    headers: Headers,
    status: Option<u16>,
    /// Whether the guest answers by its output buffer.
    asked: bool,
    sent: bool,
}

impl Guest {
    fn call(&self) -> Option<Arc<Called>> {
        self.called.clone()
    }

    /// Whether somebody waits for headers: who runs a program sees what it writes, and nothing else.
    fn tells_headers(&self) -> bool {
        self.environment("GATEWAY_INTERFACE").is_some()
    }

    /// The buffer of the answer, from now on.
    pub(super) fn output(&mut self) -> i32 {
        self.exchange.head.asked = true;
        OUTPUT
    }

    /// A buffer of these bytes.
    pub(super) fn made(&mut self, what: &str, bytes: &[u8]) -> i32 {
        let buffers = &self.exchange.buffers;
        if buffers.len() >= BUFFERS_MAX {
            let why = format!("there are {BUFFERS_MAX} buffers: free_buffer those that are read");
            return self.undone(what, &why);
        }
        if let Err(error) = self.staged.take(bytes.len() as u64) {
            return self.undone(what, &error.to_string());
        }
        let free = (OUTPUT + 1..FAILED).find(|id| !buffers.contains_key(id));
        let id = free.expect("there are fewer buffers than numbers");
        let buffer = Buffer { bytes: BytesMut::from(bytes), ..Buffer::default() };
        self.exchange.buffers.insert(id, buffer);
        self.exchange.created += 1;
        id
    }

    pub(super) fn free(&mut self, id: i32) {
        if let Some(buffer) = self.exchange.buffers.remove(&id) {
            self.staged.give_back(buffer.bytes.len() as u64);
        }
    }

    /// Adds bytes to a buffer.
    pub(super) fn append(&mut self, id: i32, bytes: &[u8]) -> Result<(), String> {
        if id == OUTPUT {
            self.begin_answer()?;
            let call = self.call().ok_or("nobody waits for an answer")?;
            return call.output.take(bytes).map_err(|error| error.to_string());
        }
        let buffer = self.exchange.buffers.get_mut(&id).ok_or_else(|| unknown(id))?;
        self.staged.take(bytes.len() as u64).map_err(|error| error.to_string())?;
        buffer.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn set_header(&mut self, id: i32, name: &str, value: &str) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        http::HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} is no name of a header"))?;
        http::HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("the value of {name} has a control character"))?;
        if name.len() + value.len() > HEADER_BYTES_MAX {
            return Err(format!("a header has at most {HEADER_BYTES_MAX} bytes"));
        }
        let headers = if id == OUTPUT {
            if self.exchange.head.sent {
                return Err("the answer has begun: headers come before its bytes".to_owned());
            }
            self.exchange.head.asked = true;
            &mut self.exchange.head.headers
        } else {
            &mut self.exchange.buffers.get_mut(&id).ok_or_else(|| unknown(id))?.headers
        };
        if headers.len() >= HEADERS_MAX && !headers.contains_key(&name) {
            return Err(format!("a buffer has at most {HEADERS_MAX} headers"));
        }
        headers.insert(name, value.to_owned());
        Ok(())
    }

    pub(super) fn set_status(&mut self, id: i32, status: i32) -> Result<(), String> {
        let known = u16::try_from(status).ok().filter(|status| (200..=599).contains(status));
        let known = known.ok_or_else(|| format!("{status} is no status of an answer"))?;
        if id != OUTPUT {
            self.exchange.buffers.get_mut(&id).ok_or_else(|| unknown(id))?.status = status;
            return Ok(());
        }
        let head = &mut self.exchange.head;
        if head.sent {
            return Err("the answer has begun: its status comes before its bytes".to_owned());
        }
        (head.status, head.asked) = (Some(known), true);
        Ok(())
    }

    /// Writes what an answer begins with, once.
    fn begin_answer(&mut self) -> Result<(), String> {
        let tells = self.tells_headers();
        let head = &mut self.exchange.head;
        if std::mem::replace(&mut head.sent, true) || !tells {
            return Ok(());
        }
        let mut lines = format!("Status: {}\r\n", head.status.unwrap_or(200));
        for (name, value) in &head.headers {
            write!(lines, "{name}: {value}\r\n").map_err(|error| error.to_string())?;
        }
        lines.push_str("\r\n");
        let call = self.call().ok_or("nobody waits for an answer")?;
        call.output.take(lines.as_bytes()).map_err(|error| error.to_string())
    }

    /// The guest has come to its end: an answer without bytes has a beginning too.
    pub(crate) fn end_answer(&mut self) {
        if self.exchange.head.asked {
            // What is too long was noted where it is taken.
            drop(self.begin_answer());
        }
    }

    /// How many bytes a buffer has. Of an input that does not know they are counted: one that cannot be read is not one
    /// without bytes.
    pub(super) async fn size(&mut self, id: i32) -> Result<u64, String> {
        if id != INPUT {
            return Ok(self
                .exchange
                .buffers
                .get(&id)
                .map_or(0, |buffer| buffer.bytes.len() as u64));
        }
        let input = self.call().and_then(|call| call.inputs.first().cloned());
        let Some(input) = input else { return Ok(0) };
        if let Some(size) = input.size().await {
            return Ok(size);
        }
        let mut size = 0;
        loop {
            match self.part(id, size, PART_BYTES_MAX).await? {
                part if part.is_empty() => return Ok(size),
                part => size += part.len() as u64,
            }
        }
    }

    /// Some bytes of a buffer; none at its end.
    pub(super) async fn part(&mut self, id: i32, at: u64, most: usize) -> Result<Bytes, String> {
        let most = most.min(PART_BYTES_MAX);
        if id == INPUT {
            let input = self.call().and_then(|call| call.inputs.first().cloned());
            return match input {
                Some(input) => input.read(at, most).await.map_err(|error| error.to_string()),
                None => Ok(Bytes::new()),
            };
        }
        let Some(buffer) = self.exchange.buffers.get(&id) else { return Ok(Bytes::new()) };
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(buffer.bytes.len());
        let to = from.saturating_add(most).min(buffer.bytes.len());
        Ok(Bytes::copy_from_slice(&buffer.bytes[from..to]))
    }

    /// All bytes of a buffer, for others; as many as a call may hold.
    pub(super) async fn whole(&mut self, id: i32) -> Result<Bytes, String> {
        let size = self.size(id).await?;
        self.staged.take(size).map_err(|error| error.to_string())?;
        let mut all = BytesMut::new();
        let read = loop {
            match self.part(id, all.len() as u64, PART_BYTES_MAX).await {
                Ok(bytes) if bytes.is_empty() || all.len() as u64 >= size => break Ok(()),
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(error) => break Err(error),
            }
        };
        self.staged.give_back(size);
        read.map(|()| all.freeze())
    }

    /// The headers of a buffer; of the input those of the request with what is known of it.
    pub(super) fn headers(&self, id: i32) -> Headers {
        match id {
            INPUT => self.request_headers(),
            OUTPUT => self.exchange.head.headers.clone(),
            id => self.exchange.buffers.get(&id).map(|one| one.headers.clone()).unwrap_or_default(),
        }
    }

    fn request_headers(&self) -> Headers {
        let mut headers = Headers::new();
        let Some(call) = self.call() else { return headers };
        for (name, value) in &call.environment {
            let Some(name) = name.strip_prefix("HTTP_") else { continue };
            let name = name.to_ascii_lowercase().replace('_', "-");
            if let Some(of_path) = name.strip_prefix("cairn-param-") {
                headers.insert(format!("{TELLS}path-param-{of_path}"), value.clone());
            }
            // Nobody tells for the cluster.
            if !name.starts_with(TELLS) {
                headers.insert(name, value.clone());
            }
        }
        let known = |name| self.environment(name).filter(|value| !value.is_empty());
        let (path, query) = (known("PATH_INFO"), known("QUERY_STRING"));
        let uri = path.map(|path| match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        });
        let told = [
            ("content-type", known("CONTENT_TYPE").map(str::to_owned)),
            ("x-moc-host", known("HTTP_HOST").or(known("SERVER_NAME")).map(str::to_owned)),
            ("x-moc-method", known("REQUEST_METHOD").map(str::to_owned)),
            ("x-moc-proto", known("SERVER_PROTOCOL").map(str::to_owned)),
            ("x-moc-remote-addr", known("REMOTE_ADDR").map(str::to_owned)),
            ("x-moc-request-uri", uri),
            ("x-moc-url-path", path.map(str::to_owned)),
            ("x-moc-url-query", query.map(str::to_owned)),
            ("x-moc-plug-data", known("PLUG_DATA").map(str::to_owned)),
        ];
        let told = told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        headers.extend(told);
        headers
    }
}

fn unknown(id: i32) -> String {
    if id == INPUT {
        return "the input is read and not written".to_owned();
    }
    format!("there is no buffer {id}")
}

/// Pairs as the earlier system wrote them: how many texts, and each after its length, four bytes a number, the lowest first.
pub(super) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let (mut all, mut count) = (vec![0; 4], 0u32);
    for text in pairs.into_iter().flat_map(|(name, value)| [name, value]) {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        all.extend_from_slice(&length.to_le_bytes());
        all.extend_from_slice(text);
        count += 1;
    }
    all[..4].copy_from_slice(&count.to_le_bytes());
    all
}
