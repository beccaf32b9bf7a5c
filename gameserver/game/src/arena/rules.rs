//! The numbers of the game. Distances are thousandths of a unit, times milliseconds, speeds and rates per second.
//!
//! | skill | at | range | damage | mana | again after | effect |
//! |---|---|---|---|---|---|---|
//! | 0 attack | another | 30 units | 10 | 0 | 0.5 s | |
//! | 1001 bleed | another | 50 units | 8 | 10 | 3 s | 4 health a second for 5 s |
//! | 1002 slow | another | 150 units | 6 | 15 | 5 s | half speed for 2 s |
//! | 1003 stun | another | 300 units | 5 | 30 | 10 s | neither walks nor acts for 1 s |
//! | 2001 haste | oneself | | | 20 | 12 s | half as fast again for 5 s |
//! | 2002 shield | oneself | | | 25 | 15 s | hits hurt half as much for 4 s |
//!
//! Other skills are unknown. An effect begins with the tick that brings it about and is renewed, never doubled, when
//! it comes again. What is dead, is not there, or is oneself cannot be hit.

use super::effects::Effect;

/// The map is a square from 0 to this, both included, in units.
pub const MAP_UNITS: i32 = 1000;
/// The same in thousandths.
pub const MAP_SIZE: i32 = MAP_UNITS * 1000;

/// How far a player walks in a second: 10 units. A move's target may be as far as its player walks in a second.
pub const WALK_SPEED: i32 = 10_000;
/// Between two moves, in quarters of a tick: a little less than a tick, so that a client which sends one a tick by
/// its own, slightly faster clock never runs into it.
pub const MOVE_COOLDOWN_QUARTERS: u64 = 3;
/// Moves that may come at once after a pause, because the network bunches them.
pub const MOVE_BURST: u64 = 8;

/// Most health of a player.
pub const HEALTH_MAX: i32 = 100;
/// Health that comes back a second.
pub const HEALTH_REGENERATION: u32 = 1;
/// Most mana of a player.
pub const MANA_MAX: i32 = 100;
/// Mana that comes back a second.
pub const MANA_REGENERATION: u32 = 4;
/// Health that bleeding costs a second.
pub const BLEED_RATE: u32 = 4;
/// How long a dead player waits.
pub const RESPAWN_MS: u32 = 5000;
/// For how long others see whom a player has aimed at.
pub const AIM_SHOWN_MS: u32 = 1000;

/// Most health of an NPC.
pub const NPC_HEALTH_MAX: i32 = 60;
/// How far an NPC walks in a second: a player can get away.
pub const NPC_SPEED: i32 = 6000;
/// How far an NPC sees a player who comes.
pub const NPC_SIGHT: i32 = 40_000;
/// How far away a player is left alone again.
pub const NPC_LEASH: i32 = 60_000;
/// How far an NPC hits.
pub const NPC_REACH: i32 = 5000;
/// What its hit costs.
pub const NPC_DAMAGE: i32 = 6;
/// Between two of its hits.
pub const NPC_COOLDOWN_MS: u32 = 1000;
/// How often it looks around.
pub const NPC_THINKS_MS: u32 = 250;
/// How far it wanders at most, east or west and north or south.
pub const NPC_WANDER: i32 = 20_000;
/// How long a dead NPC lies before another comes.
pub const NPC_RESPAWN_MS: u32 = 10_000;

/// How near an item has to be to be picked up.
pub const PICK_UP_RANGE: i32 = 2000;
/// How long an item lies.
pub const ITEM_LIES_MS: u32 = 60_000;
/// Health that a potion gives back.
pub const POTION_HEALTH: i32 = 40;
/// Mana that a mana potion gives back.
pub const POTION_MANA: i32 = 50;

/// How long a result is shown.
pub const RESULT_MS: u32 = 10_000;

/// Whom a skill is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Somebody else in range.
    Another,
    /// Whoever casts it.
    Oneself,
}

/// What a skill does and costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skill {
    /// By which players name it.
    pub id: u32,
    /// Whom it is for.
    pub aim: Aim,
    /// `D9`: how far it reaches, thousandths of a unit; of no matter for oneself.
    pub range: i32,
    /// Health that it costs whom it hits.
    pub damage: i32,
    /// Mana that it costs whoever casts it.
    pub mana: i32,
    /// Until it can be cast again.
    pub cooldown_ms: u32,
    /// What it brings about.
    pub effect: Option<Effect>,
}

/// How many skills there are.
pub const SKILL_COUNT: usize = 6;

/// How far reaches what has no range of its own.
const REACH: i32 = 30_000;

/// Every skill.
pub const SKILLS: [Skill; SKILL_COUNT] = [
    Skill { id: 0, aim: Aim::Another, range: REACH, damage: 10, mana: 0, cooldown_ms: 500, effect: None },
    Skill {
        id: 1001,
        aim: Aim::Another,
        range: 50_000,
        damage: 8,
        mana: 10,
        cooldown_ms: 3000,
        effect: Some(Effect::Bleed),
    },
    Skill {
        id: 1002,
        aim: Aim::Another,
        range: 150_000,
        damage: 6,
        mana: 15,
        cooldown_ms: 5000,
        effect: Some(Effect::Slow),
    },
    Skill {
        id: 1003,
        aim: Aim::Another,
        range: 300_000,
        damage: 5,
        mana: 30,
        cooldown_ms: 10_000,
        effect: Some(Effect::Stun),
    },
    Skill {
        id: 2001,
        aim: Aim::Oneself,
        range: REACH,
        damage: 0,
        mana: 20,
        cooldown_ms: 12_000,
        effect: Some(Effect::Haste),
    },
    Skill {
        id: 2002,
        aim: Aim::Oneself,
        range: REACH,
        damage: 0,
        mana: 25,
        cooldown_ms: 15_000,
        effect: Some(Effect::Shield),
    },
];

