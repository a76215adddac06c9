//! What was uploaded becomes a component.

use bytes::Bytes;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

use crate::error::Error;

mod exchange;
mod go;
mod heap;

/// The largest upload, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;
const MAGIC: &[u8] = b"\0asm";

/// A component, ready to be stored.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its bytes.
    pub component: Bytes,
    /// What was uploaded.
    pub from: From,
}

/// What was uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A component: it is stored as it is.
    Component,
    /// A core module, which was given what makes it one.
    Module,
}

/// Makes a component of what was uploaded: a component, a core module for `wasi_snapshot_preview1` or for no WASI at all,
/// or the text of either.
///
/// # Errors
/// [`Error::NotWasm`], [`Error::TooLarge`], [`Error::Imports`].
pub fn prepare(bytes: &[u8]) -> Result<Prepared, Error> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(Error::TooLarge { size: bytes.len(), limit: COMPONENT_BYTES_MAX });
    }
    if !bytes.starts_with(MAGIC) {
        return assembled(bytes);
    }
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => {
            Ok(Prepared { component: Bytes::copy_from_slice(bytes), from: From::Component })
        }
        Some(Ok(Payload::Version { encoding: Encoding::Module, .. })) => adapted(bytes),
        Some(Ok(_)) | None => Err(not_wasm("it ends after its first bytes")),
        Some(Err(error)) => Err(not_wasm(&error.to_string())),
    }
}

fn not_wasm(detail: &str) -> Error {
    Error::NotWasm { detail: detail.to_owned() }
}

/// The text format.
fn assembled(text: &[u8]) -> Result<Prepared, Error> {
    let begins = text.iter().find(|byte| !byte.is_ascii_whitespace());
    if !matches!(begins, Some(b'(' | b';')) {
        return Err(not_wasm("it begins neither as a module does nor as its text"));
    }
    let assembled = wat::parse_bytes(text).map_err(|error| not_wasm(&error.to_string()))?;
    prepare(&assembled)
}

/// A core module with the adapter that turns preview 1 into components' interfaces.
fn adapted(module: &[u8]) -> Result<Prepared, Error> {
    wasmparser::validate(module).map_err(|error| not_wasm(&error.to_string()))?;
    let seen = exchange::Seen::of(module)?;
    let roomy = go::roomy(module)?;
    let module = roomy.as_deref().unwrap_or(module);
    let apart = heap::apart(module)?;
    let module = apart.as_deref().unwrap_or(module);
    let adapter = if seen.is_command {
        WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    let mut adapters: Vec<_> = seen.adapters()?;
    // One of them is where it begins.
    if adapters.is_empty() || seen.is_wasi() {
        adapters.push((WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter.to_vec()));
    }
    let encoder = adapters
        .into_iter()
        .fold(ComponentEncoder::default().module(module), |encoder, (name, adapter)| {
            encoder.and_then(|encoder| encoder.adapter(name, &adapter))
        });
    let encoded = encoder.and_then(|encoder| encoder.validate(true).encode());
    match encoded {
        Ok(component) => Ok(Prepared { component: component.into(), from: From::Module }),
        Err(error) => Err(Error::Imports { detail: format!("{error:#}") }),
    }
}

#[cfg(test)]
mod tests {
    use cairn_base::ErrorKind;

    use super::*;

    const COMMAND: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

    #[test]
    fn text_and_modules_become_components() {
        let from_text = prepare(COMMAND.as_bytes()).unwrap();
        let module = wat::parse_str(COMMAND).unwrap();
        let from_module = prepare(&module).unwrap();
        assert_eq!(from_text.component, from_module.component);
        let as_it_is = prepare(&from_module.component).unwrap();
        assert_eq!((as_it_is.from, as_it_is.component), (From::Component, from_module.component));
    }

    #[test]
    fn what_is_no_wasm_is_said_to_be_none() {
        let module = wat::parse_str(COMMAND).unwrap();
        let cut = &module[..module.len() - 3];
        for bytes in
            [&b""[..], b"#!/bin/sh", b"(module", b"\0asm", b"\x7fELF", b"\0asm\x02\0\0\0", cut]
        {
            let error = prepare(bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
    }

    #[test]
    fn a_module_that_imports_what_is_not_there_is_told_what() {
        let text = r#"(module (import "env" "abort" (func)) (func (export "_start")))"#;
        let error = prepare(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("env"), "{error}");
    }
}
