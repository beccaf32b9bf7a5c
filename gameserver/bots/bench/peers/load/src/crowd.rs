//! What the load asks of a protocol's clients.

use std::io;
use std::time::Duration;

/// An input: whose it is and its number, from 1.
pub(crate) type Input = (u32, u32);

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

    /// After that many empty parts there is nothing to take anywhere.
    fn parts(&self) -> usize;
}
