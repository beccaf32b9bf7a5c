//! Connect tokens: minted by a backend, carried by a client, opened by one server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use thiserror::Error;

use crate::bytes::{Reader, Writer};
use crate::{KEY_BYTES, Key, TAG_BYTES, VERSION_INFO};

/// Bytes of a connect token.
pub const CONNECT_TOKEN_BYTES: usize = 2048;
/// Bytes of the private part, tag included.
pub const PRIVATE_TOKEN_BYTES: usize = 1024;
/// Bytes of the nonce that seals the private part.
pub const TOKEN_NONCE_BYTES: usize = 24;
/// Bytes of user data in a token.
pub const USER_DATA_BYTES: usize = 256;
/// Random bytes that minting a token consumes: a nonce and two session keys.
pub const TOKEN_RANDOM_BYTES: usize = TOKEN_NONCE_BYTES + 2 * KEY_BYTES;

/// What a backend may tell the server about a player, unread by the client.
pub type UserData = [u8; USER_DATA_BYTES];

/// First byte of the user data of one who only looks on; any other value is a player's. The rest is free.
pub const SPECTATOR: u8 = 0x5E;

const MAX_ADDRESSES: usize = 32;
/// Stands before a [`ResumeMark`].
const RESUME: &[u8; 8] = b"cranewR1";

/// Why a connect token cannot be minted or read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// No address of a server, or more than 32.
    #[error("connect token must name 1 to 32 server addresses")]
    Addresses,
    /// Not [`CONNECT_TOKEN_BYTES`] long.
    #[error("connect token has the wrong length")]
    Length,
    /// Another version of the session protocol.
    #[error("connect token has another session version")]
    Version,
    /// A field is out of range.
    #[error("connect token is malformed")]
    Malformed,
    /// Created after it expires.
    #[error("connect token expires before it was created")]
    Lifetime,
    /// Not sealed with this server's key, or changed since.
    #[error("connect token does not authenticate")]
    Forged,
}

/// Addresses of servers, 1 to 32, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct ServerAddresses {
    addresses: [SocketAddr; MAX_ADDRESSES],
    len: usize,
}

impl ServerAddresses {
    /// Copies `addresses`; there must be 1 to 32.
    pub fn new(addresses: &[SocketAddr]) -> Result<Self, TokenError> {
        let unset = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let mut copied = Self { addresses: [unset; MAX_ADDRESSES], len: addresses.len() };
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(TokenError::Addresses);
        }
        copied.addresses[..addresses.len()].copy_from_slice(addresses);
        Ok(copied)
    }

    /// The addresses.
    pub fn as_slice(&self) -> &[SocketAddr] {
        &self.addresses[..self.len]
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, TokenError> {
        let len = reader.u32().and_then(|len| usize::try_from(len).ok()).ok_or(TokenError::Malformed)?;
        if !(1..=MAX_ADDRESSES).contains(&len) {
            return Err(TokenError::Addresses);
        }
        let unset = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let mut read = Self { addresses: [unset; MAX_ADDRESSES], len };
        for address in &mut read.addresses[..len] {
            *address = reader.address().ok_or(TokenError::Malformed)?;
        }
        Ok(read)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u32(u32::try_from(self.len).unwrap_or(0));
        self.as_slice().iter().for_each(|&address| writer.address(address));
    }
}

impl PartialEq for ServerAddresses {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for ServerAddresses {}

/// What a token says; who mints one fills this in.
#[derive(Clone, Copy, Debug)]
pub struct ConnectTokenClaims<'a> {
    /// Which game and version, usually [`crate::PROTOCOL_ID`].
    pub protocol_id: u64,
    /// Addresses by which the client reaches the server, 1 to 32, tried in this order.
    pub server_addresses: &'a [SocketAddr],
    /// The player; one session at a time on a server.
    pub client_id: u64,
    /// What the server should know about the player.
    pub user_data: &'a UserData,
    /// The time, since the Unix epoch.
    pub now_unix: Duration,
    /// Seconds from now until the token is worthless. A draining server counts on 30.
    pub lifetime_seconds: u64,
    /// Seconds of silence after which a peer is given up.
    pub timeout_seconds: u32,
}

