//! Room for the adapter in the memory of programs that Go's own compiler made.
//!
//! Since Go 1.24 the heap begins where the data end, and all that the memory grows by is taken for the heap's, whoever
//! asked for it (`sbrk` of `runtime/mem_wasm.go`). The two pages of the adapter, which it asks for when it is used
//! first, would be written over. So the end of the data is moved behind two pages more, and a function is added that
//! gives those to the adapter: `cabi_realloc_adapter`, which wit-component looks for.
//!
//! The end of the data is a word of `runtime.firstmoduledata`, behind the bounds of what is before it. It is
//! found by them, and by the memory that the linker declares: so much more than that end, in whole pages.

use std::ops::Range;

use wasmparser::{BinaryReaderError, DataKind, Operator, Parser, Payload};

use crate::error::Error;

const PAGE_BYTES: u64 = 64 << 10;
/// The adapter's state and its stack, a page each.
const ROOM_BYTES: u64 = 2 * PAGE_BYTES;
/// Pages that the linker declares behind the end of the data.
const SPARE_PAGES: u64 = 16;
/// Before Go 1.24, whose heap asks where it was given memory, they are more, and behind what is laid down there.
const SPARE_PAGES_BEFORE: u64 = 256;
const WORD_BYTES: usize = 8;
/// The beginnings and ends of what is before the end of the data: noptrdata, data, bss, noptrbss, covctrs.
const BOUNDS: usize = 10;

/// `(i32 i32 i32 i32) -> i32`.
const REALLOC_TYPE: &[u8] = &[0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f];
const REALLOC_NAME: &[u8] = b"cabi_realloc_adapter";

/// What is in memory at the beginning, by address.
struct Piece<'a> {
    address: u64,
    bytes: &'a [u8],
    /// Where those are in the module.
    offset: usize,
}

/// What is known of a module of Go's.
#[derive(Default)]
struct Layout<'a> {
    is_go: bool,
    has_realloc: bool,
    types: u32,
    imported_functions: u32,
    functions: u32,
    globals: u32,
    memory_pages: u64,
    data: Vec<Piece<'a>>,
    /// Each section's id and content.
    sections: Vec<(u8, Range<usize>)>,
}

/// The module with room for the adapter, when Go's compiler made it and it has none.
///
/// # Errors
/// [`Error::Imports`] when it is of a Go whose programs are laid out in another way; [`Error::NotWasm`].
pub(super) fn roomy(module: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let layout = Layout::read(module).map_err(|error| super::not_wasm(&error.to_string()))?;
    if !layout.is_go || layout.has_realloc || layout.imported_functions == 0 {
        return Ok(None);
    }
    if let Some(place) = layout.end_of_data() {
        return Ok(Some(layout.with_room(module, place)));
    }
    if layout.heap_asks() {
        return Ok(None);
    }
    let detail = "where the heap of this program begins is not known; build it with Go 1.21 to 1.27, or make it a component";
    Err(Error::Imports { detail: detail.to_owned() })
}

