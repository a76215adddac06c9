//! Writes when it was called, by the world `scheduled` of `cairn:compute`. With the argument `fail` it fails.

use self::exports::cairn::compute::schedule::{Due, Guest};
use wasip2::io::streams::OutputStream;

wit_bindgen::generate!({
    path: "../../../crates/ground/wasm/wit",
    world: "cairn:compute/scheduled",
    with: { "wasi:io/streams@0.2.0": wasip2::io::streams },
    generate_all,
});

struct Diary;
export!(Diary);

impl Guest for Diary {
    fn tick(arguments: Vec<String>, due: Option<Due>, output: OutputStream) -> Result<(), String> {
        if arguments.iter().any(|argument| argument == "fail") {
            return Err("it was asked to fail".to_owned());
        }
        let line = match due {
            Some(Due { schedule, tick_ms, attempt }) => {
                format!("{schedule} at {tick_ms}, attempt {attempt}\n")
            }
            None => "by hand\n".to_owned(),
        };
        let written = output.blocking_write_and_flush(line.as_bytes());
        written.map_err(|error| format!("the output broke off: {error:?}"))
    }
}
