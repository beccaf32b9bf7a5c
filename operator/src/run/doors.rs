//! Where game servers are asked for: our own door, and that of Agones' clients.

use futures::FutureExt as _;
use kube::Client;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::watch_secret;
use crate::allocation::{self, AgonesDoor, AgonesTrust, Callers, Desk, Door, Marker, Minter, Namespaces};
use crate::args::RunArgs;
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
    pub(super) args: &'a RunArgs,
    pub(super) stores: &'a Stores,
    pub(super) desk: &'a Desk,
    pub(super) trust: &'a Trust,
}

impl Doors<'_> {
    /// Opens our own, and that of Agones' clients where there is one.
    pub(super) fn open(
        &self,
        (verifier, keys): (&Arc<Verifier>, &Arc<FleetKeys>),
        (metrics, clock): (&Metrics, Clock),
        (listener, agones): (TcpListener, Option<TcpListener>),
        tasks: &mut Tasks,
    ) -> anyhow::Result<()> {
        let game_servers = self.stores.game_servers.store().clone();
        let minter = Minter { keys: Arc::clone(keys), game_servers, clock };
        let callers = Callers::new(self.client.clone(), Arc::clone(verifier), clock);
        let works = (Marker::new(self.client.clone()), minter);
        let door = Door::new(self.desk.clone(), callers, works, metrics.allocations.clone());
        let acceptor = TlsAcceptor::from(self.trust.server_config(&PROTOCOLS)?);
        tasks.spawn("the allocation endpoint", |stop| door.serve((acceptor, listener), stop).map(Ok));
        agones.map_or(Ok(()), |listener| self.open_agones((metrics, clock), listener, tasks))
    }

    fn open_agones(
        &self,
        (metrics, clock): (&Metrics, Clock),
        listener: TcpListener,
        tasks: &mut Tasks,
    ) -> anyhow::Result<()> {
        let args = &self.args.agones;
        let door = AgonesDoor {
            desk: self.desk.clone(),
            marker: Marker::new(self.client.clone()),
            namespaces: Namespaces::of(&args.agones_namespaces),
            game_servers: self.stores.game_servers.store().clone(),
            nodes: self.stores.nodes.store().clone(),
            metrics: metrics.allocations.clone(),
            clock,
        };
        let clients = watch_secret(self.client, self.args, &args.agones_client_ca_secret, tasks);
        let own = match &args.agones_tls_secret {
            Some(name) => Ok(watch_secret(self.client, self.args, name, tasks)),
            None => Err(self.trust.certificate()),
        };
        allocation::agones::open(door, AgonesTrust { clients, own }, listener, tasks)
    }
}
