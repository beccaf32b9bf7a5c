//! What the load asks of a protocol's clients.

use std::io;
use std::time::Duration;

/// An input: whose it is and its number, from 1.
pub(crate) type Input = (u32, u32);

/// Bytes of an input, as much as a sealed input of our game.
pub(crate) const INPUT_BYTES: usize = 64;

/// Writes an input as all protocols carry it: its number and its client's, and zeroes.
pub(crate) fn write_input((client, sequence): Input, slot: &mut [u8]) {
    slot[..INPUT_BYTES].fill(0);
    slot[..4].copy_from_slice(&sequence.to_be_bytes());
    slot[4..8].copy_from_slice(&client.to_be_bytes());
}

/// The newest input in a snapshot, and whose it is.
pub(crate) fn read_snapshot(snapshot: &[u8]) -> Option<Input> {
    let number = |at: usize| snapshot.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    Some((number(4)?, number(0)?))
}

/// All clients of one protocol.
pub(crate) trait Crowd {
    /// Goes on with joining; true when everyone has joined.
    fn join(&mut self, now: Duration) -> io::Result<bool>;

    /// Clients that have joined.
    fn joined(&self) -> u32;

    /// Sends inputs until there are none.
    fn send(&mut self, now: Duration, inputs: &mut dyn FnMut() -> Option<Input>) -> io::Result<()>;

    /// Takes a part of what has arrived. Of each snapshot it says whose it is, that client's newest input in it, and its bytes.
    /// False when nothing was there.
    fn receive(&mut self, now: Duration, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool>;
}
