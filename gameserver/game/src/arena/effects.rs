//! What a player or an NPC is under for a while. Each kind once at most; it runs out by itself.

use super::rules::Clock;

/// Kinds of effects. The number is the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Effect {
    /// Loses health.
    Bleed = 1,
    /// Walks half as fast.
    Slow = 2,
    /// Neither walks nor acts.
    Stun = 3,
    /// Walks half as fast again.
    Haste = 4,
    /// Is hurt half as much by hits; bleeding goes on.
    Shield = 5,
}

impl Effect {
    /// Every effect, in the order of the codes.
    pub const ALL: [Self; 5] = [Self::Bleed, Self::Slow, Self::Stun, Self::Haste, Self::Shield];

    /// In messages.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The effect with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// How long it lasts.
    pub const fn lasts_ms(self) -> u32 {
        match self {
            Self::Bleed | Self::Haste => 5000,
            Self::Slow => 2000,
            Self::Stun => 1000,
            Self::Shield => 4000,
        }
    }

    /// Its bit among those that others see of an entity.
    pub const fn bit(self) -> i32 {
        match self {
            Self::Stun => 1 << 1,
            Self::Slow => 1 << 2,
            Self::Haste => 1 << 3,
            Self::Bleed => 1 << 4,
            Self::Shield => 1 << 5,
        }
    }

    const fn index(self) -> usize {
        self as usize - 1
    }
}

/// The effects on one body: for each kind the first tick without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects(pub(crate) [u64; Effect::ALL.len()]);

impl Effects {
    pub(crate) fn has(&self, effect: Effect, tick: u64) -> bool {
        tick < self.0[effect.index()]
    }

    /// First tick without it; in the past if it is not there.
    pub(crate) fn end_of(&self, effect: Effect) -> u64 {
        self.0[effect.index()]
    }

    /// From this tick on; what is there already is renewed.
    pub(crate) fn begin(&mut self, effect: Effect, clock: Clock) {
        self.0[effect.index()] = clock.after(effect.lasts_ms());
    }

    pub(crate) fn lift(&mut self, effect: Effect) {
        self.0[effect.index()] = 0;
    }

    /// As others see them.
    pub(crate) fn bits(&self, tick: u64) -> i32 {
        let on = Effect::ALL.into_iter().filter(|&effect| self.has(effect, tick));
        on.fold(0, |bits, effect| bits | effect.bit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_from_one_and_bits_are_each_ones_own() {
        for (effect, code) in Effect::ALL.into_iter().zip(1..) {
            assert_eq!(effect.code(), code);
            assert_eq!(Effect::from_code(code), Some(effect));
        }
        assert_eq!((Effect::from_code(0), Effect::from_code(6)), (None, None));
        assert_eq!(Effect::ALL.iter().map(|effect| effect.bit()).sum::<i32>(), 0b11_1110);
    }

    #[test]
    fn an_effect_lasts_its_time_and_is_renewed_rather_than_doubled() {
        let (mut effects, hz) = (Effects::default(), 64);
        effects.begin(Effect::Slow, Clock { tick: 100, hz });
        effects.begin(Effect::Slow, Clock { tick: 110, hz });
        for (tick, expected) in [(100, true), (227, true), (237, true), (238, false), (1000, false)] {
            assert_eq!(effects.has(Effect::Slow, tick), expected, "at {tick}");
            assert!(!effects.has(Effect::Stun, tick));
        }
        assert_eq!(effects.bits(237), Effect::Slow.bit());
        effects.lift(Effect::Slow);
        assert_eq!(effects.bits(237), 0);
    }
}
