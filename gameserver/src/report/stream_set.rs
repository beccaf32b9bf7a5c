//! Which report streams there should be: one to each operator replica, by way of the Service at first and whenever
//! all are lost (rule 14). Decisions only; time and randomness come in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_contract::MAX_REPLICAS;

use super::backoff::next_backoff;

/// What to do about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Connect(SocketAddr),
    Close(SocketAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Connecting { attempt: u32 },
    Open,
    Waiting { attempt: u32, until: Duration },
}

impl Stream {
    fn has_failed(self) -> bool {
        match self {
            Self::Connecting { attempt } => attempt > 0,
            Self::Open => false,
            Self::Waiting { .. } => true,
        }
    }
}

/// The streams of one server.
#[derive(Clone, Debug)]
pub(crate) struct StreamSet {
    service: SocketAddr,
    replicas: BTreeSet<SocketAddr>,
    streams: BTreeMap<SocketAddr, Stream>,
}

impl StreamSet {
    pub(crate) fn new(service: SocketAddr) -> Self {
        Self { service, replicas: BTreeSet::new(), streams: BTreeMap::new() }
    }

    /// An operator replica said who all of them are. An empty list says nothing: whoever sent it exists.
    pub(crate) fn learn(&mut self, replicas: &[SocketAddr]) {
        if !replicas.is_empty() {
            self.replicas = replicas.iter().copied().take(MAX_REPLICAS).collect();
        }
    }

    /// The peer welcomed us.
    pub(crate) fn opened(&mut self, peer: SocketAddr) {
        if let Some(stream) = self.streams.get_mut(&peer) {
            *stream = Stream::Open;
        }
    }

    /// The stream ended or never came to be.
    pub(crate) fn lost(&mut self, peer: SocketAddr, now: Duration, random: u32) {
        if let Some(stream) = self.streams.get_mut(&peer) {
            let attempt = match *stream {
                Stream::Connecting { attempt } | Stream::Waiting { attempt, .. } => attempt.saturating_add(1),
                Stream::Open => 1,
            };
            *stream = Stream::Waiting { attempt, until: now + next_backoff(attempt, random) };
        }
    }

    /// What to do now. The caller does all of it.
    pub(crate) fn poll(&mut self, now: Duration) -> Vec<Action> {
        let wanted = self.wanted();
        let mut actions = Vec::new();
        self.streams.retain(|&peer, stream| {
            let keep = wanted.contains(&peer);
            if !keep && !matches!(stream, Stream::Waiting { .. }) {
                actions.push(Action::Close(peer));
            }
            keep
        });
        for peer in wanted {
            let attempt = match self.streams.get(&peer) {
                None => 0,
                Some(&Stream::Waiting { attempt, until }) if until <= now => attempt,
                Some(_) => continue,
            };
            self.streams.insert(peer, Stream::Connecting { attempt });
            actions.push(Action::Connect(peer));
        }
        actions
    }

