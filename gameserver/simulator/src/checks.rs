//! What must always hold, by what is true and not by what a server says of itself. The cheap checks run each tick, the
//! dear ones each second; none changes anything.

use gameserver_core::Fill;
use gameserver_game::Game as _;
use gameserver_game::arena::effects::Effect;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::own::Own;
use gameserver_game::arena::rules::{HEALTH_MAX, MANA_MAX, SKILL_COUNT, SKILLS, Skill, WALK_SPEED};
use gameserver_protocol::message::Change;

use crate::game::{Done, Notebook};
use crate::load::{Due, Load};
use crate::player::{Kind, Player};
use crate::process::{Process, Zone};
use crate::truth::{Moment, Truth};
use crate::wire::Wire;
use crate::{Broken, Mutation, Rule, TICK_HZ};

/// Moves of a second at most: four in three ticks, and what may come at once.
const MOVES_MAX: u32 = TICK_HZ * 4 / 3 + 1 + 8;
/// How many ticks a hit may reach back, with the one in which it is judged and the one before. A number of its own and not that of
/// the rules, so that it shows when those change.
const REWIND_TICKS: usize = 16 + 2;
/// How much further than its reach a skill may seem to hit by rounding, hundredths of a unit.
const REACH_SLACK: i64 = 25;
/// Ticks from the sending of an honest player's input until it is due, in the middle of all of a second: the slowest way takes
/// five, and what is sent early waits.
const LATENCY_TICKS_MAX: u64 = 26;
/// Fewer inputs say nothing.
const LATENCY_SAMPLES: usize = 20;

/// What was remembered of a zone for the next tick.
#[derive(Clone, Debug, Default)]
struct ZoneNotes {
    /// By slot: the tick of the last cast of each skill.
    casts: Vec<[u64; SKILL_COUNT]>,
    /// By slot: moves carried out in this second.
    moves: Vec<u32>,
    /// By slot: how many items came in this tick.
    gains: Vec<i32>,
    /// By slot: whether it was put elsewhere in this tick.
    is_placed: Vec<bool>,
    load: Load,
}

/// All that the checks remember.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    zones: Vec<ZoneNotes>,
    pub(crate) wire: Wire,
    ids: Vec<u64>,
    latencies: Vec<u64>,
    /// Entities that players were told of and that were compared with the truth.
    pub(crate) entities_compared: u64,
    /// Ticks that carried out as much as they may.
    pub(crate) full_ticks: u64,
}

fn broken<T>(rule: Rule, what: String) -> Result<T, Broken> {
    Err(Broken { rule, what })
}

fn distance(from: (i32, i32), to: (i32, i32)) -> i64 {
    let (x, y) = (i64::from(from.0) - i64::from(to.0), i64::from(from.1) - i64::from(to.1));
    (x * x + y * y).isqrt()
}

/// How far one gets in a second under what was felt before or is now, thousandths of a unit.
fn reach_of(before: &Own, now: &Own) -> i64 {
    let is_hasty = before.has(Effect::Haste) || now.has(Effect::Haste);
    i64::from(if is_hasty { WALK_SPEED / 2 * 3 } else { WALK_SPEED })
}

fn held(own: &Own) -> i32 {
    own.bag.iter().map(|&held| i32::from(held)).sum()
}

impl Checks {
    /// The process has begun anew.
    pub(crate) fn forget_zones(&mut self) {
        self.zones.clear();
        self.wire.forget_boot();
    }

