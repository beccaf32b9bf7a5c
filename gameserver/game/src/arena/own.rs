//! What a player knows of itself, and how that goes on by itself.
//!
//! In snapshots it stands as 15 integers; times are ticks from the next one on:
//!
//! | key | what |
//! |---|---|
//! | 0, 1 | place, thousandths of a unit |
//! | 2, 3 | where it walks to, relative to the place |
//! | 4, 5 | health, mana |
//! | 6 | until the next move would be due if all came evenly, quarters of a tick |
//! | 7 | haste, slowness, stun, bleeding: 15 bits each from the lowest, ticks that they will still be felt |
//! | 8 | shield, and how long it stays dead, likewise |
//! | 9 | until the attack, bleed, slow, stun can be cast again, likewise |
//! | 10 | haste, shield, likewise |
//! | 11 | potions, mana potions, coins: 8 bits each from the lowest |
//! | 12, 13 | kills, deaths |
//! | 14 | code of the phase + 4 times the ticks until the next |

use gameserver_protocol::message::{FieldList, Fields};

use super::body::Body;
use super::effects::{Effect, Effects};
use super::intents::Intent;
use super::items::ITEM_KINDS;
use super::movement::Pace;
use super::player::Player;
use super::round::Phase;
use super::rules::{
    Clock, HEALTH_MAX, MANA_MAX, MAP_SIZE, MOVE_BURST, MOVE_COOLDOWN_QUARTERS, RESULT_MS, SKILL_COUNT,
    WALK_SPEED,
};

const FIELDS: usize = 15;
/// Bits of a time among others in one number.
const TIME_BITS: u32 = 15;
const TIME_MAX: u16 = (1 << TIME_BITS) - 1;

/// What a player knows of itself. Times are in ticks, counted from the next one: 0 is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// East, thousandths of a unit.
    pub x: i32,
    /// North, thousandths of a unit.
    pub y: i32,
    /// Where it walks to.
    pub target_x: i32,
    /// Where it walks to.
    pub target_y: i32,
    /// 0 is dead.
    pub health: i32,
    /// For skills.
    pub mana: i32,
    /// Until the next move would be due if all came evenly, in quarters of a tick.
    pub move_quarters: u8,
    /// How long each effect will still be felt, in the order of [`Effect::ALL`].
    pub effects: [u16; Effect::ALL.len()],
    /// How long it will still be dead.
    pub dead: u16,
    /// Until each skill can be cast again, in the order of [`super::rules::SKILLS`].
    pub cooldowns: [u16; SKILL_COUNT],
    /// How many it has of each kind, in the order of [`super::items::ItemKind::ALL`].
    pub bag: [u8; ITEM_KINDS],
    /// Others whom it killed in this match.
    pub kills: u32,
    /// How often it died in this match.
    pub deaths: u32,
    /// Where the match stands.
    pub phase: Phase,
    /// How long that will still be so, 0 when it is not known.
    pub phase_left: u32,
}

/// Ticks after the next until `at`.
fn left(at: u64, tick: u64) -> u16 {
    u16::try_from(at.saturating_sub(tick.saturating_add(1))).unwrap_or(TIME_MAX).min(TIME_MAX)
}

impl Own {
    /// Whether this effect will be felt in the next tick.
    pub fn has(&self, effect: Effect) -> bool {
        self.effects[usize::from(effect.code()) - 1] > 0
    }

    pub(crate) fn of(body: &Body, player: &Player, (phase, phase_end): (Phase, u64), tick: u64) -> Self {
        let is_alive = body.is_alive();
        let quarters = player.next_move.saturating_sub(tick.saturating_add(1).saturating_mul(4));
        let phase_left =
            if phase == Phase::Waiting { 0 } else { phase_end.saturating_sub(tick.saturating_add(1)) };
        Self {
            x: body.x,
            y: body.y,
            target_x: body.target_x,
            target_y: body.target_y,
            health: body.health,
            mana: player.mana,
            move_quarters: u8::try_from(quarters).unwrap_or(u8::MAX),
            effects: Effect::ALL.map(|effect| left(body.effects.end_of(effect), tick)),
            dead: if is_alive { 0 } else { left(player.respawn_at, tick) },
            cooldowns: player.ready.map(|ready| left(ready, tick)),
            bag: player.bag,
            kills: player.kills,
            deaths: player.deaths,
            phase,
            phase_left: u32::try_from(phase_left).unwrap_or(u32::MAX),
        }
    }

    /// The body and the player as the server has them, as far as that matters to what they do without others, when
    /// `next` is the next tick.
    fn restore(&self, next: u64) -> (Body, Player) {
        let at = |left: u16| next.saturating_add(left.into());
        let body = Body {
            id: 1,
            x: self.x,
            y: self.y,
            target_x: self.target_x,
            target_y: self.target_y,
            health: self.health,
            effects: Effects(self.effects.map(at)),
            ..Body::default()
        };
        let player = Player {
            next_move: next.saturating_mul(4).saturating_add(self.move_quarters.into()),
            ready: self.cooldowns.map(at),
            mana: self.mana,
            bag: self.bag,
            kills: self.kills,
            deaths: self.deaths,
            respawn_at: at(self.dead),
            ..Player::default()
        };
        (body, player)
    }

