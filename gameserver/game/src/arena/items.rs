//! What lies on the ground, and how it is picked up.

use gameserver_protocol::RejectReason;

use super::Arena;
use super::ids::Ids;
use super::movement::is_within;
use super::notices::Notice;
use super::rules::{ArenaRules, Clock, ITEM_LIES_MS, MAP_SIZE, PICK_UP_RANGE};
use crate::game::{Audience, Output};
use crate::random::RandomStream;

/// Kinds of items. The number is the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ItemKind {
    /// Gives back health.
    #[default]
    Potion = 1,
    /// Gives back mana.
    ManaPotion = 2,
    /// Pays for the end of bleeding and slowness.
    Coin = 3,
}

/// How many kinds there are.
pub const ITEM_KINDS: usize = 3;

impl ItemKind {
    /// Every kind, in the order of the codes.
    pub const ALL: [Self; ITEM_KINDS] = [Self::Potion, Self::ManaPotion, Self::Coin];

    /// In messages.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// How many of it a player can carry.
    pub const fn carried_max(self) -> u8 {
        match self {
            Self::Potion | Self::ManaPotion => 5,
            Self::Coin => 20,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize - 1
    }
}

/// Something that lies somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Item {
    /// 0 where nothing lies.
    pub(crate) id: u32,
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) kind: ItemKind,
    /// When it is gone by itself.
    pub(crate) expires: u64,
}

/// What lies on the ground, and what has become of everything that ever did: whatever was made lies, is held, was used
/// or has expired.
#[derive(Clone, Debug)]
pub(crate) struct Items {
    pub(crate) slots: Vec<Item>,
    /// Index of the first slot among all entities.
    pub(crate) first_index: u32,
    /// Where the search for a free slot begins.
    pub(crate) cursor: u32,
    pub(crate) lying: u32,
    /// By kind.
    pub(crate) made: [u64; ITEM_KINDS],
    pub(crate) used: [u64; ITEM_KINDS],
    pub(crate) expired: [u64; ITEM_KINDS],
}

