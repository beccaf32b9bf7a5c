//! The game that comes with the server: players walk, fight each other and NPCs, pick up what lies about, and the one
//! with the most kills wins the match.
//!
//! What is where: the numbers and the table of skills in [`rules`], walking in `movement`, what players do without
//! others in `player`, fights in `combat`, where everybody was in `history`, NPCs in `npcs`, items in [`items`],
//! matches in [`round`]; what goes over the wire in [`intents`], [`notices`] and [`own`]; what must always hold in
//! `audit`.
//!
//! A tick: the match turns, commands are carried out in their order, players walk, NPCs go their ways and hit, what
//! bleeds bleeds and what comes back comes back, the dead return, items come and go.
//!
//! An entity's kind is 1 for a player, 2 for an NPC, and for items 2 + [`items::ItemKind::code`]. Its figures are
//! health, bits (1 for dead, else those of [`effects::Effect::bit`]), kills in this match, and the id of whom it
//! goes after or has just aimed at, 0 for nobody; an item has none.

mod audit;
mod body;
mod combat;
mod digest;
pub mod effects;
mod grid;
mod history;
mod ids;
pub mod intents;
pub mod items;
mod movement;
pub mod notices;
mod npcs;
pub mod own;
mod player;
pub mod round;
pub mod rules;
#[cfg(test)]
mod tests;

use gameserver_protocol::RejectReason;
use gameserver_protocol::message::Entity;

use crate::game::{Command, Game, Outcome, Output, Setup};
use crate::random::{RandomStream, mix};
use body::Body;
use grid::Grid;
use history::History;
use ids::Ids;
use intents::Intent;
use items::{Item, Items};
use movement::Pace;
use npcs::Npc;
use own::Own;
use player::{Player, refusal_after_the_end};
use round::Round;
use rules::{ArenaRules, Clock, MAP_UNITS, SKILLS, Skill, WALK_SPEED};

/// Kind of a player's entity.
pub const PLAYER_KIND: u8 = 1;
/// Kind of an NPC's entity.
pub const NPC_KIND: u8 = 2;
/// Among the bits of an entity: it is dead.
pub const DEAD_BIT: i32 = 1;

/// The world of one arena.
#[derive(Clone, Debug)]
pub struct Arena {
    rules: ArenaRules,
    clock: Clock,
    /// Players by slot, then NPCs.
    bodies: Vec<Body>,
    /// By slot.
    players: Vec<Player>,
    npcs: Vec<Npc>,
    items: Items,
    ids: Ids,
    history: History,
    round: Round,
    grid: Grid,
    spawns: RandomStream,
    npc_chance: RandomStream,
    item_chance: RandomStream,
    /// Health that was dealt by those who are gone.
    gone_dealt: u64,
    /// Health that those lost who are gone.
    gone_lost: u64,
}

impl Arena {
    /// An arena by other rules than the usual; what is more than there is room for is cut.
    pub fn with_rules(setup: Setup, rules: ArenaRules) -> Self {
        let Setup { capacity, tick_hz, seed } = setup;
        let hz = tick_hz.clamp(1, 1000);
        let npcs = rules.npcs.min(ArenaRules::npcs_max(capacity)) as usize;
        let slots = capacity as usize;
        let mut arena = Self {
            rules,
            clock: Clock { tick: 0, hz },
            bodies: vec![Body::default(); slots + npcs],
            players: vec![Player::default(); slots],
            npcs: vec![Npc::default(); npcs],
            items: Self::new_items(capacity, &rules),
            ids: Ids::new(Self::entity_capacity(capacity)),
            history: History::new(hz, slots + npcs),
            round: Round::new(slots),
            grid: Grid::new(slots),
            spawns: RandomStream::new(mix(seed ^ 1)),
            npc_chance: RandomStream::new(mix(seed ^ 2)),
            item_chance: RandomStream::new(mix(seed ^ 3)),
            gone_dealt: 0,
            gone_lost: 0,
        };
        arena.place_npcs();
        arena.history.record(0, &arena.bodies);
        arena
    }

    /// The rules of this arena.
    pub fn rules(&self) -> &ArenaRules {
        &self.rules
    }

    /// Slots of the players by rank, best first, while a result is shown; else empty.
    pub fn ranking(&self) -> &[u32] {
        &self.round.ranking
    }

    /// Gives the last body so much health from nowhere, which [`Game::violations`] then finds: for simulations that want to know whether
    /// they would notice. What was given is taken back by as much less.
    pub fn spoil(&mut self, health: i32) {
        if let Some(body) = self.bodies.last_mut() {
            body.health += health;
        }
    }

    fn carry_out(&mut self, command: &Command<Intent>, output: &mut Output) -> Result<(), RejectReason> {
        let Command { player, rewind_ticks, intent, .. } = *command;
        if self.is_over() {
            return Err(refusal_after_the_end(intent));
        }
        let slot = player as usize;
        let (body, clock) = (&mut self.bodies[slot], self.clock);
        if let Some(result) = self.players[slot].act_alone(body, clock, intent) {
            let by = body.id;
            match (result, intent) {
                (Ok(()), Intent::Cast { skill, .. }) => {
                    let skill = Skill::index_of(skill).map(|index| &SKILLS[index]);
                    if let Some(effect) = skill.and_then(|skill| skill.effect) {
                        self.tell_of_effect(slot, effect, by, output);
                    }
                }
                (Ok(()), Intent::Use { kind }) => self.items.used[kind.index()] += 1,
                _ => {}
            }
            return result;
        }
        match intent {
            Intent::Cast { skill, target } => self.cast(player, skill, target, rewind_ticks, output),
            Intent::PickUp { item } => self.pick_up(player, item, output),
            Intent::Move { .. } | Intent::Use { .. } | Intent::Stop => Err(RejectReason::UnknownAction),
        }
    }

