//! What hostile players do besides playing: they change, repeat, forge and steal.

use std::net::SocketAddr;

use gameserver_client::Client;
use gameserver_game::arena::intents::Intent;
use gameserver_protocol::{
    ConnectToken, PacketHeader, PacketKey, PacketKind, REQUEST_BYTES, ServerAddresses,
};

use crate::chance::Chance;
use crate::game::Watched;
use crate::player::{Kind, RECORDED_MAX};
use crate::process::zone_address;
use crate::world::World;

/// Ports from which a flooder forges.
const FLOOD_PORTS: u32 = 500;
/// Forged datagrams at a time, twenty times a second.
const FLOOD: usize = 60;

/// What hostile players have done, by their kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Messages changed before they were sealed, and datagrams of garbage.
    pub malformed: u64,
    /// Datagrams sent once more, in their own name or another's.
    pub replayed: u64,
    /// Tokens of others shown while those play.
    pub stolen: u64,
    /// Moves asked for that are too far or too many.
    pub too_fast: u64,
    /// Attacks on somebody whom they do not see.
    pub unseen: u64,
    /// Inputs and forged datagrams of a flood.
    pub flooded: u64,
}

impl Deeds {
    /// Each of them with its name.
    pub const fn each(&self) -> [(&'static str, u64); 6] {
        let Self { malformed, replayed, stolen, too_fast, unseen, flooded } = *self;
        [
            ("malformed", malformed),
            ("replayed", replayed),
            ("stolen", stolen),
            ("too fast", too_fast),
            ("unseen", unseen),
            ("flooded", flooded),
        ]
    }

    /// A player of this kind asks for this, `times` over.
    pub(crate) fn note(&mut self, kind: Kind, client: &Client<Watched>, intent: &Intent, times: u64) {
        match (kind, intent) {
            (Kind::Speeder, _) => self.too_fast += times,
            (Kind::Flooder, _) => self.flooded += times,
            (Kind::Seer, Intent::Cast { target, .. }) => {
                let is_seen = client.view().entities().any(|(_, entity)| entity.id == *target);
                self.unseen += u64::from(!is_seen) * times;
            }
            _ => {}
        }
    }
}

/// The token with which a thief's neighbour came in, once it is in: shown to another zone first.
pub(crate) fn stolen_token(world: &World, thief: usize) -> Option<ConnectToken> {
    let victim = world.players.get(thief.checked_sub(1)?)?;
    if !victim.was_connected || !victim.is_connected() || victim.boot != world.process.boot {
        return None;
    }
    let mut token = victim.token.clone()?;
    let mut addresses = token.server_addresses.as_slice().to_vec();
    addresses.reverse();
    token.server_addresses = ServerAddresses::new(&addresses).ok()?;
    Some(token)
}

/// A player's datagram passes by: a replayer keeps its own and its neighbour's.
pub(crate) fn record(world: &mut World, index: usize, bytes: &[u8]) {
    let from = world.players[index].address;
    for listener in [index, index + 1] {
        let Some(player) = world.players.get_mut(listener) else { continue };
        if player.kind == Kind::Replayer {
            if player.recorded.len() == RECORDED_MAX {
                player.recorded.pop_front();
            }
            player.recorded.push_back((from, bytes.to_vec()));
        }
    }
}

/// A malformed player's own message, with something in it changed before it was sealed.
pub(crate) fn change(world: &mut World, index: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let World { players, hostile, deeds, .. } = world;
    let player = &players[index];
    let token = player.token.as_ref().filter(|_| player.kind == Kind::Malformed)?;
    let header = PacketHeader::parse(bytes).ok()?;
    if header.kind != PacketKind::Payload || hostile.permille(700) {
        return None;
    }
    let key = PacketKey::new(&token.client_to_server_key, token.protocol_id);
    let mut opened = bytes.to_vec();
    let mut body = key.open(&header, &mut opened).ok()?.to_vec();
    match hostile.below(4) {
        0 => body.truncate(1 + hostile.below(u32::try_from(body.len()).unwrap_or(1)) as usize),
        1 => body.extend_from_slice(&hostile.bytes::<16>()),
        2 => {
            let len = 1 + hostile_len(hostile);
            body = garbage(hostile, len);
        }
        _ => {
            let at = hostile.below(u32::try_from(body.len()).unwrap_or(1)) as usize;
            body[at] ^= 1 << hostile.below(8);
        }
    }
    let mut sealed = vec![0; 1300];
    let len = key.seal_body(PacketKind::Payload, header.sequence, &mut sealed, &body).ok()?;
    sealed.truncate(len);
    deeds.malformed += 1;
    Some(sealed)
}

fn hostile_len(chance: &mut Chance) -> usize {
    chance.below(1100) as usize
}

fn garbage(chance: &mut Chance, len: usize) -> Vec<u8> {
    let block: [u8; 64] = chance.bytes();
    let mut bytes: Vec<u8> = block.iter().copied().cycle().take(len).collect();
    // half of it looks like a packet at first sight
    if let Some(first) = bytes.first_mut().filter(|_| chance.permille(500)) {
        *first = 0x80 | u8::try_from(chance.below(8)).unwrap_or(0);
    }
    bytes
}

fn forge(world: &mut World, from: SocketAddr, bytes: &[u8]) {
    let zone = world.hostile.below(u32::try_from(world.process.zones.len()).unwrap_or(1)) as usize;
    let delay = 1000 + u64::from(world.hostile.below(50_000));
    world.sky.launch(world.elapsed_us + delay, (from, zone_address(zone)), 0, bytes);
}

/// What a player of this kind does each time that it plays.
pub(crate) fn misbehave(world: &mut World, index: usize) {
    let address = world.players[index].address;
    match world.players[index].kind {
        Kind::Malformed => {
            for _ in 0..4 {
                let len = hostile_len(&mut world.hostile);
                let bytes = garbage(&mut world.hostile, len);
                forge(world, address, &bytes);
                world.deeds.malformed += 1;
            }
        }
        Kind::Replayer => {
            for _ in 0..6 {
                let count = u32::try_from(world.players[index].recorded.len()).unwrap_or(0);
                if count > 0 {
                    let at = world.hostile.below(count) as usize;
                    let (from, bytes) = world.players[index].recorded[at].clone();
                    let from = if world.hostile.permille(500) { from } else { address };
                    forge(world, from, &bytes);
                    world.deeds.replayed += 1;
                }
            }
        }
        Kind::Flooder => {
            for _ in 0..FLOOD {
                let port = 50_000 + u16::try_from(world.hostile.below(FLOOD_PORTS)).unwrap_or(0);
                let mut bytes = garbage(&mut world.hostile, REQUEST_BYTES);
                if let Some(token) = world.players[index].token.as_ref().filter(|_| port.is_multiple_of(2)) {
                    // a request that looks right until its token is opened
                    _ = gameserver_protocol::write_request(token, &mut bytes);
                    let at = 100 + world.hostile.below(900) as usize;
                    bytes[at] ^= 1;
                }
                forge(world, SocketAddr::from(([203, 0, 113, 7], port)), &bytes);
                world.deeds.flooded += 1;
            }
        }
        Kind::Honest | Kind::Spectator | Kind::Thief | Kind::Speeder | Kind::Seer => {}
    }
}
