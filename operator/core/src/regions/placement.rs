//! In which region players who play together get their server (A6).
//!
//! The one in which the worst-off of them is best, among those that nothing speaks against. A latency that nobody measured
//! counts as too far: a region is never chosen for what is not known of it.

use std::collections::{BTreeMap, BTreeSet};

use super::RegionId;
use super::membership::Standing;

/// Round trips of one player, in milliseconds, to the regions that it measured.
pub type Latencies = BTreeMap<RegionId, u32>;

/// A region that could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it stands, as judged by the region that asks.
    pub standing: Standing,
    /// Players that still fit on its Ready servers.
    pub headroom: u32,
    /// A majority of the regions says that it shall be left.
    pub drained: bool,
}

/// Who is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// The players, at least one.
    pub players: &'a [Latencies],
    /// Most milliseconds that each of them accepts.
    pub latency_ms_max: u32,
    /// Region that these players belong to and that asks for them: it takes its own even while it is isolated.
    pub own: Option<RegionId>,
}

/// The chosen region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub region: RegionId,
    /// Latency of the player who is worst off there, in milliseconds.
    pub latency_ms_worst: u32,
    /// Mean over the players, in milliseconds, rounded down.
    pub latency_ms_mean: u32,
    /// What speaks against each of the others.
    pub refused: BTreeMap<RegionId, Refusal>,
}

/// Why no region was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoChoice {
    /// There is nobody to place.
    NoPlayers,
    /// There are no regions to choose from.
    NoRegions,
    /// What speaks against each of them.
    Refused(BTreeMap<RegionId, Refusal>),
}

/// What speaks against a region; of several, the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not take these players, standing as it does.
    NotConnected(Standing),
    /// It is drained. While it is isolated it takes its own all the same: they have nowhere else to go.
    Drained,
    /// So many players did not measure their latency to it.
    Unmeasured(usize),
    /// It is too far for the player who is worst off.
    TooFar {
        /// Latency of that player in milliseconds.
        latency_ms_worst: u32,
    },
    /// Not all of them fit.
    Full {
        /// Players that fit.
        headroom: u32,
    },
    /// They would fit, and the chosen region is better, or equally good and the first by name.
    FartherThanChosen {
        /// Latency of the player who is worst off there, in milliseconds.
        latency_ms_worst: u32,
        /// Mean over the players, in milliseconds, rounded down.
        latency_ms_mean: u32,
    },
}

/// Chooses the region whose worst-off player is best; of equal ones that with the lower mean, then the first by name.
///
/// # Errors
/// If there is none, with what speaks against each.
pub fn select_region(
    party: Party<'_>,
    candidates: &BTreeMap<RegionId, Candidate>,
) -> Result<Choice, NoChoice> {
    if party.players.is_empty() {
        return Err(NoChoice::NoPlayers);
    }
    let (mut fits, mut refused) = (BTreeSet::new(), BTreeMap::new());
    for (&region, &candidate) in candidates {
        match fit(party, region, candidate) {
            Ok(fit) => drop(fits.insert(fit)),
            Err(refusal) => drop(refused.insert(region, refusal)),
        }
    }
    let Some(best) = fits.pop_first() else {
        return Err(if refused.is_empty() { NoChoice::NoRegions } else { NoChoice::Refused(refused) });
    };
    refused.extend(fits.into_iter().map(|fit| {
        let (latency_ms_worst, latency_ms_mean) = (fit.worst, fit.mean(party));
        (fit.region, Refusal::FartherThanChosen { latency_ms_worst, latency_ms_mean })
    }));
    let (latency_ms_worst, latency_ms_mean) = (best.worst, best.mean(party));
    Ok(Choice { region: best.region, latency_ms_worst, latency_ms_mean, refused })
}

/// Latencies of the players in a region; ordered by how good it is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    worst: u32,
    sum: u64,
    region: RegionId,
}

impl Fit {
    fn mean(&self, party: Party<'_>) -> u32 {
        let mean = self.sum / u64::try_from(party.players.len()).unwrap_or(u64::MAX);
        u32::try_from(mean).unwrap_or(u32::MAX)
    }
}

