//! What the zone is to be told and has had no room for yet.

use std::net::IpAddr;

use super::orders::Order;

/// Orders that the zone has not taken. It is bounded because only what still matters is kept: the newest key and address, of
/// drains given and taken back those that make the zone stand as the last one wants it, and the end.
#[derive(Default)]
pub(super) struct Untold {
    key: Option<[u8; 32]>,
    reached_at: Option<IpAddr>,
    undrain: bool,
    /// After `undrain` if that is there too: a zone that drains already counts anew from there.
    drain: bool,
    stop: bool,
}

impl Untold {
    /// The zone is to be told this.
    pub(super) fn add(&mut self, order: Order) {
        match order {
            Order::InstallKey(key) => self.key = Some(key),
            Order::ReachedAt(address) => self.reached_at = Some(address),
            Order::Drain => self.drain = true,
            Order::Undrain => (self.undrain, self.drain) = (true, false),
            Order::Stop => self.stop = true,
        }
    }

    /// Offers everything to `take`, in order, until it says that there is no room.
    pub(super) fn offer(&mut self, mut take: impl FnMut(Order) -> bool) {
        // before the key, so that nobody comes who is refused for it
        if let Some(address) = self.reached_at {
            if !take(Order::ReachedAt(address)) {
                return;
            }
            self.reached_at = None;
        }
        if let Some(key) = self.key {
            if !take(Order::InstallKey(key)) {
                return;
            }
            self.key = None;
        }
        for (waits, order) in [
            (&mut self.undrain, Order::Undrain),
            (&mut self.drain, Order::Drain),
            (&mut self.stop, Order::Stop),
        ] {
            if *waits && !take(order) {
                return;
            }
            *waits = false;
        }
    }

    /// Whether the zone has been told everything.
    pub(super) fn is_empty(&self) -> bool {
        self.reached_at.is_none() && self.key.is_none() && !self.undrain && !self.drain && !self.stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Order::{Drain, InstallKey, Stop, Undrain};

    /// What a zone hears that has room for so many orders at each look.
    fn heard(untold: &mut Untold, mut room: usize) -> Vec<String> {
        let mut heard = Vec::new();
        untold.offer(|order| {
            let taken = room > 0;
            room = room.saturating_sub(1);
            if taken {
                heard.push(format!("{order:?}"));
            }
            taken
        });
        heard
    }

    #[test]
    fn what_a_full_zone_does_not_take_is_offered_again() {
        type Case = (&'static str, Vec<Order>, &'static [&'static str]);
        let key = || InstallKey([7; 32]);
        let at = || Order::ReachedAt([192, 0, 2, 7].into());
        let cases: [Case; 11] = [
            ("nothing", vec![], &[]),
            ("a drain", vec![Drain], &["Drain"]),
            ("a drain that is taken back", vec![Drain, Undrain], &["Undrain"]),
            ("given again", vec![Undrain, Drain], &["Undrain", "Drain"]),
            ("to and fro", vec![Drain, Undrain, Drain, Undrain, Drain], &["Undrain", "Drain"]),
            ("a key", vec![key()], &["InstallKey"]),
            ("two keys", vec![key(), key()], &["InstallKey"]),
            ("an address", vec![at()], &["ReachedAt"]),
            ("an address before a key", vec![key(), at()], &["ReachedAt", "InstallKey"]),
            ("a key first", vec![Drain, key()], &["InstallKey", "Drain"]),
            ("the end last", vec![Stop, Drain, key()], &["InstallKey", "Drain", "Stop"]),
        ];
        for (name, orders, expected) in cases {
            let mut untold = Untold::default();
            for order in orders {
                untold.add(order);
            }
            assert_eq!(heard(&mut untold, 0), Vec::<String>::new(), "{name}: no room");
            assert_eq!(untold.is_empty(), expected.is_empty(), "{name}: none is lost");
            let mut all = Vec::new();
            for _ in expected {
                all.extend(heard(&mut untold, 1));
            }
            assert_eq!(all, expected, "{name}");
            assert!(untold.is_empty(), "{name}: told");
            assert_eq!(heard(&mut untold, 9), Vec::<String>::new(), "{name}: none is told twice");
        }
    }

    #[test]
    fn the_newest_key_counts() {
        let mut untold = Untold::default();
        untold.add(InstallKey([1; 32]));
        untold.add(InstallKey([2; 32]));
        untold.offer(|order| matches!(order, InstallKey(key) if key == [2; 32]));
        assert!(untold.is_empty());
    }
}
