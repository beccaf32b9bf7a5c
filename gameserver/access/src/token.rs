//! Connect tokens, minted as a matchmaker would.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_contract::TOKEN_LIFETIME_SECONDS;
use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, Key, PROTOCOL_ID, SPECTATOR, TOKEN_RANDOM_BYTES, TokenError,
    USER_DATA_BYTES,
};
use ring::rand::{SecureRandom, SystemRandom};

/// Seconds of silence after which a client gives its server up, and the server the client.
const TIMEOUT_SECONDS: u32 = 10;

/// What somebody comes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To play.
    Player,
    /// To look on.
    Spectator,
}

/// Who comes to a server, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Address of the server, as players reach it.
    pub server: SocketAddr,
    /// The same when the same player comes again; nobody else's.
    pub client_id: u64,
    /// What for.
    pub role: Role,
}

impl Visit {
    /// Somebody who was never there before.
    pub fn of_somebody_new(server: SocketAddr, role: Role) -> Self {
        Self { server, client_id: u64::from_le_bytes(secure_bytes()), role }
    }

    /// A token for it with the key of the server, good for [`TOKEN_LIFETIME_SECONDS`] from `unix` on.
    ///
    /// # Errors
    /// When a token cannot say it.
    pub fn mint(&self, key: &Key, unix: Duration) -> Result<ConnectToken, TokenError> {
        let mut user_data = [0; USER_DATA_BYTES];
        if self.role == Role::Spectator {
            user_data[0] = SPECTATOR;
        }
        let claims = ConnectTokenClaims {
            protocol_id: PROTOCOL_ID,
            server_addresses: &[self.server],
            client_id: self.client_id,
            user_data: &user_data,
            now_unix: unix,
            lifetime_seconds: TOKEN_LIFETIME_SECONDS,
            timeout_seconds: TIMEOUT_SECONDS,
        };
        claims.mint(key, &secure_bytes::<TOKEN_RANDOM_BYTES>())
    }
}

/// Fresh bytes for keys and identities.
///
/// Panics when the system has no randomness: there is nothing to fall back to.
pub fn secure_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_protocol::PrivateToken;

    #[test]
    fn a_token_says_who_comes_and_what_for() {
        let (key, server) = ([7; 32], SocketAddr::from(([192, 0, 2, 1], 7777)));
        for (role, first) in [(Role::Player, 0), (Role::Spectator, SPECTATOR)] {
            let visit = Visit { server, client_id: 42, role };
            let token = visit.mint(&key, Duration::from_secs(1_800_000_000)).unwrap();
            assert_eq!(token.server_addresses.as_slice(), [server]);
            assert_eq!(token.expire_unix - token.create_unix, TOKEN_LIFETIME_SECONDS);
            let mut sealed = token.private_token;
            let opened = PrivateToken::open(&mut sealed, PROTOCOL_ID, token.expire_unix, &token.nonce, &key);
            let opened = opened.unwrap();
            assert_eq!((opened.client_id, opened.user_data[0]), (42, first), "{role:?}");
        }
    }

    #[test]
    fn whoever_is_new_is_nobody_else() {
        let server = SocketAddr::from(([192, 0, 2, 1], 7777));
        let ids = [(); 2].map(|()| Visit::of_somebody_new(server, Role::Player).client_id);
        assert_ne!(ids[0], ids[1]);
    }
}
