//! The view: which regions share out servers, as a majority says.
//!
//! Each region publishes the view that it would have; shares go by the one that a majority of the registered regions
//! publishes, whether a region would have it itself or not. Whoever changes its mind takes a higher number, so it has one
//! vote a number, no two views of one number get a majority, and a view that comes back is not mistaken for the one that was.
//!
//! Who is lost leaves the view, unless people ordered otherwise ([`Orders::keep`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RegionId;
use super::belief::believed;
use super::membership::{Judgement, Standing, majority};
use super::orders::Orders;

/// How long a region is Degraded before it counts as lost: nobody is moved, so there is time.
pub const DEGRADED_COUNTS_FOR: Duration = Duration::from_secs(30);

/// Regions that share out servers. The default, which nobody is in, is that of a region that has just started.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct View {
    /// Grows with each change.
    pub number: u64,
    /// Those that count.
    pub regions: BTreeSet<RegionId>,
}

/// What a region keeps of views from turn to turn; the default is for one that has just started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ballot {
    /// The last one that a majority published: shares go by it.
    pub agreed: View,
    /// What this region publishes.
    pub proposed: View,
    /// Since when each region has been Gone or Degraded.
    lost_since: BTreeMap<RegionId, Duration>,
}

impl Ballot {
    /// The ballot after a turn: `heard` are the views of the regions that are read. Who is Isolated keeps its own. `now` is on
    /// the caller's monotonic clock.
    #[must_use]
    pub fn next(
        &self,
        (now, me): (Duration, RegionId),
        judgements: &BTreeMap<RegionId, Judgement>,
        orders: &Orders,
        heard: &BTreeMap<RegionId, &View>,
    ) -> Self {
        if judgements.get(&me).is_none_or(|own| own.standing != Standing::Connected) {
            return self.clone();
        }
        let since_lost = |(region, judgement): (&RegionId, &Judgement)| {
            let since = self.lost_since.get(region).copied().unwrap_or(now);
            matches!(judgement.standing, Standing::Gone | Standing::Degraded(_)).then_some((*region, since))
        };
        let lost_since: BTreeMap<RegionId, Duration> = judgements.iter().filter_map(since_lost).collect();
        let counts = |(region, judgement): &(&RegionId, &Judgement)| {
            let too_long = |&since: &Duration| now.saturating_sub(since) >= DEGRADED_COUNTS_FOR;
            let is_lost =
                judgement.standing == Standing::Gone || lost_since.get(region).is_some_and(too_long);
            orders.keep(**region, is_lost)
        };
        let counted = judgements.iter().filter(counts).map(|(&region, _)| region).collect();

        let is_voter = |region: &RegionId| *region != me && judgements.contains_key(region);
        let heard = heard.iter().filter(|(region, _)| is_voter(region)).map(|(_, &view)| view);
        let heard = believed(self.agreed.number.max(self.proposed.number), heard, judgements.len());
        let proposed = self.propose(counted, &heard);
        let votes = || heard.iter().copied().chain([&proposed]);
        let is_agreed = |view: &&View| {
            view.number > self.agreed.number
                && votes().filter(|other| other == view).count() >= majority(judgements.len())
        };
        let agreed = votes().find(is_agreed).unwrap_or(&self.agreed).clone();
        Self { agreed, proposed, lost_since }
    }

    /// For how long a region has been Gone or Degraded, as far as this ballot has seen it.
    #[must_use]
    pub fn lost_for(&self, now: Duration, region: RegionId) -> Option<Duration> {
        self.lost_since.get(&region).map(|&since| now.saturating_sub(since))
    }

    /// The view of these regions: under the highest number that somebody gave it, if this region has not voted under that or
    /// a later one for another and nothing later is agreed; else under a new one.
    fn propose(&self, regions: BTreeSet<RegionId>, heard: &[&View]) -> View {
        let seen = || heard.iter().copied().chain([&self.agreed, &self.proposed]);
        let same = seen().filter(|view| view.regions == regions).max();
        let is_open = |view: &&View| {
            [&self.agreed, &self.proposed].into_iter().all(|own| *view == own || view.number > own.number)
        };
        let next = || seen().map(|view| view.number).max().unwrap_or_default().saturating_add(1);
        same.filter(is_open).cloned().unwrap_or_else(|| View { number: next(), regions })
    }
}

/// A region whose standing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub region: RegionId,
    /// Where it stood; `None` if it was not registered.
    pub from: Option<Standing>,
    /// Where it stands, and who says what.
    pub to: Judgement,
}

