//! netcode packets: their headers, sizes and sealing.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use thiserror::Error;

use crate::bytes::{Reader, Writer};
use crate::{CHALLENGE_TOKEN_BYTES, ConnectToken, Key, PRIVATE_TOKEN_BYTES, TOKEN_NONCE_BYTES, VERSION_INFO};

/// Bytes of the authentication tag at the end of every sealed packet.
pub const TAG_BYTES: usize = 16;
/// Bytes of a connection request, the only packet that is not sealed.
pub const REQUEST_BYTES: usize = 1078;
/// Most bytes of a payload that the standard allows.
pub const MAX_PAYLOAD_BYTES: usize = 1200;
/// Most bytes of a datagram: prefix, sequence, payload and tag. What this crate's own messages make is never
/// more than 1200 in all, see [`crate::message::MAX_MESSAGE_BYTES`].
pub const MAX_DATAGRAM_BYTES: usize = 1 + 8 + MAX_PAYLOAD_BYTES + TAG_BYTES;
/// Bytes of the body of challenge and response.
pub const CHALLENGE_BODY_BYTES: usize = 8 + CHALLENGE_TOKEN_BYTES;
/// Bytes of the body of a keep-alive.
pub const KEEP_ALIVE_BODY_BYTES: usize = 8;

/// Smallest sealed packet: prefix, one byte of sequence and the tag.
const MIN_SEALED_BYTES: usize = 2 + TAG_BYTES;

/// What a packet is for; the low four bits of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PacketKind {
    /// Client: here is my connect token.
    Request = 0,
    /// Server: no.
    Denied = 1,
    /// Server: show that you receive at your address.
    Challenge = 2,
    /// Client: I do.
    Response = 3,
    /// Both: still here. From the server also: you are connected.
    KeepAlive = 4,
    /// Both: a message of the game.
    Payload = 5,
    /// Both: gone.
    Disconnect = 6,
}

impl PacketKind {
    fn from_prefix(prefix: u8) -> Option<Self> {
        Some(match prefix & 0x0F {
            0 => Self::Request,
            1 => Self::Denied,
            2 => Self::Challenge,
            3 => Self::Response,
            4 => Self::KeepAlive,
            5 => Self::Payload,
            6 => Self::Disconnect,
            _ => return None,
        })
    }

    /// Whether the replay window guards packets of this kind.
    pub const fn is_replay_protected(self) -> bool {
        matches!(self, Self::KeepAlive | Self::Payload | Self::Disconnect)
    }

    const fn takes_body_of(self, len: usize) -> bool {
        match self {
            Self::Request => false,
            Self::Denied | Self::Disconnect => len == 0,
            Self::Challenge | Self::Response => len == CHALLENGE_BODY_BYTES,
            Self::KeepAlive => len == KEEP_ALIVE_BODY_BYTES,
            Self::Payload => 1 <= len && len <= MAX_PAYLOAD_BYTES,
        }
    }
}

/// Why a datagram is no valid sealed packet.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PacketError {
    /// Too short for its header and tag.
    #[error("packet is too short")]
    TooShort,
    /// No such kind of packet, or a sequence of no or more than eight bytes.
    #[error("packet has an invalid prefix byte")]
    Prefix,
    /// It was not sealed with this key, or was changed on the way.
    #[error("packet does not authenticate")]
    Forged,
    /// It opened, but its body has no length that its kind allows.
    #[error("packet body has the wrong length")]
    BodyLength,
    /// The buffer to write into is too small.
    #[error("buffer is too small for the packet")]
    BufferTooSmall,
}

/// The readable front of a sealed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHeader {
    /// What the packet is for.
    pub kind: PacketKind,
    /// Its sequence, which is also its nonce.
    pub sequence: u64,
    prefix: u8,
    body: usize,
}

