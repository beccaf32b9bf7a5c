//! What players have that NPCs do not: mana, skills, a bag and a score; and all that a player does without others.

use gameserver_protocol::RejectReason;

use super::body::Body;
use super::effects::Effect;
use super::intents::Intent;
use super::items::{ITEM_KINDS, ItemKind};
use super::movement::may_move;
use super::rules::{
    Aim, Clock, HEALTH_MAX, HEALTH_REGENERATION, MANA_MAX, MANA_REGENERATION, POTION_HEALTH, POTION_MANA,
    RESPAWN_MS, SKILL_COUNT, SKILLS, Skill,
};

/// One player, in or out. Its functions are those of a step and of a prediction alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Player {
    pub(crate) client_id: u64,
    /// When the next move would be due if all came evenly, in quarters of a tick.
    pub(crate) next_move: u64,
    /// First tick at which each skill can be cast again.
    pub(crate) ready: [u64; SKILL_COUNT],
    /// How often each was cast since [`Player::fresh_at`].
    pub(crate) casts: [u64; SKILL_COUNT],
    pub(crate) mana: i32,
    /// All mana that it was given since [`Player::fresh_at`].
    pub(crate) mana_given: u64,
    /// How many it has of each kind of item.
    pub(crate) bag: [u8; ITEM_KINDS],
    pub(crate) kills: u32,
    pub(crate) deaths: u32,
    /// When it is alive again, while it is dead.
    pub(crate) respawn_at: u64,
    /// All health that it ever cost others.
    pub(crate) dealt: u64,
    /// Id of whom it aimed at last, and when others stop seeing that.
    pub(crate) aimed_at: u32,
    pub(crate) aim_ends: u64,
    /// Tick at which it came in or its match began.
    pub(crate) fresh_at: u64,
}

impl Player {
    /// Begins anew after tick `tick`; the bag has been emptied.
    pub(crate) fn freshen(&mut self, tick: u64) {
        let Self { client_id, dealt, bag, .. } = *self;
        *self = Self { client_id, dealt, bag, fresh_at: tick, ..Self::default() };
        self.restore(MANA_MAX);
    }

    /// Gives back so much mana, up to the most that there can be.
    pub(crate) fn restore(&mut self, amount: i32) {
        let restored = amount.min(MANA_MAX - self.mana).max(0);
        self.mana += restored;
        self.mana_given += u64::from(restored.unsigned_abs());
    }

    /// What comes back by itself in this tick.
    pub(crate) fn recover(&mut self, body: &mut Body, clock: Clock) {
        if body.is_alive() {
            body.heal(clock.share(HEALTH_REGENERATION), HEALTH_MAX);
            self.restore(clock.share(MANA_REGENERATION));
        }
    }

    /// Has died in this tick.
    pub(crate) fn fall(&mut self, clock: Clock) {
        self.deaths += 1;
        self.respawn_at = clock.after(RESPAWN_MS);
    }

    /// Whether a skill can be cast again and there is mana for it.
    pub(crate) fn may_cast(&self, skill: usize, tick: u64) -> Result<(), RejectReason> {
        if tick < self.ready[skill] {
            return Err(RejectReason::SkillOnCooldown);
        }
        if self.mana < SKILLS[skill].mana {
            return Err(RejectReason::NotEnoughMana);
        }
        Ok(())
    }

    /// Pays for a cast.
    pub(crate) fn spend(&mut self, skill: usize, clock: Clock) {
        self.mana -= SKILLS[skill].mana;
        self.ready[skill] = clock.after(SKILLS[skill].cooldown_ms);
        self.casts[skill] += 1;
    }

    /// Does what takes nobody else; `None` if it takes others.
    pub(crate) fn act_alone(
        &mut self,
        body: &mut Body,
        clock: Clock,
        intent: Intent,
    ) -> Option<Result<(), RejectReason>> {
        match intent {
            Intent::Move { x, y } => Some(may_move(body, self.next_move, clock, x, y).map(|due| {
                self.next_move = due;
                (body.target_x, body.target_y) = (x, y);
            })),
            Intent::Stop if body.is_able(clock.tick) => {
                body.stop();
                Some(Ok(()))
            }
            Intent::Stop => Some(Err(RejectReason::CannotMove)),
            Intent::Use { kind } => Some(self.consume(body, clock, kind)),
            Intent::Cast { skill, .. } => {
                let skill = Skill::index_of(skill).filter(|&index| SKILLS[index].aim == Aim::Oneself)?;
                Some(self.cast_on_oneself(body, clock, skill))
            }
            Intent::PickUp { .. } => None,
        }
    }

    fn cast_on_oneself(&mut self, body: &mut Body, clock: Clock, skill: usize) -> Result<(), RejectReason> {
        if !body.is_able(clock.tick) {
            return Err(RejectReason::CannotAct);
        }
        self.may_cast(skill, clock.tick)?;
        self.spend(skill, clock);
        if let Some(effect) = SKILLS[skill].effect {
            body.begin(effect, clock);
        }
        Ok(())
    }

    fn consume(&mut self, body: &mut Body, clock: Clock, kind: ItemKind) -> Result<(), RejectReason> {
        if !body.is_able(clock.tick) {
            return Err(RejectReason::CannotAct);
        }
        let held = &mut self.bag[kind.index()];
        *held = held.checked_sub(1).ok_or(RejectReason::NoSuchTarget)?;
        match kind {
            ItemKind::Potion => body.heal(POTION_HEALTH, HEALTH_MAX),
            ItemKind::ManaPotion => self.restore(POTION_MANA),
            ItemKind::Coin => {
                body.effects.lift(Effect::Bleed);
                body.effects.lift(Effect::Slow);
            }
        }
        Ok(())
    }
}

