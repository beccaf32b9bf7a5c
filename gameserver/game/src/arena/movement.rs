//! Walking, and who may walk where.

use gameserver_protocol::RejectReason;

use super::body::Body;
use super::effects::Effect;
use super::rules::{Clock, MAP_SIZE, MOVE_BURST, MOVE_COOLDOWN_QUARTERS, WALK_SPEED};

/// How far one gets in a tick: as usual, in haste, slowed, and both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace([i64; 4]);

impl Pace {
    /// Of whoever usually walks `speed` in a second.
    pub(crate) fn of(speed: i32, clock: Clock) -> Self {
        Self([0, 1, 2, 3].map(|gait| clock.share(speed_in(gait, speed).unsigned_abs()).into()))
    }

    /// How far this body may get in this tick.
    pub(crate) fn limit(&self, body: &Body, tick: u64) -> i64 {
        if body.is_able(tick) { self.most(body, tick) } else { 0 }
    }

    /// The same if it were able.
    pub(crate) fn most(&self, body: &Body, tick: u64) -> i64 {
        self.0[gait(body, tick)]
    }
}

fn gait(body: &Body, tick: u64) -> usize {
    let has = |effect| usize::from(body.effects.has(effect, tick));
    has(Effect::Haste) | has(Effect::Slow) << 1
}

fn speed_in(gait: usize, speed: i32) -> i32 {
    let hasty = if gait & 1 == 0 { speed } else { speed / 2 * 3 };
    if gait & 2 == 0 { hasty } else { hasty / 2 }
}

/// `B3`: bounds, distance, state, cooldown, in this order. Says when the next move would be due if all came evenly,
/// in quarters of a tick, from when this one was.
pub(crate) fn may_move(body: &Body, due: u64, clock: Clock, x: i32, y: i32) -> Result<u64, RejectReason> {
    let map = 0..=MAP_SIZE;
    if !map.contains(&x) || !map.contains(&y) {
        return Err(RejectReason::OutOfBounds);
    }
    let second = i64::from(speed_in(gait(body, clock.tick), WALK_SPEED));
    if distance_squared((body.x, body.y), (x, y)) > second * second {
        return Err(RejectReason::MoveTooFar);
    }
    if !body.is_able(clock.tick) {
        return Err(RejectReason::CannotMove);
    }
    let now = clock.tick.saturating_mul(4);
    if due.saturating_sub(now) > (MOVE_BURST - 1) * MOVE_COOLDOWN_QUARTERS {
        return Err(RejectReason::MoveOnCooldown);
    }
    Ok(due.max(now).saturating_add(MOVE_COOLDOWN_QUARTERS))
}

impl Body {
    /// Walks towards its target for one tick.
    pub(crate) fn walk(&mut self, pace: &Pace, tick: u64) {
        (self.last_x, self.last_y) = (self.x, self.y);
        if (self.x, self.y) == (self.target_x, self.target_y) {
            return;
        }
        let limit = pace.limit(self, tick);
        let squared = distance_squared((self.x, self.y), (self.target_x, self.target_y));
        if squared <= limit * limit {
            (self.x, self.y) = (self.target_x, self.target_y);
            return;
        }
        // rounded up, or else a step could be longer than the limit
        let distance = squared.isqrt() + i64::from(squared.isqrt().pow(2) < squared);
        let toward = |from: i32, to: i32| {
            let step = i64::from(to - from) * limit / distance;
            // no longer than the way to the target, so it fits
            from + i32::try_from(step).unwrap_or(0)
        };
        (self.x, self.y) = (toward(self.x, self.target_x), toward(self.y, self.target_y));
    }
}

pub(crate) fn distance_squared(from: (i32, i32), to: (i32, i32)) -> i64 {
    let (dx, dy) = (i64::from(to.0) - i64::from(from.0), i64::from(to.1) - i64::from(from.1));
    dx * dx + dy * dy
}

