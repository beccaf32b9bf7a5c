//! Mints a connect token, for whoever writes a client (docs/wire.md) and has no backend yet:
//! `cargo run -p gameserver --example token -- KEY_FILE 127.0.0.1:7777 > token`. It is good for a minute, for player 1.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context;
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, USER_DATA_BYTES};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let file = args.next().context("usage: token KEY_FILE ADDRESS:PORT > TOKEN")?;
    let server: SocketAddr = args.next().context("an address is missing")?.parse()?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("failed to read {file}"))?;
    let key = gameserver::parse_key(text.trim()).context("the key is not 64 hexadecimal digits")?;
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: &[server],
        client_id: 1,
        user_data: &[0; USER_DATA_BYTES],
        now_unix: gameserver_sys::Clock::start().unix(),
        lifetime_seconds: 60,
        timeout_seconds: 10,
    };
    let token = claims.mint(&key, &gameserver::random_bytes()?)?;
    std::io::stdout().write_all(&token.to_bytes()[..]).context("failed to write the token")
}
