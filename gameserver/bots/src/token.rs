//! Connect tokens, minted as a matchmaker would.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_contract::TOKEN_LIFETIME_SECONDS;
use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, Key, PROTOCOL_ID, TOKEN_RANDOM_BYTES, TokenError, USER_DATA_BYTES,
};

use crate::random::secure_bytes;

/// Seconds of silence after which a bot gives its server up, and the server the bot.
const TIMEOUT_SECONDS: u32 = 10;

/// A token for a new player on one server.
pub(crate) fn mint(server: SocketAddr, key: &Key, unix: Duration) -> Result<ConnectToken, TokenError> {
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: &[server],
        client_id: u64::from_le_bytes(secure_bytes()),
        user_data: &[0; USER_DATA_BYTES],
        now_unix: unix,
        lifetime_seconds: TOKEN_LIFETIME_SECONDS,
        timeout_seconds: TIMEOUT_SECONDS,
    };
    claims.mint(key, &secure_bytes::<TOKEN_RANDOM_BYTES>())
}
