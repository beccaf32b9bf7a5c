//! What players can ask for, as it stands in inputs.
//!
//! | code | intent | numbers |
//! |---|---|---|
//! | 0 | walk to a place | x, y, thousandths of a unit |
//! | 1 | attack, or cast a skill | skill, id of the target (0 for oneself) |
//! | 2 | pick up | id of the item |
//! | 3 | use | code of the kind of item |
//! | 4 | stop | |

use gameserver_protocol::message::{FieldList, Fields};

use super::items::ItemKind;

/// What a player can ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intent {
    /// Walk to this place, thousandths of a unit.
    Move {
        /// East.
        x: i32,
        /// North.
        y: i32,
    },
    /// Attack or cast.
    Cast {
        /// Which skill; see [`super::rules::SKILLS`].
        skill: u32,
        /// Id of whom it is for; of no matter when it is for oneself.
        target: u32,
    },
    /// Pick up what lies near.
    PickUp {
        /// Id of the item.
        item: u32,
    },
    /// Use what one has.
    Use {
        /// One of this kind.
        kind: ItemKind,
    },
    /// Stand still.
    #[default]
    Stop,
}

impl Fields for Intent {
    fn to_fields(&self) -> FieldList {
        match *self {
            Self::Move { x, y } => FieldList::new(&[0, x.into(), y.into()]),
            Self::Cast { skill, target } => FieldList::new(&[1, skill.into(), target.into()]),
            Self::PickUp { item } => FieldList::new(&[2, item.into()]),
            Self::Use { kind } => FieldList::new(&[3, kind.code().into()]),
            Self::Stop => FieldList::new(&[4]),
        }
    }

    /// A place that is too far away for its type is the furthest there is, and an id that cannot be is nobody's, so
    /// that the rules refuse them by their own reasons.
    fn from_fields(fields: &[i64]) -> Option<Self> {
        Some(match *fields {
            [0, x, y] => Self::Move { x: nearest(x), y: nearest(y) },
            [1, skill, target] => {
                Self::Cast { skill: u32::try_from(skill).unwrap_or(u32::MAX), target: id(target) }
            }
            [2, item] => Self::PickUp { item: id(item) },
            [3, kind] => Self::Use { kind: ItemKind::from_code(u8::try_from(kind).ok()?)? },
            [4] => Self::Stop,
            _ => return None,
        })
    }
}

fn nearest(coordinate: i64) -> i32 {
    let end = if coordinate < 0 { i32::MIN } else { i32::MAX };
    i32::try_from(coordinate).unwrap_or(end)
}

fn id(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_code_says_its_intent_and_what_is_no_intent_says_nothing() {
        for (fields, expected) in [
            (&[0, 5, -6][..], Some(Intent::Move { x: 5, y: -6 })),
            (&[0, i64::MAX, i64::MIN], Some(Intent::Move { x: i32::MAX, y: i32::MIN })),
            (&[1, 1001, 7], Some(Intent::Cast { skill: 1001, target: 7 })),
            (&[1, -1, -1], Some(Intent::Cast { skill: u32::MAX, target: 0 })),
            (&[2, 9], Some(Intent::PickUp { item: 9 })),
            (&[2, i64::MAX], Some(Intent::PickUp { item: 0 })),
            (&[3, 1], Some(Intent::Use { kind: ItemKind::Potion })),
            (&[3, 0], None),
            (&[3, 257], None),
            (&[4], Some(Intent::Stop)),
            (&[4, 0], None),
            (&[0, 1], None),
            (&[0, 1, 2, 3], None),
            (&[5], None),
            (&[-1], None),
            (&[], None),
        ] {
            assert_eq!(Intent::from_fields(fields), expected, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn any_numbers_are_read_or_refused_and_what_is_read_comes_back(
            fields in prop::collection::vec(prop_oneof![0_i64..6, any::<i64>()], 0..9)
        ) {
            if let Some(intent) = Intent::from_fields(&fields) {
                prop_assert_eq!(Intent::from_fields(intent.to_fields().as_slice()), Some(intent));
            }
        }
    }
}
