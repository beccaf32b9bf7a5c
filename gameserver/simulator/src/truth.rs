//! What was true in a zone at each of the last ticks, to compare with what players were told.

use std::collections::VecDeque;

use gameserver_game::arena::own::Own;
use gameserver_game::{Entity, Game as _};

use crate::game::Watched;

/// Ticks that are kept.
const KEPT: usize = 64;

/// A zone at one tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    tick: u64,
    /// By index; an id of 0 is nobody.
    entities: Vec<Entity>,
    /// By slot: who is there, and what that player knows of itself.
    pub(crate) players: Vec<Option<(u64, Own)>>,
}

impl Moment {
    /// What there was to see with this index.
    pub(crate) fn entity(&self, index: u32) -> Option<&Entity> {
        self.entities.get(index as usize).filter(|entity| entity.id != 0)
    }

    /// The index of the entity with this id.
    pub(crate) fn index_of(&self, id: u32) -> Option<u32> {
        (0..).zip(&self.entities).find(|(_, entity)| id != 0 && entity.id == id).map(|(index, _)| index)
    }

    /// What this player knew of itself; `hint` is the slot where it was last.
    pub(crate) fn own(&self, client_id: u64, hint: &mut usize) -> Option<&Own> {
        let is_there = |slot: &Option<(u64, Own)>| slot.as_ref().is_some_and(|(id, _)| *id == client_id);
        if !self.players.get(*hint).is_some_and(is_there) {
            *hint = self.players.iter().position(is_there)?;
        }
        self.players[*hint].as_ref().map(|(_, own)| own)
    }
}

/// The newest moments of a zone.
#[derive(Debug, Default)]
pub(crate) struct Truth(VecDeque<Moment>);

impl Truth {
    pub(crate) fn record(&mut self, game: &Watched) {
        let mut moment = if self.0.len() == KEPT { self.0.pop_back() } else { None }.unwrap_or_default();
        moment.tick = game.tick();
        moment.entities.fill(Entity::default());
        for (index, entity) in game.arena().entities() {
            let index = index as usize;
            if moment.entities.len() <= index {
                moment.entities.resize(index + 1, Entity::default());
            }
            moment.entities[index] = entity;
        }
        let who = &game.notebook.borrow().who;
        moment.players.clear();
        moment.players.extend((0..).zip(who).map(|(slot, client_id)| Some(((*client_id)?, game.own(slot)?))));
        self.0.push_front(moment);
    }

    /// The zone so many ticks ago.
    pub(crate) fn ago(&self, ticks: usize) -> Option<&Moment> {
        self.0.get(ticks)
    }

    /// The zone at a tick, if that is not too long ago.
    pub(crate) fn at(&self, tick: u64) -> Option<&Moment> {
        let newest = self.0.front()?.tick;
        self.0.get(usize::try_from(newest.checked_sub(tick)?).ok()?).filter(|moment| moment.tick == tick)
    }
}
