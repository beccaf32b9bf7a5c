//! Matches: waiting for players, running, and the result that is shown until the next.

use std::cmp::Reverse;

use super::Arena;
use super::body::Body;
use super::notices::Notice;
use super::player::Player;
use super::rules::{HEALTH_MAX, MAP_SIZE, RESULT_MS};
use crate::game::{Audience, Output};

/// Where a match stands. The number is the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// There are too few players. They can walk and fight meanwhile; it does not count.
    #[default]
    Waiting = 0,
    /// It counts. A match goes on as long as anybody is there.
    Running = 1,
    /// The result is shown and the world stands still: nobody walks, acts, bleeds or comes back.
    Ended = 2,
}

impl Phase {
    /// Every phase, in the order of the codes.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Running, Self::Ended];

    /// In messages.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The phase with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// The score of a player who left during a match and may come again before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaver {
    pub(crate) client_id: u64,
    pub(crate) kills: u32,
    pub(crate) deaths: u32,
}

/// The match.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) phase: Phase,
    /// First tick of the next phase; of no meaning while players are waited for.
    pub(crate) end: u64,
    /// How many players are there.
    pub(crate) players: u32,
    /// As many as there are places; of more the first are forgotten.
    pub(crate) leavers: Vec<Leaver>,
    /// Slots by rank, while the result is shown.
    pub(crate) ranking: Vec<u32>,
}

impl Round {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            phase: Phase::Waiting,
            end: 0,
            players: 0,
            leavers: Vec::with_capacity(capacity),
            ranking: Vec::with_capacity(capacity),
        }
    }

    /// Keeps the score of somebody who leaves and has one.
    fn remember(&mut self, leaver: Leaver) {
        if self.leavers.capacity() > 0 {
            if self.leavers.len() == self.leavers.capacity() {
                self.leavers.remove(0);
            }
            self.leavers.push(leaver);
        }
    }

    /// The score of somebody who comes again.
    fn recall(&mut self, client_id: u64) -> Option<Leaver> {
        let found = self.leavers.iter().position(|leaver| leaver.client_id == client_id)?;
        Some(self.leavers.remove(found))
    }
}

impl Arena {
    /// Whether the world stands still.
    pub(super) fn is_over(&self) -> bool {
        self.round.phase == Phase::Ended
    }

    /// Begins what is due at this tick.
    pub(super) fn turn_round(&mut self, output: &mut Output) {
        let (is_due, players) = (self.clock.tick >= self.round.end, self.round.players);
        let is_enough = players >= self.rules.players_min.max(1);
        match self.round.phase {
            Phase::Waiting if is_enough => self.start_match(output),
            Phase::Running if players == 0 => self.wait_for_players(output),
            Phase::Running if is_due => self.end_match(output),
            Phase::Ended if is_due && is_enough => self.start_match(output),
            Phase::Ended if is_due => self.wait_for_players(output),
            _ => {}
        }
    }

    fn start_match(&mut self, output: &mut Output) {
        self.begin_anew(output);
        self.round.phase = Phase::Running;
        self.round.end = self.clock.after(self.rules.match_ms);
        let notice = Notice::MatchStarted { ms: self.rules.match_ms, players: self.round.players };
        output.notices.push((Audience::Everyone, notice.into()));
    }

    fn wait_for_players(&mut self, output: &mut Output) {
        self.begin_anew(output);
        self.round.phase = Phase::Waiting;
    }

    /// Everybody is elsewhere, unhurt and without anything, and no score is left.
    fn begin_anew(&mut self, output: &mut Output) {
        self.round.leavers.clear();
        self.round.ranking.clear();
        for player in 0..self.players.len() {
            if self.bodies[player].is_there() {
                self.discard_bag(u32::try_from(player).unwrap_or(u32::MAX));
                self.players[player].freshen(self.clock.tick);
                self.place_player(player, self.clock.tick, output);
            }
        }
    }

    /// Ranks the players by kills, then by fewer deaths, then by slot, and tells them.
    fn end_match(&mut self, output: &mut Output) {
        self.round.phase = Phase::Ended;
        self.round.end = self.clock.after(RESULT_MS);
        let there = (0_u32..).zip(&self.bodies[..self.players.len()]).filter(|(_, body)| body.is_there());
        self.round.ranking.clear();
        self.round.ranking.extend(there.map(|(player, _)| player));
        let players = &self.players;
        self.round.ranking.sort_unstable_by_key(|&player| {
            let Player { kills, deaths, .. } = players[player as usize];
            (Reverse(kills), deaths, player)
        });
        for (rank, &player) in (1..).zip(&self.round.ranking) {
            let Player { kills, deaths, .. } = self.players[player as usize];
            let notice = Notice::MatchEnded { rank, kills, deaths };
            output.notices.push((Audience::Player(player), notice.into()));
        }
        if let Some(&first) = self.round.ranking.first() {
            let (id, kills) = (self.bodies[first as usize].id, self.players[first as usize].kills);
            let notice = Notice::MatchWon { id, kills, players: self.round.players };
            output.notices.push((Audience::Everyone, notice.into()));
        }
        self.bodies.iter_mut().for_each(Body::stop);
    }

    /// Lets a player begin a life at a random place and tells where.
    pub(super) fn place_player(&mut self, player: usize, seen_from: u64, output: &mut Output) {
        let place = self.any_place();
        self.bodies[player].appear(place, HEALTH_MAX, seen_from);
        self.tell(player, Notice::Respawned { x: place.0 / 10, y: place.1 / 10 }, output);
    }

    fn any_place(&mut self) -> (i32, i32) {
        let mut along = || self.spawns.below(MAP_SIZE.cast_unsigned() + 1).cast_signed();
        (along(), along())
    }

    pub(super) fn let_in(&mut self, player: u32, client_id: u64) {
        let slot = player as usize;
        let place = self.any_place();
        let body = &mut self.bodies[slot];
        body.id = self.ids.give(player);
        // the tick that has passed knew nothing of it
        body.appear(place, HEALTH_MAX, self.clock.tick + 1);
        self.players[slot].client_id = client_id;
        self.players[slot].freshen(self.clock.tick);
        self.round.players += 1;
        if self.round.phase == Phase::Running
            && let Some(Leaver { kills, deaths, .. }) = self.round.recall(client_id)
        {
            (self.players[slot].kills, self.players[slot].deaths) = (kills, deaths);
        }
    }

    pub(super) fn let_out(&mut self, player: u32) {
        let slot = player as usize;
        self.discard_bag(player);
        let Player { client_id, kills, deaths, dealt, .. } = std::mem::take(&mut self.players[slot]);
        let Body { id, lost, .. } = std::mem::take(&mut self.bodies[slot]);
        self.gone_dealt += dealt;
        self.gone_lost += lost;
        self.ids.free(id);
        self.round.ranking.retain(|&ranked| ranked != player);
        self.round.players -= 1;
        if self.round.phase == Phase::Running && (kills, deaths) != (0, 0) {
            self.round.remember(Leaver { client_id, kills, deaths });
        }
    }
}
