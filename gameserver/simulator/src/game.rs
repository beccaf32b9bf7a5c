//! The arena with a notebook: what the server makes of each command is written down where the checks can read it. Here
//! are also the mutations that concern the world.

use std::cell::{Cell, RefCell};

use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::own::Own;
use gameserver_game::arena::rules::MAP_SIZE;
use gameserver_game::{Audience, Command, Entity, Game, Outcome, Output, RejectReason, Setup};

use crate::{Mutation, TICK_HZ};

/// A command, and what came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) slot: u32,
    pub(crate) sequence: u32,
    pub(crate) intent: Intent,
    pub(crate) result: Result<(), RejectReason>,
}

/// What happened in the newest step, and who is where.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    pub(crate) done: Vec<Done>,
    /// Whose commands the server had carried out, in its order.
    pub(crate) given: Vec<u32>,
    /// Slots of those who were put elsewhere: who came, came back to life, or begins a match.
    pub(crate) placed: Vec<u32>,
    /// By slot: the client id of who is there.
    pub(crate) who: Vec<Option<u64>>,
    /// A match has begun: everything starts from nothing.
    pub(crate) is_anew: bool,
    came: Vec<u32>,
}

/// The arena, watched.
#[derive(Debug)]
pub(crate) struct Watched {
    arena: Arena,
    pub(crate) mutation: Cell<Option<Mutation>>,
    pub(crate) notebook: RefCell<Notebook>,
    /// Health that a mutation has given somebody from nowhere.
    spoilt: i32,
}

/// From which tick on a world that a mutation spoils stays so; before that it is right again a tick later.
const SPOILT_SINCE: u64 = 4 * TICK_HZ as u64 + 1;

/// Code of the notice that a player is somewhere else.
const RESPAWNED: u8 = 5;
/// Code of the notice that a match has begun.
const MATCH_STARTED: u8 = 8;

impl Watched {
    /// The world as it is, whatever a mutation makes of it.
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Whether a mutation acts in this tick: once in a while, so that the run has settled and goes on.
    fn acts(&self, mutation: Mutation) -> bool {
        self.mutation.get() == Some(mutation) && self.arena.tick() % 16 == 9
    }

    /// What a mutation makes of a refusal.
    fn overruled(&self, reason: RejectReason) -> bool {
        matches!(
            (self.mutation.get(), reason),
            (Some(Mutation::CastFreely), RejectReason::SkillOnCooldown)
                | (Some(Mutation::MoveFreely), RejectReason::MoveTooFar | RejectReason::OutOfBounds)
                | (Some(Mutation::ReachFar), RejectReason::OutOfRange)
        )
    }

    fn write_down(&mut self, commands: &[Command<Intent>], output: &mut Output) {
        let mut given = commands.iter();
        for outcome in &mut output.outcomes {
            let Outcome { player, sequence, result } = *outcome;
            let Some(command) =
                given.find(|command| command.player == player && command.sequence == sequence)
            else {
                continue;
            };
            let result = result.or_else(|reason| if self.overruled(reason) { Ok(()) } else { Err(reason) });
            outcome.result = match self.mutation.get() {
                Some(Mutation::LieAboutOutcomes) => Ok(()),
                Some(Mutation::BlameTheLoad) => Err(RejectReason::Overloaded),
                _ => result,
            };
            let done = Done { slot: player, sequence, intent: command.intent, result };
            self.notebook.get_mut().done.push(done);
        }
        let notebook = self.notebook.get_mut();
        for &(audience, notice) in &output.notices {
            match audience {
                Audience::Player(slot) if notice.code == RESPAWNED => notebook.placed.push(slot),
                Audience::Everyone if notice.code == MATCH_STARTED => notebook.is_anew = true,
                _ => {}
            }
        }
    }
}

impl Game for Watched {
    type Intent = Intent;
    type Own = Own;

    const MAP_UNITS: i32 = Arena::MAP_UNITS;

    fn new(setup: Setup) -> Self {
        let who = vec![None; setup.capacity as usize];
        let notebook = RefCell::new(Notebook { who, ..Notebook::default() });
        Self { arena: Arena::new(setup), mutation: Cell::new(None), notebook, spoilt: 0 }
    }

    fn entity_capacity(capacity: u32) -> u32 {
        Arena::entity_capacity(capacity)
    }

    fn notices_max(capacity: u32, commands: usize) -> usize {
        Arena::notices_max(capacity, commands)
    }

    fn join(&mut self, player: u32, client_id: u64) {
        self.arena.join(player, client_id);
        let Notebook { who, came, .. } = self.notebook.get_mut();
        who[player as usize] = Some(client_id);
        came.push(player);
        if self.mutation.get() == Some(Mutation::DoublePlayers)
            && let Some(other) = who.iter().position(Option::is_none)
        {
            who[other] = Some(client_id);
            self.arena.join(u32::try_from(other).unwrap_or(0), client_id);
        }
    }

    fn leave(&mut self, player: u32) {
        self.arena.leave(player);
        self.notebook.get_mut().who[player as usize] = None;
    }

    fn has_joined(&self, player: u32) -> bool {
        self.arena.has_joined(player)
    }

    fn step(&mut self, commands: &[Command<Intent>], output: &mut Output) {
        // what a mutation has spoilt is to be seen between two steps, and disturbs neither
        self.arena.spoil(-std::mem::take(&mut self.spoilt));
        let is_unfair = self.mutation.get() == Some(Mutation::FavourTheFirst);
        let Notebook { done, given, placed, is_anew, came, .. } = self.notebook.get_mut();
        done.clear();
        given.clear();
        given.extend(commands.iter().map(|command| command.player));
        if let [first, rest @ ..] = &mut given[..]
            && is_unfair
        {
            rest.iter_mut().take(2).for_each(|other| *other = *first);
        }
        placed.clear();
        placed.append(came);
        *is_anew = false;
        if self.acts(Mutation::RepeatCommands)
            && let Some(&last) = commands.last()
        {
            let twice = [commands, &[last]].concat();
            self.arena.step(&twice, output);
            self.write_down(&twice, output);
        } else {
            self.arena.step(commands, output);
            self.write_down(commands, output);
        }
        let is_spoilt = self.acts(Mutation::SpoilTheWorld)
            || self.mutation.get() == Some(Mutation::SpoilTheWorld) && self.arena.tick() >= SPOILT_SINCE;
        self.spoilt = i32::from(is_spoilt);
        self.arena.spoil(self.spoilt);
    }

    fn tick(&self) -> u64 {
        self.arena.tick()
    }

    fn entities(&self) -> impl Iterator<Item = (u32, Entity)> {
        let shift = i32::from(self.acts(Mutation::CorruptCells));
        self.arena.entities().map(move |(index, entity)| (index, Entity { x: entity.x + shift, ..entity }))
    }

    fn own(&self, player: u32) -> Option<Own> {
        let mut own = self.arena.own(player)?;
        if self.acts(Mutation::ShiftPlayers) {
            own.x += if own.x > MAP_SIZE / 2 { -500 } else { 500 };
        }
        if self.acts(Mutation::GiveItems) {
            own.bag[2] += 1;
        }
        Some(own)
    }

    fn predict(tick_hz: u32, tick: u64, own: &mut Own, intents: &[Intent]) {
        Arena::predict(tick_hz, tick, own, intents);
    }

    fn place(own: &Own) -> (i32, i32) {
        Arena::place(own)
    }

    fn state_hash(&self) -> u64 {
        self.arena.state_hash()
    }

    fn violations(&self) -> Vec<String> {
        self.arena.violations()
    }
}
