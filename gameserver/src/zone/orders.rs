//! What the control thread tells a zone, and whether the zone has done it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use gameserver_queue::Producer;

use super::board::{Board, Figure};
use super::untold::Untold;

/// What the control thread tells a zone.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// The key that opens connect tokens.
    InstallKey([u8; 32]),
    /// Where players reach the server besides.
    ReachedAt(IpAddr),
    /// Only players with an older token from now on.
    Drain,
    /// Players again.
    Undrain,
    /// Say goodbye to everyone, then stop.
    Stop,
}

impl fmt::Debug for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::InstallKey(_) => "InstallKey", // and never the key itself
            Self::ReachedAt(_) => "ReachedAt",
            Self::Drain => "Drain",
            Self::Undrain => "Undrain",
            Self::Stop => "Stop",
        })
    }
}

/// The control thread's end of the queue of a zone; it shows on the zone's board how many it gave.
pub(super) struct Orders {
    queue: Producer<Order>,
    given: u64,
    untold: Untold,
    board: Arc<Board>,
}

impl Orders {
    pub(super) fn new(queue: Producer<Order>, board: Arc<Board>) -> Self {
        Self { queue, given: 0, untold: Untold::default(), board }
    }

    /// Queues an order for the next tick; false when the zone is gone or too far behind to take it now, and it is to be
    /// [offered](Self::offer) again.
    pub(super) fn give(&mut self, order: Order) -> bool {
        self.untold.add(order);
        self.offer()
    }

    /// Queues what there was no room for; false when there still is none.
    pub(super) fn offer(&mut self) -> bool {
        let Self { queue, given, untold, board } = self;
        untold.offer(|order| {
            let taken = !queue.is_abandoned() && queue.push(order).is_ok();
            *given += u64::from(taken);
            taken
        });
        board.set(Figure::OrdersGiven, *given);
        board.set(Figure::OrdersRefused, queue.refused());
        untold.is_empty()
    }

    /// Whether the zone has carried out all of them: what its board shows is newer than that.
    pub(super) fn are_carried_out(&self) -> bool {
        self.untold.is_empty() && self.board.get(Figure::OrdersApplied) == self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_queue::LockFreeQueue;

    #[test]
    fn orders_that_were_given_and_that_had_no_room_are_shown() {
        let board = Arc::new(Board::new(std::iter::empty()));
        let (queue, mut zone) = LockFreeQueue::spsc(2);
        let mut orders = Orders::new(queue, Arc::clone(&board));
        let taken = [Order::Drain, Order::Undrain, Order::Drain].map(|order| orders.give(order));
        let shown = || [Figure::OrdersGiven, Figure::OrdersRefused].map(|figure| board.get(figure));
        assert_eq!((taken, shown(), orders.are_carried_out()), ([true, true, false], [2, 1], false));
        board.set(Figure::OrdersApplied, 2);
        assert!(!orders.are_carried_out(), "one is still to be told");
        assert!(matches!(zone.pop(), Some(Order::Drain)));
        assert_eq!((orders.offer(), shown(), orders.are_carried_out()), (true, [3, 1], false));
        board.set(Figure::OrdersApplied, 3);
        assert!(orders.are_carried_out());
        drop(zone);
        assert_eq!((orders.give(Order::Stop), shown()), (false, [3, 1]), "nobody is there to take it");
    }
}
