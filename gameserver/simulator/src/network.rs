//! The ways of datagrams: loss, also in bursts, duplicates, delay, jitter and reordering, by the chance of each way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use crate::chance::Chance;

/// What the network does to one player's datagrams in one direction. Chances are in a thousand, times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quality {
    /// Lost while the way is good.
    pub(crate) loss: u32,
    /// Lost while it is bad (Gilbert-Elliott).
    pub(crate) bad_loss: u32,
    /// A good way becomes bad, at each datagram.
    pub(crate) worsens: u32,
    /// A bad way becomes good, at each datagram.
    pub(crate) heals: u32,
    pub(crate) duplicates: u32,
    /// Held back behind those that were sent after it.
    pub(crate) late: u32,
    pub(crate) delay_us: u32,
    pub(crate) jitter_us: u32,
}

/// Room for any datagram.
const DATAGRAM_BYTES: usize = 1300;
/// How much longer a datagram takes that is held back.
const LATE_US: u32 = 40_000;

/// One player's way in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    quality: Quality,
    chance: Chance,
    is_bad: bool,
}

impl Way {
    pub(crate) fn new(quality: Quality, chance: Chance) -> Self {
        Self { quality, chance, is_bad: false }
    }

    /// After how many microseconds the next datagram arrives, and its duplicate if there is one.
    pub(crate) fn pass(&mut self) -> impl Iterator<Item = u64> + use<> {
        let Self { quality, chance, is_bad } = self;
        *is_bad = if *is_bad { !chance.permille(quality.heals) } else { chance.permille(quality.worsens) };
        let loss = if *is_bad { quality.bad_loss } else { quality.loss };
        let has_double = chance.permille(quality.duplicates);
        let copies = [true, has_double].map(|is_sent| {
            let is_lost = chance.permille(loss);
            let held = if chance.permille(quality.late) { LATE_US } else { 0 };
            let delay = quality.delay_us + chance.below(quality.jitter_us + 1) + held;
            (is_sent && !is_lost).then_some(u64::from(delay))
        });
        copies.into_iter().flatten()
    }
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// Which boot of the process sent it; 0 for a player's.
    pub(crate) boot: u32,
    pub(crate) bytes: Vec<u8>,
}

/// All datagrams under way. Those of one moment arrive in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Sky {
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
    /// Of datagrams that have arrived, for those to come.
    spare: Vec<Vec<u8>>,
    sent: u64,
}

impl Sky {
    pub(crate) fn launch(
        &mut self,
        arrival_us: u64,
        (from, to): (SocketAddr, SocketAddr),
        boot: u32,
        bytes: &[u8],
    ) {
        let mut copy = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(DATAGRAM_BYTES));
        copy.extend_from_slice(bytes);
        let flight = Flight { from, to, boot, bytes: copy };
        self.sent += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.flights[place] = Some(flight);
        self.order.push(Reverse((arrival_us, self.sent, place)));
    }

    /// When the next one arrives.
    pub(crate) fn next_at(&self) -> u64 {
        self.order.peek().map_or(u64::MAX, |Reverse((at, ..))| *at)
    }

    pub(crate) fn land(&mut self) -> Option<Flight> {
        let Reverse((_, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.flights[place].take()
    }

    /// Nobody looks at these bytes any more.
    pub(crate) fn recycle(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.spare.push(bytes);
    }
}
