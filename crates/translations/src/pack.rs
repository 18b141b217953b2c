//! Packing with a dictionary.
//!
//! The format is that of LZ4's blocks (`lz4_Block_format.md`), with two differences. An offset is a
//! place in the dictionary, or, from the dictionary's length on, that length plus a distance within
//! the block. So what blocks have in common looks the same in all of them, and packs well again. And
//! matches go up to the last byte, since no decoder writes beyond it. The last sequence consists of
//! literals, of which there may be none.

/// Shortest match.
const MIN_MATCH: usize = 4;
/// How many earlier places with the same hash are looked at.
const DEPTH: usize = 24;
/// Bits of a hash of four bytes: in a dictionary, and in a block.
const DICTIONARY_BITS: u32 = 14;
const BLOCK_BITS: u32 = 9;
/// A length of this is continued in the bytes that follow.
const LONG: usize = 15;

/// Bytes that blocks refer to.
#[derive(Debug)]
pub struct Dictionary {
    bytes: Vec<u8>,
    places: Places,
}

/// Where in some bytes each hash occurs.
#[derive(Clone, Debug)]
struct Places {
    /// Bits of a hash.
    bits: u32,
    /// The last place with a hash, plus one; 0 if there is none.
    heads: Vec<u32>,
    /// For each place the one before it with the same hash, plus one.
    earlier: Vec<u32>,
}

/// A run of bytes that are there already.
#[derive(Clone, Copy, Debug, Default)]
struct Match {
    length: usize,
    offset: u16,
}

impl Places {
    fn new(bits: u32) -> Self {
        Self { bits, heads: vec![0; 1 << bits], earlier: Vec::new() }
    }

    /// Adds the place behind those that were added before.
    fn add(&mut self, bytes: &[u8]) {
        let place = self.earlier.len();
        let head = self.hash(&bytes[place..]).map(|hash| &mut self.heads[hash]);
        self.earlier.push(head.map_or(0, |head| std::mem::replace(head, place as u32 + 1)));
    }

    /// The places that may have the first four of these bytes, from the last one on.
    fn of(&self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let mut next = self.hash(bytes).map_or(0, |hash| self.heads[hash]);
        std::iter::from_fn(move || {
            let place = next.checked_sub(1)? as usize;
            next = self.earlier[place];
            Some(place)
        })
        .take(DEPTH)
    }

    /// A hash of the first four bytes.
    fn hash(&self, bytes: &[u8]) -> Option<usize> {
        let word = u32::from_le_bytes(*bytes.first_chunk()?);
        Some((word.wrapping_mul(0x9e37_79b1) >> (u32::BITS - self.bits)) as usize)
    }
}

/// How many bytes at the start are the same.
fn same(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Dictionary {
    /// A dictionary with these bytes, 65,535 at most.
    pub fn new(bytes: Vec<u8>) -> Self {
        let mut places = Places::new(DICTIONARY_BITS);
        (0..bytes.len()).for_each(|_| places.add(&bytes));
        Self { bytes, places }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Packs `block`.
    pub fn pack(&self, block: &[u8]) -> Vec<u8> {
        let mut places = Places::new(BLOCK_BITS);
        let matches: Vec<Match> = (0..block.len())
            .map(|at| {
                let found = self.longest(block, at, &places);
                places.add(block);
                found
            })
            .collect();
        let lengths = cheapest(&matches);
        let (mut packed, mut literals, mut at) = (Vec::new(), 0, 0);
        while at < block.len() {
            let length = lengths[at];
            if length == 0 {
                at += 1;
                continue;
            }
            sequence(&mut packed, &block[literals..at], Some(Match { length, ..matches[at] }));
            at += length;
            literals = at;
        }
        sequence(&mut packed, &block[literals..], None);
        packed
    }

    /// The longest match at a place of the block, whose places before it are known.
    fn longest(&self, block: &[u8], at: usize, places: &Places) -> Match {
        let mut best = Match::default();
        let rest = &block[at..];
        let before = self.places.of(rest).map(|place| (place, same(rest, &self.bytes[place..])));
        let within = places.of(rest).map(|place| (self.bytes.len() + at - place, same(rest, &block[place..])));
        for (offset, length) in before.chain(within) {
            if length > best.length.max(MIN_MATCH - 1) {
                best = u16::try_from(offset).map_or(best, |offset| Match { length, offset });
            }
        }
        best
    }
}

/// For each place, how much of its match is taken, so that the whole takes the fewest bytes; 0 for
/// a literal.
fn cheapest(matches: &[Match]) -> Vec<usize> {
    let mut costs = vec![0; matches.len() + 1];
    let mut lengths = vec![0; matches.len()];
    for at in (0..matches.len()).rev() {
        costs[at] = costs[at + 1] + 1;
        for length in MIN_MATCH..=matches[at].length {
            // A token, an offset of two bytes, and what continues the length.
            let continued = (length - MIN_MATCH).checked_sub(LONG).map_or(0, |rest| 1 + rest / 255);
            let cost = costs[at + length] + 3 + continued;
            if cost < costs[at] {
                (costs[at], lengths[at]) = (cost, length);
            }
        }
    }
    lengths
}

/// Appends literals and the match behind them.
fn sequence(packed: &mut Vec<u8>, literals: &[u8], found: Option<Match>) {
    let more = found.map_or(0, |found| found.length - MIN_MATCH);
    packed.push((literals.len().min(LONG) << 4 | more.min(LONG)) as u8);
    continued(packed, literals.len());
    packed.extend_from_slice(literals);
    if let Some(found) = found {
        packed.extend_from_slice(&(found.offset).to_le_bytes());
        continued(packed, more);
    }
}

/// Appends what a token has not told of a length.
fn continued(packed: &mut Vec<u8>, length: usize) {
    if let Some(mut rest) = length.checked_sub(LONG) {
        while rest >= 255 {
            packed.push(255);
            rest -= 255;
        }
        packed.push(rest as u8);
    }
}