impl<'a> Layout<'a> {
    fn read(module: &'a [u8]) -> Result<Self, BinaryReaderError> {
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
                        let function = matches!(import?.ty, wasmparser::TypeRef::Func(_));
                        layout.imported_functions += u32::from(function);
                    }
                }
                Payload::FunctionSection(functions) => layout.functions = functions.count(),
                Payload::GlobalSection(globals) => layout.globals = globals.count(),
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        layout.memory_pages = memory?.initial;
                    }
                }
                Payload::ExportSection(exports) => {
                    for export in exports {
                        layout.has_realloc |= export?.name.contains("realloc");
                    }
                }
                Payload::DataSection(data) if layout.is_go => layout.data = pieces(data)?,
                _ => {}
            }
        }
        Ok(layout)
    }

    /// The address of the word with the end of the data, and that end; none when there is no such word or more than one.
    fn end_of_data(&self) -> Option<(u64, u64)> {
        let mut found = None;
        for piece in &self.data {
            let first = piece.address.next_multiple_of(WORD_BYTES as u64);
            let last = piece.address + piece.bytes.len() as u64;
            for address in (first..last).step_by(WORD_BYTES) {
                let end = self.word(piece, address);
                if end / PAGE_BYTES + SPARE_PAGES == self.memory_pages && self.bounds(address, end)
                {
                    if found.is_some() {
                        return None;
                    }
                    found = Some((address, end));
                }
            }
        }
        found
    }

    /// Whether it is of a Go whose heap shares memory with others.
    fn heap_asks(&self) -> bool {
        let last = self.data.last().map_or(0, |piece| piece.address + piece.bytes.len() as u64);
        // The last zeros are left out of what is laid down, which may be a page's.
        let spare = self.memory_pages.saturating_sub(last / PAGE_BYTES);
        (SPARE_PAGES_BEFORE..=SPARE_PAGES_BEFORE + 1).contains(&spare)
    }

    /// Whether the words before that one are bounds of what is before the end, and the word after it is an address
    /// before all those: that of what the collector of garbage is told of them.
    fn bounds(&self, address: u64, end: u64) -> bool {
        let Some(first) = address.checked_sub((BOUNDS * WORD_BYTES) as u64) else { return false };
        let words: Vec<u64> =
            (first..address).step_by(WORD_BYTES).map(|at| self.word_anywhere(at)).collect();
        let after = self.word_anywhere(address + WORD_BYTES as u64);
        after > 0
            && after < words[0]
            && words.is_sorted()
            && words.iter().all(|bound| *bound <= end)
    }

    fn word(&self, piece: &Piece<'_>, address: u64) -> u64 {
        let at = usize::try_from(address - piece.address).unwrap_or(usize::MAX);
        match piece.bytes.get(at..at.saturating_add(WORD_BYTES)) {
            Some(bytes) => u64::from_le_bytes(bytes.try_into().expect("they are a word")),
            None => self.word_anywhere(address),
        }
    }

    /// A word of memory. The linker leaves out zeros, so that it may lie across pieces.
    fn word_anywhere(&self, address: u64) -> u64 {
        let mut bytes = [0; WORD_BYTES];
        for (byte, at) in bytes.iter_mut().zip(address..) {
            *byte = self.byte(at).map_or(0, |(byte, _)| byte);
        }
        u64::from_le_bytes(bytes)
    }

    /// A byte of memory, and where it is in the module.
    fn byte(&self, address: u64) -> Option<(u8, usize)> {
        let next = self.data.partition_point(|piece| piece.address <= address);
        let piece = self.data.get(next.checked_sub(1)?)?;
        let at = usize::try_from(address - piece.address).ok()?;
        Some((*piece.bytes.get(at)?, piece.offset + at))
    }

    /// The module with another word at an address; none where a zero that it changes was left out.
    fn with_word(&self, module: &[u8], address: u64, word: u64) -> Option<Vec<u8>> {
        let mut module = module.to_vec();
        let (old, new) = (self.word_anywhere(address).to_le_bytes(), word.to_le_bytes());
        for (at, (old, new)) in (address..).zip(old.into_iter().zip(new)) {
            if old != new {
                module[self.byte(at)?.1] = new;
            }
        }
        Some(module)
    }

    /// The module with another end of its data, and the function that gives what is before that.
    fn with_room(&self, module: &[u8], (address, end): (u64, u64)) -> Vec<u8> {
        let begin = end.next_multiple_of(PAGE_BYTES);
        let moved = begin + ROOM_BYTES;
        let realloc = self.imported_functions + self.functions;
        // Go fills the number of pieces that engines take: where it can be, none is added.
        let changed = self.with_word(module, address, moved);
        let (module, is_changed) = changed.as_deref().map_or((module, false), |it| (it, true));
        let mut out = module[..8].to_vec();
        for (id, range) in &self.sections {
            let content = &module[range.clone()];
            let more = match *id {
                1 => Some(REALLOC_TYPE.to_vec()),
                3 => Some(leb(self.types.into())),
                6 => Some([&[0x7f, 1, 0x41], &*signed(begin), &[0x0b]].concat()),
                7 => Some(
                    [&leb(REALLOC_NAME.len() as u64), REALLOC_NAME, &[0], &leb(realloc.into())]
                        .concat(),
                ),
                10 => Some(realloc_body(self.globals, moved)),
                // Pieces are laid down in their order: this one over what was there.
                11 if !is_changed => {
                    Some([&[0, 0x41], &*signed(address), &[0x0b, 8], &moved.to_le_bytes()].concat())
                }
                _ => None,
            };
            let content = match more {
                Some(item) => appended(content, &item),
                None => content.to_vec(),
            };
            out.push(*id);
            out.extend(leb(content.len() as u64));
            out.extend(content);
        }
        out
    }
}

