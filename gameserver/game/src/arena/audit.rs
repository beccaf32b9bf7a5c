//! What must always hold, whatever players send.

use super::Arena;
use super::body::Body;
use super::effects::Effect;
use super::items::{Item, ItemKind};
use super::movement::{Pace, distance_squared};
use super::player::Player;
use super::round::Phase;
use super::rules::{
    Clock, HEALTH_MAX, MANA_MAX, MAP_SIZE, MOVE_BURST, MOVE_COOLDOWN_QUARTERS, NPC_COOLDOWN_MS,
    NPC_HEALTH_MAX, NPC_RESPAWN_MS, NPC_SPEED, RESPAWN_MS, RESULT_MS, SKILLS, WALK_SPEED,
};

/// Collects what is wrong.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn expect(&mut self, holds: bool, say: impl FnOnce() -> String) {
        if !holds {
            self.0.push(say());
        }
    }
}

impl Arena {
    pub(super) fn audit(&self) -> Vec<String> {
        let mut findings = Findings::default();
        self.audit_names(&mut findings);
        for (index, body) in self.bodies.iter().enumerate() {
            let is_player = index < self.players.len();
            let (most, speed) =
                if is_player { (HEALTH_MAX, WALK_SPEED) } else { (NPC_HEALTH_MAX, NPC_SPEED) };
            audit_body(body, index, most, &Pace::of(speed, self.clock), self.clock, &mut findings);
        }
        for (slot, player) in self.players.iter().enumerate() {
            if self.bodies[slot].is_there() {
                audit_player(player, slot, self.bodies[slot].is_alive(), self.clock, &mut findings);
            }
        }
        self.audit_npcs(&mut findings);
        self.audit_items(&mut findings);
        self.audit_damage(&mut findings);
        self.audit_round(&mut findings);
        findings.0
    }

    /// Everything has a name of its own that leads to it, so each player is in one place and no more.
    fn audit_names(&self, findings: &mut Findings) {
        let (mut there, given) = (0, self.ids.count());
        let bodies = self.bodies.iter().map(|body| body.id);
        let things = (0..).zip(bodies.map(|id| (id, "body")));
        let items = self.items.slots.iter().map(|item| item.id);
        let things = things.chain((self.items.first_index as usize..).zip(items.map(|id| (id, "item"))));
        for (index, (id, what)) in things {
            if id != 0 {
                there += 1;
                let found = self.ids.index_of(id);
                findings.expect(found == Some(index), || {
                    format!("name: id {id} of {what} {index} leads to {found:?}")
                });
            }
        }
        findings.expect(given == there, || format!("name: {given} are given, and {there} have one"));
    }

    fn audit_npcs(&self, findings: &mut Findings) {
        for (number, npc) in self.npcs.iter().enumerate() {
            let body = &self.bodies[self.players.len() + number];
            findings.expect(body.is_there(), || format!("npc {number} is not there"));
            let ends = npc.respawn_at <= self.clock.after(NPC_RESPAWN_MS);
            findings.expect(body.is_alive() == (npc.respawn_at == 0) && ends, || {
                format!("npc {number} has {} health and returns at {}", body.health, npc.respawn_at)
            });
            findings.expect(npc.ready <= self.clock.after(NPC_COOLDOWN_MS), || {
                format!("npc {number} hits again only at {}", npc.ready)
            });
        }
    }

    /// Whatever was made lies, is held, was used or has expired.
    fn audit_items(&self, findings: &mut Findings) {
        let items = &self.items;
        let lie = |item: &&Item| item.id != 0;
        let lying = items.slots.iter().filter(lie).count();
        findings.expect(lying == items.lying as usize, || {
            format!("items: {lying} lie, and the count says {}", items.lying)
        });
        for Item { id, x, y, .. } in items.slots.iter().filter(lie) {
            findings.expect(is_on_map((*x, *y)), || format!("items: {id} lies off the map at {x}, {y}"));
        }
        for kind in ItemKind::ALL {
            let index = kind.index();
            let lying = items.slots.iter().filter(lie).filter(|item| item.kind == kind).count() as u64;
            let held: u64 = self.players.iter().map(|player| u64::from(player.bag[index])).sum();
            let (made, used, expired) = (items.made[index], items.used[index], items.expired[index]);
            findings.expect(made == lying + held + used + expired, || {
                format!(
                    "items: of {made} made {kind:?}s {lying} lie, {held} are held, {used} used, {expired} expired"
                )
            });
        }
    }

    /// All health that was lost was dealt by somebody.
    fn audit_damage(&self, findings: &mut Findings) {
        let lost = self.gone_lost + self.bodies.iter().map(|body| body.lost).sum::<u64>();
        let by_players: u64 = self.players.iter().map(|player| player.dealt).sum();
        let by_npcs: u64 = self.npcs.iter().map(|npc| npc.dealt).sum();
        let dealt = self.gone_dealt + by_players + by_npcs;
        findings.expect(dealt == lost, || format!("damage: {dealt} dealt and {lost} lost"));
    }

