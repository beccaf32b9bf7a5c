//! Those who only look on: where they look.

use gameserver_protocol::message::{FieldList, Fields, Watch, Watched};

use crate::replication::{Replication, Viewpoint};

/// Where a spectator looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Camera {
    watched: Watched,
    /// Index at which the one that it follows was last.
    last: u32,
}

impl Camera {
    /// The middle of the map.
    pub(crate) fn new(map_units: i32) -> Self {
        let middle = map_units.saturating_mul(50);
        Self { watched: Watched { x: middle, y: middle, follows: 0 }, last: 0 }
    }

    pub(crate) fn watch(&mut self, watch: Watch) {
        match watch {
            Watch::Place { x, y } => self.watched = Watched { x, y, follows: 0 },
            Watch::Entity { id } => self.watched.follows = id,
        }
    }

    /// Goes where the one that it follows is; stays where it was lost.
    pub(crate) fn look(&mut self, replication: &Replication) -> Viewpoint {
        let Self { watched: Watched { x, y, follows }, last } = self;
        if *follows != 0 {
            match replication.find(*follows, *last) {
                Some((index, entity)) => (*x, *y, *last) = (entity.x, entity.y, index),
                None => *follows = 0,
            }
        }
        Viewpoint { x: *x, y: *y, own: None }
    }

    /// What a spectator is told about itself.
    pub(crate) fn fields(&self) -> FieldList {
        self.watched.to_fields()
    }
}

#[cfg(test)]
mod tests {
    use gameserver_game::arena::{Arena, NPC_KIND};
    use gameserver_game::{Game, Output, Setup};

    use super::*;
    use crate::looks;

    #[test]
    fn whoever_follows_somebody_asks_everybody_once_and_then_the_one_that_it_follows() {
        let mut arena = Arena::new(Setup { capacity: 100, tick_hz: 64, seed: 1 });
        let mut replication = Replication::new::<Arena>(100, 64, 20);
        let npcs = arena.entities().filter(|(_, entity)| entity.kind == NPC_KIND);
        let (index, npc) = npcs.last().expect("there are some");
        let mut camera = Camera::new(Arena::MAP_UNITS);
        camera.watch(Watch::Entity { id: npc.id });
        for tick in 0..1000 {
            arena.step(&[], &mut Output::default());
            replication.record(&arena);
            let looks = looks::taken_by(|| _ = camera.look(&replication));
            assert_eq!(looks, if tick == 0 { u64::from(index) + 2 } else { 1 }, "tick {tick}");
            let (_, now) = arena.entities().find(|&(at, _)| at == index).expect("it goes on");
            assert_eq!(camera.watched, Watched { x: now.x, y: now.y, follows: npc.id }, "tick {tick}");
        }
    }
}
