//! When a session is over: nobody came for it, or everybody has left.

use std::time::Duration;

/// How long a session is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// From when the server took it until the first player is here.
    pub(crate) join: Duration,
    /// Since the last player was here. Whoever was only lost may come back for that long.
    pub(crate) linger: Duration,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nobody came.
    Unused,
    /// Everybody has left.
    Left,
}

impl End {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Left => "left",
        }
    }
}

/// One session as of the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    /// Whether anybody was here for it.
    was_joined: bool,
    /// When somebody was here last, or it began.
    since: Duration,
}

impl Stay {
    pub(crate) fn begin(now: Duration) -> Self {
        Self { was_joined: false, since: now }
    }

    /// So many players are here; whether it is over. A server with several sessions does not know whose a player is: none of them
    /// ends while anybody is here.
    pub(crate) fn look(&mut self, now: Duration, players: u64, patience: Patience) -> Option<End> {
        if players > 0 {
            *self = Self { was_joined: true, since: now };
            return None;
        }
        let alone = now.saturating_sub(self.since);
        if self.was_joined {
            (alone >= patience.linger).then_some(End::Left)
        } else {
            (alone >= patience.join).then_some(End::Unused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { join: Duration::from_secs(60), linger: Duration::from_secs(30) };

    #[test]
    fn a_session_ends_when_nobody_comes_for_it_or_when_everybody_has_left() {
        type Case = (&'static str, &'static [(u64, u64)], Option<(u64, End)>);
        let cases: [Case; 5] = [
            ("nobody comes", &[(59, 0), (60, 0)], Some((60, End::Unused))),
            ("somebody comes late and stays", &[(59, 1), (600, 1)], None),
            ("and leaves", &[(59, 1), (88, 0), (89, 0)], Some((89, End::Left))),
            ("and comes back", &[(1, 1), (30, 0), (30, 1), (59, 0)], None),
            ("one of two leaves", &[(1, 2), (100, 1), (200, 1)], None),
        ];
        for (name, looks, expected) in cases {
            let mut stay = Stay::begin(Duration::ZERO);
            let found = looks.iter().find_map(|&(second, players)| {
                let end = stay.look(Duration::from_secs(second), players, PATIENCE)?;
                Some((second, end))
            });
            assert_eq!(found, expected, "{name}");
        }
    }
}
