//! Follows the Secrets of peers: whoever appears is read, whoever changes is read anew, whoever goes is forgotten.
//!
//! A Secret registers its region by its label alone. What else is wrong in it never changes how many there are, of which a
//! majority decides, and a key that it no longer names is no longer taken.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt};
use operator_core::regions::RegionId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Links;
use super::PROTOCOL;
use super::identity::Identity;
use super::peer::{Peer, PeerError};
use super::puller::Puller;
use crate::runtime::raw_keys;
use crate::runtime::watch::Watched;

/// Peers at most: with this region, as many as a RegionCluster may name.
const PEERS_MAX: usize = 63;

/// Runs a reader for each peer.
pub(super) struct Follower {
    links: Arc<Links>,
    identity: Identity,
    recorder: Recorder,
    reading: BTreeMap<RegionId, (Arc<Peer>, CancellationToken)>,
    readers: JoinSet<()>,
    /// Secrets that are not understood, with what was told of them.
    told: BTreeMap<String, String>,
}

impl Follower {
    pub(super) fn new(links: Arc<Links>, identity: Identity, recorder: Recorder) -> Self {
        let (reading, readers, told) = (BTreeMap::new(), JoinSet::new(), BTreeMap::new());
        Self { links, identity, recorder, reading, readers, told }
    }

    /// Follows until `stop`; a reader that fails is a failure. Says once when every peer is registered.
    pub(super) async fn run(
        mut self,
        secrets: Watched<Secret>,
        registered: watch::Sender<bool>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        if let Some(Ok(())) = stop.run_until_cancelled(secrets.store().wait_until_ready()).await {
            self.sync(&secrets.store().state()).await?;
            registered.send_replace(true);
        }
        let mut changes = Box::pin(secrets.concerning(|secret: &Secret| vec![ObjectRef::from_obj(secret)]));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                change = changes.next() => {
                    if change.is_none() { break }
                    self.sync(&secrets.store().state()).await?;
                }
                Some(ended) = self.readers.join_next() => ended?,
            }
        }
        self.reading.values().for_each(|(_, stop)| stop.cancel());
        while let Some(ended) = self.readers.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// The peers are those of these Secrets.
    pub(super) async fn sync(&mut self, secrets: &[Arc<Secret>]) -> anyhow::Result<()> {
        let peers = self.understand(secrets).await;
        let links = Arc::clone(&self.links);
        links.table.register(links.clock.elapsed(), peers.values().map(Arc::clone));
        self.reading.retain(|region, (peer, stop)| {
            let stays = peers.get(region) == Some(peer);
            if !stays {
                stop.cancel();
            }
            if !peers.contains_key(region) {
                info!(%region, "a peer is no longer registered");
            }
            stays
        });
        for (region, peer) in peers {
            if self.reading.contains_key(&region) {
                continue;
            }
            info!(%region, addresses = peer.addresses.join(","), "reads a peer");
            let puller = Puller {
                me: links.me,
                peer: Arc::clone(&peer),
                tls: raw_keys::client_config(PROTOCOL, &self.identity.key, peer.keys.clone())?,
                table: Arc::clone(&links.table),
                metrics: links.metrics.clone(),
                clock: links.clock,
            };
            let stop = CancellationToken::new();
            self.readers.spawn(puller.run(stop.clone()));
            self.reading.insert(region, (peer, stop));
        }
        Ok(())
    }

    /// The first Secret by name counts where two register one region.
    async fn understand(&mut self, secrets: &[Arc<Secret>]) -> BTreeMap<RegionId, Arc<Peer>> {
        let by_name: BTreeMap<String, &Secret> =
            secrets.iter().map(|secret| (secret.name_any(), &**secret)).collect();
        let mut peers = BTreeMap::new();
        let mut faults = BTreeMap::new();
        for (name, secret) in &by_name {
            let (peer, fault) = match self.admit(secret, &peers) {
                Err(refused) => (None, Some(refused)),
                Ok(region) => match Peer::from_secret(secret) {
                    Ok(peer) => (Some(peer), None),
                    Err(fault) => {
                        let known = self.reading.get(&region).map(|(peer, _)| &**peer);
                        (Some(Peer::as_far_as_understood(region, secret, known)), Some(fault))
                    }
                },
            };
            peers.extend(peer.map(|peer| (peer.region, Arc::new(peer))));
            faults.extend(fault.map(|fault| (name.clone(), fault.to_string())));
        }
        for (name, fault) in &faults {
            if self.told.get(name) != Some(fault) {
                self.tell(by_name[name], fault).await;
            }
        }
        self.told = faults;
        peers
    }

    /// The region that a Secret registers beside these.
    fn admit(&self, secret: &Secret, peers: &BTreeMap<RegionId, Arc<Peer>>) -> Result<RegionId, PeerError> {
        let region = Peer::region_of(secret)?;
        match region {
            _ if region == self.links.me => Err(PeerError::Own(region)),
            _ if peers.contains_key(&region) => Err(PeerError::Twice(region)),
            _ if peers.len() >= PEERS_MAX => Err(PeerError::TooManyPeers(PEERS_MAX)),
            _ => Ok(region),
        }
    }

    async fn tell(&self, secret: &Secret, fault: &str) {
        warn!(secret = secret.name_any(), fault, "a peer's Secret is not understood");
        let event = Event {
            type_: EventType::Warning,
            reason: "InvalidPeer".to_owned(),
            note: Some(fault.to_owned()),
            action: "InvalidPeer".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &secret.object_ref(&())).await {
            warn!(%error, "failed to publish an event");
        }
    }
}
