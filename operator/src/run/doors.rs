//! Where game servers are asked for.

use futures::FutureExt as _;
use kube::Client;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::allocation::{Callers, Desk, Door, Marker, Minter};
use crate::controllers::Stores;
use crate::reports::identity::Verifier;
use crate::reports::keys::FleetKeys;
use crate::reports::trust::Trust;
use crate::runtime::clock::Clock;
use crate::runtime::http::PROTOCOLS;
use crate::runtime::metrics::Metrics;
use crate::runtime::tasks::Tasks;

/// What the doors are made of.
pub(super) struct Doors<'a> {
    pub(super) client: &'a Client,
    pub(super) stores: &'a Stores,
    pub(super) desk: &'a Desk,
    pub(super) trust: &'a Trust,
}

impl Doors<'_> {
    /// Opens our own.
    pub(super) fn open(
        &self,
        (verifier, keys): (&Arc<Verifier>, &Arc<FleetKeys>),
        (metrics, clock): (&Metrics, Clock),
        listener: TcpListener,
        tasks: &mut Tasks,
    ) -> anyhow::Result<()> {
        let game_servers = self.stores.game_servers.store().clone();
        let minter = Minter { keys: Arc::clone(keys), game_servers, clock };
        let callers = Callers::new(self.client.clone(), Arc::clone(verifier), clock);
        let works = (Marker::new(self.client.clone()), minter);
        let door = Door::new(self.desk.clone(), callers, works, metrics.allocations.clone());
        let acceptor = TlsAcceptor::from(self.trust.server_config(&PROTOCOLS)?);
        tasks.spawn("the allocation endpoint", |stop| door.serve((acceptor, listener), stop).map(Ok));
        Ok(())
    }
}
