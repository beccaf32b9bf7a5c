//! Which of several replicas' drain orders counts.

use crate::zone::Order;

/// Which drain is in force. Orders come from several replicas, late and doubled; the newest wins, and the end of the
/// process beats them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DrainOrders {
    /// Highest number seen, whether drained or taken back.
    newest: Option<u64>,
    in_force: Option<u64>,
    terminating: bool,
}

impl DrainOrders {
    /// A replica orders a drain; what the zone must be told, if anything.
    pub(crate) fn drain(&mut self, order: u64) -> Option<Order> {
        if self.newest.is_some_and(|newest| order <= newest) {
            return None;
        }
        let was_draining = self.is_draining();
        self.newest = Some(order);
        self.in_force = Some(order);
        (!was_draining).then_some(Order::Drain)
    }

    /// A replica takes a drain back.
    pub(crate) fn undrain(&mut self, order: u64) -> Option<Order> {
        if self.newest.is_some_and(|newest| order < newest) {
            return None;
        }
        let was_ordered = self.in_force.is_some();
        self.newest = Some(order);
        self.in_force = None;
        (was_ordered && !self.terminating).then_some(Order::Undrain)
    }

    /// The process is to end.
    pub(crate) fn terminate(&mut self) -> Option<Order> {
        let was_draining = self.is_draining();
        self.terminating = true;
        (!was_draining).then_some(Order::Drain)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.terminating || self.in_force.is_some()
    }

    /// Highest number seen, in force or taken back.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The replicas' order in force.
    pub(crate) fn in_force(&self) -> Option<u64> {
        self.in_force
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        Drain(u64),
        Undrain(u64),
        Terminate,
    }
    use Step::{Drain, Terminate, Undrain};

    #[test]
    fn the_newest_order_wins_whatever_comes_late_or_twice() {
        type Case = (&'static str, &'static [Step], Option<u64>, &'static [&'static str]);
        let cases: [Case; 10] = [
            ("nothing", &[], None, &[]),
            ("a drain", &[Drain(1)], Some(1), &["Drain"]),
            ("twice, by two replicas", &[Drain(1), Drain(1)], Some(1), &["Drain"]),
            ("a newer number for the same wish", &[Drain(1), Drain(2)], Some(2), &["Drain"]),
            ("taken back", &[Drain(1), Undrain(1)], None, &["Drain", "Undrain"]),
            ("taken back before it came", &[Undrain(1), Drain(1)], None, &[]),
            (
                "a late repeat of what was taken back",
                &[Drain(2), Undrain(2), Drain(2)],
                None,
                &["Drain", "Undrain"],
            ),
            ("an old undrain after a new drain", &[Drain(1), Drain(3), Undrain(1)], Some(3), &["Drain"]),
            ("drained again", &[Drain(1), Undrain(1), Drain(2)], Some(2), &["Drain", "Undrain", "Drain"]),
            ("the end beats an undrain", &[Drain(1), Terminate, Undrain(1)], None, &["Drain"]),
        ];
        for (name, steps, in_force, told) in cases {
            let mut orders = DrainOrders::default();
            let zone_heard: Vec<_> = steps
                .iter()
                .filter_map(|step| match *step {
                    Drain(order) => orders.drain(order),
                    Undrain(order) => orders.undrain(order),
                    Terminate => orders.terminate(),
                })
                .map(|order| format!("{order:?}"))
                .collect();
            assert_eq!(
                (orders.in_force(), zone_heard),
                (in_force, told.iter().map(ToString::to_string).collect()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_terminating_server_drains_without_an_order() {
        let mut orders = DrainOrders::default();
        assert!(orders.terminate().is_some());
        assert!(orders.is_draining());
        assert_eq!(orders.in_force(), None);
    }
}
