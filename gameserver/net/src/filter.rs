//! A filter that the kernel runs before a datagram is put into the socket's buffer: whoever is known gets in with all it sends or with
//! handshakes, of the others only what has the shape of a handshake does, and of that a share.
//!
//! It is classic BPF (`SO_ATTACH_FILTER`), which needs no privilege. The kernel shows it the datagram from the UDP header on, and
//! by negative offsets the IP header. Who is known is a sorted list of fingerprints that the program searches: 32 bits of source
//! address and port, salted, so that nobody can look for an address with somebody else's.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Instructions of a program at most (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;
/// Fingerprints that are compared one after the other once the search has come that far.
const LEAF: usize = 8;
/// Shapes at most.
const SHAPES_MAX: usize = 8;
/// Who can be known at most. A leaf takes two instructions more than it has fingerprints, and each but the first two in the search:
/// one and a half for each who is known.
pub const KNOWN_MAX: usize = 2400;

const UDP_HEADER_BYTES: u32 = 8;
/// Where the kernel's names for the IP header and for what is no part of the datagram begin (`SKF_NET_OFF`, `SKF_AD_OFF`).
const IP_HEADER: u32 = 0_u32.wrapping_sub(0x10_0000);
const ANCILLARY: u32 = 0_u32.wrapping_sub(0x1000);
const RANDOM: u32 = ANCILLARY + 56;
const WHOLE: u32 = u32::MAX;
const NOTHING: u32 = 0;
/// Where the hash is kept meanwhile.
const HASH: u32 = 0;

/// How much of what somebody who is known sends gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// All of it.
    Full,
    /// What has the shape of a handshake.
    Handshakes,
}

/// What the first byte and the length of something are that a stranger may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Payload bytes.
    pub bytes: RangeInclusive<u16>,
    /// Bits of the first byte that matter.
    pub mask: u8,
    /// What they are.
    pub first: u8,
}

/// A program for one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFilter {
    program: Vec<Instruction>,
}

/// More are known than a program has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a socket filter has room for {KNOWN_MAX} addresses and not for {0}")]
pub struct TooManyKnown(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) if_true: u8,
    pub(crate) if_false: u8,
    pub(crate) operand: u32,
}

mod code {
    pub(super) const LOAD_WORD: u16 = 0x20;
    pub(super) const LOAD_HALF: u16 = 0x28;
    pub(super) const LOAD_BYTE: u16 = 0x30;
    pub(super) const LOAD_LENGTH: u16 = 0x80;
    pub(super) const LOAD_KEPT: u16 = 0x60;
    pub(super) const LOAD_KEPT_X: u16 = 0x61;
    pub(super) const LOAD_IMMEDIATE: u16 = 0x00;
    pub(super) const KEEP: u16 = 0x02;
    pub(super) const AND: u16 = 0x54;
    pub(super) const MULTIPLY: u16 = 0x24;
    pub(super) const SHIFT_RIGHT: u16 = 0x74;
    pub(super) const XOR_X: u16 = 0xac;
    pub(super) const COPY_TO_X: u16 = 0x07;
    pub(super) const JUMP: u16 = 0x05;
    pub(super) const IF_EQUAL: u16 = 0x15;
    pub(super) const IF_GREATER: u16 = 0x25;
    pub(super) const IF_AT_LEAST: u16 = 0x35;
    pub(super) const RETURN: u16 = 0x06;
}

impl SocketFilter {
    /// Lets in what those who are `known` are trusted with, and of what has one of `shapes` and comes from others one in `one_in` (at
    /// least 1) by chance.
    ///
    /// # Errors
    /// When more than [`KNOWN_MAX`] are known.
    pub fn new(
        known: impl IntoIterator<Item = (SocketAddr, Trust)>,
        shapes: &[Shape],
        one_in: u32,
        salt: u32,
    ) -> Result<Self, TooManyKnown> {
        let (mut players, mut entering) = (Vec::new(), Vec::new());
        for (address, trust) in known {
            let of_their_kind = match trust {
                Trust::Full => &mut players,
                Trust::Handshakes => &mut entering,
            };
            of_their_kind.push(fingerprint(address, salt));
        }
        for fingerprints in [&mut players, &mut entering] {
            fingerprints.sort_unstable();
            fingerprints.dedup();
        }
        let known = players.len() + entering.len();
        if known > KNOWN_MAX {
            return Err(TooManyKnown(known));
        }
        let shapes = &shapes[..shapes.len().min(SHAPES_MAX)];
        let mut program = Program::default();
        program.hash(salt);
        let others = program.search(&players, Program::let_in);
        program.land_all(others);
        let mut known_handshakes = Vec::new();
        let strangers =
            program.search(&entering, |program| known_handshakes.push(program.push(code::JUMP, 0)));
        program.land_all(strangers);
        let by_chance = program.let_in_shapes(shapes);
        program.land_all(by_chance);
        program.push(code::LOAD_WORD, RANDOM);
        program.branch(code::IF_GREATER, u32::MAX / one_in.max(1), 1, 0);
        program.let_in();
        program.push(code::RETURN, NOTHING);
        program.land_all(known_handshakes);
        let at_once = program.let_in_shapes(shapes);
        program.land_all(at_once);
        program.let_in();
        debug_assert!(program.0.len() <= INSTRUCTIONS_MAX, "{}", program.0.len());
        Ok(Self { program: program.0 })
    }

    pub(crate) fn program(&self) -> &[Instruction] {
        &self.program
    }
}

