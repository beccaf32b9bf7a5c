//! What players are told that cannot be seen from the state alone.
//!
//! | code | to | notice | figures |
//! |---|---|---|---|
//! | 1 | attacker | hit dealt | id of whom, health, skill |
//! | 2 | victim | hit taken | id of by whom, health, skill |
//! | 3 | victim | died | id of by whom |
//! | 4 | killer | killed | id of whom, kills in this match |
//! | 5 | player | respawned | x, y, hundredths of a unit |
//! | 6 | player | item acquired | kind, how many one has now, id of the item |
//! | 7 | player | effect begun | effect, milliseconds, id of by whom |
//! | 8 | everyone | match started | milliseconds, players |
//! | 9 | player | match ended | rank, kills, deaths |
//! | 10 | everyone | match won | id of the first, its kills, players |
//!
//! The hits of an NPC have its id and skill 0. Bleeding tells nothing but the death that may come of it.

use super::effects::Effect;
use super::items::ItemKind;
use crate::game::Notice as Told;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The player hit somebody.
    HitDealt {
        /// Id.
        whom: u32,
        /// Health that it cost.
        amount: i32,
        /// With which skill.
        skill: u32,
    },
    /// The player was hit.
    HitTaken {
        /// Id.
        by: u32,
        /// Health that it cost.
        amount: i32,
        /// With which skill.
        skill: u32,
    },
    /// The player died.
    Died {
        /// Id.
        by: u32,
    },
    /// The player killed another.
    Killed {
        /// Id.
        whom: u32,
        /// How many in this match by now.
        kills: u32,
    },
    /// The player is alive again.
    Respawned {
        /// East, hundredths of a unit.
        x: i32,
        /// North, hundredths of a unit.
        y: i32,
    },
    /// The player has got an item.
    ItemAcquired {
        /// What.
        kind: ItemKind,
        /// How many it has now.
        held: u8,
        /// Id of the one that lay there.
        item: u32,
    },
    /// The player has come under an effect.
    EffectBegun {
        /// Which.
        effect: Effect,
        /// For how long.
        ms: u32,
        /// Id of whose doing it is.
        by: u32,
    },
    /// Scores are from zero and count.
    MatchStarted {
        /// How long it is.
        ms: u32,
        /// How many take part.
        players: u32,
    },
    /// How the player did.
    MatchEnded {
        /// From 1.
        rank: u32,
        /// Others whom it killed.
        kills: u32,
        /// How often it died.
        deaths: u32,
    },
    /// Who won.
    MatchWon {
        /// Id of the first.
        id: u32,
        /// Its kills.
        kills: u32,
        /// How many took part.
        players: u32,
    },
}

impl From<Notice> for Told {
    fn from(notice: Notice) -> Self {
        let (code, figures): (u8, [i64; 3]) = match notice {
            Notice::HitDealt { whom, amount, skill } => (1, [whom.into(), amount.into(), skill.into()]),
            Notice::HitTaken { by, amount, skill } => (2, [by.into(), amount.into(), skill.into()]),
            Notice::Died { by } => (3, [by.into(), 0, 0]),
            Notice::Killed { whom, kills } => (4, [whom.into(), kills.into(), 0]),
            Notice::Respawned { x, y } => (5, [x.into(), y.into(), 0]),
            Notice::ItemAcquired { kind, held, item } => (6, [kind.code().into(), held.into(), item.into()]),
            Notice::EffectBegun { effect, ms, by } => (7, [effect.code().into(), ms.into(), by.into()]),
            Notice::MatchStarted { ms, players } => (8, [ms.into(), players.into(), 0]),
            Notice::MatchEnded { rank, kills, deaths } => (9, [rank.into(), kills.into(), deaths.into()]),
            Notice::MatchWon { id, kills, players } => (10, [id.into(), kills.into(), players.into()]),
        };
        Self { code, figures }
    }
}

impl Notice {
    /// What a notice of this game says, if it is one.
    pub fn read(told: &Told) -> Option<Self> {
        let [first, second, third] = told.figures;
        let figure = |number: i64| u32::try_from(number).ok();
        Some(match told.code {
            1 => Self::HitDealt {
                whom: figure(first)?,
                amount: i32::try_from(second).ok()?,
                skill: figure(third)?,
            },
            2 => Self::HitTaken {
                by: figure(first)?,
                amount: i32::try_from(second).ok()?,
                skill: figure(third)?,
            },
            3 => Self::Died { by: figure(first)? },
            4 => Self::Killed { whom: figure(first)?, kills: figure(second)? },
            5 => Self::Respawned { x: i32::try_from(first).ok()?, y: i32::try_from(second).ok()? },
            6 => Self::ItemAcquired {
                kind: ItemKind::from_code(u8::try_from(first).ok()?)?,
                held: u8::try_from(second).ok()?,
                item: figure(third)?,
            },
            7 => Self::EffectBegun {
                effect: Effect::from_code(u8::try_from(first).ok()?)?,
                ms: figure(second)?,
                by: figure(third)?,
            },
            8 => Self::MatchStarted { ms: figure(first)?, players: figure(second)? },
            9 => Self::MatchEnded { rank: figure(first)?, kills: figure(second)?, deaths: figure(third)? },
            10 => Self::MatchWon { id: figure(first)?, kills: figure(second)?, players: figure(third)? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_notice_has_its_code_and_is_read_as_it_was_told() {
        let notices = [
            Notice::HitDealt { whom: 1, amount: 2, skill: 1001 },
            Notice::HitTaken { by: u32::MAX, amount: 10, skill: 0 },
            Notice::Died { by: 5 },
            Notice::Killed { whom: 6, kills: 7 },
            Notice::Respawned { x: 100_000, y: 0 },
            Notice::ItemAcquired { kind: ItemKind::Coin, held: 3, item: 9 },
            Notice::EffectBegun { effect: Effect::Stun, ms: 1000, by: 4 },
            Notice::MatchStarted { ms: 600_000, players: 1000 },
            Notice::MatchEnded { rank: 1, kills: 30, deaths: 0 },
            Notice::MatchWon { id: 8, kills: 30, players: 1000 },
        ];
        for (notice, code) in notices.into_iter().zip(1..) {
            let told = Told::from(notice);
            assert_eq!(told.code, code);
            assert_eq!(Notice::read(&told), Some(notice));
        }
    }

    #[test]
    fn strange_notices_say_nothing() {
        for (code, figures) in [
            (0, [0; 3]),
            (11, [0; 3]),
            (1, [-1, 0, 0]),
            (1, [0, i64::MAX, 0]),
            (6, [4, 0, 0]),
            (7, [256 + 1, 0, 0]),
        ] {
            assert_eq!(Notice::read(&Told { code, figures }), None, "{code}: {figures:?}");
        }
    }
}
