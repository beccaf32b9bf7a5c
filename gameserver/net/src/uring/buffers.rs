//! The provided-buffer ring: memory that the kernel fills and this thread hands back.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::MAX_DATAGRAM_BYTES;
use crate::address::{self, ADDRESS_BYTES};
use crate::pages::Pages;

/// What the kernel writes before the payload: `struct io_uring_recvmsg_out` (four u32: lengths of name, control
/// and payload, flags), then the name.
const HEAD_BYTES: usize = 16;
const PAYLOAD_AT: usize = HEAD_BYTES + ADDRESS_BYTES;

/// What the kernel may fill of a buffer: a longer datagram must be cut, or it could not be told from the longest.
const FILLED_MAX: usize = PAYLOAD_AT + MAX_DATAGRAM_BYTES;
const FILLED_LEN: u32 = 1516;
const _: () = assert!(FILLED_LEN as usize == FILLED_MAX);

/// One buffer. A multiple of 64, so that neighbours share no cache line.
const BUFFER_BYTES: usize = FILLED_MAX.next_multiple_of(64);

/// Buffers lent to the kernel by number. A number is either lent or being read here, never both: it is read
/// between its completion and [`Self::give_back`].
pub(super) struct ReceiveBuffers {
    ring: Pages,
    data: Pages,
    entries: u16,
    tail: u16,
}

impl ReceiveBuffers {
    /// Maps `entries` buffers (a power of two) and offers all of them.
    pub(super) fn new(entries: u16) -> io::Result<Self> {
        let mut buffers = Self {
            ring: Pages::map(usize::from(entries) * size_of::<BufRingEntry>())?,
            data: Pages::map(usize::from(entries) * BUFFER_BYTES)?,
            entries,
            tail: 0,
        };
        for buffer in 0..entries {
            buffers.give_back(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    #[expect(unsafe_code, reason = "lends memory to the kernel")]
    pub(super) fn register(&self, submitter: &Submitter<'_>, group: u16) -> io::Result<()> {
        let start = self.ring.at(0).as_ptr() as u64;
        // SAFETY: the mapping is page aligned, holds `entries` entries, is owned by `self`, and `Uring` ends the
        // ring before it drops `self`.
        unsafe { submitter.register_buf_ring_with_flags(start, self.entries, group, 0) }
    }

    /// Sender and payload of a completed buffer of which `filled` bytes were written; `None` when the payload was
    /// cut short or the sender is not an IP address.
    #[expect(unsafe_code, reason = "reads memory that was lent to the kernel")]
    pub(super) fn datagram(&mut self, buffer: u16, filled: usize) -> Option<(SocketAddr, &mut [u8])> {
        let start = self.data.at(usize::from(buffer) * BUFFER_BYTES);
        // SAFETY: buffer `buffer` lies within `self.data` (checked by `at`, and buffers do not straddle its end);
        // the kernel completed it and will not write it before it is given back, which needs `&mut self`, so the
        // slice is the only access for as long as it lives.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), BUFFER_BYTES) };
        split(bytes, filled)
    }

    /// Puts a buffer at the end of the ring; [`Self::publish`] shows it to the kernel.
    #[expect(unsafe_code, reason = "writes an entry of the shared ring")]
    pub(super) fn give_back(&mut self, buffer: u16) {
        let address = self.data.at(usize::from(buffer) * BUFFER_BYTES).as_ptr() as u64;
        let index = usize::from(self.tail & (self.entries - 1));
        let entry = self.ring.at(index * size_of::<BufRingEntry>()).cast::<BufRingEntry>();
        // SAFETY: the entry lies within `self.ring`, is aligned (16 bytes from a page boundary), and the kernel
        // does not read it before the tail has passed it. All zeroes and any other bits are a valid entry.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(address);
        entry.set_len(FILLED_LEN);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows all buffers given back to the kernel.
    #[expect(unsafe_code, reason = "the tail is shared with the kernel")]
    pub(super) fn publish(&self) {
        let base = self.ring.at(0).cast::<BufRingEntry>().as_ptr();
        // SAFETY: `base` is the first entry of the ring that `self` owns.
        let tail = unsafe { BufRingEntry::tail(base) };
        // SAFETY: the tail is two bytes within the mapping, two-aligned, and accessed only atomically here.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Takes apart what the kernel wrote into a buffer.
fn split(bytes: &mut [u8], filled: usize) -> Option<(SocketAddr, &mut [u8])> {
    let (head, payload) = bytes.split_at_mut_checked(PAYLOAD_AT)?;
    let field =
        |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(head.get(at..at + 4)?.try_into().ok()?)) };
    let flags = field(12)?;
    if flags & libc::MSG_TRUNC as u32 != 0 || filled < PAYLOAD_AT {
        return None;
    }
    let len = (filled - PAYLOAD_AT).min(usize::try_from(field(8)?).ok()?);
    let from = address::decode(head.get(HEAD_BYTES..)?)?;
    Some((from, payload.get_mut(..len.min(MAX_DATAGRAM_BYTES))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(payload_len: u32, flags: u32, name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; BUFFER_BYTES];
        for (at, value) in [(0, 16), (4, 0), (8, payload_len), (12, flags)] {
            bytes[at..at + 4].copy_from_slice(&u32::to_ne_bytes(value));
        }
        bytes[HEAD_BYTES..HEAD_BYTES + name.len()].copy_from_slice(name);
        bytes
    }

    const LOCALHOST_9: [u8; 8] = [2, 0, 0, 9, 127, 0, 0, 1];

    #[test]
    fn a_buffer_splits_into_sender_and_payload() {
        let mut bytes = written(5, 0, &LOCALHOST_9);
        let (from, payload) = split(&mut bytes, PAYLOAD_AT + 5).unwrap();
        assert_eq!((from, payload.len()), ("127.0.0.1:9".parse().unwrap(), 5));
    }

    #[test]
    fn a_payload_is_never_longer_than_what_was_written() {
        let mut bytes = written(u32::MAX, 0, &LOCALHOST_9);
        assert_eq!(split(&mut bytes, PAYLOAD_AT + 3).unwrap().1.len(), 3);
        assert!(split(&mut bytes, PAYLOAD_AT - 1).is_none());
        assert_eq!(split(&mut bytes, usize::MAX).unwrap().1.len(), MAX_DATAGRAM_BYTES);
    }

    #[test]
    fn a_truncated_datagram_and_a_foreign_sender_are_refused() {
        assert!(split(&mut written(5, libc::MSG_TRUNC as u32, &LOCALHOST_9), PAYLOAD_AT + 5).is_none());
        assert!(split(&mut written(5, 0, &[1, 0]), PAYLOAD_AT + 5).is_none());
    }
}
