use alloc::vec::Vec;

use cairn_base::varint;

use crate::correct::TokenModels;
use crate::estimate::Sample;
use crate::header::Header;
use crate::parse::{Parser, Pause, Sink};
use crate::predict::Predictor;
use crate::presets::{PRESET_USUAL, PRESETS};
use crate::range::Writer;
use crate::record::{Kind, RecordModels, SPAN_TOKENS_MAX, Span, Start};
use crate::text::Text;
use crate::token::{END_OF_BLOCK, Token};
use crate::trees::Freqs;
use crate::{Error, VERSION};

/// Plain bytes that are made before tokens are dealt with.
const RUN_BYTES: u64 = 64 << 10;

/// What a [`Splitter`] is willing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most plain bytes of the stream.
    pub plain_bytes_max: u64,
    /// Most bytes of its corrections; they are kept in memory.
    pub corrections_bytes_max: usize,
}

/// A known encoder at one of its levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset(u8);

/// How far a [`Splitter`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The stream goes on.
    NeedMore,
    /// The stream is complete.
    Done {
        /// Bytes of the last push that belong to it; those behind are somebody else's.
        consumed: usize,
    },
}

/// What the plain bytes do not tell about a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrections {
    /// For [`Joiner::new`](crate::Joiner::new).
    pub bytes: Vec<u8>,
    /// Length of the stream.
    pub compressed_len_bytes: u64,
    /// Length of the plain bytes.
    pub plain_len_bytes: u64,
    /// What the encoder was found to be like; `None` for a stream that tells nothing.
    pub preset: Option<Preset>,
}

/// Splits a deflate stream into its plain bytes and corrections, from which a
/// [`Joiner`](crate::Joiner) makes the same stream again.
///
/// Holds at most about 4 MiB and the corrections, whatever the stream is.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    parser: Parser,
    text: Text,
    blocks: Blocks,
    tokens: Tokens,
    crc: crc32fast::Hasher,
    compressed_len: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Done,
    Failed,
}

impl Splitter {
    /// A splitter of one stream. `like` is what a stream was found to be like that probably comes
    /// from the same encoder: if it fits, nothing else is tried.
    #[must_use]
    pub fn new(limits: Limits, like: Option<Preset>) -> Self {
        Self {
            limits,
            parser: Parser::new(),
            text: Text::new(),
            blocks: Blocks::new(),
            tokens: Tokens::new(like),
            crc: crc32fast::Hasher::new(),
            compressed_len: 0,
            state: State::Open,
        }
    }

