//! Connect tokens of those for whom a server was given: by each of them one player comes in, within half a minute.

use gameserver_contract::TOKEN_LIFETIME_SECONDS;
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, TOKEN_RANDOM_BYTES, TokenError};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use operator_api::GameServer;
use std::net::SocketAddr;
use std::sync::Arc;

use super::proto;
use crate::reports::keys::{FleetKeys, KeyError, SecretOf};
use crate::runtime::chance::random_bytes;
use crate::runtime::clock::Clock;

/// Seconds of silence after which a player is given up, as the game server has it by default.
const TIMEOUT_SECONDS: u32 = 10;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum MintError {
    #[error("the game server is not seen here yet")]
    Unseen,
    #[error("the game server has no address of its own")]
    NoAddress,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("failed to draw random bytes")]
    Random,
    #[error("failed to mint a token: {0:?}")]
    Mint(TokenError),
}

/// Mints connect tokens.
pub(crate) struct Minter {
    pub(crate) keys: Arc<FleetKeys>,
    pub(crate) game_servers: Store<GameServer>,
    pub(crate) clock: Clock,
}

impl Minter {
    /// One for each of these players.
    pub(super) async fn mint(
        &self,
        given: &proto::GameServer,
        players: &[u64],
    ) -> Result<Vec<proto::ConnectToken>, MintError> {
        if players.is_empty() {
            return Ok(Vec::new());
        }
        let object = ObjectRef::new(&given.name).within(&given.namespace);
        let server =
            self.game_servers.get(&object).filter(|server| server.uid().as_deref() == Some(&given.uid));
        let server = server.ok_or(MintError::Unseen)?;
        let key = self.keys.server_key(&given.namespace, &SecretOf::server(&server), &given.uid).await?;
        let address = address_of(given).ok_or(MintError::NoAddress)?;
        let mint = |&player: &u64| {
            let random: [u8; TOKEN_RANDOM_BYTES] = random_bytes().map_err(|_none| MintError::Random)?;
            let claims = ConnectTokenClaims {
                protocol_id: PROTOCOL_ID,
                server_addresses: &[address],
                client_id: player,
                user_data: &[0; 256],
                now_unix: self.clock.unix(),
                lifetime_seconds: TOKEN_LIFETIME_SECONDS,
                timeout_seconds: TIMEOUT_SECONDS,
            };
            let token = claims.mint(&key, &random).map_err(MintError::Mint)?;
            Ok(proto::ConnectToken { player, token: token.to_bytes().to_vec() })
        };
        players.iter().map(mint).collect()
    }
}

/// Where players connect: the first of its ports.
fn address_of(given: &proto::GameServer) -> Option<SocketAddr> {
    let address = given.address.as_deref()?.parse().ok()?;
    Some(SocketAddr::new(address, u16::try_from(given.ports.first()?.port).ok()?))
}