impl PacketHeader {
    /// Reads the header of a sealed packet, in the order of checks that the standard gives.
    pub fn parse(datagram: &[u8]) -> Result<Self, PacketError> {
        let (&prefix, rest) = datagram.split_first().ok_or(PacketError::TooShort)?;
        if datagram.len() < MIN_SEALED_BYTES {
            return Err(PacketError::TooShort);
        }
        let kind = PacketKind::from_prefix(prefix).ok_or(PacketError::Prefix)?;
        let sequence_len = usize::from(prefix >> 4);
        if kind == PacketKind::Request || !(1..=8).contains(&sequence_len) {
            return Err(PacketError::Prefix);
        }
        let body = 1 + sequence_len;
        if datagram.len() < body + TAG_BYTES {
            return Err(PacketError::TooShort);
        }
        let mut sequence = [0; 8];
        sequence[..sequence_len].copy_from_slice(&rest[..sequence_len]);
        Ok(Self { kind, sequence: u64::from_le_bytes(sequence), prefix, body })
    }
}

/// Seals and opens the packets of one direction of one session, in place.
#[derive(Clone, Debug)]
pub struct PacketKey {
    key: LessSafeKey,
    /// Version, protocol id and a place for the prefix byte.
    associated: [u8; 22],
}

impl PacketKey {
    /// A key of a connect token, for packets of `protocol_id`.
    pub fn new(key: &Key, protocol_id: u64) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("a key of 32 bytes is a ChaCha20 key");
        let mut associated = [0; 22];
        let mut writer = Writer::new(&mut associated);
        writer.bytes(VERSION_INFO);
        writer.u64(protocol_id);
        Self { key: LessSafeKey::new(key), associated }
    }

    fn associated(&self, prefix: u8) -> Aad<[u8; 22]> {
        let mut associated = self.associated;
        associated[21] = prefix;
        Aad::from(associated)
    }

    /// Opens `datagram`, whose header was read before, and returns its body.
    pub fn open<'a>(
        &self,
        header: &PacketHeader,
        datagram: &'a mut [u8],
    ) -> Result<&'a mut [u8], PacketError> {
        let sealed = datagram.get_mut(header.body..).ok_or(PacketError::TooShort)?;
        let body = self
            .key
            .open_in_place(nonce(header.sequence), self.associated(header.prefix), sealed)
            .map_err(|ring::error::Unspecified| PacketError::Forged)?;
        if header.kind.takes_body_of(body.len()) { Ok(body) } else { Err(PacketError::BodyLength) }
    }

    /// Seals the `body_len` bytes at [`body_offset`] of `datagram` and returns the length of the packet.
    ///
    /// `sequence` must never repeat under this key.
    pub fn seal(
        &self,
        kind: PacketKind,
        sequence: u64,
        datagram: &mut [u8],
        body_len: usize,
    ) -> Result<usize, PacketError> {
        if !kind.takes_body_of(body_len) {
            return Err(PacketError::BodyLength);
        }
        let offset = body_offset(sequence);
        let len = offset + body_len + TAG_BYTES;
        let packet = datagram.get_mut(..len).ok_or(PacketError::BufferTooSmall)?;
        let (header, rest) = packet.split_at_mut(offset);
        let (body, tag) = rest.split_at_mut(body_len);
        let sequence_len = header.len() - 1;
        header[0] = kind as u8 | u8::try_from(sequence_len << 4).unwrap_or(0);
        header[1..].copy_from_slice(&sequence.to_le_bytes()[..sequence_len]);
        let made = self
            .key
            .seal_in_place_separate_tag(nonce(sequence), self.associated(header[0]), body)
            .map_err(|ring::error::Unspecified| PacketError::BodyLength)?;
        tag.copy_from_slice(made.as_ref());
        Ok(len)
    }

    /// Writes `body` into `datagram`, seals it and returns the length of the packet.
    pub fn seal_body(
        &self,
        kind: PacketKind,
        sequence: u64,
        datagram: &mut [u8],
        body: &[u8],
    ) -> Result<usize, PacketError> {
        let offset = body_offset(sequence);
        datagram
            .get_mut(offset..offset + body.len())
            .ok_or(PacketError::BufferTooSmall)?
            .copy_from_slice(body);
        self.seal(kind, sequence, datagram, body.len())
    }
}

