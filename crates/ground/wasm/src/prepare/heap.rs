//! Programs whose heap begins with all memory that there is when they first ask for some, as that of C does where the
//! linker tells no end of it (before LLVM 16, as in Debian 12).
//!
//! The adapter asks for two pages of its own when it is used first, which may be before: with the arguments of `main`.
//! Such a heap would take those for its own. So the program is not told of them: when it asks first how large its
//! memory is, before it has grown it itself, that is as large as it declares. What it asks for later lies behind the
//! adapter's, which heaps of C expect of `sbrk`. Go's heap, which began at that size until Go 1.23 and went on from there,
//! is left alone.

use std::ops::Range;

use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload, TypeRef};

use super::go::{appended, leb, signed};
use crate::error::Error;

/// `() -> i32` and `(i32) -> i32`.
const SIZE_TYPE: &[u8] = &[0x60, 0, 1, 0x7f];
const GROW_TYPE: &[u8] = &[0x60, 1, 0x7f, 1, 0x7f];
/// A variable that is 0.
const KNOWN: &[u8] = &[0x7f, 1, 0x41, 0, 0x0b];

/// What is known of a module.
#[derive(Default)]
struct Layout {
    is_wasi: bool,
    is_go: bool,
    has_realloc: bool,
    /// Whether it asks how large its memory is.
    looks: bool,
    types: u32,
    functions: u32,
    globals: Option<u32>,
    imported_globals: u32,
    memory_pages: Option<u64>,
    /// Each function's content, and where in it the memory is looked at or grown.
    bodies: Vec<(Range<usize>, Vec<Use>)>,
    sections: Vec<(u8, Range<usize>)>,
}

/// An instruction about the memory.
struct Use {
    at: Range<usize>,
    grows: bool,
}

/// The module with a heap apart from the adapter's memory, when it asks for its size.
///
/// # Errors
/// [`Error::NotWasm`].
pub(super) fn apart(module: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let layout = Layout::read(module).map_err(|error| super::not_wasm(&error.to_string()))?;
    let (Some(globals), Some(pages)) = (layout.globals, layout.memory_pages) else {
        return Ok(None);
    };
    let concerned = layout.is_wasi && !layout.is_go && !layout.has_realloc && layout.looks;
    Ok(concerned.then(|| layout.with_own_size(module, layout.imported_globals + globals, pages)))
}

impl Layout {
    fn read(module: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut layout = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            if let Some(section) = payload.as_section() {
                layout.sections.push(section);
            }
            match payload {
                Payload::CustomSection(custom) => layout.is_go |= custom.name() == "go:buildid",
                Payload::TypeSection(types) => layout.types = types.count(),
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        layout.is_wasi |= import.module == "wasi_snapshot_preview1";
                        layout.functions += u32::from(matches!(import.ty, TypeRef::Func(_)));
                        layout.imported_globals +=
                            u32::from(matches!(import.ty, TypeRef::Global(_)));
                    }
                }
                Payload::FunctionSection(functions) => layout.functions += functions.count(),
                Payload::GlobalSection(globals) => layout.globals = Some(globals.count()),
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        let memory = memory?;
                        layout.memory_pages = (!memory.memory64).then_some(memory.initial);
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        layout.has_realloc |= export?.name.contains("realloc");
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let uses = uses(&body)?;
                    layout.looks |= uses.iter().any(|one| !one.grows);
                    layout.bodies.push((body.range(), uses));
                }
                _ => {}
            }
        }
        Ok(layout)
    }

    /// The module with functions in the place of both instructions.
    fn with_own_size(&self, module: &[u8], known: u32, pages: u64) -> Vec<u8> {
        let size = self.functions;
        let mut out = module[..8].to_vec();
        for (id, range) in &self.sections {
            let content = &module[range.clone()];
            let content = match *id {
                1 => appended(&appended(content, SIZE_TYPE), GROW_TYPE),
                3 => {
                    let (of_size, of_grow) = (leb(self.types.into()), leb((self.types + 1).into()));
                    appended(&appended(content, &of_size), &of_grow)
                }
                6 => appended(content, KNOWN),
                10 => self.code(module, [size_body(known, pages), grow_body(known, size)]),
                _ => content.to_vec(),
            };
            out.push(*id);
            out.extend(leb(content.len() as u64));
            out.extend(content);
        }
        out
    }

    fn code(&self, module: &[u8], more: [Vec<u8>; 2]) -> Vec<u8> {
        let mut out = leb((self.bodies.len() + more.len()) as u64);
        for (range, uses) in &self.bodies {
            let mut body = Vec::with_capacity(range.len());
            let mut from = range.start;
            for one in uses {
                body.extend(&module[from..one.at.start]);
                body.push(0x10);
                body.extend(leb(u64::from(self.functions) + u64::from(one.grows)));
                from = one.at.end;
            }
            body.extend(&module[from..range.end]);
            out.extend(leb(body.len() as u64));
            out.extend(body);
        }
        for body in more {
            out.extend(leb(body.len() as u64));
            out.extend(body);
        }
        out
    }
}