impl ConnectTokenClaims<'_> {
    /// Mints a token that the holder of `server_key` will accept. `random` must be fresh from a cryptographic
    /// source: it becomes the token's nonce and the keys of the session.
    pub fn mint(
        &self,
        server_key: &Key,
        random: &[u8; TOKEN_RANDOM_BYTES],
    ) -> Result<ConnectToken, TokenError> {
        let mut reader = Reader::new(random);
        let ((nonce, client_to_server_key), server_to_client_key) =
            reader.array().zip(reader.array()).zip(reader.array()).ok_or(TokenError::Malformed)?;
        let server_addresses = ServerAddresses::new(self.server_addresses)?;
        let timeout_seconds =
            i32::try_from(self.timeout_seconds).map_err(|_out_of_range| TokenError::Malformed)?;
        let create_unix = self.now_unix.as_secs();
        let expire_unix = create_unix.saturating_add(self.lifetime_seconds);
        let private = PrivateToken {
            client_id: self.client_id,
            timeout_seconds,
            server_addresses,
            client_to_server_key,
            server_to_client_key,
            user_data: *self.user_data,
            resume: None,
        };
        Ok(ConnectToken {
            protocol_id: self.protocol_id,
            create_unix,
            expire_unix,
            nonce,
            private_token: Box::new(private.seal(self.protocol_id, expire_unix, &nonce, server_key)),
            timeout_seconds,
            server_addresses,
            client_to_server_key,
            server_to_client_key,
        })
    }
}

/// A connect token as the client sees it: where to connect, the keys of the session, and a sealed part that only
/// the server can read. Whoever has it can take the player's place, so it travels over TLS only.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectToken {
    /// Which game and version.
    pub protocol_id: u64,
    /// When it was minted, seconds since the Unix epoch.
    pub create_unix: u64,
    /// When it expires, seconds since the Unix epoch.
    pub expire_unix: u64,
    /// Nonce of the sealed part.
    pub nonce: [u8; TOKEN_NONCE_BYTES],
    /// The sealed part.
    pub private_token: Box<[u8; PRIVATE_TOKEN_BYTES]>,
    /// Seconds of silence after which a peer is given up; negative: never.
    pub timeout_seconds: i32,
    /// Where to connect, in this order.
    pub server_addresses: ServerAddresses,
    /// Seals what the client sends.
    pub client_to_server_key: Key,
    /// Seals what the server sends.
    pub server_to_client_key: Key,
}

impl std::fmt::Debug for ConnectToken {
    /// Without the keys, so that a token may be logged.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ConnectToken")
            .field("protocol_id", &self.protocol_id)
            .field("expire_unix", &self.expire_unix)
            .field("server_addresses", &self.server_addresses.as_slice())
            .finish_non_exhaustive()
    }
}

impl ConnectToken {
    /// Reads a token.
    pub fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.len() != CONNECT_TOKEN_BYTES {
            return Err(TokenError::Length);
        }
        let mut reader = Reader::new(bytes);
        if reader.array() != Some(*VERSION_INFO) {
            return Err(TokenError::Version);
        }
        let mut front = || {
            let (protocol_id, create_unix, expire_unix) = (reader.u64()?, reader.u64()?, reader.u64()?);
            let (nonce, private_token) = (reader.array()?, Box::new(reader.array()?));
            Some((protocol_id, create_unix, expire_unix, nonce, private_token, reader.u32()?.cast_signed()))
        };
        let (protocol_id, create_unix, expire_unix, nonce, private_token, timeout_seconds) =
            front().ok_or(TokenError::Malformed)?;
        let server_addresses = ServerAddresses::read(&mut reader)?;
        let (client_to_server_key, server_to_client_key) =
            reader.array().zip(reader.array()).ok_or(TokenError::Malformed)?;
        if create_unix > expire_unix {
            return Err(TokenError::Lifetime);
        }
        Ok(Self {
            protocol_id,
            create_unix,
            expire_unix,
            nonce,
            private_token,
            timeout_seconds,
            server_addresses,
            client_to_server_key,
            server_to_client_key,
        })
    }

    /// The token as it travels.
    pub fn to_bytes(&self) -> Box<[u8; CONNECT_TOKEN_BYTES]> {
        let mut bytes = Box::new([0; CONNECT_TOKEN_BYTES]);
        let mut writer = Writer::new(&mut *bytes);
        writer.bytes(VERSION_INFO);
        writer.u64(self.protocol_id);
        writer.u64(self.create_unix);
        writer.u64(self.expire_unix);
        writer.bytes(&self.nonce);
        writer.bytes(&*self.private_token);
        writer.u32(self.timeout_seconds.cast_unsigned());
        self.server_addresses.write(&mut writer);
        writer.bytes(&self.client_to_server_key);
        writer.bytes(&self.server_to_client_key);
        bytes
    }
}

