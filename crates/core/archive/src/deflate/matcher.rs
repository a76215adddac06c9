//! Which token zlib and gzip would choose next: hash chains, greedy or lazy (RFC 1951, section 4,
//! describes the method; the numbers per level are those of zlib's and gzip's documentation of
//! `deflateTune`).

use super::text::Text;

pub(crate) const MATCH_MIN: usize = 3;
pub(crate) const MATCH_MAX: usize = 258;
/// Plain bytes after a token's first that its choice can depend on.
pub(crate) const LOOKAHEAD: usize = 1024;

const WINDOW: usize = 32 << 10;
const DISTANCE_MAX: u32 = 32_768 - 258 - 3 - 1;
/// A match of three bytes that is farther away costs more than three literals.
const TOO_FAR: u64 = 4096;

/// Most candidates per plain byte that a search may look at on average. Sources take 20 at level 9
/// and 6 at level 6; texts of two letters take thousands, and would be read back at
/// 100 KB/s.
const STEPS_PER_BYTE_MAX: u64 = 256;
/// Candidates that any stream may look at.
const STEPS_FREE: u64 = 4 << 20;

/// A token: a literal, or a match of `len` bytes at `dist`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Token {
    /// 0 for a literal.
    pub(crate) len: u16,
    pub(crate) dist: u16,
}

impl Token {
    pub(crate) const LITERAL: Self = Self { len: 0, dist: 0 };

    /// The plain bytes it stands for.
    pub(crate) const fn plain_len(self) -> usize {
        if self.len == 0 { 1 } else { self.len as usize }
    }
}

/// Which bytes are hashed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Three bytes to 15 bits: zlib with its default memory, gzip.
    Three15,
    /// Three bytes to 16 bits: zlib with most memory.
    Three16,
    /// Four bytes to 15 bits by multiplication: the zlib of Chromium and Node.js.
    Four15,
    /// Four bytes to 16 bits by multiplication.
    Four16,
}

impl Hash {
    pub(crate) const ALL: [Self; 4] = [Self::Three15, Self::Three16, Self::Four15, Self::Four16];

    const fn bits(self) -> u32 {
        match self {
            Self::Three15 | Self::Four15 => 15,
            Self::Three16 | Self::Four16 => 16,
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Three15 | Self::Three16 => 3,
            Self::Four15 | Self::Four16 => 4,
        }
    }

    /// The hash of the bytes that `at` begins with, which are enough.
    #[inline]
    fn of(self, at: &[u8]) -> usize {
        let four = |mask: u32| {
            let value = u32::from_le_bytes([at[0], at[1], at[2], at[3]]);
            ((value.wrapping_mul(66_521).wrapping_add(66_521)) >> 16 & mask) as usize
        };
        let three = |shift: u32, mask: usize| {
            (usize::from(at[0]) << (2 * shift) ^ usize::from(at[1]) << shift ^ usize::from(at[2]))
                & mask
        };
        match self {
            Self::Three15 => three(5, 0x7fff),
            Self::Three16 => three(6, 0xffff),
            Self::Four15 => four(0x7fff),
            Self::Four16 => four(0xffff),
        }
    }
}

/// A compressor's choice of effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// 1 to 9.
    pub(crate) level: u8,
    pub(crate) hash: Hash,
}

/// The numbers behind a level.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// From this length on a better match is sought less hard.
    good: usize,
    /// Lazy: a match this long is taken at once. Greedy: longer ones are not hashed inside.
    lazy: usize,
    /// A match this long ends the search.
    nice: usize,
    /// Most candidates that are looked at.
    chain: usize,
    greedy: bool,
}

impl Config {
    const fn effort(self) -> Effort {
        let (good, lazy, nice, chain) = match self.level {
            0 | 1 => (4, 4, 8, 4),
            2 => (4, 5, 16, 8),
            3 => (4, 6, 32, 32),
            4 => (4, 4, 16, 16),
            5 => (8, 16, 32, 32),
            6 => (8, 16, 128, 128),
            7 => (8, 32, 128, 256),
            8 => (32, 128, 258, 1024),
            _ => (32, 258, 258, 4096),
        };
        Effort { good, lazy, nice, chain, greedy: self.level <= 3 }
    }
}

/// A match that was found.
#[derive(Clone, Copy, Debug)]
struct Found {
    len: usize,
    dist: u64,
}

/// Predicts token after token. Positions count from the beginning of the stream.
#[derive(Debug)]
pub(crate) struct Matcher {
    hash: Hash,
    effort: Effort,
    /// The last position with a hash; 0 is none, as in zlib, which never finds the first byte.
    head: Vec<u32>,
    /// How far back the position before with the same hash is; 0 if that is too far. Half of the
    /// time of a rebuild goes into reading this table, so that its size counts.
    back: Box<[u16; WINDOW]>,
    /// The next position to be hashed.
    hashed: u64,
    /// Candidates that were looked at.
    steps: u64,
    /// What was found at a position while the token before it was chosen.
    pending: Option<(u64, Found)>,
}

