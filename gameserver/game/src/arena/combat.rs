//! Who is hit, by what was seen; who is hurt, and who dies of it.

use gameserver_protocol::RejectReason;

use super::Arena;
use super::effects::Effect;
use super::movement::is_within;
use super::notices::Notice;
use super::round::Phase;
use super::rules::{AIM_SHOWN_MS, NPC_RESPAWN_MS, SKILLS, Skill};
use crate::game::{Audience, Output};

impl Arena {
    /// Casts a skill that is for another. The target has to be alive now and to have been alive where it was seen,
    /// and that place, not where it is now, has to be in range of where the attacker is now.
    pub(super) fn cast(
        &mut self,
        player: u32,
        skill: u32,
        target: u32,
        rewind: u32,
        output: &mut Output,
    ) -> Result<(), RejectReason> {
        let (attacker, tick) = (player as usize, self.clock.tick);
        let body = &self.bodies[attacker];
        if !body.is_able(tick) {
            return Err(RejectReason::CannotAct);
        }
        let index = Skill::index_of(skill).ok_or(RejectReason::UnknownAction)?;
        let skill = &SKILLS[index];
        let seen = self.history.seen(self.clock, rewind);
        let victim = self.ids.index_of(target).filter(|&victim| {
            let was_there = |other: &super::body::Body| other.is_alive() && other.seen_from <= seen;
            victim != attacker && self.bodies.get(victim).is_some_and(was_there)
        });
        let victim = victim.ok_or(RejectReason::NoSuchTarget)?;
        if !is_within((body.x, body.y), self.history.place(seen, victim), skill.range) {
            return Err(RejectReason::OutOfRange);
        }
        let caster = &mut self.players[attacker];
        caster.may_cast(index, tick)?;
        caster.spend(index, self.clock);
        caster.aimed_at = target;
        caster.aim_ends = self.clock.after(AIM_SHOWN_MS);
        self.hit(attacker, victim, skill.damage, skill.id, output);
        if let Some(effect) = skill.effect.filter(|_| self.bodies[victim].is_alive()) {
            let by = self.bodies[attacker].id;
            self.bodies[victim].begin(effect, self.clock);
            if effect == Effect::Bleed {
                self.bodies[victim].bled_by = by;
            }
            self.tell_of_effect(victim, effect, by, output);
        }
        Ok(())
    }

    /// Tells a player that it has come under an effect.
    pub(super) fn tell_of_effect(&self, victim: usize, effect: Effect, by: u32, output: &mut Output) {
        self.tell(victim, Notice::EffectBegun { effect, ms: effect.lasts_ms(), by }, output);
    }

    /// Tells a player something; whoever is none is told nothing.
    pub(super) fn tell(&self, index: usize, notice: Notice, output: &mut Output) {
        if index < self.players.len()
            && let Ok(player) = u32::try_from(index)
        {
            output.notices.push((Audience::Player(player), notice.into()));
        }
    }

    /// One body hits another, whatever else had to be the case.
    pub(super) fn hit(
        &mut self,
        attacker: usize,
        victim: usize,
        damage: i32,
        skill: u32,
        output: &mut Output,
    ) {
        let (by, body) = (self.bodies[attacker].id, &mut self.bodies[victim]);
        let (whom, amount) = (body.id, body.hurt_by(damage, self.clock.tick));
        let amount = body.suffer(amount);
        let is_dead = !body.is_alive();
        self.credit(by, amount);
        self.tell(attacker, Notice::HitDealt { whom, amount, skill }, output);
        self.tell(victim, Notice::HitTaken { by, amount, skill }, output);
        if is_dead {
            self.fell(victim, by, output);
        }
    }

    /// Health that somebody lost is health that somebody cost it, gone or not.
    fn credit(&mut self, by: u32, amount: i32) {
        let amount = u64::from(amount.unsigned_abs());
        let capacity = self.players.len();
        *match self.ids.index_of(by) {
            Some(player) if player < capacity => &mut self.players[player].dealt,
            Some(npc) if npc < self.bodies.len() => &mut self.npcs[npc - capacity].dealt,
            _ => &mut self.gone_dealt,
        } += amount;
    }

    /// Somebody has died.
    fn fell(&mut self, victim: usize, by: u32, output: &mut Output) {
        let capacity = self.players.len();
        if let Some(npc) = victim.checked_sub(capacity) {
            self.npcs[npc].respawn_at = self.clock.after(NPC_RESPAWN_MS);
            self.npcs[npc].victim = 0;
            let body = &self.bodies[victim];
            self.drop_item((body.x, body.y));
            return;
        }
        self.players[victim].fall(self.clock);
        self.tell(victim, Notice::Died { by }, output);
        let Some(killer) = self.ids.index_of(by).filter(|&killer| killer < capacity) else { return };
        self.players[killer].kills += 1;
        let kills = self.players[killer].kills;
        self.tell(killer, Notice::Killed { whom: self.bodies[victim].id, kills }, output);
        if self.round.phase == Phase::Running && kills >= self.rules.score_limit {
            self.round.end = self.round.end.min(self.clock.tick + 1);
        }
    }

    /// What each body goes through by itself: bleeding, and what comes back.
    pub(super) fn wear(&mut self, output: &mut Output) {
        let clock = self.clock;
        for index in 0..self.bodies.len() {
            let body = &mut self.bodies[index];
            if !body.is_alive() {
                continue;
            }
            let (by, lost) = (body.bled_by, body.bleed(clock));
            if lost > 0 {
                self.credit(by, lost);
                if !self.bodies[index].is_alive() {
                    self.fell(index, by, output);
                }
            }
            if let Some(player) = self.players.get_mut(index) {
                player.recover(&mut self.bodies[index], clock);
            }
        }
    }

    /// Who has been dead for long enough is alive again, somewhere else.
    pub(super) fn revive(&mut self, output: &mut Output) {
        for player in 0..self.players.len() {
            let body = &self.bodies[player];
            if body.is_there() && !body.is_alive() && self.clock.tick >= self.players[player].respawn_at {
                self.players[player].respawn_at = 0;
                self.players[player].restore(super::rules::MANA_MAX);
                self.place_player(player, self.clock.tick, output);
            }
        }
        self.revive_npcs();
    }
}
