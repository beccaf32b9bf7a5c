//! How a region is, from the game servers in it.

/// Game servers of a region by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wanted by all Fleets together.
    pub wanted: u32,
    /// Taking players.
    pub ready: u32,
    /// Silent or restarting.
    pub recovering: u32,
    /// Given up and not yet replaced.
    pub unhealthy: u32,
}

/// How a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every server that should take players does.
    Healthy,
    /// Some do not.
    Degraded,
    /// Servers are wanted and none takes players.
    Unhealthy,
}

/// Judges a region: a server that only just starts makes it Degraded, because it is wanted and takes nobody yet.
pub fn judge_health(counts: Counts) -> Health {
    if counts.wanted > 0 && counts.ready == 0 {
        Health::Unhealthy
    } else if counts.ready < counts.wanted || counts.recovering > 0 || counts.unhealthy > 0 {
        Health::Degraded
    } else {
        Health::Healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_follows_what_players_can_use() {
        for (name, wanted, ready, recovering, unhealthy, expected) in [
            ("nothing wanted, nothing there", 0, 0, 0, 0, Health::Healthy),
            ("all there", 3, 3, 0, 0, Health::Healthy),
            ("more than wanted, draining later", 3, 5, 0, 0, Health::Healthy),
            ("one starting", 3, 2, 0, 0, Health::Degraded),
            ("one silent", 3, 3, 1, 0, Health::Degraded),
            ("one given up", 3, 3, 0, 1, Health::Degraded),
            ("none takes players", 3, 0, 3, 0, Health::Unhealthy),
        ] {
            assert_eq!(judge_health(Counts { wanted, ready, recovering, unhealthy }), expected, "{name}");
        }
    }
}