    fn body_of(&self, player: u32) -> Option<&Body> {
        let slot = player as usize;
        self.bodies[..self.players.len()].get(slot).filter(|body| body.is_there())
    }

    fn walk_players(&mut self) {
        let (pace, tick) = (Pace::of(WALK_SPEED, self.clock), self.clock.tick);
        for body in &mut self.bodies[..self.players.len()] {
            body.walk(&pace, tick);
        }
    }

    /// What others see of a player or an NPC.
    fn seen_of(&self, index: usize, body: &Body) -> Entity {
        let tick = self.clock.tick;
        let (kind, score, aim) = match index.checked_sub(self.players.len()) {
            None => {
                let player = &self.players[index];
                (PLAYER_KIND, player.kills, if tick < player.aim_ends { player.aimed_at } else { 0 })
            }
            Some(npc) => (NPC_KIND, 0, self.npcs[npc].victim),
        };
        let bits = if body.is_alive() { body.effects.bits(tick) } else { DEAD_BIT };
        Entity {
            id: body.id,
            kind,
            x: body.x / 10,
            y: body.y / 10,
            fields: [body.health, bits, score.cast_signed(), aim.cast_signed()],
        }
    }
}

impl Game for Arena {
    type Intent = Intent;
    type Own = Own;

    const MAP_UNITS: i32 = MAP_UNITS;

    fn new(setup: Setup) -> Self {
        Self::with_rules(setup, ArenaRules::of(setup.capacity))
    }

    fn entity_capacity(capacity: u32) -> u32 {
        capacity + ArenaRules::npcs_max(capacity) + ArenaRules::items_max(capacity)
    }

    fn notices_max(capacity: u32, commands: usize) -> usize {
        let (players, npcs) = (capacity as usize, ArenaRules::npcs_max(capacity) as usize);
        // a hit tells two and so does the death that comes of it, and an effect one; of a player alone tell its death by
        // bleeding, its return, and the end or the beginning of a match with a place in it
        5 * commands + 5 * players + 2 * npcs + 1
    }

    fn join(&mut self, player: u32, client_id: u64) {
        if self.has_joined(player) {
            self.let_out(player);
        }
        if (player as usize) < self.players.len() {
            self.let_in(player, client_id);
        }
    }

    fn leave(&mut self, player: u32) {
        if self.has_joined(player) {
            self.let_out(player);
        }
    }

    fn has_joined(&self, player: u32) -> bool {
        self.body_of(player).is_some()
    }

    fn step(&mut self, commands: &[Command<Intent>], output: &mut Output) {
        self.clock.tick += 1;
        self.turn_round(output);
        for command in commands {
            let Command { player, sequence, .. } = *command;
            if self.has_joined(player) {
                let result = self.carry_out(command, output);
                output.outcomes.push(Outcome { player, sequence, result });
            }
        }
        if self.is_over() {
            self.bodies.iter_mut().for_each(|body| (body.last_x, body.last_y) = (body.x, body.y));
        } else {
            self.walk_players();
            self.turn_npcs(output);
            self.wear(output);
            self.revive(output);
            self.turn_items();
        }
        self.history.record(self.clock.tick, &self.bodies);
    }

    fn tick(&self) -> u64 {
        self.clock.tick
    }

    fn entities(&self) -> impl Iterator<Item = (u32, Entity)> {
        let bodies = (0..).zip(&self.bodies).filter(|(_, body)| body.is_there());
        let bodies = bodies.map(|(index, body)| (index, self.seen_of(index as usize, body)));
        let items = (self.items.first_index..).zip(&self.items.slots).filter(|(_, item)| item.id != 0);
        bodies.chain(items.map(|(index, item)| (index, seen_of_item(item))))
    }

    fn own(&self, player: u32) -> Option<Own> {
        let body = self.body_of(player)?;
        Some(Own::of(
            body,
            &self.players[player as usize],
            (self.round.phase, self.round.end),
            self.clock.tick,
        ))
    }

    fn predict(tick_hz: u32, tick: u64, own: &mut Own, intents: &[Intent]) {
        own.advance(Clock { tick, hz: tick_hz.clamp(1, 1000) }, intents);
    }

    fn place(own: &Own) -> (i32, i32) {
        (own.x / 10, own.y / 10)
    }

    fn state_hash(&self) -> u64 {
        self.digest()
    }

    fn violations(&self) -> Vec<String> {
        self.audit()
    }
}

fn seen_of_item(item: &Item) -> Entity {
    Entity { id: item.id, kind: NPC_KIND + item.kind.code(), x: item.x / 10, y: item.y / 10, fields: [0; 4] }
}
