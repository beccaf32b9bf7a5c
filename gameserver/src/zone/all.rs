//! All zones of a process: started together, told the same, and ended together.

use gameserver_contract::Backend;

use super::board::Figure;
use super::boards::Boards;
use super::orders::Order;
use super::quiet::{Quiet, Shown};
use super::seat::Seat;
use super::thread::{Zone, ZoneConfig, ZoneError};

/// A zone could not start, or has not gone on until it was told to stop.
#[derive(Debug, thiserror::Error)]
#[error("zone {zone} failed")]
pub(crate) struct ZoneFailure {
    zone: usize,
    #[source]
    source: ZoneError,
}

/// What was chosen for a zone at its start and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ZoneFacts {
    pub(crate) backend: Backend,
    pub(crate) seat: Seat,
}

/// The zones of a process, as the control thread sees them.
pub(crate) struct Zones {
    threads: Vec<Zone>,
    boards: Boards,
    quiet: Quiet,
}

impl Zones {
    /// Starts one after the other, each when the one before has its backend open. When one cannot, those before it are ended
    /// again. All sockets must be bound by now, or one of them would get what is meant for one that is still to come.
    pub(crate) fn start(configs: impl IntoIterator<Item = ZoneConfig>) -> Result<Self, ZoneFailure> {
        Self::collect(configs.into_iter().map(Zone::start))
    }

    fn collect(starts: impl Iterator<Item = Result<Zone, ZoneError>>) -> Result<Self, ZoneFailure> {
        let mut zones = Vec::new();
        for (number, start) in starts.enumerate() {
            match start {
                Ok(zone) => zones.push(zone),
                Err(source) => {
                    let mut started = Self::of(zones);
                    // they have no key yet, so nobody plays there, and nothing else waits in their queues
                    started.tell(Order::Stop);
                    let _ended = started.join();
                    return Err(ZoneFailure { zone: number, source });
                }
            }
        }
        Ok(Self::of(zones))
    }

    fn of(threads: Vec<Zone>) -> Self {
        let boards = Boards::new(threads.iter().map(|zone| zone.board.clone()));
        Self { threads, boards, quiet: Quiet::default() }
    }

    /// What they show.
    pub(crate) fn boards(&self) -> &Boards {
        &self.boards
    }

    /// What was chosen for them, by number.
    pub(crate) fn facts(&self) -> Vec<ZoneFacts> {
        let facts = |zone: &Zone| ZoneFacts { backend: backend(zone.backend), seat: zone.seat };
        self.threads.iter().map(facts).collect()
    }

    /// Has each zone carry this out at its next tick. Where there is no room it is offered again.
    pub(crate) fn tell(&mut self, order: Order) {
        for (number, zone) in self.threads.iter_mut().enumerate() {
            if !zone.order(order) && !zone.is_finished() {
                tracing::warn!(
                    zone = number,
                    ?order,
                    "no room for an order; it is offered again until there is"
                );
            }
        }
    }

    /// Offers each zone what it had no room for, and looks whether the drain that was ordered last is complete.
    pub(crate) fn look(&mut self) -> bool {
        for zone in &mut self.threads {
            zone.offer_untold();
        }
        let shown: Vec<_> = self
            .threads
            .iter()
            .map(|zone| {
                // first the tick: what is read after it is of that tick or a newer one, since the zone shows it last
                let ticks = zone.board.get(Figure::Ticks);
                Shown { is_drained: zone.is_drained(), ticks }
            })
            .collect();
        self.quiet.look(&shown)
    }

    /// Whether all have carried out every order and nobody is in any of them.
    pub(crate) fn are_empty(&self) -> bool {
        // in this order: who came in the tick before a drain shows only when that was carried out
        self.have_obeyed() && self.boards.sum(Figure::Players) == 0
    }

    fn have_obeyed(&self) -> bool {
        self.threads.iter().all(Zone::has_obeyed)
    }

    /// Whether a zone has ended, told to or not.
    pub(crate) fn any_finished(&self) -> bool {
        self.threads.iter().any(Zone::is_finished)
    }

    pub(crate) fn all_finished(&self) -> bool {
        self.threads.iter().all(Zone::is_finished)
    }

    /// Whoever has ended of those that were told to: the first failure, or else that one goes on all the same.
    pub(crate) fn end(self) -> Result<(), ZoneFailure> {
        let zones = self.threads.into_iter().enumerate();
        let (ended, stuck): (Vec<_>, Vec<_>) = zones.partition(|(_, zone)| zone.is_finished());
        for (zone, thread) in ended {
            thread.join().map_err(|source| ZoneFailure { zone, source })?;
        }
        match stuck.first() {
            Some(&(zone, _)) => Err(ZoneFailure { zone, source: ZoneError::Stuck }),
            None => Ok(()),
        }
    }

    /// Waits until all have ended; the first failure.
    fn join(self) -> Result<(), ZoneFailure> {
        let joined = self
            .threads
            .into_iter()
            .enumerate()
            .map(|(zone, thread)| thread.join().map_err(|source| ZoneFailure { zone, source }));
        // none is left unjoined because one before it failed
        joined.collect::<Vec<_>>().into_iter().collect()
    }
}

fn backend(backend: gameserver_net::Backend) -> Backend {
    match backend {
        gameserver_net::Backend::Uring => Backend::Uring,
        gameserver_net::Backend::TokioUring => Backend::TokioUring,
        gameserver_net::Backend::Mmsg => Backend::Mmsg,
        gameserver_net::Backend::Memory => Backend::Memory,
    }
}