/// What is worth an event between two judgements: every standing that changed, by region.
pub fn changes(before: &BTreeMap<RegionId, Judgement>, after: &BTreeMap<RegionId, Judgement>) -> Vec<Change> {
    let change = |(&region, to): (&RegionId, &Judgement)| {
        let from = before.get(&region).map(|judgement| judgement.standing);
        (from != Some(to.standing)).then(|| Change { region, from, to: to.clone() })
    };
    after.iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regions::belief::NUMBER_STEP_MAX;
    use crate::regions::membership::{Source, Votes};
    use crate::regions::orders::{Failover, Said};

    const SECOND: Duration = Duration::from_secs(1);

    fn region(name: char) -> RegionId {
        name.to_string().parse().unwrap()
    }

    fn view(number: u64, regions: &str) -> View {
        View { number, regions: regions.chars().map(region).collect() }
    }

    /// What a judges: one letter for each of a, b, c and so on.
    fn judged(standings: &str) -> BTreeMap<RegionId, Judgement> {
        let standing = |letter| match letter {
            'C' => Standing::Connected,
            'U' => Standing::Unreachable,
            'I' => Standing::Isolated,
            'D' => Standing::Degraded(Source::Votes),
            _ => Standing::Gone,
        };
        let judgement = |letter| Judgement { standing: standing(letter), votes: Votes::default() };
        ('a'..).map(region).zip(standings.chars().map(judgement)).collect()
    }

    /// The ballot of a, which had agreed to the first view, when it hears these views from b, c and so on.
    fn next(agreed: &View, standings: &str, heard: &[View]) -> Ballot {
        let ballot = Ballot { agreed: agreed.clone(), proposed: agreed.clone(), ..Ballot::default() };
        let heard = ('b'..).map(region).zip(heard).collect();
        ballot.next((SECOND, region('a')), &judged(standings), &Orders::default(), &heard)
    }

    #[test]
    fn a_view_counts_when_a_majority_publishes_it() {
        let all = view(1, "abc");
        for (name, standings, heard, proposed, agreed) in [
            ("nothing changes", "CCC", vec![view(1, "abc"), view(1, "abc")], view(1, "abc"), view(1, "abc")),
            ("alone with a new view", "CCG", vec![view(1, "abc")], view(2, "ab"), view(1, "abc")),
            ("two of three", "CCG", vec![view(2, "ab")], view(2, "ab"), view(2, "ab")),
            ("a higher number for the same", "CCG", vec![view(5, "ab")], view(5, "ab"), view(5, "ab")),
            ("another with that number", "CCU", vec![view(2, "ab")], view(1, "abc"), view(1, "abc")),
            ("outvoted", "CCC", vec![view(2, "ac"), view(2, "ac")], view(1, "abc"), view(2, "ac")),
            (
                "news of a view that was",
                "CCC",
                vec![view(0, "ab"), view(0, "ab")],
                view(1, "abc"),
                view(1, "abc"),
            ),
            (
                "Isolated: judges nobody",
                "IUU",
                vec![view(2, "bc"), view(2, "bc")],
                view(1, "abc"),
                view(1, "abc"),
            ),
            ("an Isolated one keeps its share and counts", "CCI", vec![], view(1, "abc"), view(1, "abc")),
            (
                "a stranger has no vote",
                "CC",
                vec![view(1, "abc"), view(2, "ab")],
                view(2, "ab"),
                view(1, "abc"),
            ),
        ] {
            let ballot = next(&all, standings, &heard);
            assert_eq!((ballot.proposed, ballot.agreed), (proposed, agreed), "{name}");
        }
    }

    #[test]
    fn a_region_that_has_just_started_takes_over_what_is_agreed() {
        let ballot = next(&View::default(), "CCC", &[view(7, "abc"), view(7, "abc")]);
        assert_eq!((ballot.agreed, ballot.proposed), (view(7, "abc"), view(7, "abc")));
        assert_eq!(
            next(&View::default(), "CCC", &[]).agreed,
            View::default(),
            "and until then changes nothing"
        );
    }

    #[test]
    fn a_number_that_one_peer_alone_has_come_to_is_not_believed() {
        let (all, far) = (view(1, "abc"), 1 + NUMBER_STEP_MAX);
        for (name, standings, heard, proposed, agreed) in [
            (
                "the last there is",
                "CCC",
                vec![view(u64::MAX, "abc"), view(1, "abc")],
                all.clone(),
                all.clone(),
            ),
            ("for a view that is wanted", "CCG", vec![view(u64::MAX, "ab")], view(2, "ab"), all.clone()),
            ("just too far", "CCC", vec![view(far + 1, "abc")], all.clone(), all.clone()),
            ("as far as is believed", "CCC", vec![view(far, "abc")], view(far, "abc"), view(far, "abc")),
            (
                "a majority has come to it",
                "CCC",
                vec![view(u64::MAX, "abc"), view(u64::MAX, "abc")],
                view(u64::MAX, "abc"),
                view(u64::MAX, "abc"),
            ),
        ] {
            let ballot = next(&all, standings, &heard);
            assert_eq!((ballot.proposed, ballot.agreed), (proposed, agreed), "{name}");
        }
    }

    #[test]
    fn nobody_votes_twice_under_a_number() {
        for (name, proposed, heard, expected) in [
            ("nothing changed", view(6, "abc"), view(6, "abc"), view(6, "abc")),
            ("a view that comes back", view(6, "ab"), view(5, "abc"), view(7, "abc")),
            ("another's number that was used here", view(6, "ab"), view(6, "abc"), view(7, "abc")),
            ("another's later number", view(6, "ab"), view(9, "abc"), view(9, "abc")),
            ("a number below what is agreed", view(3, "ab"), view(4, "abc"), view(6, "abc")),
        ] {
            let ballot = Ballot { agreed: view(5, "ab"), proposed, ..Ballot::default() };
            let heard = BTreeMap::from([(region('b'), &heard)]);
            let next = ballot.next((SECOND, region('a')), &judged("CCC"), &Orders::default(), &heard);
            assert_eq!(next.proposed, expected, "{name}");
        }
    }

    #[test]
    fn a_degraded_region_counts_for_thirty_seconds_and_a_gone_one_not_at_all() {
        let (me, heard) = (region('a'), BTreeMap::new());
        let turn = |ballot: Ballot, second, standings| {
            ballot.next((SECOND * second, me), &judged(standings), &Orders::default(), &heard)
        };
        let counted = |ballot: &Ballot| ballot.proposed.regions.len();
        let degraded = turn(Ballot::default(), 10, "CCD");
        assert_eq!(counted(&turn(degraded.clone(), 39, "CCD")), 3);
        let lost = turn(degraded.clone(), 40, "CCD");
        assert_eq!((counted(&lost), lost.lost_for(SECOND * 41, region('c'))), (2, Some(SECOND * 31)));
        assert_eq!(lost.lost_for(SECOND * 41, region('b')), None);
        assert_eq!(counted(&turn(degraded.clone(), 11, "CCG")), 2, "gone at once");
        let back = turn(degraded.clone(), 39, "CCC");
        assert_eq!(counted(&turn(back, 40, "CCD")), 3, "counted anew");
        let gone = turn(degraded, 39, "CCG");
        assert_eq!(counted(&turn(gone, 40, "CCD")), 2, "a sign of life does not begin it anew");
    }

    /// Whether c stays in the view of a when it has stood like that for so long, with this mode and so many orders to leave it.
    fn stays(failover: Failover, standing: char, seconds: u32, voters: &str) -> bool {
        let (registered, drains) = (('a'..='c').map(region).collect(), BTreeSet::from([region('c')]));
        let voter = |name| (region(name), Said { drains: drains.clone(), ..Said::default() });
        let mut said: BTreeMap<_, _> = voters.chars().map(voter).collect();
        said.entry(region('c')).or_default().failover = failover;
        let (orders, judged, heard) =
            (Orders::count(&registered, &said), judged(&format!("CC{standing}")), BTreeMap::new());
        let turn = |ballot: Ballot, now| ballot.next((now, region('a')), &judged, &orders, &heard);
        let ballot = turn(Ballot::default(), SECOND);
        turn(ballot, SECOND * (seconds + 1)).proposed.regions.contains(&region('c'))
    }

    #[test]
    fn a_lost_region_leaves_as_its_mode_and_the_orders_say() {
        use Failover::{Automatic, Hold, Manual};
        let not_lost = [('C', 99), ('U', 99), ('I', 99), ('D', 0), ('D', 29)];
        let lost = [('G', 0), ('G', 99), ('D', 30), ('D', 99)];
        for (mode, voters, leaves) in [
            (Automatic, "", true),
            (Automatic, "a", true),
            (Automatic, "ab", true),
            (Manual, "", false),
            (Manual, "a", false),
            (Manual, "c", false),
            (Manual, "ab", true),
            (Manual, "bc", true),
            (Manual, "abc", true),
            (Hold, "", false),
            (Hold, "a", false),
            (Hold, "ab", false),
            (Hold, "abc", false),
        ] {
            for (standing, seconds) in not_lost {
                let stays = stays(mode, standing, seconds, voters);
                assert!(stays, "{mode:?} {standing} for {seconds} s, {voters} say that it shall be left");
            }
            for (standing, seconds) in lost {
                let stays = stays(mode, standing, seconds, voters);
                assert_eq!(stays, !leaves, "{mode:?} {standing} for {seconds} s, left by {voters}");
            }
        }
    }

    #[test]
    fn every_change_of_standing_is_told_with_its_votes() {
        let (before, after) = (judged("CCC"), judged("CGCC"));
        let told = changes(&before, &after);
        let told: Vec<_> =
            told.iter().map(|change| (change.region, change.from, change.to.standing)).collect();
        let gone = (region('b'), Some(Standing::Connected), Standing::Gone);
        assert_eq!(told, [gone, (region('d'), None, Standing::Connected)]);
        assert_eq!(changes(&after, &after), []);
    }
}
