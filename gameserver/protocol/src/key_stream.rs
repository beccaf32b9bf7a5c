//! Keys that are drawn one after the other out of one secret.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

use crate::packet::nonce;
use crate::{KEY_BYTES, Key};

/// Most bytes of one draw.
const DRAW_BYTES_MAX: usize = 128;

/// A stream of keys and nonces that nobody can foretell who does not know its secret. Drawing allocates nothing.
///
/// Each draw is a key stream of ChaCha20 whose first 32 bytes become the key of the next draw and are used for
/// nothing else (fast key erasure): who reads the memory of a process learns nothing of what was drawn before.
pub struct KeyStream(Key);

impl fmt::Debug for KeyStream {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeyStream").finish_non_exhaustive()
    }
}

impl KeyStream {
    /// The stream of `secret`, which must be used for nothing else.
    pub fn new(secret: Key) -> Self {
        Self(secret)
    }

    /// The next `N` bytes, at most 128.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= DRAW_BYTES_MAX, "a draw is at most 128 bytes") };
        let mut stream = [0; KEY_BYTES + DRAW_BYTES_MAX];
        let key = UnboundKey::new(&CHACHA20_POLY1305, &self.0).expect("a key of 32 bytes is a ChaCha20 key");
        // zeroes, encrypted: the key stream itself. The tag is of no use here.
        let _tag = LessSafeKey::new(key)
            .seal_in_place_separate_tag(nonce(0), Aad::empty(), &mut stream)
            .expect("160 bytes are within the cipher's limit");
        self.0.copy_from_slice(&stream[..KEY_BYTES]);
        std::array::from_fn(|byte| stream[KEY_BYTES + byte])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn draws_never_repeat_and_are_the_same_for_the_same_secret() {
        let (mut one, mut same, mut other) =
            (KeyStream::new([1; 32]), KeyStream::new([1; 32]), KeyStream::new([2; 32]));
        let mut drawn = BTreeSet::new();
        for _ in 0..1000 {
            let bytes: [u8; 24] = one.draw();
            assert_eq!(bytes, same.draw());
            assert!(drawn.insert(bytes) && drawn.insert(other.draw()));
        }
    }

    /// RFC 8439, appendix A.1: block 1 of the zero key, of which the first half is the next key. (Block 0 is the
    /// authenticator's.)
    #[test]
    fn a_draw_is_chacha20_behind_the_key_of_the_next() {
        let mut stream = KeyStream::new([0; 32]);
        let bytes: [u8; 8] = stream.draw();
        assert_eq!(bytes, [0x29, 0xb7, 0x21, 0x76, 0x9c, 0xe6, 0x4e, 0x43]);
        assert_eq!(stream.0[..8], [0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a]);
    }
}
