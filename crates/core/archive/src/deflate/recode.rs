//! From a stream to its corrections.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::block::{BLOCK_TOKENS_MAX, Block, Kind, Parser};
use super::matcher::{Config, Hash, LOOKAHEAD, Matcher};
use super::text::Text;
use super::{Bounds, Hint, Recoded, Stop};
use crate::varint;
use crate::window::Window;

/// Plain bytes that decide the configuration.
const SAMPLE_BYTES: u64 = 256 << 10;
/// Blocks that may wait for the bytes after them; only empty ones come in such numbers.
const BLOCKS_WAITING_MAX: usize = 1024;
/// Shorter streams are not worth their corrections.
const STREAM_BYTES_MIN: u64 = 256;
/// Reads the deflate stream that `input` stands at, and says how to make it again; its plain bytes
/// go to `sink`, which may refuse. `None`: it cannot be done, and `input` stands anywhere.
pub(crate) fn recode<R: Read>(
    input: &mut Window<R>,
    bounds: &Bounds,
    hint: &mut Hint,
    sink: impl FnMut(&[u8]) -> Option<()>,
) -> io::Result<Option<Recoded>> {
    match try_recode(input, bounds, hint, sink) {
        Ok(recoded) => Ok(Some(recoded)),
        Err(Stop::Refused) => Ok(None),
        Err(Stop::Io(error)) => Err(error),
    }
}

fn try_recode<R: Read>(
    input: &mut Window<R>,
    bounds: &Bounds,
    hint: &mut Hint,
    mut sink: impl FnMut(&[u8]) -> Option<()>,
) -> Result<Recoded, Stop> {
    let start = input.consumed();
    let mut parser = Parser::new(input);
    let mut text = Text::default();
    let mut waiting = VecDeque::new();
    let mut waiting_len = 0;
    let mut table: Option<Table> = None;
    let mut at = 0;
    loop {
        let wanted = if table.is_none() { SAMPLE_BYTES } else { LOOKAHEAD as u64 };
        let first_len = waiting.front().map_or(0, |block: &Block| block.plain_len);
        let enough =
            !waiting.is_empty() && text.end() - at >= wanted.max(first_len + LOOKAHEAD as u64);
        if !enough && !parser.is_done() {
            if waiting.len() == BLOCKS_WAITING_MAX {
                return Err(Stop::Refused);
            }
            let from = text.end();
            let block = parser.block(&mut text)?;
            waiting_len += block.tokens.len();
            if waiting_len > 2 * BLOCK_TOKENS_MAX {
                return Err(Stop::Refused);
            }
            sink(text.from(from)).ok_or(Stop::Refused)?;
            waiting.push_back(block);
            continue;
        }
        let table = match &mut table {
            Some(table) => table,
            none => none.insert(Table::new(choose(&waiting, &text, hint)?)),
        };
        let Some(block) = waiting.pop_front() else { break };
        waiting_len -= block.tokens.len();
        table.add(&block, &text, at)?;
        at += block.plain_len;
        text.forget(at);
        if !bounds.hold(text.end(), parser.used() - start, table.len()) {
            return Err(Stop::Refused);
        }
    }
    let out_len = parser.used() - start;
    parser.finish();
    let table = table.filter(|_| out_len >= STREAM_BYTES_MIN).ok_or(Stop::Refused)?;
    Ok(Recoded { inner_len: at, out_len, corrections: table.into_bytes() })
}

/// The configuration that predicts the first tokens best.
fn choose(blocks: &VecDeque<Block>, text: &Text, hint: &mut Hint) -> Result<Config, Stop> {
    let tokens: u64 = blocks.iter().map(|block| block.tokens.len() as u64).sum();
    if let Some(config) = hint.config
        && misses(config, blocks, text, tokens / 64).is_some()
    {
        return Ok(config);
    }
    let mut best = Config { level: 6, hash: Hash::Three15 };
    // A miss costs about four bytes, a token about two: one in eight is too many.
    let mut least = tokens / 8 + 1;
    let mut found = tokens == 0;
    for level in [6, 9, 1, 8, 5, 7, 4, 3, 2] {
        for hash in Hash::ALL {
            let config = Config { level, hash };
            let fewer = least.checked_sub(1).and_then(|max| misses(config, blocks, text, max));
            if let Some(fewer) = fewer {
                (best, least, found) = (config, fewer, true);
            }
        }
    }
    if !found {
        hint.misfits += 1;
        return Err(Stop::Refused);
    }
    *hint = Hint { config: Some(best), misfits: 0 };
    Ok(best)
}

/// How many tokens at the beginning of the stream `config` misses; `None` if more than `max`.
fn misses(config: Config, blocks: &VecDeque<Block>, text: &Text, max: u64) -> Option<u64> {
    let mut matcher = Matcher::new(config);
    let mut at = 0;
    let mut misses = 0;
    for block in blocks {
        if block.kind == Kind::Stored {
            matcher.pass(text, at, block.plain_len);
            at += block.plain_len;
        }
        for token in &block.tokens {
            if at >= SAMPLE_BYTES {
                return Some(misses);
            }
            misses += u64::from(matcher.predict(text, at) != *token);
            if misses > max || matcher.is_overworked(at) {
                return None;
            }
            matcher.commit(text, at, *token);
            at += token.plain_len() as u64;
        }
    }
    Some(misses)
}

/// Corrections in the making.
struct Table {
    config: Config,
    matcher: Matcher,
    blocks: Vec<u8>,
    tokens: Vec<u8>,
    run: u64,
}

impl Table {
    fn new(config: Config) -> Self {
        let matcher = Matcher::new(config);
        Self { config, matcher, blocks: Vec::new(), tokens: Vec::new(), run: 0 }
    }

    fn len(&self) -> usize {
        self.blocks.len() + self.tokens.len()
    }

    fn add(&mut self, block: &Block, text: &Text, mut at: u64) -> Result<(), Stop> {
        let (kind, raw, count) = match &block.kind {
            Kind::Stored => (0, None, block.plain_len),
            Kind::Static => (1, None, block.tokens.len() as u64),
            Kind::Dynamic(raw) => (2, raw.as_ref(), block.tokens.len() as u64),
        };
        let flags = u64::from(raw.is_some()) << 3 | kind << 1 | u64::from(block.last);
        varint::put(&mut self.blocks, count << 4 | flags);
        if let Some((bytes, bits)) = raw {
            varint::put(&mut self.blocks, u64::from(*bits));
            self.blocks.extend_from_slice(bytes);
        }
        if block.kind == Kind::Stored {
            self.matcher.pass(text, at, block.plain_len);
        }
        for token in &block.tokens {
            if self.matcher.predict(text, at) == *token {
                self.run += 1;
            } else {
                varint::put(&mut self.tokens, self.run);
                self.run = 0;
                varint::put(&mut self.tokens, u64::from(token.len.saturating_sub(2)));
                if token.len != 0 {
                    varint::put(&mut self.tokens, token.dist.into());
                }
            }
            if self.matcher.is_overworked(at) {
                return Err(Stop::Refused);
            }
            self.matcher.commit(text, at, *token);
            at += token.plain_len() as u64;
        }
        Ok(())
    }

    fn into_bytes(self) -> Vec<u8> {
        let hash = Hash::ALL.iter().position(|&hash| hash == self.config.hash);
        let hash = hash.and_then(|hash| u8::try_from(hash).ok()).expect("ALL has every hash");
        let mut out = vec![self.config.level, hash];
        varint::put(&mut out, self.blocks.len() as u64);
        out.extend_from_slice(&self.blocks);
        out.extend_from_slice(&self.tokens);
        out
    }
}
