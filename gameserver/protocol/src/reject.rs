//! Reasons for which an input is refused: reply, metric label and sentence in one.

use std::fmt;

/// Why an input was refused. One value is the reply to the client (its code), the metric label
/// ([`RejectReason::as_str`]) and the sentence a player may read (its `Display`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum RejectReason {
    /// The target lies outside the map.
    OutOfBounds = 1,
    /// The target is further away than one second of walking.
    MoveTooFar = 2,
    /// The player is dead or stunned.
    CannotMove = 3,
    /// The player has moved too often lately.
    MoveOnCooldown = 4,
    /// The player has sent too many inputs lately.
    RateLimited = 5,
    /// The input names a tick too far in the future.
    TickTooFarAhead = 6,
    /// The game has no such act.
    UnknownAction = 7,
    /// The player is dead or stunned, or the match is over.
    CannotAct = 8,
    /// What the act is aimed at is not there, or not to be aimed at.
    NoSuchTarget = 9,
    /// What the act is aimed at is further away than the act reaches.
    OutOfRange = 10,
    /// The skill was used too lately.
    SkillOnCooldown = 11,
    /// The act costs more than the player has.
    NotEnoughMana = 12,
    /// The player can carry no more of it.
    InventoryFull = 13,
    /// Spectators watch, and players play.
    NotYours = 14,
    /// The zone has more to do than a tick carries out, and the input has waited long enough.
    Overloaded = 15,
}

impl RejectReason {
    /// Every reason, in the order of the codes.
    pub const ALL: [Self; 15] = [
        Self::OutOfBounds,
        Self::MoveTooFar,
        Self::CannotMove,
        Self::MoveOnCooldown,
        Self::RateLimited,
        Self::TickTooFarAhead,
        Self::UnknownAction,
        Self::CannotAct,
        Self::NoSuchTarget,
        Self::OutOfRange,
        Self::SkillOnCooldown,
        Self::NotEnoughMana,
        Self::InventoryFull,
        Self::NotYours,
        Self::Overloaded,
    ];

    /// The code on the wire, from 1.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// Label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfBounds => "out_of_bounds",
            Self::MoveTooFar => "move_too_far",
            Self::CannotMove => "cannot_move",
            Self::MoveOnCooldown => "move_on_cooldown",
            Self::RateLimited => "rate_limited",
            Self::TickTooFarAhead => "tick_too_far_ahead",
            Self::UnknownAction => "unknown_action",
            Self::CannotAct => "cannot_act",
            Self::NoSuchTarget => "no_such_target",
            Self::OutOfRange => "out_of_range",
            Self::SkillOnCooldown => "skill_on_cooldown",
            Self::NotEnoughMana => "not_enough_mana",
            Self::InventoryFull => "inventory_full",
            Self::NotYours => "not_yours",
            Self::Overloaded => "overloaded",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OutOfBounds => "Out of bounds",
            Self::MoveTooFar => "Move distance too large",
            Self::CannotMove => "Cannot move in current state",
            Self::MoveOnCooldown => "Move on cooldown",
            Self::RateLimited => "Too many inputs",
            Self::TickTooFarAhead => "Input tick too far ahead",
            Self::UnknownAction => "Unknown action",
            Self::CannotAct => "Cannot act in current state",
            Self::NoSuchTarget => "Target does not exist",
            Self::OutOfRange => "Target out of range",
            Self::SkillOnCooldown => "Skill on cooldown",
            Self::NotEnoughMana => "Not enough mana",
            Self::InventoryFull => "Inventory full",
            Self::NotYours => "Not for this role",
            Self::Overloaded => "Server is overloaded",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_count_from_one_and_lead_back_to_their_reason() {
        for (reason, code) in RejectReason::ALL.into_iter().zip(1..) {
            assert_eq!(reason.code(), code);
            assert_eq!(RejectReason::from_code(code), Some(reason));
        }
        assert_eq!(RejectReason::from_code(0), None);
        assert_eq!(RejectReason::from_code(16), None);
    }

    #[test]
    fn each_reason_has_a_label_and_a_sentence_of_its_own() {
        let labels: BTreeSet<_> = RejectReason::ALL.iter().map(|reason| reason.as_str()).collect();
        let sentences: BTreeSet<_> = RejectReason::ALL.iter().map(ToString::to_string).collect();
        assert_eq!((labels.len(), sentences.len()), (RejectReason::ALL.len(), RejectReason::ALL.len()));
        let is_label = |label: &&str| label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(labels.iter().all(is_label), "{labels:?}");
        let is_sentence = |text: &String| text.starts_with(|first: char| first.is_ascii_uppercase());
        assert!(sentences.iter().all(is_sentence), "{sentences:?}");
    }

    /// `B3`: the texts that players see.
    #[test]
    fn reasons_of_the_move_rules_read_as_agreed() {
        let texts: Vec<_> = RejectReason::ALL[..4].iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["Out of bounds", "Move distance too large", "Cannot move in current state", "Move on cooldown"]
        );
    }
}
