//! In-process queues for tests and simulation: same trait, no kernel.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Backend, Counters, Datagrams, MAX_DATAGRAM_BYTES, Outgoing, SocketFilter};

type Packet = (SocketAddr, Vec<u8>);

/// Endpoints that reach each other by address. Clones are the same network.
#[derive(Clone, Debug, Default)]
pub struct Network {
    queues: Arc<Mutex<BTreeMap<SocketAddr, SyncSender<Packet>>>>,
}

impl Network {
    /// A new endpoint at `address` that queues at most `depth` datagrams; more are send errors of the sender.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn endpoint(&self, address: SocketAddr, depth: usize) -> io::Result<Memory> {
        let (sender, queue) = sync_channel(depth);
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        queues.insert(address, sender);
        drop(queues);
        Ok(Memory {
            network: self.clone(),
            address,
            queue,
            depth,
            slot: Box::new([0; MAX_DATAGRAM_BYTES]),
            counters: Counters::default(),
        })
    }

    /// Queues a datagram at `to`; false when nobody is there or its queue is full.
    fn carry(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> bool {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        match queues.get(&to).map(|queue| queue.try_send((from, payload.to_vec()))) {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
        }
    }
}

/// One endpoint of a [`Network`].
pub struct Memory {
    network: Network,
    address: SocketAddr,
    queue: Receiver<Packet>,
    depth: usize,
    slot: Box<[u8; MAX_DATAGRAM_BYTES]>,
    counters: Counters,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.network.queues.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.address);
    }
}

impl Datagrams for Memory {
    fn backend(&self) -> Backend {
        Backend::Memory
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn receive(
        &mut self,
        wait: Duration,
        deliver: &mut dyn FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        let first =
            if wait.is_zero() { self.queue.try_recv().ok() } else { self.queue.recv_timeout(wait).ok() };
        let mut delivered = 0;
        let mut next = first;
        while let Some((from, mut payload)) = next {
            if payload.len() > MAX_DATAGRAM_BYTES {
                self.counters.truncated += 1;
            } else {
                self.counters.packets_in += 1;
                self.counters.bytes_in += payload.len() as u64;
                delivered += 1;
                deliver(from, &mut payload);
            }
            next = if delivered < self.depth { self.queue.try_recv().ok() } else { None };
        }
        Ok(delivered)
    }

    fn transmit(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> Option<Outgoing>) -> io::Result<usize> {
        let mut total = 0;
        while let Some(Outgoing { to, len }) = fill(&mut self.slot[..]) {
            total += 1;
            if self.network.carry(self.address, to, &self.slot[..len.min(MAX_DATAGRAM_BYTES)]) {
                self.counters.packets_out += 1;
                self.counters.bytes_out += len as u64;
            } else {
                self.counters.send_errors += 1;
            }
        }
        Ok(total)
    }

    fn admit(&mut self, _filter: Option<&SocketFilter>) -> io::Result<()> {
        Ok(())
    }

    fn counters(&mut self) -> Counters {
        self.counters
    }
}
