//! The world: who is where, and what the rules allow. Deterministic: integers only, iteration by slot, no clock.

mod grid;
pub mod rules;

use gameserver_protocol::RejectReason;
use gameserver_protocol::message::{Entity, Intent};

use crate::pipeline::Command;
use crate::random::{RandomStream, mix};
pub(crate) use grid::Grid;
use rules::{MAP_SIZE, MAX_MOVE_DISTANCE, MOVE_BURST, MOVE_COOLDOWN_TICKS, WALK_SPEED};

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) player: u32,
    pub(crate) sequence: u32,
    pub(crate) result: Result<(), RejectReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Body {
    id: u32,
    x: i32,
    y: i32,
    target_x: i32,
    target_y: i32,
    /// First tick at which the body can act again.
    able_from: u64,
    /// Tick at which the next move would be due if all came evenly.
    next_move: u64,
}

/// One zone of the world.
#[derive(Debug)]
pub(crate) struct Zone {
    tick: u64,
    tick_hz: u32,
    /// By player slot.
    bodies: Vec<Option<Body>>,
    last_id: u32,
    spawns: RandomStream,
}

impl Zone {
    pub(crate) fn new(capacity: usize, tick_hz: u32, seed: u64) -> Self {
        Self { tick: 0, tick_hz, bodies: vec![None; capacity], last_id: 0, spawns: RandomStream::new(seed) }
    }

    pub(crate) fn tick(&self) -> u64 {
        self.tick
    }

    /// Puts a player into the world at a random place.
    pub(crate) fn join(&mut self, player: u32) {
        let mut place = || self.spawns.below(MAP_SIZE.cast_unsigned() + 1).cast_signed();
        let (x, y) = (place(), place());
        self.last_id += 1;
        let body = Body { id: self.last_id, x, y, target_x: x, target_y: y, able_from: 0, next_move: 0 };
        self.bodies[player as usize] = Some(body);
    }

    pub(crate) fn leave(&mut self, player: u32) {
        self.bodies[player as usize] = None;
    }

    /// Moves the world on by one tick; what became of each command is put into `outcomes`.
    pub(crate) fn step(&mut self, commands: &[Command], outcomes: &mut Vec<Outcome>) {
        self.tick += 1;
        let tick = self.tick;
        for &Command { player, sequence, intent } in commands {
            if let Some(body) = &mut self.bodies[player as usize] {
                outcomes.push(Outcome { player, sequence, result: body.act(tick, intent) });
            }
        }
        let budget = walk_budget(tick, self.tick_hz);
        self.bodies.iter_mut().flatten().for_each(|body| body.walk(budget));
    }

    pub(crate) fn entity(&self, player: u32) -> Option<Entity> {
        let body = self.bodies.get(player as usize)?.as_ref()?;
        Some(Entity { id: body.id, x: body.x, y: body.y })
    }

    /// Everything in the world, by slot.
    pub(crate) fn entities(&self) -> impl Iterator<Item = (u32, Entity)> + Clone {
        let entity = |body: &Body| Entity { id: body.id, x: body.x, y: body.y };
        (0..).zip(&self.bodies).filter_map(move |(slot, body)| Some((slot, entity(body.as_ref()?))))
    }

    /// A digest of the whole state: equal states have equal ones, on every machine and in every build.
    pub(crate) fn state_hash(&self) -> u64 {
        let words = (0_u64..)
            .zip(&self.bodies)
            .filter_map(|(slot, body)| Some((slot, body.as_ref()?)))
            .flat_map(|(slot, body)| {
                let place =
                    |x: i32, y: i32| u64::from(x.cast_unsigned()) << 32 | u64::from(y.cast_unsigned());
                [
                    slot << 32 | u64::from(body.id),
                    place(body.x, body.y),
                    place(body.target_x, body.target_y),
                    body.able_from,
                    body.next_move,
                ]
            });
        words.fold(mix(self.tick ^ u64::from(self.last_id) << 40), |hash, word| mix(hash ^ word))
    }
}

/// How far one walks in this tick, so that the ticks of a second add up to [`WALK_SPEED`] at any rate.
fn walk_budget(tick: u64, tick_hz: u32) -> i64 {
    let speed = u64::from(WALK_SPEED.cast_unsigned());
    let walked = |tick: u64| tick * speed / u64::from(tick_hz);
    (walked(tick) - walked(tick - 1)).cast_signed()
}

impl Body {
    fn act(&mut self, tick: u64, intent: Intent) -> Result<(), RejectReason> {
        match intent {
            Intent::Move { x, y } => {
                self.may_move(tick, x, y)?;
                self.next_move = self.next_move.max(tick) + MOVE_COOLDOWN_TICKS;
                (self.target_x, self.target_y) = (x, y);
                Ok(())
            }
            // intents are closed within one protocol version; a newer protocol crate must be matched here
            _ => Err(RejectReason::CannotMove),
        }
    }

    /// `B3`: bounds, distance, state, cooldown, in this order.
    fn may_move(&self, tick: u64, x: i32, y: i32) -> Result<(), RejectReason> {
        let map = 0..=MAP_SIZE;
        if !map.contains(&x) || !map.contains(&y) {
            return Err(RejectReason::OutOfBounds);
        }
        if distance_squared(self.x, self.y, x, y) > i64::from(MAX_MOVE_DISTANCE).pow(2) {
            return Err(RejectReason::MoveTooFar);
        }
        if tick < self.able_from {
            return Err(RejectReason::CannotMove);
        }
        if self.next_move.saturating_sub(tick) > (MOVE_BURST - 1) * MOVE_COOLDOWN_TICKS {
            return Err(RejectReason::MoveOnCooldown);
        }
        Ok(())
    }

    fn walk(&mut self, budget: i64) {
        if (self.x, self.y) == (self.target_x, self.target_y) {
            return;
        }
        let squared = distance_squared(self.x, self.y, self.target_x, self.target_y);
        if squared <= budget * budget {
            (self.x, self.y) = (self.target_x, self.target_y);
            return;
        }
        let distance = squared.isqrt();
        let toward = |from: i32, to: i32| {
            let step = i64::from(to - from) * budget / distance;
            // no longer than the way to the target, so it fits
            from + i32::try_from(step).unwrap_or(0)
        };
        (self.x, self.y) = (toward(self.x, self.target_x), toward(self.y, self.target_y));
    }
}

fn distance_squared(x: i32, y: i32, to_x: i32, to_y: i32) -> i64 {
    let (dx, dy) = (i64::from(to_x) - i64::from(x), i64::from(to_y) - i64::from(y));
    dx * dx + dy * dy
}
