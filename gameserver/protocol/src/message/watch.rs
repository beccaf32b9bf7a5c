//! Where those look who only look on: what they ask for, and what they are told.

use super::{FieldList, Fields};

/// What a spectator can ask for, as an intent: `[0, x, y]`, a place in hundredths of a unit, or `[1, entity id]`, to go
/// wherever that one goes.
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

/// What a spectator is told about itself: `[x, y, entity id]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Where it looks: east, hundredths of a unit.
    pub x: i32,
    /// North, hundredths of a unit.
    pub y: i32,
    /// Id of whom it follows, 0 for nobody.
    pub follows: u32,
}

impl Fields for Watched {
    fn to_fields(&self) -> FieldList {
        FieldList::new(&[self.x.into(), self.y.into(), self.follows.into()])
    }

    fn from_fields(fields: &[i64]) -> Option<Self> {
        let [x, y, follows] = *fields else { return None };
        Some(Self { x: x.try_into().ok()?, y: y.try_into().ok()?, follows: follows.try_into().ok()? })
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

    #[test]
    fn where_a_spectator_looks_is_read_as_it_was_told_and_anything_else_is_not() {
        let watched = Watched { x: -5, y: i32::MAX, follows: u32::MAX };
        assert_eq!(Watched::from_fields(watched.to_fields().as_slice()), Some(watched));
        for fields in [&[][..], &[1, 1], &[1, 1, -1], &[1 << 40, 1, 0], &[1, 1, 0, 0]] {
            assert_eq!(Watched::from_fields(fields), None, "{fields:?}");
        }
    }
}