/// What the program computes of a source.
fn fingerprint(address: SocketAddr, salt: u32) -> u32 {
    let of_ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) => mix(salt, ip.to_bits()),
        IpAddr::V6(ip) => {
            let word =
                |at: u32| u32::try_from(ip.to_bits() >> (96 - 32 * at) & u128::from(u32::MAX)).unwrap_or(0);
            (0..4).map(word).fold(salt, mix)
        }
    };
    mix(of_ip, address.port().into())
}

/// A step of the hash: murmur's finaliser, cut short. Each bit of the word gets everywhere within two steps.
fn mix(hash: u32, word: u32) -> u32 {
    let hash = (hash ^ word).wrapping_mul(MULTIPLIERS[0]);
    let hash = (hash ^ (hash >> 15)).wrapping_mul(MULTIPLIERS[1]);
    hash ^ (hash >> 13)
}

const MULTIPLIERS: [u32; 2] = [0x85eb_ca6b, 0xc2b2_ae35];

#[derive(Default)]
struct Program(Vec<Instruction>);

impl Program {
    fn push(&mut self, code: u16, operand: u32) -> usize {
        self.branch(code, operand, 0, 0)
    }

    fn branch(&mut self, code: u16, operand: u32, if_true: u8, if_false: u8) -> usize {
        self.0.push(Instruction { code, if_true, if_false, operand });
        self.0.len() - 1
    }

    /// Has the jump at `from` go to what is pushed next.
    fn land(&mut self, from: usize) {
        let over = self.0.len() - from - 1;
        self.0[from].operand = u32::try_from(over).unwrap_or(u32::MAX);
    }

    /// Leaves the fingerprint of the source in the accumulator.
    fn hash(&mut self, salt: u32) {
        self.push(code::LOAD_IMMEDIATE, salt);
        self.push(code::KEEP, HASH);
        self.push(code::LOAD_BYTE, IP_HEADER);
        self.push(code::SHIFT_RIGHT, 4);
        self.branch(code::IF_EQUAL, 6, 1, 0);
        let is_v4 = self.push(code::JUMP, 0);
        for word in 0..4 {
            self.push(code::LOAD_WORD, IP_HEADER + 8 + 4 * word);
            self.mix();
        }
        let hashed = self.push(code::JUMP, 0);
        self.land(is_v4);
        self.push(code::LOAD_WORD, IP_HEADER + 12);
        self.mix();
        self.land(hashed);
        self.push(code::LOAD_HALF, 0);
        self.mix();
        self.push(code::LOAD_KEPT, HASH);
    }

    /// [`mix`] of the hash that is kept and the accumulator.
    fn mix(&mut self) {
        self.push(code::LOAD_KEPT_X, HASH);
        self.push(code::XOR_X, 0);
        for (multiplier, shift) in MULTIPLIERS.into_iter().zip([15, 13]) {
            self.push(code::MULTIPLY, multiplier);
            self.push(code::COPY_TO_X, 0);
            self.push(code::SHIFT_RIGHT, shift);
            self.push(code::XOR_X, 0);
        }
        self.push(code::KEEP, HASH);
    }

    fn let_in(&mut self) {
        self.push(code::RETURN, WHOLE);
    }

    fn land_all(&mut self, jumps: Vec<usize>) {
        for jump in jumps {
            self.land(jump);
        }
    }

    /// For whoever is among them goes on with the one instruction that `found` pushes; returns the jumps of all who are not.
    fn search(&mut self, fingerprints: &[u32], mut found: impl FnMut(&mut Self)) -> Vec<usize> {
        let mut others = Vec::new();
        let leaves: Vec<&[u32]> = fingerprints.chunks(LEAF).collect();
        self.search_in(&leaves, &mut found, &mut others);
        others
    }

    fn search_in(&mut self, leaves: &[&[u32]], found: &mut impl FnMut(&mut Self), others: &mut Vec<usize>) {
        match leaves {
            [] => others.push(self.push(code::JUMP, 0)),
            [leaf] => {
                for (index, &fingerprint) in leaf.iter().enumerate() {
                    // to what is behind the jump that ends the leaf
                    let over = u8::try_from(leaf.len() - index).unwrap_or(u8::MAX);
                    self.branch(code::IF_EQUAL, fingerprint, over, 0);
                }
                others.push(self.push(code::JUMP, 0));
                found(self);
            }
            _ => {
                let (left, right) = leaves.split_at(leaves.len() / 2);
                self.branch(code::IF_AT_LEAST, right[0][0], 0, 1);
                let go_right = self.push(code::JUMP, 0);
                self.search_in(left, found, others);
                self.land(go_right);
                self.search_in(right, found, others);
            }
        }
    }

    /// Keeps out what has none of these shapes; returns the jumps of what has.
    fn let_in_shapes(&mut self, shapes: &[Shape]) -> Vec<usize> {
        let mut fitting = Vec::new();
        for shape in shapes {
            let bytes = |bytes: &u16| u32::from(*bytes) + UDP_HEADER_BYTES;
            self.push(code::LOAD_LENGTH, 0);
            self.branch(code::IF_AT_LEAST, bytes(shape.bytes.start()), 0, 5);
            self.branch(code::IF_GREATER, bytes(shape.bytes.end()), 4, 0);
            self.push(code::LOAD_BYTE, UDP_HEADER_BYTES);
            self.push(code::AND, shape.mask.into());
            self.branch(code::IF_EQUAL, shape.first.into(), 0, 1);
            fitting.push(self.push(code::JUMP, 0));
        }
        self.push(code::RETURN, NOTHING);
        fitting
    }
}

#[cfg(test)]
mod tests;
