//! `wasi:logging` for guests: what they log is in their log, with its level and its context.

use wasmtime::component::{HasSelf, Linker};

use self::bindings::wasi::logging::logging::{Host, Level};
use crate::guest::Guest;
use crate::logs::Stream;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasi:logging/imports",
        imports: { default: trappable },
    });
}

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    bindings::Imports::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

impl Host for Guest {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        };
        let about = if context.is_empty() { String::new() } else { format!(" {context}") };
        self.budget.text(Stream::Stderr, &format!("{level}{about}: {message}"));
        Ok(())
    }
}