    /// After each tick.
    pub(crate) fn after_tick(
        &mut self,
        process: &Process,
        players: &mut [Player],
        elapsed_us: u64,
    ) -> Result<(), Broken> {
        self.zones.resize_with(process.zones.len(), ZoneNotes::default);
        self.ids.clear();
        for (number, zone) in process.zones.iter().enumerate() {
            let there = process.players(number, elapsed_us);
            if there > process.limits.capacity {
                return broken(Rule::Capacity, format!("{there} players of {}", process.limits.capacity));
            }
            check_fill(zone, &process.limits.bounds())?;
            if let Some(violation) = zone.core.game().violations().first() {
                return broken(Rule::Conservation, violation.clone());
            }
            self.ids.extend(zone.core.game().notebook.borrow().who.iter().flatten());
            self.check_zone(number, zone, players, elapsed_us, process.is(Mutation::JudgeByName))?;
            self.full_ticks += u64::from(self.zones[number].load.note(zone, process.limits.commands)?);
            self.check_shares(number, zone, players, process.boot)?;
        }
        let (all, places) = (process.all_players(elapsed_us), process.limits.places);
        if all > places {
            return broken(Rule::Places, format!("{all} players in {places} places"));
        }
        self.ids.sort_unstable();
        match self.ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => broken(Rule::OnePlace, format!("player {} is in two places", pair[0])),
            None => Ok(()),
        }
    }

    fn check_zone(
        &mut self,
        number: usize,
        zone: &Zone,
        players: &mut [Player],
        elapsed_us: u64,
        by_name: bool,
    ) -> Result<(), Broken> {
        let (Some(now), Some(before)) = (zone.truth.ago(0), zone.truth.ago(1)) else { return Ok(()) };
        let (tick, notebook) = (zone.core.tick(), zone.core.game().notebook.borrow());
        let notes = &mut self.zones[number];
        notes.begin(tick, &notebook);
        for done in &notebook.done {
            // by the session and not by the name: who has a player's token has its name as well
            let Some(seat) = self.wire.seat(number, done.slot) else {
                return broken(Rule::SettlesOnce, format!("{done:?}, and nobody was let in there"));
            };
            let named = notebook.who.get(done.slot as usize).copied().flatten().filter(|_| by_name);
            let index = named.map_or(seat.player, |id| usize::try_from(id - 1).ok());
            if let Some(player) = index.and_then(|index| players.get_mut(index))
                && player.kind == Kind::Honest
                && player
                    .token
                    .as_ref()
                    .is_some_and(|token| token.server_to_client_key == seat.key || by_name)
                && let Some(took_us) = player.ledger.done(done, tick, elapsed_us)?
            {
                self.latencies.push(took_us * u64::from(TICK_HZ) / 1_000_000);
            }
            if done.result.is_ok() {
                notes.check_done(done, tick, before, now, &zone.truth)?;
            }
        }
        for (slot, (before, now)) in before.players.iter().zip(&now.players).enumerate() {
            if let (Some((id, before)), Some((same, now))) = (before, now)
                && id == same
            {
                notes.check_player(*id, slot, before, now)?;
            }
        }
        Ok(())
    }

    /// Nobody who waits in a full tick gets less than it should.
    fn check_shares(&self, number: usize, zone: &Zone, players: &[Player], boot: u32) -> Result<(), Broken> {
        let (tick, load) = (zone.core.tick(), &self.zones[number].load);
        if !load.may_be_uneven(tick) {
            return Ok(());
        }
        for (slot, who) in zone.core.game().notebook.borrow().who.iter().enumerate() {
            let seat = self.wire.seat(number, u32::try_from(slot).unwrap_or(u32::MAX));
            if let Some(seat) = seat
                && let Some(player) = seat.player.and_then(|index| players.get(index))
                && *who == Some(player.id)
                && player.kind == Kind::Honest
                && player.token.as_ref().is_some_and(|token| token.server_to_client_key == seat.key)
                && player.ledger.waits_in(boot, number, tick)
            {
                load.check_share(slot)?;
            }
        }
        Ok(())
    }

    /// A player hears that an input of its was refused because ticks were full.
    pub(crate) fn after_refusal(&self, due: &Due, boot: u32) -> Result<(), Broken> {
        match self.zones.get(due.zone).filter(|_| due.boot == boot) {
            Some(notes) => notes.load.check_refusal(due),
            None => Ok(()),
        }
    }

    /// A zone denies somebody a place. Returns whether it is for want of one.
    pub(crate) fn denied(process: &Process, zone: usize, elapsed_us: u64) -> Result<bool, Broken> {
        if process.zones[zone].core.status(process.now(elapsed_us)).draining {
            return Ok(false);
        }
        let (here, all) = (process.players(zone, elapsed_us), process.all_players(elapsed_us));
        if here < process.limits.capacity && all < process.limits.places {
            return broken(
                Rule::Places,
                format!("denied with {all} players in {} places", process.limits.places),
            );
        }
        Ok(true)
    }

    /// A player has just applied the snapshot of `tick`.
    pub(crate) fn after_snapshot(
        &mut self,
        player: &mut Player,
        truth: &Truth,
        tick: u64,
    ) -> Result<(), Broken> {
        let Some(client) = player.client.as_ref().filter(|_| player.kind.is_honest()) else { return Ok(()) };
        let (Some(moment), Some(snapshot)) = (truth.at(tick), client.snapshot()) else { return Ok(()) };
        let id = player.id;
        for cell in &snapshot.cells {
            let (index, held) = (cell.index, client.view().get(cell.index));
            let was = moment.entity(index).filter(|_| cell.change != Change::Gone);
            if held != was {
                let what =
                    format!("player {id} holds {held:?} at {index} for tick {tick}, which was {was:?}");
                return broken(Rule::Views, what);
            }
            self.entities_compared += 1;
        }
        if let Some((_, own)) = client.own().filter(|&(at, _)| at == tick) {
            let was = moment.own(id, &mut player.slot_hint);
            if Some(own) != was {
                let what = format!("player {id} knows {own:?} of itself at tick {tick}, which was {was:?}");
                return broken(Rule::Views, what);
            }
        }
        Ok(())
    }

    /// Each second, while the process has been up for a while.
    pub(crate) fn each_second(&mut self, players: &[Player], elapsed_us: u64) -> Result<(), Broken> {
        for player in players {
            if player.kind.is_honest() && player.is_connected() && player.has_been_on(elapsed_us) {
                player.ledger.check(elapsed_us)?;
            }
        }
        self.check_latency()
    }

    fn check_latency(&mut self) -> Result<(), Broken> {
        self.latencies.sort_unstable();
        let middle = self.latencies.get(self.latencies.len() / 2).copied().unwrap_or(0);
        let count = self.latencies.len();
        self.latencies.clear();
        if count >= LATENCY_SAMPLES && middle > LATENCY_TICKS_MAX {
            let what = format!("half of {count} inputs took more than {middle} ticks");
            return broken(Rule::Latency, what);
        }
        Ok(())
    }

    /// What was measured while the process was down or had just come says nothing.
    pub(crate) fn forget_latencies(&mut self) {
        self.latencies.clear();
    }
}

