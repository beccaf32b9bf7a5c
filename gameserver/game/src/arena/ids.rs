//! Names of entities: counted up and never used again, with a way back to who has one in a single look.

/// Gives out ids and knows whose index each leads to.
///
/// The table has a place for each remainder of an id by its length; an id whose place is taken is passed over, so no
/// search is ever needed. It is twice as long as there can be entities.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    pub(crate) last: u32,
    /// Id and index; id 0 is nobody's.
    table: Vec<(u32, u32)>,
}

impl Ids {
    pub(crate) fn new(entities: u32) -> Self {
        let places = (entities.max(1) as usize * 2).next_power_of_two();
        Self { last: 0, table: vec![(0, 0); places] }
    }

    /// A new name for what has this index.
    pub(crate) fn give(&mut self, index: u32) -> u32 {
        loop {
            // after four thousand million names it begins anew
            self.last = self.last.wrapping_add(1);
            let place = self.place(self.last);
            if self.last != 0 && self.table[place].0 == 0 {
                self.table[place] = (self.last, index);
                return self.last;
            }
        }
    }

    pub(crate) fn free(&mut self, id: u32) {
        let place = self.place(id);
        if self.table[place].0 == id {
            self.table[place] = (0, 0);
        }
    }

    /// Who has this name.
    pub(crate) fn index_of(&self, id: u32) -> Option<usize> {
        let (owner, index) = self.table[self.place(id)];
        (id != 0 && owner == id).then_some(index as usize)
    }

    /// How many names lead to somebody; for simulations.
    pub(crate) fn count(&self) -> usize {
        self.table.iter().filter(|(id, _)| *id != 0).count()
    }

    fn place(&self, id: u32) -> usize {
        id as usize & (self.table.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_owner_until_it_is_given_back_and_never_comes_again() {
        let mut ids = Ids::new(3);
        let old = [ids.give(7), ids.give(8), ids.give(9)];
        assert_eq!(old.map(|id| ids.index_of(id)), [Some(7), Some(8), Some(9)]);
        for _ in 0..1000 {
            ids.free(old[1]);
            let id = ids.give(8);
            assert!(!old.contains(&id));
            assert_eq!(ids.index_of(old[1]), None);
            assert_eq!((ids.index_of(old[0]), ids.index_of(id)), (Some(7), Some(8)));
            ids.free(id);
        }
    }

    #[test]
    fn nobody_has_no_name_and_strangers_names_lead_nowhere() {
        let mut ids = Ids::new(2);
        let id = ids.give(0);
        for stranger in [0, id + 1, id + 4, u32::MAX] {
            assert_eq!(ids.index_of(stranger), None, "{stranger}");
            ids.free(stranger);
        }
        assert_eq!(ids.index_of(id), Some(0));
    }

    #[test]
    fn the_count_begins_anew_without_naming_nobody() {
        let mut ids = Ids { last: u32::MAX, ..Ids::new(2) };
        assert_eq!(ids.give(1), 1);
    }
}
