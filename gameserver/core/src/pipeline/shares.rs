//! How the commands of a tick are shared out when players ask for more than one tick carries out, and how long an input waits
//! for its share.

/// Inputs of one player that one tick carries out at most; a backlog is worked off at this pace.
pub(crate) const MAX_INPUTS_PER_TICK: usize = 8;
/// An input waits through full ticks for this part of a second at most,
const PATIENCE_OF_A_SECOND: u32 = 8;
/// and through so many of them at least: two are a burst and no overload.
const PATIENCE_TICKS_MIN: u32 = 3;

/// How many players have how many inputs due.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    /// By number of inputs.
    players: [usize; MAX_INPUTS_PER_TICK + 1],
}

impl Demand {
    /// A player with so many inputs due, at most [`MAX_INPUTS_PER_TICK`].
    pub(crate) fn add(&mut self, due: usize) {
        self.players[due] += 1;
    }

    /// Shares out `limit` commands in rounds: in each, everyone who still has an input gets one, until the rest does not do
    /// for a whole round.
    pub(crate) fn share_out(&self, limit: usize) -> Shares {
        let (mut rounds, mut left) = (0, limit);
        while rounds < MAX_INPUTS_PER_TICK {
            let asking: usize = self.players[rounds + 1..].iter().sum();
            if asking > left {
                return Shares { rounds, left, is_full: true, first_passed_by: None };
            }
            rounds += 1;
            left -= asking;
        }
        Shares { rounds, left: 0, is_full: false, first_passed_by: None }
    }
}

/// What players get in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Rounds in which everyone gets one who asks for it.
    rounds: usize,
    /// Those of the round after them, which does not reach everyone.
    left: usize,
    /// Whether somebody has to wait.
    pub(crate) is_full: bool,
    /// The first player whom the last round did not reach: with that one the next tick's begin.
    pub(crate) first_passed_by: Option<u32>,
}

impl Shares {
    /// How many of its `due` inputs the next player gets carried out, in the order of turns.
    pub(crate) fn take(&mut self, player: u32, due: usize) -> usize {
        if due <= self.rounds {
            return due;
        }
        if self.left == 0 {
            self.first_passed_by = self.first_passed_by.or(Some(player));
            return self.rounds;
        }
        self.left -= 1;
        self.rounds + 1
    }
}

/// Since when each tick has been full, and from when on an input has waited too long for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    ticks: u64,
    full_since: Option<u64>,
}

impl Patience {
    pub(crate) fn new(tick_hz: u32) -> Self {
        let ticks = tick_hz.div_ceil(PATIENCE_OF_A_SECOND).max(PATIENCE_TICKS_MIN);
        Self { ticks: ticks.into(), full_since: None }
    }

    /// Takes note of `tick`.
    pub(crate) fn record(&mut self, tick: u64, is_full: bool) {
        self.full_since = if is_full { self.full_since.or(Some(tick)) } else { None };
    }

    /// Inputs that were due at this tick or before and are not carried out in `tick`, the one of which note was taken last, have
    /// waited too long; `None` while there are none such.
    pub(crate) fn ends(&self, tick: u64) -> Option<u64> {
        let last = (tick + 1).checked_sub(self.ticks)?;
        (last >= self.full_since?).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of these players gets, and what is said of the tick.
    fn share_out(due: &[usize], limit: usize) -> (Vec<usize>, Shares) {
        let mut demand = Demand::default();
        for &due in due {
            demand.add(due);
        }
        let mut shares = demand.share_out(limit);
        let given = (0..).zip(due).map(|(player, &due)| shares.take(player, due)).collect();
        (given, shares)
    }

    #[test]
    fn commands_are_shared_out_in_rounds_until_the_limit() {
        for (rule, due, limit, expected, passed_by) in [
            ("nobody asks for anything", &[0, 0, 0][..], 10, &[0, 0, 0][..], None),
            ("below the limit everyone gets all", &[1, 8, 3], 20, &[1, 8, 3], None),
            ("and at the limit", &[1, 8, 3], 12, &[1, 8, 3], None),
            ("one more than the limit has somebody wait", &[1, 8, 3], 11, &[1, 7, 3], Some(1)),
            ("who asks for eight gets no more than who asks for two", &[8, 2, 2], 6, &[2, 2, 2], Some(0)),
            ("who asks for less leaves it to the others", &[1, 8, 8], 9, &[1, 4, 4], Some(1)),
            ("a round that is not whole begins with the first", &[8, 8, 8], 10, &[4, 3, 3], Some(1)),
            ("and passes by who has nothing left", &[1, 2, 2, 2], 6, &[1, 2, 2, 1], Some(3)),
            ("fewer commands than players", &[3, 0, 1, 1], 2, &[1, 0, 1, 0], Some(3)),
            ("a round that comes out even", &[2, 2], 2, &[1, 1], Some(0)),
            ("everyone asks for the most", &[8, 8], 16, &[8, 8], None),
        ] {
            let (given, shares) = share_out(due, limit);
            assert_eq!((given, shares.first_passed_by), (expected.to_vec(), passed_by), "{rule}");
            assert_eq!(shares.is_full, passed_by.is_some(), "{rule}");
        }
    }

    #[test]
    fn all_commands_are_given_and_nobody_gets_two_more_than_one_who_waits() {
        let players = 4;
        for case in 0..9_usize.pow(players) {
            let due: Vec<_> = (0..players).map(|player| case / 9_usize.pow(player) % 9).collect();
            for limit in [1, 3, 7, 20] {
                let (given, shares) = share_out(&due, limit);
                let asked: usize = due.iter().sum();
                assert_eq!(given.iter().sum::<usize>(), asked.min(limit), "{due:?} of {limit}");
                assert_eq!(shares.is_full, asked > limit, "{due:?} of {limit}");
                let waiting = given.iter().zip(&due).filter(|(given, due)| given < due);
                let least = waiting.map(|(given, _)| *given).min().unwrap_or(MAX_INPUTS_PER_TICK);
                assert!(given.iter().all(|&given| given <= least + 1), "{due:?} of {limit}: {given:?}");
            }
        }
    }

    #[test]
    fn an_input_has_waited_too_long_after_an_eighth_of_a_second_of_full_ticks() {
        for (rule, tick_hz, full, tick, expected) in [
            ("no tick is full", 64, 0..0, 100, None),
            ("the eighth full tick", 64, 100..108, 107, Some(100)),
            ("one less", 64, 100..107, 106, None),
            ("long after, what was due then goes and no more", 64, 100..200, 199, Some(192)),
            ("a tick that is not full begins anew", 64, 100..150, 150, None),
            ("at a low rate two ticks are no overload", 4, 100..102, 101, None),
            ("and three are", 20, 100..103, 102, Some(100)),
            ("at a high rate it is more of them", 128, 100..116, 115, Some(100)),
            ("in the first ticks there are", 64, 1..3, 2, None),
        ] {
            let mut patience = Patience::new(tick_hz);
            for at in 1..=tick {
                patience.record(at, full.contains(&at));
            }
            assert_eq!(patience.ends(tick), expected, "{rule}");
        }
    }
}