/// Threads that are no zones and do what a zone may do.
#[cfg(test)]
pub(crate) mod fake {
    use std::sync::Arc;
    use std::sync::mpsc::Sender;

    use super::*;
    use crate::zone::board::Board;
    use crate::zone::orders::Order;

    #[derive(Clone)]
    pub(crate) enum Fake {
        /// Tells each order that it gets, until it is to stop.
        Tells(Sender<(usize, String)>),
        /// Fails as soon as it runs.
        Fails,
        /// Cannot be started.
        CannotStart,
    }

    impl Zones {
        pub(crate) fn fake(fakes: &[Fake]) -> Result<Self, ZoneFailure> {
            let starts = fakes.iter().enumerate().map(|(number, fake)| start(number, fake.clone()));
            Self::collect(starts)
        }
    }

    fn start(number: usize, fake: Fake) -> Result<Zone, ZoneError> {
        Zone::spawn(number, move |mut orders, opened| {
            let tell = match &fake {
                Fake::CannotStart => return Err(ZoneError::Panicked),
                Fake::Fails => None,
                Fake::Tells(tell) => Some(tell),
            };
            let board = Arc::new(Board::new(std::iter::empty()));
            let seat = Seat { placement: "unbound", node: None, memory: "default" };
            let shown = Arc::clone(&board);
            opened.send((board, gameserver_net::Backend::Memory, seat)).unwrap();
            let Some(tell) = tell else { return Err(ZoneError::Panicked) };
            let mut applied = 0;
            loop {
                let Some(order) = orders.pop() else {
                    std::thread::yield_now();
                    continue;
                };
                applied += 1;
                shown.set(Figure::OrdersApplied, applied);
                tell.send((number, format!("{order:?}"))).unwrap();
                if matches!(order, Order::Stop) {
                    return Ok(());
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use gameserver_sys::Clock;

    use super::fake::Fake;
    use super::*;
    use crate::zone::board::Board;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn every_zone_is_told_every_order() {
        let (tell, told) = channel();
        let mut zones = Zones::fake(&vec![Fake::Tells(tell); 3]).unwrap();
        for order in [
            Order::ReachedAt([192, 0, 2, 7].into()),
            Order::InstallKey([7; 32]),
            Order::Drain,
            Order::Undrain,
            Order::Stop,
        ] {
            zones.tell(order);
            let heard: BTreeSet<_> = (0..3).filter_map(|_| told.recv_timeout(PATIENCE).ok()).collect();
            let expected = (0..3).map(|zone| (zone, format!("{order:?}"))).collect();
            assert_eq!(heard, expected);
            // each shows it before it tells
            assert!(zones.have_obeyed(), "{order:?}");
        }
        zones.join().unwrap();
    }

    #[test]
    fn zones_have_obeyed_when_the_last_of_them_has() {
        let (tell, told) = channel();
        let mut zones = Zones::fake(&[Fake::Tells(tell), Fake::Fails]).unwrap();
        zones.tell(Order::Drain);
        told.recv_timeout(PATIENCE).unwrap();
        assert!(!zones.have_obeyed(), "one is gone and has not");
        zones.tell(Order::Stop);
        assert!(zones.join().is_err());
    }

    #[test]
    fn zones_are_empty_when_they_have_obeyed_and_whoever_came_just_before_has_gone() {
        let (let_go, may_go) = channel::<()>();
        let zone = Zone::spawn(0, move |mut orders, opened| {
            let board = Arc::new(Board::new(std::iter::empty()));
            let seat = Seat { placement: "unbound", node: None, memory: "default" };
            opened.send((Arc::clone(&board), gameserver_net::Backend::Memory, seat)).unwrap();
            // a player comes in the tick in which the order is carried out, and leaves in a later one
            may_go.recv().unwrap();
            board.set(Figure::Players, 1);
            assert!(matches!(orders.pop(), Some(Order::Drain)));
            board.set(Figure::OrdersApplied, 1);
            may_go.recv().unwrap();
            board.set(Figure::Players, 0);
            Ok(())
        });
        let mut zones = Zones::collect(std::iter::once(zone)).unwrap();
        assert!(zones.are_empty(), "nothing was ordered, and nobody is here");
        zones.tell(Order::Drain);
        assert!(!zones.are_empty(), "who comes before it is carried out does not show yet");
        let_go.send(()).unwrap();
        let until = |what: &str, is_so: &dyn Fn(&Zones) -> bool| {
            let clock = Clock::start();
            while !is_so(&zones) {
                assert!(clock.monotonic() < PATIENCE, "waited in vain for {what}");
                std::thread::yield_now();
            }
        };
        until("the order to be carried out", &Zones::have_obeyed);
        assert!(!zones.are_empty(), "somebody has come");
        let_go.send(()).unwrap();
        until("them to be empty", &Zones::are_empty);
        zones.join().unwrap();
    }

    #[test]
    fn a_zone_that_cannot_start_is_named_and_those_before_it_have_ended() {
        let (tell, told) = channel();
        let fakes = [Fake::Tells(tell.clone()), Fake::Tells(tell), Fake::CannotStart];
        let (ended, outcome) = channel();
        // on a thread of its own, so that a zone that goes on fails this test and does not hold it up
        let _detached = std::thread::spawn(move || ended.send(Zones::fake(&fakes).err()));
        let failure = outcome.recv_timeout(PATIENCE).expect("it ends").unwrap();
        assert_eq!(failure.to_string(), "zone 2 failed");
        let told: BTreeSet<_> = told.try_iter().collect();
        assert_eq!(told, [0, 1].map(|zone| (zone, "Stop".to_owned())).into());
    }
}
