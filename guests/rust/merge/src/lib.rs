//! Merges the sorted lines of its inputs, by the world `reducer` of `cairn:compute`; of lines that are the same one is left.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead, BufReader, Read};

use self::exports::cairn::compute::reduce::Guest;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

wit_bindgen::generate!({
    path: "../../../crates/ground/wasm/wit",
    world: "cairn:compute/reducer",
    with: { "wasi:io/streams@0.2.0": wasip2::io::streams },
    generate_all,
});

const WRITTEN: usize = 4096;

struct Merge;
export!(Merge);

/// A stream as Rust's library reads.
struct Input(InputStream);

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.blocking_read(into.len() as u64) {
            Ok(bytes) => {
                into[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Err(StreamError::Closed) => Ok(0),
            Err(error) => Err(std::io::Error::other(format!("{error:?}"))),
        }
    }
}

impl Guest for Merge {
    fn merge(_: Vec<String>, inputs: Vec<InputStream>, output: OutputStream) -> Result<(), String> {
        let mut lines: Vec<_> =
            inputs.into_iter().map(|input| BufReader::new(Input(input)).lines()).collect();
        let mut next = BinaryHeap::new();
        let read = |error: std::io::Error| format!("an input broke off: {error}");
        for (index, lines) in lines.iter_mut().enumerate() {
            next.extend(lines.next().transpose().map_err(read)?.map(|line| Reverse((line, index))));
        }
        let (mut written, mut ready) = (None, Vec::new());
        while let Some(Reverse((line, index))) = next.pop() {
            let following = lines[index].next().transpose().map_err(read)?;
            next.extend(following.map(|line| Reverse((line, index))));
            if written.as_ref() != Some(&line) {
                ready.extend_from_slice(line.as_bytes());
                ready.push(b'\n');
                written = Some(line);
            }
            if ready.len() >= WRITTEN || next.is_empty() {
                for piece in ready.chunks(WRITTEN) {
                    let written = output.blocking_write_and_flush(piece);
                    written.map_err(|error| format!("the output broke off: {error:?}"))?;
                }
                ready.clear();
            }
        }
        Ok(())
    }
}
