//! The world: who is where, and what the rules allow. Deterministic: integers only, iteration by slot, no clock.

mod grid;
pub mod rules;

use gameserver_protocol::RejectReason;
use gameserver_protocol::message::{Entity, Intent};

use crate::pipeline::Command;
use crate::random::{RandomStream, mix};
pub(crate) use grid::Grid;
use rules::{MAP_SIZE, MAX_MOVE_DISTANCE, MOVE_BURST, MOVE_COOLDOWN_QUARTERS, WALK_SPEED};

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
    /// When the next move would be due if all came evenly, in quarters of a tick.
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
        let body = Body { id: self.last_id, x, y, target_x: x, target_y: y, next_move: 0 };
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
                self.next_move = self.next_move.max(4 * tick) + MOVE_COOLDOWN_QUARTERS;
                (self.target_x, self.target_y) = (x, y);
                Ok(())
            }
            // `Intent` may grow; what the rules do not know cannot be done
            _ => Err(RejectReason::CannotMove),
        }
    }

    /// `B3`: bounds, distance, cooldown, in this order.
    fn may_move(&self, tick: u64, x: i32, y: i32) -> Result<(), RejectReason> {
        let map = 0..=MAP_SIZE;
        if !map.contains(&x) || !map.contains(&y) {
            return Err(RejectReason::OutOfBounds);
        }
        if distance_squared(self.x, self.y, x, y) > i64::from(MAX_MOVE_DISTANCE).pow(2) {
            return Err(RejectReason::MoveTooFar);
        }
        if self.next_move.saturating_sub(4 * tick) > (MOVE_BURST - 1) * MOVE_COOLDOWN_QUARTERS {
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

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u32 = 64;

    /// A zone with one player, who stands at `(x, y)`.
    fn zone_at(x: i32, y: i32) -> Zone {
        let mut zone = Zone::new(4, HZ, 1);
        zone.join(0);
        let body = zone.bodies[0].as_mut().expect("joined");
        (body.x, body.y, body.target_x, body.target_y) = (x, y, x, y);
        zone
    }

    fn move_to(x: i32, y: i32) -> Command {
        Command { player: 0, sequence: 1, intent: Intent::Move { x, y } }
    }

    fn step(zone: &mut Zone, commands: &[Command]) -> Vec<Result<(), RejectReason>> {
        let mut outcomes = Vec::new();
        zone.step(commands, &mut outcomes);
        outcomes.into_iter().map(|outcome| outcome.result).collect()
    }

    #[test]
    fn moves_are_judged_by_bounds_then_distance() {
        for ((x, y), (to_x, to_y), expected) in [
            ((500_000, 500_000), (510_000, 500_000), Ok(())),
            ((500_000, 500_000), (500_000, 490_000), Ok(())),
            ((500_000, 500_000), (510_001, 500_000), Err(RejectReason::MoveTooFar)),
            ((500_000, 500_000), (508_000, 508_000), Err(RejectReason::MoveTooFar)),
            ((500_000, 500_000), (507_000, 507_000), Ok(())),
            ((0, 0), (0, 0), Ok(())),
            ((0, 0), (-1, 0), Err(RejectReason::OutOfBounds)),
            ((MAP_SIZE, MAP_SIZE), (MAP_SIZE, MAP_SIZE), Ok(())),
            ((MAP_SIZE, MAP_SIZE), (MAP_SIZE, MAP_SIZE + 1), Err(RejectReason::OutOfBounds)),
            ((0, 0), (i32::MIN, i32::MAX), Err(RejectReason::OutOfBounds)),
            ((0, 0), (MAP_SIZE, MAP_SIZE), Err(RejectReason::MoveTooFar)),
        ] {
            let mut zone = zone_at(x, y);
            assert_eq!(step(&mut zone, &[move_to(to_x, to_y)]), [expected], "({x}, {y}) to ({to_x}, {to_y})");
        }
    }

    #[test]
    fn bunched_moves_are_allowed_up_to_the_burst_and_a_little_over_one_a_tick_after_it() {
        let mut zone = zone_at(500_000, 500_000);
        let stay = [move_to(500_000, 500_000); 10];
        let allowed = |zone: &mut Zone| step(zone, &stay).iter().filter(|result| result.is_ok()).count();
        assert_eq!(allowed(&mut zone), 8);
        assert_eq!((0..300).map(|_| allowed(&mut zone)).sum::<usize>(), 400, "four in three ticks");
        for _ in 0..6 {
            step(&mut zone, &[]);
        }
        assert_eq!(allowed(&mut zone), 8);
        assert_eq!(step(&mut zone, &stay)[9], Err(RejectReason::MoveOnCooldown));
    }

    #[test]
    fn a_walk_takes_its_time_at_any_tick_rate() {
        for hz in [20, 30, 60, 64, 128, 1000] {
            let mut zone = Zone { tick_hz: hz, ..zone_at(500_000, 500_000) };
            step(&mut zone, &[move_to(510_000, 500_000)]);
            for _ in 1..hz {
                let before = zone.entity(0).expect("joined").x;
                step(&mut zone, &[]);
                let walked = zone.entity(0).expect("joined").x - before;
                assert!(walked <= WALK_SPEED / hz.cast_signed() + 1, "{walked} in a tick at {hz} Hz");
            }
            assert_eq!(zone.entity(0).expect("joined").x, 510_000, "ten units in a second at {hz} Hz");
        }
    }

    #[test]
    fn a_slanted_walk_is_no_faster_and_ends_exactly_at_its_target() {
        let mut zone = zone_at(500_000, 500_000);
        step(&mut zone, &[move_to(506_001, 492_003)]);
        for ticks in 1..70 {
            let place = zone.entity(0).expect("joined");
            let walked = distance_squared(500_000, 500_000, place.x, place.y).isqrt();
            assert!(walked <= i64::from(WALK_SPEED) * ticks / i64::from(HZ), "{walked} after {ticks} ticks");
            step(&mut zone, &[]);
        }
        let end = zone.entity(0).expect("joined");
        assert_eq!((end.x, end.y), (506_001, 492_003));
    }

    #[test]
    fn everyone_spawns_on_the_map_with_an_id_that_is_never_reused() {
        let mut zone = Zone::new(1, HZ, 5);
        for round in 1..1000 {
            zone.join(0);
            let entity = zone.entity(0).expect("joined");
            assert_eq!(entity.id, round);
            assert!((0..=MAP_SIZE).contains(&entity.x) && (0..=MAP_SIZE).contains(&entity.y));
            zone.leave(0);
        }
    }

    #[test]
    fn every_part_of_the_state_shows_in_its_hash() {
        let zone = zone_at(1, 2);
        let hash_with = |change: fn(&mut Body)| {
            let mut changed = Zone { bodies: zone.bodies.clone(), spawns: zone.spawns.clone(), ..zone };
            change(changed.bodies[0].as_mut().expect("joined"));
            changed.state_hash()
        };
        let changes: [fn(&mut Body); 6] = [
            |body| body.id += 1,
            |body| body.x += 1,
            |body| body.y += 1,
            |body| body.target_x += 1,
            |body| body.target_y += 1,
            |body| body.next_move += 1,
        ];
        assert_eq!(hash_with(|_| {}), zone.state_hash());
        for (number, change) in changes.into_iter().enumerate() {
            assert_ne!(hash_with(change), zone.state_hash(), "change {number}");
        }
    }

    /// The number was written down once; debug and release builds and other machines must find it again.
    #[test]
    fn a_known_history_has_a_known_hash() {
        let mut zone = Zone::new(100, HZ, 7);
        (0..100).for_each(|player| zone.join(player));
        let mut random = RandomStream::new(9);
        for tick in 0..500 {
            let commands: Vec<_> = (0..100)
                .map(|player| {
                    let body = zone.entity(player).expect("joined");
                    let mut step = || random.below(20_000).cast_signed() - 10_000;
                    let intent = Intent::Move { x: body.x + step(), y: body.y + step() };
                    Command { player, sequence: tick, intent }
                })
                .collect();
            step(&mut zone, &commands);
        }
        assert_eq!(zone.state_hash(), 696_014_735_622_140_840);
    }
}
