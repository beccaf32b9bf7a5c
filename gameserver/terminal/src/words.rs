//! What happened, in words.

use gameserver_client::{DisconnectReason, Watch};
use gameserver_game::arena::effects::Effect;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::items::ItemKind;
use gameserver_game::arena::notices::Notice;
use gameserver_game::arena::round::Phase;

use crate::asked::Wish;
use crate::log::Tone;
use crate::scene::{Kind, Scene};

pub(crate) fn skill(id: u32) -> &'static str {
    match id {
        0 => "attack",
        1001 => "bleed",
        1002 => "slow",
        1003 => "stun",
        2001 => "haste",
        2002 => "shield",
        _ => "unknown skill",
    }
}

pub(crate) fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Bleed => "bleeding",
        Effect::Slow => "slow",
        Effect::Stun => "stunned",
        Effect::Haste => "hasty",
        Effect::Shield => "shielded",
    }
}

pub(crate) fn item(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Potion => "potion",
        ItemKind::ManaPotion => "mana potion",
        ItemKind::Coin => "coin",
    }
}

pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting for players",
        Phase::Running => "match",
        Phase::Ended => "match over",
    }
}

/// What was asked for, as it stands before a refusal.
pub(crate) fn wish(wish: &Wish) -> String {
    match *wish {
        Wish::Do(Intent::Move { .. }) => "walk".to_owned(),
        Wish::Do(Intent::Stop) => "stop".to_owned(),
        Wish::Do(Intent::Cast { skill: id, .. }) => skill(id).to_owned(),
        Wish::Do(Intent::PickUp { .. }) => "pick up".to_owned(),
        Wish::Do(Intent::Use { kind }) => format!("use {}", item(kind)),
        Wish::Watch(Watch::Place { .. }) => "look there".to_owned(),
        Wish::Watch(Watch::Entity { .. }) => "follow".to_owned(),
    }
}

/// Somebody, by what is seen of it.
pub(crate) fn who(id: u32, scene: &Scene) -> String {
    match scene.find(id).map(|other| other.kind) {
        Some(Kind::Player) => format!("player {id}"),
        Some(Kind::Npc) => format!("NPC {id}"),
        _ if id == 0 => "nobody".to_owned(),
        _ => format!("#{id}"),
    }
}

pub(crate) fn notice(notice: &Notice, scene: &Scene) -> (Tone, String) {
    let seconds = |ms: u32| f64::from(ms) / 1000.0;
    let units = |hundredths: i32| f64::from(hundredths) / 100.0;
    match *notice {
        Notice::HitDealt { whom, amount, skill: id } => {
            (Tone::Good, format!("you hit {} for {amount} ({})", who(whom, scene), skill(id)))
        }
        Notice::HitTaken { by, amount, skill: id } => {
            (Tone::Bad, format!("{} hit you for {amount} ({})", who(by, scene), skill(id)))
        }
        Notice::Died { by } => (Tone::Bad, format!("you died, by {}", who(by, scene))),
        Notice::Killed { whom, kills } => {
            (Tone::Good, format!("you killed {}, kills in this match: {kills}", who(whom, scene)))
        }
        Notice::Respawned { x, y } => {
            (Tone::Good, format!("you are back, at {:.1} {:.1}", units(x), units(y)))
        }
        Notice::ItemAcquired { kind, held, .. } => {
            (Tone::Good, format!("you got a {}, now {held}", item(kind)))
        }
        Notice::EffectBegun { effect: kind, ms, by } => {
            (Tone::Plain, format!("you are {} for {:.1} s, by {}", effect(kind), seconds(ms), who(by, scene)))
        }
        Notice::MatchStarted { ms, players } => (
            Tone::Plain,
            format!("a match begins: {players} players, {:.0} s, everyone elsewhere", seconds(ms)),
        ),
        Notice::MatchEnded { rank, kills, deaths } => {
            (Tone::Plain, format!("the match is over: you are number {rank}, kills {kills}, deaths {deaths}"))
        }
        Notice::MatchWon { id, kills, players } => {
            (Tone::Plain, format!("the match is won by {} of {players} with {kills} kills", who(id, scene)))
        }
    }
}

/// Why a session is over.
pub(crate) fn end(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::ByServer => "the server said goodbye: it drains or stops",
        DisconnectReason::ByClient => "you left",
        DisconnectReason::TimedOut => "the server fell silent",
        DisconnectReason::RequestTimedOut => {
            "no answer: is the address right, is UDP let through, and is this the server's key?"
        }
        DisconnectReason::ResponseTimedOut => "the server fell silent in the middle of the handshake",
        DisconnectReason::TokenExpired => "the connect token expired before the server let us in",
    }
}

/// Why there is no server.
pub(crate) const NOBODY: &str = "nobody listens there: the host says that the port is closed";

/// Why a server lets nobody in.
pub(crate) const DENIED: &str = "the server said no: it is full or drains, or this player is there already";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::samples::{other, spectator};

    #[test]
    fn each_notice_is_told_in_words() {
        let scene = spectator(0, vec![other(17, Kind::Player, 1.0, 1.0), other(23, Kind::Npc, 2.0, 2.0)]);
        for (told, expected) in [
            (Notice::HitDealt { whom: 17, amount: 10, skill: 0 }, "you hit player 17 for 10 (attack)"),
            (Notice::HitTaken { by: 23, amount: 6, skill: 0 }, "NPC 23 hit you for 6 (attack)"),
            (Notice::Died { by: 99 }, "you died, by #99"),
            (Notice::Killed { whom: 17, kills: 3 }, "you killed player 17, kills in this match: 3"),
            (Notice::Respawned { x: 51_230, y: 0 }, "you are back, at 512.3 0.0"),
            (Notice::ItemAcquired { kind: ItemKind::Coin, held: 3, item: 5 }, "you got a coin, now 3"),
            (
                Notice::EffectBegun { effect: Effect::Stun, ms: 1000, by: 17 },
                "you are stunned for 1.0 s, by player 17",
            ),
            (
                Notice::MatchStarted { ms: 600_000, players: 2 },
                "a match begins: 2 players, 600 s, everyone elsewhere",
            ),
            (
                Notice::MatchEnded { rank: 1, kills: 30, deaths: 2 },
                "the match is over: you are number 1, kills 30, deaths 2",
            ),
            (
                Notice::MatchWon { id: 17, kills: 30, players: 4 },
                "the match is won by player 17 of 4 with 30 kills",
            ),
        ] {
            assert_eq!(notice(&told, &scene).1, expected);
        }
    }
}