    /// When [`Self::poll`] has something to do again.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let waiting = self.streams.values().filter_map(|stream| match stream {
            Stream::Waiting { until, .. } => Some(*until),
            Stream::Connecting { .. } | Stream::Open => None,
        });
        waiting.min()
    }

    /// Streams that are open.
    pub(crate) fn open_count(&self) -> usize {
        self.streams.values().filter(|&&stream| stream == Stream::Open).count()
    }

    fn wanted(&self) -> BTreeSet<SocketAddr> {
        let mut wanted = self.replicas.clone();
        let state = |peer| self.streams.get(peer).copied();
        let none_open = !self.replicas.iter().any(|peer| state(peer) == Some(Stream::Open));
        let all_failed = self.replicas.iter().all(|peer| state(peer).is_some_and(Stream::has_failed));
        // the Service's stream stays until a replica's own is up, and comes back when all of those are lost
        if none_open && (all_failed || state(&self.service).is_some()) {
            wanted.insert(self.service);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Close, Connect};

    const NOW: Duration = Duration::from_secs(100);
    const LATER: Duration = Duration::from_secs(200);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    const SERVICE: u16 = 1;

    /// A set with open streams to these replicas and none to the Service.
    fn connected(replicas: &[u16]) -> StreamSet {
        let mut set = StreamSet::new(address(SERVICE));
        set.poll(NOW);
        set.opened(address(SERVICE));
        set.learn(&replicas.iter().copied().map(address).collect::<Vec<_>>());
        set.poll(NOW);
        for &replica in replicas {
            set.opened(address(replica));
        }
        set.poll(NOW);
        set
    }

    #[test]
    fn the_first_stream_goes_to_the_service() {
        let mut set = StreamSet::new(address(SERVICE));
        assert_eq!(set.poll(NOW), [Connect(address(SERVICE))]);
        assert_eq!(set.poll(NOW), [], "one at a time");
    }

    #[test]
    fn a_welcome_leads_to_one_stream_per_replica_and_then_away_from_the_service() {
        let mut set = StreamSet::new(address(SERVICE));
        set.poll(NOW);
        set.opened(address(SERVICE));
        set.learn(&[address(2), address(3)]);
        assert_eq!(set.poll(NOW), [Connect(address(2)), Connect(address(3))]);
        assert_eq!(set.open_count(), 1, "the Service's stream stays until then");
        set.opened(address(3));
        assert_eq!(set.poll(NOW), [Close(address(SERVICE))]);
        assert_eq!(set.open_count(), 1);
    }

    #[test]
    fn a_changed_set_of_replicas_is_followed() {
        let mut set = connected(&[2, 3]);
        set.learn(&[address(3), address(4)]);
        assert_eq!(set.poll(NOW), [Close(address(2)), Connect(address(4))]);
    }

    #[test]
    fn a_lost_replica_is_tried_again_after_its_backoff_and_not_by_the_service() {
        let mut set = connected(&[2, 3]);
        set.lost(address(2), NOW, u32::MAX);
        assert_eq!(set.poll(NOW), []);
        assert_eq!(set.poll_timeout(), Some(NOW + Duration::from_millis(100)));
        assert_eq!(set.poll(NOW + Duration::from_millis(100)), [Connect(address(2))]);
        set.lost(address(2), NOW, u32::MAX);
        assert_eq!(set.poll_timeout(), Some(NOW + Duration::from_millis(200)), "the wait doubles");
    }

    #[test]
    fn when_all_are_lost_it_is_back_to_the_service_and_its_replicas_count_from_then() {
        let mut set = connected(&[2, 3]);
        set.lost(address(2), NOW, 0);
        set.lost(address(3), NOW, 0);
        assert_eq!(set.poll(NOW), [Connect(address(SERVICE))]);
        set.opened(address(SERVICE));
        set.learn(&[address(5)]);
        assert_eq!(set.poll(NOW), [Connect(address(5))]);
        set.opened(address(5));
        assert_eq!(set.poll(NOW), [Close(address(SERVICE))]);
    }

    #[test]
    fn the_service_is_tried_again_with_backoff_too() {
        let mut set = StreamSet::new(address(SERVICE));
        set.poll(NOW);
        set.lost(address(SERVICE), NOW, u32::MAX);
        assert_eq!(set.poll(NOW), []);
        assert_eq!(set.poll(LATER), [Connect(address(SERVICE))]);
    }

    #[test]
    fn a_replica_that_comes_back_first_makes_the_service_unneeded() {
        let mut set = connected(&[2]);
        set.lost(address(2), NOW, 0);
        assert_eq!(set.poll(NOW), [Connect(address(SERVICE))]);
        assert_eq!(set.poll(LATER), [Connect(address(2))]);
        set.opened(address(2));
        assert_eq!(set.poll(LATER), [Close(address(SERVICE))]);
    }

    #[test]
    fn a_service_address_that_is_a_replica_keeps_its_stream() {
        let mut set = StreamSet::new(address(SERVICE));
        set.poll(NOW);
        set.opened(address(SERVICE));
        set.learn(&[address(SERVICE)]);
        assert_eq!(set.poll(NOW), []);
        assert_eq!(set.open_count(), 1);
    }

    #[test]
    fn an_empty_list_and_an_endless_one_are_bounded() {
        let mut set = connected(&[2]);
        set.learn(&[]);
        assert_eq!(set.poll(NOW), []);
        set.learn(&(100..200).map(address).collect::<Vec<_>>());
        let connects = set.poll(NOW).iter().filter(|action| matches!(action, Connect(_))).count();
        assert_eq!(connects, MAX_REPLICAS);
    }

    #[test]
    fn news_of_a_stream_that_is_closed_changes_nothing() {
        let mut set = connected(&[2]);
        set.opened(address(9));
        set.lost(address(9), NOW, 0);
        assert_eq!((set.poll(NOW), set.open_count()), (vec![], 1));
    }
}