/// Nothing in a zone is more than there is room for.
fn check_fill(zone: &Zone, bounds: &Fill) -> Result<(), Broken> {
    let fill = zone.core.fill();
    let Fill {
        inputs,
        rejections,
        notices,
        answers,
        handshakes,
        tokens,
        known_players,
        departures,
        evictions,
    } = fill;
    for (what, found, most) in [
        ("inputs of a player", inputs, bounds.inputs),
        ("refusals of a player", rejections, bounds.rejections),
        ("news of a player", notices, bounds.notices),
        ("answers", answers, bounds.answers),
        ("handshakes", handshakes, bounds.handshakes),
        ("tokens", tokens, bounds.tokens),
        ("players", known_players, bounds.known_players),
        ("departures", departures, bounds.departures),
        ("evictions", evictions, bounds.evictions),
    ] {
        if found > most {
            return broken(Rule::Queues, format!("{found} {what}, and there is room for {most}"));
        }
    }
    Ok(())
}

impl ZoneNotes {
    fn begin(&mut self, tick: u64, notebook: &Notebook) {
        let slots = notebook.who.len();
        self.casts.resize(slots, [0; SKILL_COUNT]);
        self.moves.resize(slots, 0);
        self.gains.clear();
        self.gains.resize(slots, 0);
        self.is_placed.clear();
        self.is_placed.resize(slots, notebook.is_anew);
        for &slot in &notebook.placed {
            self.is_placed[slot as usize] = true;
        }
        if tick.is_multiple_of(TICK_HZ.into()) {
            self.moves.fill(0);
        }
        for (casts, _) in self.casts.iter_mut().zip(&self.is_placed).filter(|(_, is_placed)| **is_placed) {
            *casts = [0; SKILL_COUNT];
        }
    }

