//! What players know of themselves without being told.

use gameserver_game::Game;

/// A player as it was at a tick, from which its client predicts the next as the server does: what comes as predicted is no news.
#[derive(Clone, Debug)]
pub(crate) struct Foreseen<O>(Option<(u64, O)>);

impl<O> Default for Foreseen<O> {
    fn default() -> Self {
        Self(None)
    }
}

impl<O: Clone + PartialEq> Foreseen<O> {
    /// Takes the player as it is at `tick`. Returns whether that is what follows from the tick before if the player asked for
    /// nothing; false where that tick was not taken.
    pub(crate) fn comes_true<G: Game<Own = O>>(&mut self, tick_hz: u32, tick: u64, own: &O) -> bool {
        let before = self.0.replace((tick, own.clone()));
        before.filter(|&(before, _)| before + 1 == tick).is_some_and(|(_, mut foreseen)| {
            G::predict(tick_hz, tick, &mut foreseen, &[]);
            foreseen == *own
        })
    }
}
