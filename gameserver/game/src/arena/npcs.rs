//! Those whom nobody plays: they wander, go after players who come near, and leave something when they die.

use super::Arena;
use super::body::Body;
use super::movement::{Pace, is_within};
use super::rules::{
    MAP_SIZE, NPC_COOLDOWN_MS, NPC_DAMAGE, NPC_HEALTH_MAX, NPC_LEASH, NPC_REACH, NPC_SIGHT, NPC_SPEED,
    NPC_THINKS_MS, NPC_WANDER,
};
use crate::game::Output;

/// What an NPC has besides its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Npc {
    /// Id of the player it goes after; 0 for none.
    pub(crate) victim: u32,
    /// First tick at which it can hit again.
    pub(crate) ready: u64,
    /// When another comes in its place, while it is dead.
    pub(crate) respawn_at: u64,
    /// All health that it ever cost players.
    pub(crate) dealt: u64,
}

impl Arena {
    /// Puts the first NPCs into the world.
    pub(super) fn place_npcs(&mut self) {
        for npc in 0..self.npcs.len() {
            self.place_npc(npc);
        }
    }

    fn place_npc(&mut self, npc: usize) {
        let mut along = || self.npc_chance.below(MAP_SIZE.cast_unsigned() + 1).cast_signed();
        let place = (along(), along());
        let index = self.players.len() + npc;
        let body = &mut self.bodies[index];
        if body.is_there() {
            self.ids.free(body.id);
        }
        body.id = self.ids.give(u32::try_from(index).unwrap_or(u32::MAX));
        body.appear(place, NPC_HEALTH_MAX, self.clock.tick);
        self.npcs[npc].respawn_at = 0;
    }

    /// In place of an NPC that has been dead for long enough comes another.
    pub(super) fn revive_npcs(&mut self) {
        for npc in 0..self.npcs.len() {
            let is_alive = self.bodies[self.players.len() + npc].is_alive();
            if !is_alive && self.clock.tick >= self.npcs[npc].respawn_at {
                self.place_npc(npc);
            }
        }
    }

    /// Every NPC looks around now and then, not all in the same tick, and goes its way.
    pub(super) fn turn_npcs(&mut self, output: &mut Output) {
        if self.npcs.is_empty() {
            return;
        }
        let (capacity, clock) = (self.players.len(), self.clock);
        self.grid.rebuild(&self.bodies[..capacity]);
        let (pace, between) = (Pace::of(NPC_SPEED, clock), clock.ticks(NPC_THINKS_MS));
        for npc in 0..self.npcs.len() {
            let index = capacity + npc;
            if self.bodies[index].is_able(clock.tick) {
                if (clock.tick + npc as u64).is_multiple_of(between) {
                    self.look_around(npc);
                }
                self.go_after(npc, output);
            }
            self.bodies[index].walk(&pace, clock.tick);
        }
    }

    /// Goes after whoever is nearest, and if nobody is there, somewhere every other time.
    fn look_around(&mut self, npc: usize) {
        let capacity = self.players.len();
        let (players, npcs) = self.bodies.split_at_mut(capacity);
        let body = &mut npcs[npc];
        let nearest = self.grid.nearest(players, (body.x, body.y), NPC_SIGHT);
        if let Some(player) = nearest {
            self.npcs[npc].victim = players[player].id;
        }
        let is_idle = self.npcs[npc].victim == 0 && (body.x, body.y) == (body.target_x, body.target_y);
        if is_idle && self.npc_chance.below(2) == 0 {
            let mut stray = |from: i32| {
                let way =
                    self.npc_chance.below(2 * NPC_WANDER.cast_unsigned() + 1).cast_signed() - NPC_WANDER;
                (from + way).clamp(0, MAP_SIZE)
            };
            (body.target_x, body.target_y) = (stray(body.x), stray(body.y));
        }
    }

    /// Comes nearer to its victim, hits it when it is near enough, and lets go of it when it is dead, gone or far.
    fn go_after(&mut self, npc: usize, output: &mut Output) {
        let id = self.npcs[npc].victim;
        if id == 0 {
            return;
        }
        let index = self.players.len() + npc;
        let Some(victim) = self.ids.index_of(id) else {
            self.npcs[npc].victim = 0;
            self.bodies[index].stop();
            return;
        };
        let Body { x, y, health, .. } = self.bodies[victim];
        let body = &mut self.bodies[index];
        let is_near = |range| is_within((body.x, body.y), (x, y), range);
        if health == 0 || !is_near(NPC_LEASH) {
            self.npcs[npc].victim = 0;
            body.stop();
        } else if !is_near(NPC_REACH) {
            (body.target_x, body.target_y) = (x, y);
        } else {
            body.stop();
            if self.clock.tick >= self.npcs[npc].ready {
                self.npcs[npc].ready = self.clock.after(NPC_COOLDOWN_MS);
                self.hit(index, victim, NPC_DAMAGE, 0, output);
            }
        }
    }
}
