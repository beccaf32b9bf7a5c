//! The challenge by which a client proves that it receives at its address.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

use crate::bytes::{Reader, Writer};
use crate::packet::{PacketError, nonce};
use crate::{Key, TAG_BYTES, USER_DATA_BYTES, UserData};

/// Bytes of a sealed challenge token.
pub const CHALLENGE_TOKEN_BYTES: usize = 300;

/// What a server has a client send back to prove that it receives at its address. Only the server that made it
/// can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeToken {
    /// Client id of the connect token.
    pub client_id: u64,
    /// User data of the connect token.
    pub user_data: UserData,
}

/// Seals and opens the challenge tokens of one boot of one server.
#[derive(Debug)]
pub struct ChallengeKey(LessSafeKey);

impl ChallengeKey {
    /// `key` must be random for each boot, because sequences of challenges start again at zero.
    pub fn new(key: &Key) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("a key of 32 bytes is a ChaCha20 key");
        Self(LessSafeKey::new(key))
    }

    /// Seals `token`; `sequence` must never repeat under this key.
    pub fn seal(&self, token: &ChallengeToken, sequence: u64) -> [u8; CHALLENGE_TOKEN_BYTES] {
        let mut sealed = [0; CHALLENGE_TOKEN_BYTES];
        let (plain, tag) = sealed.split_at_mut(CHALLENGE_TOKEN_BYTES - TAG_BYTES);
        let mut writer = Writer::new(plain);
        writer.u64(token.client_id);
        writer.bytes(&token.user_data);
        let made = self
            .0
            .seal_in_place_separate_tag(nonce(sequence), Aad::empty(), plain)
            .expect("300 bytes are within the cipher's limit");
        tag.copy_from_slice(made.as_ref());
        sealed
    }

    /// Opens a token that was sealed with `sequence`.
    pub fn open(
        &self,
        sealed: &[u8; CHALLENGE_TOKEN_BYTES],
        sequence: u64,
    ) -> Result<ChallengeToken, PacketError> {
        let mut buffer = *sealed;
        let plain = self
            .0
            .open_in_place(nonce(sequence), Aad::empty(), &mut buffer)
            .map_err(|ring::error::Unspecified| PacketError::Forged)?;
        let mut reader = Reader::new(plain);
        let (client_id, user_data) =
            reader.u64().zip(reader.array::<USER_DATA_BYTES>()).ok_or(PacketError::BodyLength)?;
        Ok(ChallengeToken { client_id, user_data })
    }
}