impl Skill {
    /// Its place in [`SKILLS`], if there is such a skill.
    pub fn index_of(id: u32) -> Option<usize> {
        SKILLS.iter().position(|skill| skill.id == id)
    }
}

/// What differs from one arena to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaRules {
    /// How many NPCs there are; at most [`ArenaRules::npcs_max`].
    pub npcs: u32,
    /// Items on the ground at most; at most [`ArenaRules::items_max`]. Up to half of them appear by themselves.
    pub items: u32,
    /// Players without whom no match begins.
    pub players_min: u32,
    /// How long a match is.
    pub match_ms: u32,
    /// Kills that end it before.
    pub score_limit: u32,
}

impl ArenaRules {
    /// The usual rules of an arena with so many places: a match of ten minutes or thirty kills for two players and
    /// more.
    pub fn of(capacity: u32) -> Self {
        Self {
            npcs: Self::npcs_max(capacity),
            items: Self::items_max(capacity),
            players_min: 2,
            match_ms: 600_000,
            score_limit: 30,
        }
    }

    /// One NPC for five places.
    pub fn npcs_max(capacity: u32) -> u32 {
        (capacity / 5).clamp(8, 400)
    }

    /// One item for two places.
    pub fn items_max(capacity: u32) -> u32 {
        (capacity / 2).clamp(32, 500)
    }
}

/// Which tick it is, and how many make a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) tick: u64,
    pub(crate) hz: u32,
}

impl Clock {
    /// How many ticks a time is, at least one; a part of one counts as one.
    pub(crate) fn ticks(self, ms: u32) -> u64 {
        (u64::from(ms) * u64::from(self.hz)).div_ceil(1000).max(1)
    }

    /// The tick in so many milliseconds.
    pub(crate) fn after(self, ms: u32) -> u64 {
        self.tick.saturating_add(self.ticks(ms))
    }

    /// What comes in this tick of something that comes `rate` times a second, so that the ticks of any second add up
    /// to just that at any tick rate.
    pub(crate) fn share(self, rate: u32) -> i32 {
        let (rate, hz) = (u64::from(rate), u64::from(self.hz));
        // of whole seconds nothing is left over, so the product stays small however long the server runs
        let now = self.tick % hz;
        let until = |tick: u64| tick * rate / hz;
        let share = if now == 0 { rate - until(hz - 1) } else { until(now) - until(now - 1) };
        i32::try_from(share).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `D9`: "distance by skill: 1001, 1002, 1003, else".
    #[test]
    fn skills_reach_as_far_as_agreed() {
        let ranges = SKILLS.map(|skill| (skill.id, skill.range));
        assert_eq!(
            ranges,
            [(0, 30_000), (1001, 50_000), (1002, 150_000), (1003, 300_000), (2001, 30_000), (2002, 30_000)]
        );
        for id in [1, 30, 999, 1000, 1004, 2000, 2003, u32::MAX] {
            assert_eq!(Skill::index_of(id), None, "{id}");
        }
    }

    #[test]
    fn the_ticks_of_any_second_add_up_at_any_tick_rate() {
        for hz in [1, 3, 20, 30, 60, 64, 128, 999, 1000] {
            for rate in [1, 4, 6000, 10_000, 15_000] {
                for from in [1, 2, 17, 1_000_000_000_000] {
                    let shares = (from..from + u64::from(hz)).map(|tick| Clock { tick, hz }.share(rate));
                    let shares: Vec<_> = shares.map(i64::from).collect();
                    assert_eq!(shares.iter().sum::<i64>(), i64::from(rate), "{rate} at {hz} Hz from {from}");
                    let even = i64::from(rate) / i64::from(hz);
                    assert!(shares.iter().all(|share| (even..=even + 1).contains(share)), "{shares:?}");
                }
            }
        }
    }

    #[test]
    fn a_time_is_a_tick_at_least_and_never_cut_short() {
        for (ms, hz, expected) in
            [(500, 64, 32), (1000, 64, 64), (250, 1, 1), (0, 64, 1), (1, 1000, 1), (250, 30, 8)]
        {
            assert_eq!(Clock { tick: 0, hz }.ticks(ms), expected, "{ms} ms at {hz} Hz");
        }
        assert_eq!(Clock { tick: 7, hz: 20 }.after(5000), 107);
    }

    #[test]
    fn there_are_npcs_and_items_for_a_few_and_not_without_end_for_many() {
        for (capacity, npcs, items) in
            [(0, 8, 32), (1, 8, 32), (100, 20, 50), (1000, 200, 500), (u32::MAX, 400, 500)]
        {
            assert_eq!((ArenaRules::npcs_max(capacity), ArenaRules::items_max(capacity)), (npcs, items));
        }
    }
}
