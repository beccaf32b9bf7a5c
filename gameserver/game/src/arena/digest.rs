//! One number for the whole state.

use super::Arena;
use super::body::Body;
use super::effects::Effects;
use super::history::History;
use super::items::{Item, Items};
use super::npcs::Npc;
use super::player::Player;
use super::round::{Leaver, Round};
use crate::random::mix;

/// Takes in words, one after the other.
struct Digest(u64);

impl Digest {
    fn word(&mut self, word: u64) {
        self.0 = mix(self.0 ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
    }

    fn words(&mut self, words: impl IntoIterator<Item = u64>) {
        words.into_iter().for_each(|word| self.word(word));
    }

    fn place(&mut self, (x, y): (i32, i32)) {
        self.pair(x.cast_unsigned(), y.cast_unsigned());
    }

    fn pair(&mut self, high: u32, low: u32) {
        self.word(u64::from(high) << 32 | u64::from(low));
    }

    // Each of these names every field, so that a new one is not forgotten here.

    fn body(&mut self, body: &Body) {
        let Body {
            id,
            x,
            y,
            target_x,
            target_y,
            last_x,
            last_y,
            health,
            effects,
            bled_by,
            seen_from,
            given,
            lost,
        } = *body;
        self.pair(id, health.cast_unsigned());
        for place in [(x, y), (target_x, target_y), (last_x, last_y)] {
            self.place(place);
        }
        let Effects(ends) = effects;
        self.words(ends);
        self.words([bled_by.into(), seen_from, given, lost]);
    }

    fn player(&mut self, player: &Player) {
        let Player {
            client_id,
            next_move,
            ready,
            casts,
            mana,
            mana_given,
            bag: [potions, mana_potions, coins],
            kills,
            deaths,
            respawn_at,
            dealt,
            aimed_at,
            aim_ends,
            fresh_at,
        } = *player;
        self.words(ready.into_iter().chain(casts));
        self.pair(mana.cast_unsigned(), u32::from_le_bytes([potions, mana_potions, coins, 0]));
        self.pair(kills, deaths);
        self.words([
            client_id,
            next_move,
            mana_given,
            respawn_at,
            dealt,
            aimed_at.into(),
            aim_ends,
            fresh_at,
        ]);
    }

    fn npc(&mut self, npc: &Npc) {
        let Npc { victim, ready, respawn_at, dealt } = *npc;
        self.words([victim.into(), ready, respawn_at, dealt]);
    }

    fn items(&mut self, items: &Items) {
        let Items { slots, first_index: _, cursor, lying, made, used, expired } = items;
        for &Item { id, x, y, kind, expires } in slots {
            self.pair(id, kind.code().into());
            self.place((x, y));
            self.word(expires);
        }
        self.pair(*cursor, *lying);
        self.words(made.iter().chain(used).chain(expired).copied());
    }

    fn round(&mut self, round: &Round) {
        let Round { phase, end, players, leavers, ranking } = round;
        self.words([phase.code().into(), *end, u64::from(*players)]);
        self.word(leavers.len() as u64);
        for &Leaver { client_id, kills, deaths } in leavers {
            self.word(client_id);
            self.pair(kills, deaths);
        }
        self.word(ranking.len() as u64);
        self.words(ranking.iter().map(|&player| player.into()));
    }

    fn history(&mut self, history: &History) {
        let History { depth: _, width: _, places } = history;
        for &place in places {
            self.place(place);
        }
    }
}

impl Arena {
    pub(super) fn digest(&self) -> u64 {
        // the table of ids says what bodies and items say, the grid is made anew each tick, and rules do not change
        let Self {
            rules: _,
            clock,
            bodies,
            players,
            npcs,
            items,
            ids,
            history,
            round,
            grid: _,
            spawns,
            npc_chance,
            item_chance,
            gone_dealt,
            gone_lost,
        } = self;
        let mut digest = Digest(0);
        digest.words([clock.tick, clock.hz.into(), ids.last.into(), *gone_dealt, *gone_lost]);
        digest.words([spawns.state(), npc_chance.state(), item_chance.state()]);
        for body in bodies {
            digest.body(body);
        }
        for player in players {
            digest.player(player);
        }
        for npc in npcs {
            digest.npc(npc);
        }
        digest.items(items);
        digest.round(round);
        digest.history(history);
        digest.0
    }
}
