//! Players in several regions at once, who must notice nothing of what happens between regions.

use crate::bots::Bots;
use crate::scratch::Scratch;

/// Players in each region.
pub struct Crowd {
    bots: Vec<(&'static str, Bots)>,
}

impl Crowd {
    /// Players in each region.
    pub const PLAYERS: u32 = 8;

    /// Players on the Fleet of this name in each of the regions, who stay for as long as a test may take.
    pub async fn gather<'a>(
        places: impl IntoIterator<Item = &'a Scratch>,
        fleet: impl Fn(&Scratch) -> String,
    ) -> Self {
        let mut bots = Vec::new();
        for place in places {
            let here = Bots::start(place, &fleet(place), Self::PLAYERS, (1, 7200, 1));
            here.await_playing(Self::PLAYERS.into()).await;
            bots.push((place.region.id, here));
        }
        Self { bots }
    }

    /// Nobody was thrown off, and everybody still plays.
    pub async fn leave_content(self) {
        for (region, bots) in self.bots {
            bots.await_playing(Self::PLAYERS.into()).await;
            let stats = bots.stop().await;
            assert_eq!(
                (stats.disconnects, stats.refused, stats.mismatches),
                (0, 0, 0),
                "{region}: {stats:?}"
            );
        }
    }
}
