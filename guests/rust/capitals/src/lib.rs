//! Writes its input in capitals: a step of a plan, by the world `transformer` of `cairn:compute`. With the argument `words` each word
//! gets a line of its own.

use self::exports::cairn::compute::transform::Guest;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

wit_bindgen::generate!({
    path: "../../../crates/ground/wasm/wit",
    world: "cairn:compute/transformer",
    with: { "wasi:io/streams@0.2.0": wasip2::io::streams },
    generate_all,
});

/// Bytes that are read at a time, and that are written.
const READ: u64 = 64 << 10;
const WRITTEN: usize = 4096;

struct Capitals;
export!(Capitals);

impl Guest for Capitals {
    fn run_part(
        arguments: Vec<String>,
        input: InputStream,
        output: OutputStream,
    ) -> Result<(), String> {
        let words = match arguments.as_slice() {
            [] => false,
            [word] if word == "words" => true,
            other => return Err(format!("it takes words or nothing, not {other:?}")),
        };
        loop {
            let mut bytes = match input.blocking_read(READ) {
                Ok(bytes) => bytes,
                Err(StreamError::Closed) => return Ok(()),
                Err(error) => return Err(format!("the input broke off: {error:?}")),
            };
            for byte in &mut bytes {
                *byte = if words && *byte == b' ' { b'\n' } else { byte.to_ascii_uppercase() };
            }
            for piece in bytes.chunks(WRITTEN) {
                let written = output.blocking_write_and_flush(piece);
                written.map_err(|error| format!("the output broke off: {error:?}"))?;
            }
        }
    }
}