    /// Something was carried out.
    fn check_done(
        &mut self,
        done: &Done,
        tick: u64,
        before: &Moment,
        now: &Moment,
        truth: &Truth,
    ) -> Result<(), Broken> {
        let slot = done.slot as usize;
        let own = |moment: &Moment| moment.players.get(slot).copied().flatten();
        let (Some((id, before)), Some((_, now))) = (own(before), own(now)) else { return Ok(()) };
        match done.intent {
            Intent::Move { x, y } => {
                self.moves[slot] += 1;
                let (way, reach) = (distance((before.x, before.y), (x, y)), reach_of(&before, &now));
                if way > reach && !self.is_placed[slot] {
                    return broken(Rule::Moves, format!("player {id} may walk {way} from where it is"));
                }
                let moves = self.moves[slot];
                if moves > MOVES_MAX {
                    return broken(Rule::Moves, format!("player {id} moved {moves} times in a second"));
                }
            }
            Intent::Cast { skill, target } => {
                let Some(index) = Skill::index_of(skill) else {
                    return broken(Rule::Reach, format!("player {id} cast a skill {skill} that is none"));
                };
                self.check_cooldown(id, slot, index, tick)?;
                if index < 4 && !self.is_placed[slot] {
                    check_reach(id, (before.x / 10, before.y / 10), &SKILLS[index], target, truth)?;
                }
            }
            Intent::PickUp { .. } => self.gains[slot] += 1,
            Intent::Use { .. } => self.gains[slot] -= 1,
            Intent::Stop => {}
        }
        Ok(())
    }

    fn check_cooldown(&mut self, id: u64, slot: usize, index: usize, tick: u64) -> Result<(), Broken> {
        let last = std::mem::replace(&mut self.casts[slot][index], tick);
        let cooldown = (u64::from(SKILLS[index].cooldown_ms) * u64::from(TICK_HZ)).div_ceil(1000);
        if last > 0 && tick - last < cooldown {
            let what = format!("player {id} cast {} again after {} ticks", SKILLS[index].id, tick - last);
            return broken(Rule::Cooldowns, what);
        }
        Ok(())
    }

    /// One player from one tick to the next.
    fn check_player(&self, id: u64, slot: usize, before: &Own, now: &Own) -> Result<(), Broken> {
        if !(0..=HEALTH_MAX).contains(&now.health) || !(0..=MANA_MAX).contains(&now.mana) {
            return broken(Rule::Conservation, format!("player {id} is {now:?}"));
        }
        if self.is_placed[slot] {
            return Ok(());
        }
        let way = distance((before.x, before.y), (now.x, now.y));
        let most = reach_of(before, now) / i64::from(TICK_HZ) + 1;
        if way > most {
            return broken(Rule::Speed, format!("player {id} got {way} in a tick, and may {most}"));
        }
        let (gained, gain) = (held(now) - held(before), self.gains[slot]);
        if gained != gain {
            return broken(Rule::Items, format!("player {id} has {gained} more, and should {gain}"));
        }
        Ok(())
    }
}

/// The target was in reach at some moment to which a hit may reach back.
fn check_reach(id: u64, from: (i32, i32), skill: &Skill, target: u32, truth: &Truth) -> Result<(), Broken> {
    let moments = || (0..REWIND_TICKS).filter_map(|ticks| truth.ago(ticks));
    let Some(index) = moments().find_map(|moment| moment.index_of(target)) else {
        return broken(Rule::Reach, format!("player {id} hit {target}, who is nobody"));
    };
    let places = moments().filter_map(|moment| moment.entity(index)).filter(|entity| entity.id == target);
    let nearest = places.map(|entity| distance(from, (entity.x, entity.y))).min().unwrap_or(i64::MAX);
    if nearest > i64::from(skill.range / 10) + REACH_SLACK {
        let what = format!("player {id} hit {target} with {} from {nearest} away", skill.id);
        return broken(Rule::Reach, what);
    }
    Ok(())
}
