//! What players and NPCs have in common: a place, health, and effects.

use super::effects::{Effect, Effects};
use super::rules::{BLEED_RATE, Clock};

/// Somebody who can walk and be hurt. Its functions are those of a step and of a prediction alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// 0 while nobody is here.
    pub(crate) id: u32,
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) target_x: i32,
    pub(crate) target_y: i32,
    /// Where it was before this tick.
    pub(crate) last_x: i32,
    pub(crate) last_y: i32,
    /// 0 is dead.
    pub(crate) health: i32,
    pub(crate) effects: Effects,
    /// Id of whoever made it bleed.
    pub(crate) bled_by: u32,
    /// First tick at whose end it was to be seen where it is, alive.
    pub(crate) seen_from: u64,
    /// All health that it was ever given.
    pub(crate) given: u64,
    /// All health that it ever lost.
    pub(crate) lost: u64,
}

impl Body {
    pub(crate) fn is_there(&self) -> bool {
        self.id != 0
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.health > 0
    }

    /// Neither dead nor stunned.
    pub(crate) fn is_able(&self, tick: u64) -> bool {
        self.is_alive() && !self.effects.has(Effect::Stun, tick)
    }

    /// Begins a life at this place, with nothing left of the one before.
    pub(crate) fn appear(&mut self, place: (i32, i32), health: i32, seen_from: u64) {
        (self.x, self.y) = place;
        (self.last_x, self.last_y) = place;
        self.stop();
        self.effects = Effects::default();
        self.bled_by = 0;
        self.seen_from = seen_from;
        self.heal(health, health);
    }

    pub(crate) fn stop(&mut self) {
        (self.target_x, self.target_y) = (self.x, self.y);
    }

    /// Gives back so much health, up to the most that there can be.
    pub(crate) fn heal(&mut self, amount: i32, most: i32) {
        let healed = amount.min(most - self.health).max(0);
        self.health += healed;
        self.given += u64::from(healed.unsigned_abs());
    }

    /// Takes so much health, or what is left, and says how much that was.
    pub(crate) fn suffer(&mut self, amount: i32) -> i32 {
        let lost = amount.min(self.health).max(0);
        self.health -= lost;
        self.lost += u64::from(lost.unsigned_abs());
        if self.health == 0 {
            self.stop();
        }
        lost
    }

    /// Loses what bleeding costs in this tick, and says how much that was.
    pub(crate) fn bleed(&mut self, clock: Clock) -> i32 {
        if self.effects.has(Effect::Bleed, clock.tick) { self.suffer(clock.share(BLEED_RATE)) } else { 0 }
    }

    /// What a hit of this strength costs, shielded or not.
    pub(crate) fn hurt_by(&self, damage: i32, tick: u64) -> i32 {
        if self.effects.has(Effect::Shield, tick) { (damage + 1) / 2 } else { damage }
    }

    /// Comes under this effect.
    pub(crate) fn begin(&mut self, effect: Effect, clock: Clock) {
        self.effects.begin(effect, clock);
        if effect == Effect::Stun {
            self.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Body {
        let mut body = Body { id: 1, ..Body::default() };
        body.appear((5, 6), 100, 1);
        body
    }

    #[test]
    fn health_stays_between_nothing_and_the_most_and_every_point_is_accounted_for() {
        let mut body = body();
        for (change, expected) in [(-30, 70), (40, 100), (-99, 1), (-1, 0), (-5, 0), (7, 7), (-1000, 0)] {
            body.heal(change, 100);
            body.suffer(-change);
            assert_eq!(body.health, expected, "after {change}");
            assert_eq!(body.given - body.lost, u64::from(expected.unsigned_abs()));
        }
    }

    #[test]
    fn bleeding_costs_the_same_at_any_tick_rate_and_ends() {
        for hz in [1, 3, 20, 64, 1000] {
            let mut body = body();
            let clock = |tick| Clock { tick, hz };
            body.begin(Effect::Bleed, clock(10));
            let lost: i32 = (10..10 + 6 * u64::from(hz)).map(|tick| body.bleed(clock(tick))).sum();
            assert_eq!((lost, body.health), (20, 80), "at {hz} Hz");
        }
    }

    #[test]
    fn a_shield_halves_a_hit_and_no_hit_comes_to_nothing_by_it() {
        let mut body = body();
        body.begin(Effect::Shield, Clock { tick: 1, hz: 64 });
        for (damage, expected) in [(0, 0), (1, 1), (5, 3), (10, 5)] {
            assert_eq!(body.hurt_by(damage, 1), expected);
            assert_eq!(body.hurt_by(damage, 100_000), damage);
        }
    }

    #[test]
    fn whoever_is_stunned_stands_still_and_is_not_able() {
        let mut body = body();
        (body.target_x, body.target_y) = (500, 600);
        body.begin(Effect::Stun, Clock { tick: 1, hz: 20 });
        assert_eq!((body.target_x, body.target_y), (5, 6));
        assert_eq!((body.is_able(20), body.is_able(21)), (false, true));
    }
}