fn pieces(data: wasmparser::DataSectionReader<'_>) -> Result<Vec<Piece<'_>>, BinaryReaderError> {
    let mut pieces = Vec::new();
    for segment in data {
        let segment = segment?;
        let DataKind::Active { offset_expr, .. } = segment.kind else { continue };
        if let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? {
            let address = u64::from(value.cast_unsigned());
            let offset = segment.range.end - segment.data.len();
            pieces.push(Piece { address, bytes: segment.data, offset });
        }
    }
    pieces.sort_by_key(|piece| piece.address);
    Ok(pieces)
}

/// A function that gives what is before `limit`, from where the global points to, and moves that.
fn realloc_body(global: u32, limit: u64) -> Vec<u8> {
    let (get, set) =
        ([&[0x23], &*leb(global.into())].concat(), [&[0x24], &*leb(global.into())].concat());
    let (local_3, add) = ([0x20, 3], [0x6a]);
    let past = [&[0x41], &*signed(limit), &[0x4b]].concat();
    let trap = [0x04, 0x40, 0x00, 0x0b];
    let body: [&[u8]; 10] = [&[0], &get, &get, &local_3, &add, &set, &get, &past, &trap, &[0x0b]];
    let body = body.concat();
    [leb(body.len() as u64), body].concat()
}

/// A section's content with one item more.
pub(super) fn appended(content: &[u8], item: &[u8]) -> Vec<u8> {
    let mut reader = wasmparser::BinaryReader::new(content, 0);
    let count = reader.read_var_u32().expect("the section was read before");
    let items = &content[reader.original_position()..];
    [&*leb(u64::from(count) + 1), items, item].concat()
}

/// LEB128.
pub(super) fn leb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// LEB128 of an address as an i32, which has a sign.
pub(super) fn signed(address: u64) -> Vec<u8> {
    // Five bytes hold all of them; those of 2 GiB and more are negative.
    let mut bits = address | if address < 1 << 31 { 0 } else { u64::MAX << 32 };
    let mut bytes = Vec::new();
    for _ in 0..4 {
        bytes.push(bits.to_le_bytes()[0] & 0x7f | 0x80);
        bits >>= 7;
    }
    bytes.push(bits.to_le_bytes()[0] & 0x7f);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u64 = 0x2_0123;
    const PAGES: u64 = END / PAGE_BYTES + SPARE_PAGES;

    /// Where the end of the data is in those that follow.
    const WORD: u64 = 0x3000 + 8 * (BOUNDS as u64 + 2);

    /// A module as Go's linker lays them out, with `bounds` before the end of the data.
    fn program(bounds: &[u64], end: u64, pages: u64) -> Vec<u8> {
        pieced(bounds, end, pages, "")
    }

    /// One with more to be laid down.
    fn pieced(bounds: &[u64], end: u64, pages: u64, more: &str) -> Vec<u8> {
        let words = bounds.iter().chain([&end, &0x1100]).flat_map(|word| word.to_le_bytes());
        let data: String = words.map(|byte| format!("\\{byte:02x}")).collect();
        let text = format!(
            r#"(module
              (@custom "go:buildid" (before first) "x")
              (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
              (memory (export "memory") {})
              (global (mut i32) (i32.const 0))
              (func (export "_start") (drop (call $yield)))
              (data (i32.const 0x3000) "{data}") {more})"#,
            pages,
        );
        wat::parse_str(text).unwrap()
    }

    /// Those of the text, which are no addresses in memory, and of the data; nothing is counted for coverage.
    fn bounds() -> Vec<u64> {
        let text = [0, 0xc960];
        let data = [0x1_8000, 0x1_8100, 0x1_8100, 0x1_8200, 0x1_8200, 0x1_8300, 0x1_8300];
        [&text[..], &data, &[END; 3]].concat()
    }

    #[test]
    fn the_end_of_the_data_is_behind_the_room_of_the_adapter() {
        let module = program(&bounds(), END, PAGES);
        let roomy = roomy(&module).unwrap().unwrap();
        wasmparser::validate(&roomy).unwrap();
        let layout = Layout::read(&roomy).unwrap();
        assert!(layout.has_realloc);
        assert_eq!((layout.word_anywhere(WORD), layout.data.len()), (0x5_0000, 1));
        assert!(super::roomy(&roomy).unwrap().is_none());
        super::super::prepare(&module).unwrap();
    }

    /// As Go lays down what is large.
    #[test]
    fn a_program_with_as_many_pieces_as_engines_take_is_given_room() {
        let pieces = (1..100_000).map(|at| format!("(data (i32.const {}) \"x\")", at + 0x4000));
        let module = pieced(&bounds(), END, PAGES, &pieces.collect::<String>());
        let roomy = roomy(&module).unwrap().unwrap();
        wasmparser::validate(&roomy).unwrap();
        let layout = Layout::read(&roomy).unwrap();
        assert_eq!((layout.word_anywhere(WORD), layout.data.len()), (0x5_0000, 100_000));
        super::super::prepare(&module).unwrap();
    }

    #[test]
    fn zeros_that_were_left_out_are_laid_down_where_the_end_has_others() {
        let end = 0xff_0123;
        let moved = 0x102_0000_u64;
        let words: Vec<u64> = [&bounds()[..9], &[end; 3]].concat();
        let module = program(&words, end, end / PAGE_BYTES + SPARE_PAGES);
        let layout = Layout::read(&module).unwrap();
        let piece = &layout.data[0];
        let cut = usize::try_from(WORD - piece.address).unwrap() + 3;
        let parts = vec![
            Piece { address: piece.address, bytes: &piece.bytes[..cut], offset: piece.offset },
            Piece { address: WORD + 8, bytes: &piece.bytes[cut + 5..], offset: piece.offset },
        ];
        let layout = Layout { data: parts, ..layout };
        assert_eq!(layout.end_of_data(), Some((WORD, end)));
        assert_eq!(layout.with_word(&module, WORD, moved), None);
        let roomy = layout.with_room(&module, (WORD, end));
        wasmparser::validate(&roomy).unwrap();
        let last = Layout::read(&roomy).unwrap();
        let last = last.data.iter().find(|piece| piece.address == WORD).unwrap().bytes;
        assert_eq!(last, moved.to_le_bytes());
    }

    #[test]
    fn a_program_whose_heap_asks_stays_as_it_is() {
        let module = program(&bounds(), END, SPARE_PAGES_BEFORE);
        assert!(roomy(&module).unwrap().is_none());
        super::super::prepare(&module).unwrap();
    }

    #[test]
    fn a_program_that_is_laid_out_otherwise_is_refused() {
        let mut unsorted = bounds();
        unsorted.swap(3, 9);
        let twice = [bounds(), vec![END, 0x1100], bounds()].concat();
        for (bounds, end) in [(&unsorted, END), (&bounds(), END << 4), (&twice, END)] {
            let error = roomy(&program(bounds, end, PAGES)).unwrap_err().to_string();
            assert!(error.contains("Go 1.21"), "{error}");
        }
    }

    #[test]
    fn addresses_are_written_as_they_are_read() {
        for address in [0, 1, 0x3f, 0x40, 0x5_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_0000] {
            let bytes = signed(address);
            let read = wasmparser::BinaryReader::new(&bytes, 0).read_var_i32().unwrap();
            assert_eq!(u64::from(read.cast_unsigned()), address);
            assert_eq!(
                wasmparser::BinaryReader::new(&leb(address), 0).read_var_u64().unwrap(),
                address
            );
        }
    }
}