    /// Reads the next compressed bytes, and gives the plain bytes of them to `sink` in pieces of at
    /// most 128 KiB: up to 1032 times as many in all. After [`Progress::Done`] it takes no more.
    ///
    /// # Errors
    /// [`Error::Invalid`]: this is no deflate stream. [`Error::PlainLimit`],
    /// [`Error::CorrectionsLimit`]: see [`Limits`]. [`Error::Refused`]: `sink` returned `None`.
    /// [`Error::Poisoned`] after any of these.
    pub fn push(
        &mut self,
        compressed: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<Progress, Error> {
        match self.state {
            State::Open => {}
            State::Done => return Ok(Progress::Done { consumed: 0 }),
            State::Failed => return Err(Error::Poisoned),
        }
        let progress = self.read(compressed, sink);
        if progress.is_err() {
            self.state = State::Failed;
        }
        progress
    }

    /// Bytes of corrections so far, without those of the last tokens.
    #[must_use]
    pub fn corrections_len_bytes(&self) -> u64 {
        self.blocks.coder.len() + self.tokens.coder.len()
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`Error::Unfinished`] if no push returned [`Progress::Done`];
    /// [`Error::CorrectionsLimit`]; [`Error::Poisoned`].
    pub fn finish(self) -> Result<Corrections, Error> {
        match self.state {
            State::Done => {}
            State::Open => return Err(Error::Unfinished { offset: self.compressed_len }),
            State::Failed => return Err(Error::Poisoned),
        }
        let mut bytes = alloc::vec![VERSION, self.tokens.preset()];
        bytes.extend_from_slice(&self.crc.finalize().to_le_bytes());
        let records = self.blocks.coder.finish();
        varint::put(&mut bytes, records.len() as u64);
        bytes.extend_from_slice(&records);
        bytes.extend_from_slice(&self.tokens.coder.finish());
        let max = self.limits.corrections_bytes_max;
        if bytes.len() > max {
            return Err(Error::CorrectionsLimit { max });
        }
        Ok(Corrections {
            bytes,
            compressed_len_bytes: self.compressed_len,
            plain_len_bytes: self.text.len(),
            preset: self.tokens.predictor.as_ref().map(|&(preset, _)| Preset(preset)),
        })
    }

    fn read(
        &mut self,
        compressed: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<Progress, Error> {
        let mut input = compressed;
        loop {
            let before = self.text.end();
            let pause = self.parser.run(&mut input, &mut self.text, RUN_BYTES, &mut self.blocks)?;
            if self.text.len() > self.limits.plain_bytes_max {
                return Err(Error::PlainLimit { max: self.limits.plain_bytes_max });
            }
            let made = &self.text.bytes()[self.text.index(before)..];
            if !made.is_empty() {
                sink(made).ok_or(Error::Refused)?;
            }
            if pause == Pause::Done {
                self.text.finish();
            }
            self.tokens.work(&mut self.text, &mut self.blocks.queue)?;
            if self.corrections_len_bytes() > self.limits.corrections_bytes_max as u64 {
                return Err(Error::CorrectionsLimit { max: self.limits.corrections_bytes_max });
            }
            match pause {
                Pause::Output => {}
                Pause::Input => {
                    self.crc.update(compressed);
                    self.compressed_len += compressed.len() as u64;
                    return Ok(Progress::NeedMore);
                }
                Pause::Done => {
                    // What an earlier push left over was too little for a step of the parser, so
                    // that the end of the stream is within this push.
                    let used = self.parser.used() - self.compressed_len;
                    let consumed = usize::try_from(used).unwrap_or(0).min(compressed.len());
                    self.crc.update(&compressed[..consumed]);
                    self.compressed_len = self.parser.used();
                    self.state = State::Done;
                    return Ok(Progress::Done { consumed });
                }
            }
        }
    }
}

/// Writes the records of blocks, and keeps their tokens.
#[derive(Debug)]
struct Blocks {
    coder: Writer,
    models: RecordModels,
    start: Start,
    /// Of the block, as long as it has one span.
    freqs: Freqs,
    whole: bool,
    /// Tokens of the span.
    count: u32,
    queue: Vec<Token>,
    /// Whether the last of them is of the stored block that is being read.
    stored_open: bool,
}

impl Blocks {
    fn new() -> Self {
        Self {
            coder: Writer::new(),
            models: RecordModels::new(),
            start: Start { last: false, kind: Kind::Fixed },
            freqs: Freqs::new(),
            whole: true,
            count: 0,
            queue: Vec::new(),
            stored_open: false,
        }
    }

    /// Writes the record of a span.
    fn span(&mut self, more: bool, header: &Header) {
        if self.whole {
            let start = self.models.start(&mut self.coder, self.start);
            assert_eq!(start, Some(self.start), "a writer gets back what it writes");
        }
        let span = Span { tokens: self.count, more };
        let written = self.models.span(&mut self.coder, self.start, span);
        assert!(written.is_some(), "a writer gets back what it writes");
        if self.whole && self.start.kind == Kind::Dynamic {
            self.freqs.literals[END_OF_BLOCK] = 1;
            let freqs = (!more).then_some(&self.freqs);
            let written = self.models.header(&mut self.coder, freqs, header);
            assert!(written.is_some_and(|it| it == *header), "a writer gets back what it writes");
        }
        self.whole = !more;
        self.count = 0;
    }
}

impl Sink for Blocks {
    fn stored(&mut self, last: bool, padding: u8, len: u16) {
        self.stored_open = false;
        let start = Start { last, kind: Kind::Stored };
        self.models.start(&mut self.coder, start);
        self.models.padding(&mut self.coder, padding);
        let written = self.models.stored_len(&mut self.coder, start, len.into());
        assert!(written.is_some(), "a writer gets back what it writes");
    }

    fn stored_bytes(&mut self, len: u16) {
        // One token per block, however the block was cut into pushes: the sample counts tokens.
        let whole = self.queue.last().and_then(|last| last.stored_more(len));
        match (self.queue.last_mut(), whole) {
            (Some(last), Some(whole)) if self.stored_open => *last = whole,
            _ => self.queue.push(Token::stored(len)),
        }
        self.stored_open = true;
    }

    fn begin(&mut self, last: bool, dynamic: bool) {
        self.start = Start { last, kind: if dynamic { Kind::Dynamic } else { Kind::Fixed } };
        self.freqs = Freqs::new();
        self.whole = true;
        self.count = 0;
    }

    fn token(&mut self, token: Token, header: &Header) {
        self.freqs.count(token);
        self.queue.push(token);
        self.count += 1;
        if self.count == SPAN_TOKENS_MAX {
            self.span(true, header);
            self.whole = false;
        }
    }

    fn end(&mut self, header: &Header) {
        self.span(false, header);
    }

    fn finish(&mut self, padding: u8) {
        self.models.padding(&mut self.coder, padding);
    }
}

/// Writes the corrections of tokens.
#[derive(Debug)]
struct Tokens {
    coder: Writer,
    models: TokenModels,
    predictor: Option<(u8, Predictor)>,
    like: Option<Preset>,
    /// Position of the first token in the queue.
    at: u32,
}

impl Tokens {
    fn new(like: Option<Preset>) -> Self {
        Self { coder: Writer::new(), models: TokenModels::new(), predictor: None, like, at: 0 }
    }

    fn preset(&self) -> u8 {
        self.predictor.as_ref().map_or(PRESET_USUAL, |&(preset, _)| preset)
    }

    /// Deals with the tokens whose surroundings are known.
    fn work(&mut self, text: &mut Text, queue: &mut Vec<Token>) -> Result<(), Error> {
        let mut done = 0;
        if self.predictor.is_none() {
            done = self.pass_stored(queue);
            let tokens = &queue[done..];
            let sample = Sample {
                text,
                at: self.at,
                before: text.len() - u64::from(text.ahead(self.at)),
                tokens,
                like: self.like.map(|Preset(number)| number),
            };
            if let Some(preset) = sample.estimate() {
                let predictor = Predictor::new(PRESETS[usize::from(preset)], sample.before);
                self.predictor = Some((preset, predictor));
            }
        }
        if let Some((_, predictor)) = &mut self.predictor {
            for &token in &queue[done..] {
                if !text.is_ready(self.at) {
                    break;
                }
                if token.is_stored() {
                    predictor.pass(text, self.at, token);
                } else {
                    self.models.code(&mut self.coder, predictor, text, self.at, token)?;
                }
                self.at = self.at.wrapping_add(token.plain_len());
                done += 1;
            }
        }
        queue.drain(..done);
        text.trim(self.at);
        Ok(())
    }

    /// Passes the stored bytes before the first token.
    fn pass_stored(&mut self, queue: &[Token]) -> usize {
        let stored = queue.iter().take_while(|token| token.is_stored());
        let mut count = 0;
        for token in stored {
            self.at = self.at.wrapping_add(token.plain_len());
            count += 1;
        }
        count
    }
}