/// Where the body of a packet with this sequence starts: high zero bytes of a sequence are left out.
pub const fn body_offset(sequence: u64) -> usize {
    let bytes = (64 - sequence.leading_zeros()).div_ceil(8) as usize;
    1 + if bytes == 0 { 1 } else { bytes }
}

/// Four zero bytes, then the sequence in little-endian order.
pub(crate) fn nonce(sequence: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&sequence.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Why a datagram is no connection request for this server's protocol. Nothing is decrypted to find out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Not [`REQUEST_BYTES`] long or without the prefix byte.
    #[error("connection request is malformed")]
    Malformed,
    /// Another version of the session protocol.
    #[error("connection request has another session version")]
    Version,
    /// Another game, or another version of it.
    #[error("connection request has another protocol id")]
    ProtocolId,
}

/// The first datagram of a client.
#[derive(Debug)]
pub struct RequestPacket<'a> {
    /// When the connect token expires, seconds since the Unix epoch. Authenticated only by opening the token.
    pub expire_unix: u64,
    /// Nonce of the connect token.
    pub nonce: [u8; TOKEN_NONCE_BYTES],
    /// The sealed private part of the connect token.
    pub private_token: &'a mut [u8; PRIVATE_TOKEN_BYTES],
}

impl<'a> RequestPacket<'a> {
    /// Reads a request for `protocol_id`.
    pub fn parse(datagram: &'a mut [u8], protocol_id: u64) -> Result<Self, RequestError> {
        if datagram.len() != REQUEST_BYTES {
            return Err(RequestError::Malformed);
        }
        let (front, private_token) =
            datagram.split_last_chunk_mut::<PRIVATE_TOKEN_BYTES>().ok_or(RequestError::Malformed)?;
        let mut reader = Reader::new(front);
        if reader.u8() != Some(0) {
            return Err(RequestError::Malformed);
        }
        if reader.array() != Some(*VERSION_INFO) {
            return Err(RequestError::Version);
        }
        if reader.u64() != Some(protocol_id) {
            return Err(RequestError::ProtocolId);
        }
        let (expire_unix, nonce) = reader.u64().zip(reader.array()).ok_or(RequestError::Malformed)?;
        Ok(Self { expire_unix, nonce, private_token })
    }
}

/// Writes the connection request for `token` and returns its length.
pub fn write_request(token: &ConnectToken, datagram: &mut [u8]) -> Result<usize, PacketError> {
    let packet = datagram.get_mut(..REQUEST_BYTES).ok_or(PacketError::BufferTooSmall)?;
    let mut writer = Writer::new(packet);
    writer.u8(0);
    writer.bytes(VERSION_INFO);
    writer.u64(token.protocol_id);
    writer.u64(token.expire_unix);
    writer.bytes(&token.nonce);
    writer.bytes(&*token.private_token);
    Ok(REQUEST_BYTES)
}

/// Body of a challenge or response.
pub fn challenge_body(sequence: u64, sealed: &[u8; CHALLENGE_TOKEN_BYTES]) -> [u8; CHALLENGE_BODY_BYTES] {
    let mut body = [0; CHALLENGE_BODY_BYTES];
    let mut writer = Writer::new(&mut body);
    writer.u64(sequence);
    writer.bytes(sealed);
    body
}

/// Sequence and sealed token of a challenge or response.
pub fn parse_challenge_body(body: &[u8]) -> Result<(u64, [u8; CHALLENGE_TOKEN_BYTES]), PacketError> {
    let mut reader = Reader::new(body);
    reader.u64().zip(reader.array()).ok_or(PacketError::BodyLength)
}

/// Body of a server's keep-alive: the client's index and how many fit. A client sends zeroes.
pub fn keep_alive_body(client_index: u32, max_clients: u32) -> [u8; KEEP_ALIVE_BODY_BYTES] {
    let mut body = [0; KEEP_ALIVE_BODY_BYTES];
    let mut writer = Writer::new(&mut body);
    writer.u32(client_index);
    writer.u32(max_clients);
    body
}