/// The part of a connect token that only backend and server can read.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateToken {
    /// The player.
    pub client_id: u64,
    /// Seconds of silence after which a peer is given up; negative: never.
    pub timeout_seconds: i32,
    /// Servers that the token is good for.
    pub server_addresses: ServerAddresses,
    /// Seals what the client sends.
    pub client_to_server_key: Key,
    /// Seals what the server sends.
    pub server_to_client_key: Key,
    /// What the backend says about the player.
    pub user_data: UserData,
    /// Set in a token that a server minted for a player of its own. It stands where the standard has zeroes.
    pub resume: Option<ResumeMark>,
}

/// By which a server knows its own tokens: whose bearer had a session here, and which of them is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeMark {
    /// The session in which the token was handed out. Never the same for two sessions of a server.
    pub session: u64,
    /// Grows from token to token.
    pub serial: u64,
}

impl std::fmt::Debug for PrivateToken {
    /// Without the keys, so that a token may be logged.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PrivateToken")
            .field("client_id", &self.client_id)
            .field("server_addresses", &self.server_addresses.as_slice())
            .finish_non_exhaustive()
    }
}

impl PrivateToken {
    /// Seals the token; `nonce` must be random for each.
    pub fn seal(
        &self,
        protocol_id: u64,
        expire_unix: u64,
        nonce: &[u8; TOKEN_NONCE_BYTES],
        server_key: &Key,
    ) -> [u8; PRIVATE_TOKEN_BYTES] {
        let mut sealed = [0; PRIVATE_TOKEN_BYTES];
        let (plain, tag) = sealed.split_at_mut(PRIVATE_TOKEN_BYTES - TAG_BYTES);
        let mut writer = Writer::new(plain);
        writer.u64(self.client_id);
        writer.u32(self.timeout_seconds.cast_unsigned());
        self.server_addresses.write(&mut writer);
        writer.bytes(&self.client_to_server_key);
        writer.bytes(&self.server_to_client_key);
        writer.bytes(&self.user_data);
        if let Some(mark) = self.resume {
            writer.bytes(RESUME);
            writer.u64(mark.session);
            writer.u64(mark.serial);
        }
        let made = XChaCha20Poly1305::new(server_key.into())
            .encrypt_in_place_detached(
                XNonce::from_slice(nonce),
                &associated(protocol_id, expire_unix),
                plain,
            )
            .expect("1008 bytes are within the cipher's limit");
        tag.copy_from_slice(&made);
        sealed
    }

    /// Opens a token in place; `sealed` holds the plain text afterwards. What is not authentic is left as it is.
    pub fn open(
        sealed: &mut [u8; PRIVATE_TOKEN_BYTES],
        protocol_id: u64,
        expire_unix: u64,
        nonce: &[u8; TOKEN_NONCE_BYTES],
        server_key: &Key,
    ) -> Result<Self, TokenError> {
        let (text, tag) = sealed.split_at_mut(PRIVATE_TOKEN_BYTES - TAG_BYTES);
        XChaCha20Poly1305::new(server_key.into())
            .decrypt_in_place_detached(
                XNonce::from_slice(nonce),
                &associated(protocol_id, expire_unix),
                text,
                Tag::from_slice(tag),
            )
            .map_err(|chacha20poly1305::Error| TokenError::Forged)?;
        let mut reader = Reader::new(text);
        let (client_id, timeout) = reader.u64().zip(reader.u32()).ok_or(TokenError::Malformed)?;
        let server_addresses = ServerAddresses::read(&mut reader)?;
        let ((client_to_server_key, server_to_client_key), user_data) =
            reader.array().zip(reader.array()).zip(reader.array()).ok_or(TokenError::Malformed)?;
        let is_own = reader.array() == Some(*RESUME);
        let mark = reader.u64().zip(reader.u64()).filter(|_| is_own);
        Ok(Self {
            client_id,
            timeout_seconds: timeout.cast_signed(),
            server_addresses,
            client_to_server_key,
            server_to_client_key,
            user_data,
            resume: mark.map(|(session, serial)| ResumeMark { session, serial }),
        })
    }
}

fn associated(protocol_id: u64, expire_unix: u64) -> [u8; 29] {
    let mut associated = [0; 29];
    let mut writer = Writer::new(&mut associated);
    writer.bytes(VERSION_INFO);
    writer.u64(protocol_id);
    writer.u64(expire_unix);
    associated
}