/// Where a function looks at the memory or grows it.
fn uses(body: &FunctionBody<'_>) -> Result<Vec<Use>, BinaryReaderError> {
    let mut found = Vec::new();
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let start = reader.original_position();
        let grows = match reader.read()? {
            Operator::MemorySize { mem: 0 } => false,
            Operator::MemoryGrow { mem: 0 } => true,
            _ => continue,
        };
        found.push(Use { at: start..reader.original_position(), grows });
    }
    Ok(found)
}

/// As many pages as it declares the first time, unless it has grown.
fn size_body(known: u32, pages: u64) -> Vec<u8> {
    let get = [&[0x23], &*leb(known.into())].concat();
    let declared = [&[0x41, 1, 0x24], &*leb(known.into()), &[0x41], &*signed(pages)].concat();
    let body: [&[u8]; 7] =
        [&[0], &get, &[0x04, 0x7f], &[0x3f, 0], &[0x05], &declared, &[0x0b, 0x0b]];
    body.concat()
}

/// What the instruction does; with 0 it asks for the size.
fn grow_body(known: u32, size: u32) -> Vec<u8> {
    let call = [&[0x10], &*leb(size.into())].concat();
    let set = [&[0x41, 1, 0x24], &*leb(known.into())].concat();
    let body: [&[u8]; 6] = [
        // With 0, the size.
        &[0, 0x20, 0, 0x45, 0x04, 0x7f],
        &call,
        // Else more of it; -1 when there is none.
        &[0x05, 0x20, 0, 0x40, 0, 0x22, 0, 0x41, 0x7f, 0x47, 0x04, 0x40],
        &set,
        &[0x0b, 0x20, 0, 0x0b],
        &[0x0b],
    ];
    body.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(import: &str, body: &str, export: &str) -> Vec<u8> {
        let text = format!(
            r#"(module
              (import "{import}" "sched_yield" (func $yield (result i32)))
              (memory (export "memory") 2)
              (global (mut i32) (i32.const 0))
              (func (export "_start") (drop (call $yield)) {body})
              (func $f (export "{export}") (param i32) (result i32) (local.get 0)))"#
        );
        wat::parse_str(text).unwrap()
    }

    const WASI: &str = "wasi_snapshot_preview1";
    const LOOKS: &str = "(drop (memory.size)) (drop (call $f (memory.grow (i32.const 1))))";

    #[test]
    fn a_program_that_asks_for_the_size_of_its_memory_has_its_own() {
        let apart = apart(&module(WASI, LOOKS, "f")).unwrap().unwrap();
        wasmparser::validate(&apart).unwrap();
        let layout = Layout::read(&apart).unwrap();
        let uses: Vec<_> = layout.bodies.iter().map(|(_, uses)| uses.len()).collect();
        assert_eq!((layout.functions, layout.globals), (5, Some(2)));
        assert_eq!(uses, [0, 0, 1, 1], "only the two that are added look at it");
        super::super::prepare(&apart).unwrap();
    }

    #[test]
    fn others_stay_as_they_are() {
        let grows = "(drop (memory.grow (i32.const 1)))";
        for (import, body, export) in
            [("env", LOOKS, "f"), (WASI, grows, "f"), (WASI, LOOKS, "cabi_realloc")]
        {
            assert!(apart(&module(import, body, export)).unwrap().is_none(), "{import} {body}");
        }
        let mut of_go = module(WASI, LOOKS, "f");
        of_go.extend([&[0, 11, 10], &b"go:buildid"[..]].concat());
        assert!(apart(&of_go).unwrap().is_none());
    }
}