/// What an intent is answered while a result is shown.
pub(crate) fn refusal_after_the_end(intent: Intent) -> RejectReason {
    match intent {
        Intent::Move { .. } | Intent::Stop => RejectReason::CannotMove,
        Intent::Cast { .. } | Intent::PickUp { .. } | Intent::Use { .. } => RejectReason::CannotAct,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RejectReason::{CannotAct, CannotMove, NoSuchTarget, NotEnoughMana, SkillOnCooldown};

    const HZ: u32 = 64;

    fn alive() -> (Player, Body) {
        let (mut player, mut body) = (Player::default(), Body { id: 1, ..Body::default() });
        player.freshen(0);
        body.appear((500_000, 500_000), HEALTH_MAX, 0);
        (player, body)
    }

    fn clock(tick: u64) -> Clock {
        Clock { tick, hz: HZ }
    }

    const HASTE: Intent = Intent::Cast { skill: 2001, target: 0 };
    const SHIELD: Intent = Intent::Cast { skill: 2002, target: 99 };

    #[test]
    fn skills_for_oneself_cost_mana_and_time() {
        let (mut player, mut body) = alive();
        let mut act = |tick, intent| player.act_alone(&mut body, clock(tick), intent);
        for (tick, intent, expected) in [
            (1, HASTE, Ok(())),
            (1, HASTE, Err(SkillOnCooldown)),
            (1, SHIELD, Ok(())),
            (768, HASTE, Err(SkillOnCooldown)),
            (769, HASTE, Ok(())),
            (961, SHIELD, Ok(())),
            (1537, HASTE, Err(NotEnoughMana)),
        ] {
            assert_eq!(act(tick, intent), Some(expected), "{intent:?} at {tick}");
        }
        assert_eq!(player.mana, 10);
        assert_eq!(body.effects.bits(1088), Effect::Haste.bit() | Effect::Shield.bit());
        assert_eq!(body.effects.bits(1089), Effect::Shield.bit());
    }

    #[test]
    fn whoever_is_stunned_or_dead_does_nothing() {
        let (mut player, mut stunned) = alive();
        player.bag = [1; 3];
        let mut dead = stunned;
        dead.suffer(HEALTH_MAX);
        stunned.begin(Effect::Stun, clock(1));
        for mut body in [stunned, dead] {
            let before = body;
            for (intent, expected) in [
                (Intent::Move { x: body.x, y: body.y }, CannotMove),
                (Intent::Stop, CannotMove),
                (HASTE, CannotAct),
                (Intent::Use { kind: ItemKind::Potion }, CannotAct),
            ] {
                assert_eq!(player.act_alone(&mut body, clock(1), intent), Some(Err(expected)));
            }
            assert_eq!(body, before);
        }
    }

    #[test]
    fn items_give_back_health_and_mana_or_pay_for_a_cure_and_are_gone() {
        let (mut player, mut body) = alive();
        player.bag = [2, 1, 1];
        player.spend(3, clock(1));
        body.suffer(70);
        for effect in [Effect::Bleed, Effect::Slow, Effect::Haste] {
            body.begin(effect, clock(1));
        }
        let mut take = |kind, expected| {
            let taken = player.act_alone(&mut body, clock(2), Intent::Use { kind });
            assert_eq!(taken, Some(expected), "{kind:?}");
        };
        take(ItemKind::Potion, Ok(()));
        take(ItemKind::Potion, Ok(()));
        take(ItemKind::Potion, Err(NoSuchTarget));
        take(ItemKind::ManaPotion, Ok(()));
        take(ItemKind::ManaPotion, Err(NoSuchTarget));
        take(ItemKind::Coin, Ok(()));
        take(ItemKind::Coin, Err(NoSuchTarget));
        assert_eq!((body.health, player.mana, player.bag), (HEALTH_MAX, MANA_MAX, [0; 3]));
        assert_eq!(body.effects.bits(2), Effect::Haste.bit());
    }

    #[test]
    fn health_and_mana_come_back_at_the_same_pace_at_any_tick_rate_but_not_to_the_dead() {
        for hz in [1, 3, 20, 64, 1000] {
            let (mut player, mut body) = alive();
            body.suffer(50);
            player.mana_given -= 50;
            player.mana -= 50;
            for tick in 1..=10 * u64::from(hz) {
                player.recover(&mut body, Clock { tick, hz });
            }
            assert_eq!((body.health, player.mana), (60, 90), "at {hz} Hz");
            body.suffer(HEALTH_MAX);
            player.recover(&mut body, Clock { tick: u64::from(hz), hz });
            assert_eq!((body.health, player.mana), (0, 90));
        }
    }

    #[test]
    fn what_takes_others_is_not_done_alone() {
        let (mut player, mut body) = alive();
        for intent in [
            Intent::Cast { skill: 0, target: 2 },
            Intent::Cast { skill: 1003, target: 2 },
            Intent::Cast { skill: 5, target: 2 },
            Intent::PickUp { item: 3 },
        ] {
            assert_eq!(player.act_alone(&mut body, clock(1), intent), None, "{intent:?}");
        }
    }
}