pub(crate) fn is_within(from: (i32, i32), to: (i32, i32), range: i32) -> bool {
    distance_squared(from, to) <= i64::from(range) * i64::from(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RejectReason::{CannotMove, MoveOnCooldown, MoveTooFar, OutOfBounds};

    const HZ: u32 = 64;
    const MIDDLE: (i32, i32) = (500_000, 500_000);

    fn body_at(place: (i32, i32)) -> Body {
        let mut body = Body { id: 1, ..Body::default() };
        body.appear(place, 100, 0);
        body
    }

    fn clock(tick: u64) -> Clock {
        Clock { tick, hz: HZ }
    }

    #[test]
    fn moves_are_judged_by_bounds_then_distance() {
        for (from, (x, y), expected) in [
            (MIDDLE, (510_000, 500_000), Ok(())),
            (MIDDLE, (500_000, 490_000), Ok(())),
            (MIDDLE, (510_001, 500_000), Err(MoveTooFar)),
            (MIDDLE, (508_000, 508_000), Err(MoveTooFar)),
            (MIDDLE, (507_000, 507_000), Ok(())),
            ((0, 0), (0, 0), Ok(())),
            ((0, 0), (-1, 0), Err(OutOfBounds)),
            ((MAP_SIZE, MAP_SIZE), (MAP_SIZE, MAP_SIZE), Ok(())),
            ((MAP_SIZE, MAP_SIZE), (MAP_SIZE, MAP_SIZE + 1), Err(OutOfBounds)),
            ((0, 0), (i32::MIN, i32::MAX), Err(OutOfBounds)),
            ((0, 0), (MAP_SIZE, MAP_SIZE), Err(MoveTooFar)),
        ] {
            let judged = may_move(&body_at(from), 0, clock(1), x, y).map(drop);
            assert_eq!(judged, expected, "{from:?} to ({x}, {y})");
        }
    }

    #[test]
    fn a_move_is_as_far_as_a_second_of_walking_under_the_effects_of_the_moment() {
        let tick = 10;
        for (effects, reach) in [
            (&[][..], 10_000),
            (&[Effect::Haste], 15_000),
            (&[Effect::Slow], 5000),
            (&[Effect::Slow, Effect::Haste], 7500),
            (&[Effect::Bleed, Effect::Shield], 10_000),
        ] {
            let mut body = body_at(MIDDLE);
            for &effect in effects {
                body.begin(effect, clock(tick));
            }
            let judge = |way| may_move(&body, 0, clock(tick), MIDDLE.0 - way, MIDDLE.1).map(drop);
            assert_eq!((judge(reach), judge(reach + 1)), (Ok(()), Err(MoveTooFar)), "{effects:?}");
        }
    }

    #[test]
    fn the_dead_and_the_stunned_cannot_move() {
        let mut stunned = body_at(MIDDLE);
        stunned.begin(Effect::Stun, clock(10));
        let judge = |body: &Body, tick, x| may_move(body, u64::MAX, clock(tick), x, MIDDLE.1).map(drop);
        assert_eq!(judge(&stunned, 73, MIDDLE.0), Err(CannotMove), "rather than the cooldown");
        assert_eq!(judge(&stunned, 74, MIDDLE.0), Err(MoveOnCooldown), "it has passed");
        assert_eq!(judge(&stunned, 10, 0), Err(MoveTooFar), "distance comes first");
        let mut dead = body_at(MIDDLE);
        dead.suffer(100);
        assert_eq!(judge(&dead, 10, MIDDLE.0), Err(CannotMove));
    }

    #[test]
    fn bunched_moves_are_allowed_up_to_the_burst_and_a_little_over_one_a_tick_after_it() {
        let (body, mut due) = (body_at(MIDDLE), 0);
        let mut allowed = |tick| {
            let mut judge = || may_move(&body, due, clock(tick), MIDDLE.0, MIDDLE.1).map(|next| due = next);
            (0..10).filter_map(|_| judge().ok()).count()
        };
        assert_eq!(allowed(1), 8);
        assert_eq!((2..302).map(&mut allowed).sum::<usize>(), 400, "four in three ticks");
        assert_eq!(allowed(308), 8, "after a pause");
        assert_eq!(may_move(&body, due, clock(308), MIDDLE.0, MIDDLE.1), Err(MoveOnCooldown));
    }

    /// How far a body gets in the second from tick 1 under this effect, checked tick by tick.
    fn walked(hz: u32, effect: Option<Effect>, speed: i32) -> i64 {
        let mut body = body_at(MIDDLE);
        let clock = |tick| Clock { tick, hz };
        if let Some(effect) = effect {
            body.begin(effect, clock(1));
        }
        (body.target_x, body.target_y) = (MIDDLE.0 + 100_000, MIDDLE.1);
        for tick in 1..=hz.into() {
            body.walk(&Pace::of(WALK_SPEED, clock(tick)), tick);
            let way = body.x - body.last_x;
            assert!(way <= speed / hz.cast_signed() + 1, "{way} in a tick at {hz} Hz");
        }
        i64::from(body.x - MIDDLE.0)
    }

    #[test]
    fn a_walk_takes_its_time_at_any_tick_rate_and_under_any_effect() {
        for hz in [1, 20, 30, 60, 64, 128, 1000] {
            for (effect, speed) in [
                (None, 10_000),
                (Some(Effect::Haste), 15_000),
                (Some(Effect::Slow), 5000),
                (Some(Effect::Stun), 0),
            ] {
                assert_eq!(walked(hz, effect, speed), speed.into(), "{effect:?} at {hz} Hz");
            }
        }
    }

    #[test]
    fn a_slanted_walk_is_no_faster_and_ends_exactly_at_its_target() {
        let mut body = body_at(MIDDLE);
        (body.target_x, body.target_y) = (506_001, 492_003);
        for tick in 1..=70 {
            body.walk(&Pace::of(WALK_SPEED, clock(tick)), tick);
            let walked = distance_squared(MIDDLE, (body.x, body.y)).isqrt();
            let most = i64::from(WALK_SPEED) * tick.cast_signed() / i64::from(HZ);
            assert!(walked <= most, "{walked} after {tick} ticks");
        }
        assert_eq!((body.x, body.y), (506_001, 492_003));
    }

    #[test]
    fn ranges_include_their_end() {
        for (to, range, expected) in [
            ((3, 4), 5, true),
            ((3, 4), 4, false),
            ((0, 0), 0, true),
            ((MAP_SIZE, MAP_SIZE), MAP_SIZE, false),
            ((i32::MIN, 0), i32::MAX, false),
        ] {
            assert_eq!(is_within((0, 0), to, range), expected, "{to:?} within {range}");
        }
    }
}
