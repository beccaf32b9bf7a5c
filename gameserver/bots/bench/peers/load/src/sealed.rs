//! The bare protocol, sealed: who cannot say a client's key cannot play as it.
//!
//! A datagram is its client (u32), its number among those of its direction from 1 (u64), both big endian and together the nonce, and the rest
//! under ChaCha20-Poly1305. An input holds its number and where its player walks, and is as long as a bare one; a snapshot holds first the number
//! of the newest input. Keys follow from the client's number, because how they would be agreed on is no part of what is measured.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::crowd::{Crowd, INPUT_BYTES, Input};
use crate::sockets::Sockets;

const KEY_BYTES: usize = 32;
/// Bytes of an input between its header and its tag.
const MESSAGE_BYTES: usize = INPUT_BYTES - NONCE_LEN - 16;
/// Inputs of a player from one turn to the next.
const STRAIGHT: u32 = 32;

struct Keys {
    to_server: LessSafeKey,
    from_server: LessSafeKey,
}

pub(crate) struct Sealed {
    sockets: Sockets,
    /// By client.
    keys: Vec<Keys>,
}

impl Sealed {
    pub(crate) fn open(server: SocketAddr, clients: u32) -> anyhow::Result<Self> {
        let keys = |client| Keys { to_server: key(client, 0), from_server: key(client, 1) };
        Ok(Self { sockets: Sockets::open(server, clients)?, keys: (0..clients).map(keys).collect() })
    }
}

impl Crowd for Sealed {
    fn join(&mut self, _now: Duration) -> io::Result<bool> {
        Ok(true)
    }

    fn joined(&self) -> u32 {
        self.sockets.count()
    }

    fn send(&mut self, _now: Duration, inputs: &mut dyn FnMut() -> Option<Input>) -> io::Result<()> {
        while let Some(input) = inputs() {
            let Some(keys) = self.keys.get(input.0 as usize) else { continue };
            self.sockets.send(input.0, &write_input(&keys.to_server, input))?;
        }
        Ok(())
    }

    fn receive(&mut self, _now: Duration, seen: &mut dyn FnMut(u32, u32, usize)) -> io::Result<bool> {
        let keys = &self.keys;
        self.sockets.receive(&mut |client, snapshot| {
            let Some(keys) = keys.get(client as usize) else { return };
            let bytes = snapshot.len();
            if let Some(newest) = read_snapshot(&keys.from_server, client, snapshot) {
                seen(client, newest, bytes);
            }
        })
    }
}

fn write_input(key: &LessSafeKey, (client, sequence): Input) -> [u8; INPUT_BYTES] {
    let mut input = [0; INPUT_BYTES];
    let (head, rest) = input.split_at_mut(NONCE_LEN);
    let (message, end) = rest.split_at_mut(MESSAGE_BYTES);
    let header = header(client, sequence.into());
    head.copy_from_slice(&header);
    message[..4].copy_from_slice(&sequence.to_be_bytes());
    let (dx, dy) = walk(client, sequence);
    message[4..6].copy_from_slice(&[dx.to_be_bytes()[0], dy.to_be_bytes()[0]]);
    let nonce = Nonce::assume_unique_for_key(header);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), message);
    end.copy_from_slice(tag.expect("a message this short can be sealed").as_ref());
    input
}

/// The newest input in a snapshot; none if it is not the server's for this client.
fn read_snapshot(key: &LessSafeKey, client: u32, snapshot: &mut [u8]) -> Option<u32> {
    let (header, sealed) = snapshot.split_first_chunk_mut::<NONCE_LEN>()?;
    if u32::from_be_bytes(*header.first_chunk()?) != client {
        return None;
    }
    let nonce = Nonce::assume_unique_for_key(*header);
    let message = key.open_in_place(nonce, Aad::empty(), sealed).ok()?;
    Some(u32::from_be_bytes(*message.first_chunk()?))
}

fn key(client: u32, direction: u8) -> LessSafeKey {
    let mut key = [0; KEY_BYTES];
    key[..4].copy_from_slice(&client.to_be_bytes());
    key[4] = direction;
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has the cipher's length"))
}

fn header(client: u32, number: u64) -> [u8; NONCE_LEN] {
    let mut header = [0; NONCE_LEN];
    header[..4].copy_from_slice(&client.to_be_bytes());
    header[4..].copy_from_slice(&number.to_be_bytes());
    header
}

/// Where a player walks, -1 to 1 each way: straight for a while, and each in directions of its own.
fn walk(client: u32, sequence: u32) -> (i8, i8) {
    let way = client.wrapping_add(sequence / STRAIGHT).wrapping_mul(0x9E37_79B9) >> 29;
    [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)][way as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_opens_under_its_clients_key_and_says_its_number() {
        let input = write_input(&key(2, 0), (2, 7));
        assert_eq!(input[..NONCE_LEN], [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7]);
        let open = |client, mut sealed: Vec<u8>| {
            let nonce = Nonce::assume_unique_for_key(header(2, 7));
            let message = key(client, 0).open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
            Some(u32::from_be_bytes(*message.first_chunk()?))
        };
        assert_eq!(open(2, input[NONCE_LEN..].to_vec()), Some(7));
        assert_eq!(open(1, input[NONCE_LEN..].to_vec()), None);
    }

    #[test]
    fn a_snapshot_counts_only_as_the_server_sealed_it() {
        let mut body = [0; 328];
        body[..4].copy_from_slice(&9_u32.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(header(1, 5));
        let (message, end) = body.split_at_mut(312);
        let tag = key(1, 1).seal_in_place_separate_tag(nonce, Aad::empty(), message).unwrap();
        end.copy_from_slice(tag.as_ref());
        let snapshot = [&header(1, 5)[..], &body[..]].concat();
        let read = |mut snapshot: Vec<u8>| read_snapshot(&key(1, 1), 1, &mut snapshot);
        assert_eq!(read(snapshot.clone()), Some(9));
        for at in [3, 11, 12, 339] {
            let mut changed = snapshot.clone();
            changed[at] ^= 1;
            assert_eq!(read(changed), None, "byte {at}");
        }
        assert_eq!(read(snapshot[..11].to_vec()), None);
    }
}
