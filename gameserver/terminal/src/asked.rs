//! What was asked for and is not decided yet.

use std::collections::VecDeque;

use gameserver_client::{MAX_OPEN_INPUTS, Watch};
use gameserver_game::arena::intents::Intent;

use crate::scene::Point;

/// As many as the client library keeps: the oldest beyond that is given up there, and told to be.
const OPEN_MAX: usize = MAX_OPEN_INPUTS;

/// Something to ask the server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// As a player.
    Do(Intent),
    /// As a spectator.
    Watch(Watch),
}

impl Wish {
    /// The place that it names.
    pub(crate) fn place(&self) -> Option<Point> {
        match *self {
            Self::Do(Intent::Move { x, y }) => Some((f64::from(x) / 10.0, f64::from(y) / 10.0)),
            Self::Watch(Watch::Place { x, y }) => Some((x.into(), y.into())),
            _ => None,
        }
    }
}

/// Wishes by the number under which they were sent, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(VecDeque<(u32, Wish)>);

impl Asked {
    pub(crate) fn push(&mut self, sequence: u32, wish: Wish) {
        if self.0.len() == OPEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back((sequence, wish));
    }

    /// It is decided; what it was.
    pub(crate) fn settle(&mut self, sequence: u32) -> Option<Wish> {
        let at = self.0.iter().position(|&(open, _)| open == sequence)?;
        self.0.remove(at).map(|(_, wish)| wish)
    }

    pub(crate) fn open(&self) -> impl DoubleEndedIterator<Item = &Wish> {
        self.0.iter().map(|(_, wish)| wish)
    }

    /// Another session counts anew.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_open_until_it_is_decided_and_no_more_are_kept_than_can_be_under_way() {
        let mut asked = Asked::default();
        let go = |x| Wish::Do(Intent::Move { x, y: 0 });
        for (sequence, x) in (1..=262).zip(1..) {
            asked.push(sequence, go(x));
        }
        assert_eq!(asked.open().count(), 256, "as many as the client library keeps");
        assert_eq!((asked.settle(6), asked.settle(7)), (None, Some(go(7))), "the first six are given up");
        assert_eq!((asked.settle(262), asked.settle(262)), (Some(go(262)), None));
        assert_eq!(asked.open().next_back(), Some(&go(261)));
        assert_eq!(go(70).place(), Some((7.0, 0.0)));
    }
}