    fn audit_round(&self, findings: &mut Findings) {
        let (round, capacity) = (&self.round, self.players.len());
        let there = self.bodies[..capacity].iter().filter(|body| body.is_there()).count();
        findings.expect(there == round.players as usize, || {
            format!("match: {there} players are there, and the count says {}", round.players)
        });
        let latest = match round.phase {
            Phase::Waiting => u64::MAX,
            Phase::Running => self.clock.after(self.rules.match_ms),
            Phase::Ended => self.clock.after(RESULT_MS),
        };
        findings.expect(round.end <= latest, || format!("match: {:?} until {}", round.phase, round.end));
        let score = |player: u32| {
            let Player { kills, deaths, .. } = self.players[player as usize];
            (std::cmp::Reverse(kills), deaths, player)
        };
        findings.expect(round.ranking.is_sorted_by_key(|&player| score(player)), || {
            format!("match: ranked {:?}", round.ranking)
        });
        let is_shown = round.phase == Phase::Ended;
        findings.expect(is_shown || round.ranking.is_empty(), || {
            format!("match: a ranking while {:?}", round.phase)
        });
        findings.expect(round.leavers.len() <= capacity, || {
            format!("match: {} scores of players who left", round.leavers.len())
        });
    }
}

fn is_on_map((x, y): (i32, i32)) -> bool {
    (0..=MAP_SIZE).contains(&x) && (0..=MAP_SIZE).contains(&y)
}

fn audit_body(body: &Body, index: usize, most: i32, pace: &Pace, clock: Clock, findings: &mut Findings) {
    let Body { x, y, health, given, lost, .. } = *body;
    findings.expect((0..=most).contains(&health), || format!("health of body {index} is {health}"));
    let left = i128::from(given) - i128::from(lost);
    findings.expect(left == i128::from(health), || {
        format!("health of body {index} is {health}, of {given} given {lost} were lost")
    });
    findings.expect(is_on_map((x, y)) && is_on_map((body.target_x, body.target_y)), || {
        format!("place of body {index} is {x}, {y} and its target {}, {}", body.target_x, body.target_y)
    });
    let (limit, way) = (pace.limit(body, clock.tick), distance_squared((body.last_x, body.last_y), (x, y)));
    // whoever died in this tick may have walked before
    let limit = if body.is_alive() || way == 0 { limit } else { pace.most(body, clock.tick) };
    findings.expect(way <= limit * limit, || {
        format!("walk of body {index} was {} in a tick, and {limit} is allowed", way.isqrt())
    });
    for effect in Effect::ALL {
        let (end, latest) = (body.effects.end_of(effect), clock.after(effect.lasts_ms()));
        findings.expect(end <= latest, || {
            format!("effect: {effect:?} of body {index} ends at {end}, and {latest} is the latest")
        });
    }
}

fn audit_player(player: &Player, slot: usize, is_alive: bool, clock: Clock, findings: &mut Findings) {
    let mana = player.mana;
    findings.expect((0..=MANA_MAX).contains(&mana), || format!("mana of player {slot} is {mana}"));
    let spent: i128 = SKILLS
        .iter()
        .zip(player.casts)
        .map(|(skill, casts)| i128::from(skill.mana) * i128::from(casts))
        .sum();
    let given = i128::from(player.mana_given);
    findings.expect(given - spent == i128::from(mana), || {
        format!("mana of player {slot} is {mana}, of {given} given {spent} were spent")
    });
    for (index, skill) in SKILLS.iter().enumerate() {
        let (ready, latest) = (player.ready[index], clock.after(skill.cooldown_ms));
        findings.expect(ready <= latest, || {
            format!("cooldown: player {slot} casts {} again at {ready}, not {latest}", skill.id)
        });
        let (casts, between) = (player.casts[index], clock.ticks(skill.cooldown_ms));
        let most = (clock.tick.saturating_sub(player.fresh_at) + between) / between;
        findings.expect(casts <= most, || {
            format!("cooldown: player {slot} cast {} {casts} times, {most} are allowed", skill.id)
        });
    }
    let due = player.next_move.saturating_sub(4 * clock.tick);
    findings.expect(due <= MOVE_BURST * MOVE_COOLDOWN_QUARTERS, || {
        format!("cooldown: the next move of player {slot} is due in {due} quarters of a tick")
    });
    for kind in ItemKind::ALL {
        let held = player.bag[kind.index()];
        findings.expect(held <= kind.carried_max(), || format!("bag: player {slot} has {held} {kind:?}s"));
    }
    let returns = player.respawn_at;
    findings.expect(is_alive == (returns == 0) && returns <= clock.after(RESPAWN_MS), || {
        format!("return: player {slot} is alive: {is_alive}, and returns at {returns}")
    });
}
