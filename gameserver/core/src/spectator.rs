//! Those who only look on: where they look.

use gameserver_protocol::message::{FieldList, Fields, Watch, Watched};

use crate::replication::{Replication, Viewpoint};

/// Where a spectator looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Camera(Watched);

impl Camera {
    /// The middle of the map.
    pub(crate) fn new(map_units: i32) -> Self {
        let middle = map_units.saturating_mul(50);
        Self(Watched { x: middle, y: middle, follows: 0 })
    }

    pub(crate) fn watch(&mut self, watch: Watch) {
        match watch {
            Watch::Place { x, y } => self.0 = Watched { x, y, follows: 0 },
            Watch::Entity { id } => self.0.follows = id,
        }
    }

    /// Goes where the one that it follows is; stays where it was lost.
    pub(crate) fn look(&mut self, replication: &Replication) -> Viewpoint {
        let Self(Watched { x, y, follows }) = self;
        if *follows != 0 {
            match replication.find(*follows) {
                Some(entity) => (*x, *y) = (entity.x, entity.y),
                None => *follows = 0,
            }
        }
        Viewpoint { x: *x, y: *y, own: None }
    }

    /// What a spectator is told about itself.
    pub(crate) fn fields(&self) -> FieldList {
        self.0.to_fields()
    }
}
