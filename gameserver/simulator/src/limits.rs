//! What the servers of a run have: enough, or by the chance of the seed less than is asked for.

use gameserver_core::Fill;
use gameserver_protocol::message::{MAX_INPUTS, MAX_NOTICES, MAX_REJECTED};

use crate::chance::{Chance, Concern};
use crate::{Mutation, Plan};

/// Of so many seeds in a thousand there are too few places, and of as many ticks that carry out too little.
const SCARCE: u32 = 600;
/// Places for so many of a thousand players, at least and at most.
const PLACES: (i32, i32) = (600, 950);
/// Commands of a tick for so many of a thousand players, at least and at most: they ask for about 350 in the middle, so
/// there are zones that are always overloaded and some that are so at times.
const COMMANDS: (i32, i32) = (100, 400);

/// Limits of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Players of a zone.
    pub(crate) capacity: usize,
    /// Players of the process.
    pub(crate) places: usize,
    /// Commands of a tick of a zone.
    pub(crate) commands: usize,
}

impl Limits {
    pub(crate) fn of(plan: &Plan) -> Self {
        let Plan { seed, clients, zones, faults, .. } = *plan;
        // all zones together have some more than there are players, but no zone has room for all
        let capacity = if zones == 1 { clients.max(8) } else { (clients * 6 / 5).div_ceil(zones).max(8) };
        let ample = Self { capacity, places: capacity * zones, commands: 8 * capacity };
        let mut chance = Chance::new(seed, Concern::Limits, 0);
        let mut scarce = |of_thousand: (i32, i32), ample: usize, sharers: usize| {
            let (is_scarce, share) = (chance.permille(SCARCE), chance.between(of_thousand.0, of_thousand.1));
            let some = clients * share.unsigned_abs() as usize / 1000 / sharers;
            if faults.scarcity && is_scarce { some.max(1) } else { ample }
        };
        let places = scarce(PLACES, ample.places, 1);
        let commands = scarce(COMMANDS, ample.commands, zones);
        Self { places, commands, ..ample }
    }

    /// What the servers are told of it.
    pub(crate) fn told(self, mutation: Option<Mutation>) -> Self {
        let Self { capacity, places, commands } = self;
        match mutation {
            Some(Mutation::TakeInTooMany) => Self { capacity: 2 * capacity, ..self },
            Some(Mutation::QueueTooMuch) => Self { capacity: 8 * capacity, ..self },
            Some(Mutation::RaiseTheLimit) => Self { commands: 2 * commands, ..self },
            Some(Mutation::LowerTheLimit) => Self { commands: (commands / 2).max(1), ..self },
            Some(Mutation::OverbookPlaces) => Self { places: 2 * places, ..self },
            Some(Mutation::HidePlaces) => Self { places: places - places / 3, ..self },
            _ => self,
        }
    }

    /// How full each queue and table of a zone may be.
    pub(crate) fn bounds(&self) -> Fill {
        // as many may be on their way in as can be there, and some at a small server; each may be told of two things at once
        let handshakes = self.capacity + 64;
        // within the lifetime of a token everybody may leave and come seven times
        let remembered = 8 * self.places + 1024;
        Fill {
            inputs: MAX_INPUTS,
            rejections: MAX_REJECTED,
            notices: MAX_NOTICES,
            answers: 2 * handshakes,
            handshakes,
            tokens: remembered,
            known_players: remembered,
            departures: remembered,
            evictions: self.places,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Faults;

    #[test]
    fn of_three_seeds_in_five_places_are_scarce_and_of_three_commands_but_only_if_that_is_to_go_wrong() {
        let plan = |seed, faults| Plan { seed, clients: 100, zones: 2, ticks: 0, faults, mutation: None };
        let (mut few_places, mut few_commands, mut both) = (0, 0, 0);
        for seed in 0..1000 {
            let ample = Limits::of(&plan(seed, Faults { scarcity: false, ..Faults::ALL }));
            assert_eq!(ample, Limits { capacity: 60, places: 120, commands: 480 });
            let limits = Limits::of(&plan(seed, Faults::ALL));
            let scarce = (limits.places < 100, limits.commands < 50);
            few_places += u32::from(scarce.0);
            few_commands += u32::from(scarce.1);
            both += u32::from(scarce.0 && scarce.1);
            assert!(scarce.0 || limits.places == ample.places, "{limits:?}");
            assert!(scarce.1 || limits.commands == ample.commands, "{limits:?}");
            assert!(limits.places >= 60 && limits.commands >= 5, "{limits:?}");
        }
        for count in [few_places, few_commands] {
            assert!((500..700).contains(&count), "{count} of 1000 seeds");
        }
        assert!((250..450).contains(&both), "{both} of 1000 seeds");
    }
}
