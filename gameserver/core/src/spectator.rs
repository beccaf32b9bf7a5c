//! Those who only look on: where they look.

use gameserver_protocol::message::{FieldList, Fields};

use crate::replication::{Replication, Viewpoint};

/// What a spectator can ask for: `[0, x, y]`, a place in hundredths of a unit, or `[1, entity id]`, to go wherever that
/// one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Look at a place.
    Place {
        /// East, hundredths of a unit.
        x: i32,
        /// North, hundredths of a unit.
        y: i32,
    },
    /// Follow an entity for as long as it is there.
    Entity {
        /// Its id.
        id: u32,
    },
}

impl Fields for Watch {
    fn to_fields(&self) -> FieldList {
        match *self {
            Self::Place { x, y } => FieldList::new(&[0, x.into(), y.into()]),
            Self::Entity { id } => FieldList::new(&[1, id.into()]),
        }
    }

    fn from_fields(fields: &[i64]) -> Option<Self> {
        match *fields {
            [0, x, y] => Some(Self::Place { x: x.try_into().ok()?, y: y.try_into().ok()? }),
            [1, id] => Some(Self::Entity { id: id.try_into().ok()? }),
            _ => None,
        }
    }
}

/// Where a spectator looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Camera {
    x: i32,
    y: i32,
    follows: u32,
}

impl Camera {
    /// The middle of the map.
    pub(crate) fn new(map_units: i32) -> Self {
        let middle = map_units.saturating_mul(50);
        Self { x: middle, y: middle, follows: 0 }
    }

    pub(crate) fn watch(&mut self, watch: Watch) {
        match watch {
            Watch::Place { x, y } => *self = Self { x, y, follows: 0 },
            Watch::Entity { id } => self.follows = id,
        }
    }

    /// Goes where the one that it follows is; stays where it was lost.
    pub(crate) fn look(&mut self, replication: &Replication) -> Viewpoint {
        if self.follows != 0 {
            match replication.find(self.follows) {
                Some(entity) => (self.x, self.y) = (entity.x, entity.y),
                None => self.follows = 0,
            }
        }
        Viewpoint { x: self.x, y: self.y, own: None }
    }

    /// What a spectator is told about itself: where it looks, and whom it follows, 0 for nobody.
    pub(crate) fn fields(&self) -> FieldList {
        FieldList::new(&[self.x.into(), self.y.into(), self.follows.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spectator_asks_for_is_read_back_and_anything_else_is_not() {
        for watch in [Watch::Place { x: -5, y: i32::MAX }, Watch::Entity { id: u32::MAX }] {
            assert_eq!(Watch::from_fields(watch.to_fields().as_slice()), Some(watch));
        }
        for fields in [&[][..], &[0, 1], &[0, 1, 1 << 40], &[1, -1], &[2, 1], &[1, 1, 1]] {
            assert_eq!(Watch::from_fields(fields), None, "{fields:?}");
        }
    }
}