fn fit(party: Party<'_>, region: RegionId, candidate: Candidate) -> Result<Fit, Refusal> {
    let takes = match candidate.standing {
        Standing::Connected => true,
        Standing::Isolated => party.own == Some(region),
        Standing::Unreachable | Standing::Degraded(_) | Standing::Gone => false,
    };
    if !takes {
        return Err(Refusal::NotConnected(candidate.standing));
    }
    if candidate.drained && candidate.standing == Standing::Connected {
        return Err(Refusal::Drained);
    }
    let measured: Vec<u32> = party.players.iter().filter_map(|player| player.get(&region).copied()).collect();
    let worst = measured.iter().copied().max().unwrap_or_default();
    if measured.len() < party.players.len() {
        Err(Refusal::Unmeasured(party.players.len() - measured.len()))
    } else if worst > party.latency_ms_max {
        Err(Refusal::TooFar { latency_ms_worst: worst })
    } else if usize::try_from(candidate.headroom).is_ok_and(|headroom| headroom < party.players.len()) {
        Err(Refusal::Full { headroom: candidate.headroom })
    } else {
        Ok(Fit { worst, sum: measured.into_iter().map(u64::from).sum(), region })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regions::membership::Source;

    const LIMIT: u32 = 100;

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    fn party(players: &[Latencies]) -> Party<'_> {
        Party { players, latency_ms_max: LIMIT, own: Some(region("jp")) }
    }

    /// jp, kr and sg, all connected and with room.
    fn candidates() -> BTreeMap<RegionId, Candidate> {
        let candidate = Candidate { standing: Standing::Connected, headroom: 1000, drained: false };
        ["jp", "kr", "sg"].map(|name| (region(name), candidate)).into()
    }

    /// A player by its latencies to jp, kr and sg; 0 is not measured.
    fn player(latencies: [u32; 3]) -> Latencies {
        let measured = ["jp", "kr", "sg"].map(region).into_iter().zip(latencies);
        measured.filter(|&(_, latency)| latency > 0).collect()
    }

    #[test]
    fn the_region_is_chosen_in_which_the_worst_off_player_is_best() {
        for (name, players, expected) in [
            ("one player", vec![[40, 10, 90]], Some("kr")),
            ("the mean would say kr", vec![[40, 1, 90], [40, 60, 90]], Some("jp")),
            ("equally bad: the lower mean", vec![[50, 50, 90], [50, 20, 90]], Some("kr")),
            ("equal: the first by name", vec![[50, 50, 50]], Some("jp")),
            ("just at the limit", vec![[101, 100, 150]], Some("kr")),
            ("over the limit for one", vec![[101, 150, 150], [5, 5, 5]], None),
            ("not measured by one", vec![[5, 60, 70], [0, 60, 70]], Some("kr")),
            ("measured by none", vec![[0, 0, 0]], None),
            ("each its own", vec![[5, 0, 0], [0, 5, 0]], None),
        ] {
            let players: Vec<Latencies> = players.into_iter().map(player).collect();
            let chosen = select_region(party(&players), &candidates());
            assert_eq!(chosen.ok().map(|choice| choice.region), expected.map(region), "{name}");
        }
    }

    #[test]
    fn a_choice_says_what_it_costs_and_what_speaks_against_the_others() {
        let chosen = select_region(party(&[player([40, 80, 190]), player([45, 11, 90])]), &candidates());
        let farther = Refusal::FartherThanChosen { latency_ms_worst: 80, latency_ms_mean: 45 };
        let too_far = Refusal::TooFar { latency_ms_worst: 190 };
        let refused = BTreeMap::from([(region("kr"), farther), (region("sg"), too_far)]);
        let expected = Choice { region: region("jp"), latency_ms_worst: 45, latency_ms_mean: 42, refused };
        assert_eq!(chosen, Ok(expected));
    }

    #[test]
    fn without_a_choice_every_region_has_its_reason() {
        let mut candidates = candidates();
        candidates.get_mut(&region("sg")).unwrap().headroom = 1;
        let candidate = |standing, drained| Candidate { standing, headroom: 1, drained };
        candidates.insert(region("tw"), candidate(Standing::Connected, true));
        candidates.insert(region("us"), candidate(Standing::Gone, true));
        let players = [player([101, 0, 20]), player([7, 30, 20])];
        let refused = BTreeMap::from([
            (region("jp"), Refusal::TooFar { latency_ms_worst: 101 }),
            (region("kr"), Refusal::Unmeasured(1)),
            (region("sg"), Refusal::Full { headroom: 1 }),
            (region("tw"), Refusal::Drained),
            (region("us"), Refusal::NotConnected(Standing::Gone)),
        ]);
        assert_eq!(select_region(party(&players), &candidates), Err(NoChoice::Refused(refused)));
        assert_eq!(select_region(party(&players), &BTreeMap::new()), Err(NoChoice::NoRegions));
        assert_eq!(select_region(party(&[]), &candidates), Err(NoChoice::NoPlayers));
    }

    #[test]
    fn only_connected_regions_that_are_not_drained_take_players_and_an_isolated_one_its_own() {
        for (standing, name, takes, takes_drained) in [
            (Standing::Connected, "jp", true, false),
            (Standing::Connected, "kr", true, false),
            (Standing::Isolated, "jp", true, true),
            (Standing::Isolated, "kr", false, false),
            (Standing::Unreachable, "kr", false, false),
            (Standing::Degraded(Source::Votes), "kr", false, false),
            (Standing::Degraded(Source::OwnWord), "jp", false, false),
            (Standing::Gone, "kr", false, false),
        ] {
            for (drained, takes) in [(false, takes), (true, takes_drained)] {
                let candidate = Candidate { standing, headroom: 1000, drained };
                let candidates = BTreeMap::from([(region(name), candidate)]);
                let chosen = select_region(party(&[player([5, 5, 5])]), &candidates);
                assert_eq!(chosen.is_ok(), takes, "{standing:?} {name}, drained: {drained}");
            }
        }
    }
}