impl Matcher {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            hash: config.hash,
            effort: config.effort(),
            head: vec![0; 1 << config.hash.bits()],
            back: Box::new([0; WINDOW]),
            hashed: 0,
            steps: 0,
            pending: None,
        }
    }

    /// Whether reaching `at` took more work than a stream may take, on either side.
    #[inline]
    pub(crate) const fn is_overworked(&self, at: u64) -> bool {
        self.steps > STEPS_FREE + STEPS_PER_BYTE_MAX * at
    }

    /// The token at `at`, given that all before it were committed.
    #[inline]
    pub(crate) fn predict(&mut self, text: &Text, at: u64) -> Token {
        let found = match self.pending.take() {
            Some((pending_at, found)) if pending_at == at => Some(found),
            _ => self.search(text, at, MATCH_MIN - 1),
        };
        let Some(found) = found else { return Token::LITERAL };
        if !self.effort.greedy && found.len < self.effort.lazy {
            self.hash_to(text, at + 1);
            if let Some(better) = self.search(text, at + 1, found.len) {
                self.pending = Some((at + 1, better));
                return Token::LITERAL;
            }
        }
        let small = |value: u64| u16::try_from(value).expect("matches fit in 16 bits");
        Token { len: small(found.len as u64), dist: small(found.dist) }
    }

    /// Goes on after the token that stands at `at`.
    #[inline]
    pub(crate) fn commit(&mut self, text: &Text, at: u64, token: Token) {
        let len = token.plain_len();
        if self.effort.greedy && len > self.effort.lazy {
            self.hash_to(text, at + 1);
            self.hashed = at + len as u64;
        } else {
            self.hash_to(text, at + len as u64);
        }
        if token.len != 0 {
            self.pending = None;
        }
    }

    /// Goes on after `len` bytes at `at` that stand in no token.
    pub(crate) fn pass(&mut self, text: &Text, at: u64, len: u64) {
        self.pending = None;
        self.hash_to(text, at + len);
    }

    /// Hashes the positions before `end`.
    #[inline]
    fn hash_to(&mut self, text: &Text, end: u64) {
        if self.hashed >= end {
            return;
        }
        let count = usize::try_from(end - self.hashed).unwrap_or(usize::MAX);
        let windows = text.from(self.hashed).windows(self.hash.bytes()).take(count);
        for (at, bytes) in (short(self.hashed)..).zip(windows) {
            let slot = &mut self.head[self.hash.of(bytes)];
            let back = if *slot == 0 { 0 } else { at - *slot };
            self.back[at as usize % WINDOW] = u16::try_from(back).unwrap_or(0);
            *slot = at;
        }
        self.hashed = end;
    }

    /// The first of the longest matches at `at` that are longer than `best`.
    #[inline]
    fn search(&mut self, text: &Text, at: u64, mut best: usize) -> Option<Found> {
        let (buf, here_at) = text.all(at);
        let len_max = (buf.len() - here_at).min(MATCH_MAX);
        if at == 0 || len_max < self.hash.bytes() || best >= len_max {
            return None;
        }
        let here = &buf[here_at..here_at + len_max];
        let Effort { good, nice, chain, .. } = self.effort;
        let nice = nice.min(len_max);
        let steps = if best >= good { chain >> 2 } else { chain };
        let mut left = steps;
        let first = self.head[self.hash.of(here)];
        let short_at = short(at);
        // Position 0 is none. In a search that runs ahead of the hashing nothing is later than `at`.
        let mut dist = if first == 0 { 0 } else { short_at.saturating_sub(first) };
        let mut dist_max = DISTANCE_MAX.min(short_at - 1);
        let mut found = None;
        let mut end = [here[best - 1], here[best]];
        while dist != 0 && dist <= dist_max {
            let Some(there) = here_at.checked_sub(dist as usize) else { break };
            if buf.get(there + best - 1..).and_then(<[u8]>::first_chunk) == Some(&end) {
                let len = common(&buf[there..there + len_max], here);
                if len > best {
                    best = len;
                    found = Some(Found { len, dist: dist.into() });
                    if len >= nice {
                        break;
                    }
                    end = [here[best - 1], here[best]];
                }
            }
            left -= 1;
            let back = self.back[(short_at - dist) as usize % WINDOW];
            if left == 0 || back == 0 {
                break;
            }
            dist_max = dist_max.min(DISTANCE_MAX - 1);
            dist += u32::from(back);
        }
        self.steps += (steps - left) as u64;
        found.filter(|found| found.len > MATCH_MIN || found.dist <= TOO_FAR || self.effort.greedy)
    }
}

/// A position in 32 bits; streams end before they would not do.
fn short(at: u64) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// How many bytes two slices of one length have in common at their beginning.
#[inline]
fn common(a: &[u8], b: &[u8]) -> usize {
    let mut len = 0;
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let differ = word(x) ^ word(y);
        if differ != 0 {
            return len + (differ.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    len + a[len..].iter().zip(&b[len..]).take_while(|(x, y)| x == y).count()
}
