//! Who is at an address.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use super::keyed_hash::KeyedState;
use crate::looks;

/// Where an address stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Pending(u32),
    Session(u32),
}

/// Places by address, for every datagram that comes: found by one hash, however many there are.
#[derive(Debug)]
pub(super) struct Places(HashMap<Address, Place, KeyedState>);

/// An address of which each comparison is a look.
#[derive(Clone, Copy, Debug, Eq)]
struct Address(SocketAddr);

impl PartialEq for Address {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        looks::count();
        self.0 == other.0
    }
}

impl Hash for Address {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Places {
    /// With room for so many that it never grows.
    pub(super) fn new(capacity: usize, hash: KeyedState) -> Self {
        Self(HashMap::with_capacity_and_hasher(capacity, hash))
    }

    #[inline]
    pub(super) fn get(&self, address: SocketAddr) -> Option<Place> {
        self.0.get(&Address(address)).copied()
    }

    pub(super) fn insert(&mut self, address: SocketAddr, place: Place) {
        self.0.insert(Address(address), place);
    }

    pub(super) fn remove(&mut self, address: SocketAddr) {
        self.0.remove(&Address(address));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddr, Place)> {
        self.0.iter().map(|(address, &place)| (address.0, place)).inspect(|_| looks::count())
    }
}
