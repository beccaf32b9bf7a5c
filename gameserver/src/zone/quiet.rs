//! Whether all zones are drained at once: a decision from what their boards show one after the other.

/// What the board of a zone shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Nobody is there, and nobody can come with a token that this zone knows of.
    pub(super) is_drained: bool,
    /// Ticks since the start.
    pub(super) ticks: u64,
}

/// Remembers since when all zones are drained.
///
/// A zone that is drained takes in a player who was lost at another and comes back, for as long as that one's token is good. So
/// what a zone shows counts only when it is newer than the last of all of them became drained: by then no
/// token is good anywhere, and whoever came before shows.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// Ticks of each zone when all were first seen drained.
    since: Option<Box<[u64]>>,
}

impl Quiet {
    /// Takes what all zones show now; true when all of them are drained for good.
    pub(super) fn look(&mut self, zones: &[Shown]) -> bool {
        if !zones.iter().all(|zone| zone.is_drained) {
            self.since = None;
            return false;
        }
        let Some(since) = &self.since else {
            self.since = Some(zones.iter().map(|zone| zone.ticks).collect());
            return false;
        };
        zones.iter().zip(since).all(|(zone, &ticks)| zone.ticks > ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_drained_when_each_shows_it_after_the_last_became_so() {
        type Look = (bool, u64);
        type Case = (&'static str, &'static [[Look; 2]], &'static [bool]);
        let cases: [Case; 6] = [
            ("one is not", &[[(true, 1), (false, 1)], [(true, 9), (false, 9)]], &[false, false]),
            (
                "both, and again a tick later",
                &[[(true, 1), (true, 1)], [(true, 2), (true, 2)]],
                &[false, true],
            ),
            (
                "one stands still, and what it shows is old",
                &[[(true, 1), (true, 1)], [(true, 9), (true, 1)], [(true, 10), (true, 2)]],
                &[false, false, true],
            ),
            (
                "who stood still has taken somebody in",
                &[[(true, 1), (true, 1)], [(true, 9), (true, 1)], [(true, 10), (false, 2)]],
                &[false, false, false],
            ),
            (
                "and it begins anew when that player has left",
                &[
                    [(true, 1), (true, 1)],
                    [(true, 2), (false, 2)],
                    [(true, 3), (true, 3)],
                    [(true, 4), (true, 4)],
                ],
                &[false, false, false, true],
            ),
            (
                "it stays so",
                &[[(true, 1), (true, 1)], [(true, 2), (true, 2)], [(true, 2), (true, 2)]],
                &[false, true, true],
            ),
        ];
        for (name, looks, expected) in cases {
            let mut quiet = Quiet::default();
            let found: Vec<_> = looks
                .iter()
                .map(|look| quiet.look(&look.map(|(is_drained, ticks)| Shown { is_drained, ticks })))
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }
}