    /// Goes on by one tick, the one of `clock`, without what others do: whom a skill hits, what lies on the ground,
    /// where one comes back and when a match begins is not known here.
    pub(crate) fn advance(&mut self, clock: Clock, intents: &[Intent]) {
        let (mut body, mut player) = self.restore(clock.tick);
        let (mut phase, mut phase_end) = (self.phase, clock.tick.saturating_add(self.phase_left.into()));
        if phase == Phase::Running && clock.tick >= phase_end {
            (phase, phase_end) = (Phase::Ended, clock.after(RESULT_MS));
            body.stop();
        }
        if phase != Phase::Ended {
            for &intent in intents {
                // what became of it is the server's to say
                _ = player.act_alone(&mut body, clock, intent);
            }
            body.walk(&Pace::of(WALK_SPEED, clock), clock.tick);
            if body.bleed(clock) > 0 && !body.is_alive() {
                player.fall(clock);
            }
            player.recover(&mut body, clock);
        }
        *self = Self::of(&body, &player, (phase, phase_end), clock.tick);
    }
}

/// Puts times into one number, the first into the lowest bits.
fn pack(times: &[u16]) -> i64 {
    times.iter().rev().fold(0, |packed, &time| packed << TIME_BITS | i64::from(time.min(TIME_MAX)))
}

/// Takes `N` times out of a number that has no more in it.
fn unpack<const N: usize>(packed: i64) -> Option<[u16; N]> {
    let mut rest = u64::try_from(packed).ok()?;
    let times = std::array::from_fn(|_| {
        let time = u16::try_from(rest & u64::from(TIME_MAX)).unwrap_or(0);
        rest >>= TIME_BITS;
        time
    });
    (rest == 0).then_some(times)
}

/// A number that has to be between 0 and `most`.
fn within(number: i64, most: i32) -> Option<i32> {
    i32::try_from(number).ok().filter(|number| (0..=most).contains(number))
}

impl Fields for Own {
    fn to_fields(&self) -> FieldList {
        let [bleed, slow, stun, haste, shield] = self.effects;
        let bag = self.bag.iter().rev().fold(0, |packed, &held| packed << 8 | i64::from(held));
        FieldList::new(&[
            self.x.into(),
            self.y.into(),
            i64::from(self.target_x) - i64::from(self.x),
            i64::from(self.target_y) - i64::from(self.y),
            self.health.into(),
            self.mana.into(),
            self.move_quarters.into(),
            pack(&[haste, slow, stun, bleed]),
            pack(&[shield, self.dead]),
            pack(&self.cooldowns[..4]),
            pack(&self.cooldowns[4..]),
            bag,
            self.kills.into(),
            self.deaths.into(),
            i64::from(self.phase.code()) | i64::from(self.phase_left) << 2,
        ])
    }

    fn from_fields(fields: &[i64]) -> Option<Self> {
        let [x, y, dx, dy, health, mana, quarters, f7, f8, f9, f10, bag, kills, deaths, phase] =
            *<&[i64; FIELDS]>::try_from(fields).ok()?;
        let (x, y) = (within(x, MAP_SIZE)?, within(y, MAP_SIZE)?);
        let most_quarters = MOVE_BURST * MOVE_COOLDOWN_QUARTERS;
        let [haste, slow, stun, bleed] = unpack(f7)?;
        let [shield, dead] = unpack(f8)?;
        let [attack, bleeding, slowing, stunning] = unpack(f9)?;
        let [hasting, shielding] = unpack(f10)?;
        let [potions, mana_potions, coins, rest @ ..] = u64::try_from(bag).ok()?.to_le_bytes();
        let phase_left = u32::try_from(u64::try_from(phase).ok()? >> 2).ok()?;
        (rest == [0; 5]).then_some(Self {
            x,
            y,
            target_x: within(i64::from(x).checked_add(dx)?, MAP_SIZE)?,
            target_y: within(i64::from(y).checked_add(dy)?, MAP_SIZE)?,
            health: within(health, HEALTH_MAX)?,
            mana: within(mana, MANA_MAX)?,
            move_quarters: u8::try_from(quarters)
                .ok()
                .filter(|&quarters| u64::from(quarters) <= most_quarters)?,
            effects: [bleed, slow, stun, haste, shield],
            dead,
            cooldowns: [attack, bleeding, slowing, stunning, hasting, shielding],
            bag: [potions, mana_potions, coins],
            kills: u32::try_from(kills).ok()?,
            deaths: u32::try_from(deaths).ok()?,
            phase: Phase::from_code(u8::try_from(phase & 3).ok()?)?,
            phase_left,
        })
    }
}