impl Items {
    pub(crate) fn new(first_index: u32, count: u32) -> Self {
        Self {
            slots: vec![Item::default(); count as usize],
            first_index,
            cursor: 0,
            lying: 0,
            made: [0; ITEM_KINDS],
            used: [0; ITEM_KINDS],
            expired: [0; ITEM_KINDS],
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Puts a new item on the ground, as long as there is room.
    fn make(&mut self, ids: &mut Ids, kind: ItemKind, (x, y): (i32, i32), clock: Clock) {
        if self.lying == self.count() {
            return;
        }
        while self.slots[self.cursor as usize].id != 0 {
            self.cursor = (self.cursor + 1) % self.count();
        }
        let id = ids.give(self.first_index + self.cursor);
        self.slots[self.cursor as usize] = Item { id, x, y, kind, expires: clock.after(ITEM_LIES_MS) };
        self.lying += 1;
        self.made[kind.index()] += 1;
    }

    /// Takes an item off the ground.
    fn lift(&mut self, ids: &mut Ids, slot: usize) {
        ids.free(self.slots[slot].id);
        self.slots[slot] = Item::default();
        self.lying -= 1;
    }
}

/// Four potions, three mana potions and three coins in ten.
fn any_kind(chance: &mut RandomStream) -> ItemKind {
    match chance.below(10) {
        0..4 => ItemKind::Potion,
        4..7 => ItemKind::ManaPotion,
        _ => ItemKind::Coin,
    }
}

impl Arena {
    /// What has lain long enough is gone, and new things appear while less than half of the room is used.
    pub(super) fn turn_items(&mut self) {
        let (items, clock) = (&mut self.items, self.clock);
        for slot in 0..items.slots.len() {
            let Item { id, kind, expires, .. } = items.slots[slot];
            if id != 0 && clock.tick >= expires {
                items.lift(&mut self.ids, slot);
                items.expired[kind.index()] += 1;
            }
        }
        let half = items.count() / 2;
        // so many that half of the room is used in the long run
        let due = clock.share((half * 1000).div_ceil(ITEM_LIES_MS));
        for _ in 0..due {
            if items.lying < half {
                let mut along = || self.item_chance.below(MAP_SIZE.cast_unsigned() + 1).cast_signed();
                let place = (along(), along());
                let kind = any_kind(&mut self.item_chance);
                items.make(&mut self.ids, kind, place, clock);
            }
        }
    }

    /// What a dead NPC leaves.
    pub(super) fn drop_item(&mut self, place: (i32, i32)) {
        let kind = any_kind(&mut self.item_chance);
        self.items.make(&mut self.ids, kind, place, self.clock);
    }

    pub(super) fn pick_up(&mut self, player: u32, id: u32, output: &mut Output) -> Result<(), RejectReason> {
        let body = &self.bodies[player as usize];
        if !body.is_able(self.clock.tick) {
            return Err(RejectReason::CannotAct);
        }
        let slot = self.ids.index_of(id).and_then(|index| index.checked_sub(self.items.first_index as usize));
        let slot = slot.ok_or(RejectReason::NoSuchTarget)?;
        let item = self.items.slots[slot];
        if !is_within((body.x, body.y), (item.x, item.y), PICK_UP_RANGE) {
            return Err(RejectReason::OutOfRange);
        }
        let held = &mut self.players[player as usize].bag[item.kind.index()];
        if *held >= item.kind.carried_max() {
            return Err(RejectReason::InventoryFull);
        }
        *held += 1;
        let notice = Notice::ItemAcquired { kind: item.kind, held: *held, item: id };
        self.items.lift(&mut self.ids, slot);
        output.notices.push((Audience::Player(player), notice.into()));
        Ok(())
    }

    /// What a player had is gone with it.
    pub(super) fn discard_bag(&mut self, player: u32) {
        let bag = std::mem::take(&mut self.players[player as usize].bag);
        for (expired, held) in self.items.expired.iter_mut().zip(bag) {
            *expired += u64::from(held);
        }
    }

    /// Items there can be.
    pub(super) fn new_items(capacity: u32, rules: &ArenaRules) -> Items {
        let npcs = ArenaRules::npcs_max(capacity);
        Items::new(capacity + npcs, rules.items.min(ArenaRules::items_max(capacity)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_from_one_and_lead_back_to_their_kind() {
        for (kind, code) in ItemKind::ALL.into_iter().zip(1..) {
            assert_eq!((kind.code(), kind.index()), (code, usize::from(code) - 1));
            assert_eq!(ItemKind::from_code(code), Some(kind));
        }
        assert_eq!((ItemKind::from_code(0), ItemKind::from_code(4)), (None, None));
    }

    #[test]
    fn the_ground_takes_so_many_and_no_more_and_what_was_lifted_makes_room() {
        let (mut items, mut ids) = (Items::new(10, 3), Ids::new(20));
        let clock = Clock { tick: 5, hz: 20 };
        let make = |items: &mut Items, ids: &mut Ids| items.make(ids, ItemKind::Coin, (1, 2), clock);
        (0..5).for_each(|_| make(&mut items, &mut ids));
        assert_eq!((items.lying, items.made), (3, [0, 0, 3]));
        items.lift(&mut ids, 1);
        assert_eq!((items.lying, items.slots[1].id), (2, 0));
        make(&mut items, &mut ids);
        assert_eq!(ids.index_of(items.slots[1].id), Some(11));
        assert_eq!(items.slots[1].expires, 1205);
    }

    #[test]
    fn where_there_is_no_ground_nothing_is_made() {
        let (mut items, mut ids) = (Items::new(10, 0), Ids::new(20));
        items.make(&mut ids, ItemKind::Coin, (1, 2), Clock { tick: 5, hz: 20 });
        assert_eq!(items.made, [0; 3]);
    }
}
