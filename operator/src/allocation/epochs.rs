//! Asks the API server for the clerk: what the epoch is and is to be, who of the other processes has ended, and which servers there are.

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use operator_api::{GameServer, GameServerState};
use operator_core::allocation::{Epoch, ReplicaId, ServerUid, Write};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, error::Elapsed, interval, timeout};
use tracing::{debug, warn};

use super::desk::Desk;
use super::object::{EpochObject, ObjectError};
use super::roster::Roster;
use crate::runtime::raw_keys::PublicKey;
use crate::runtime::telemetry::chain;

/// How often the epoch is read while nothing is wanted.
const READ_PERIOD: Duration = Duration::from_secs(2);
/// How soon after a failure.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Longest time for one turn at the API server: whoever waits for it answers nobody meanwhile.
const TURN_MAX: Duration = Duration::from_secs(1);
/// Longest time for a list of all servers.
const SURVEY_MAX: Duration = Duration::from_secs(10);

/// What the clerk wants.
#[derive(Debug)]
pub(super) enum Want {
    /// An epoch in the place of the one that was found.
    Write(Write),
    /// The epoch as it stands.
    Read,
    /// Every server that there is, for this reign.
    Survey(u64),
}

#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("failed to look for the operator's pods")]
    Roster(#[source] kube::Error),
    #[error("failed to list the game servers")]
    Survey(#[source] kube::Error),
    #[error("the API server did not answer in time")]
    TooSlow(#[from] Elapsed),
}

/// Asks the API server.
pub(super) struct Epochs {
    pub(super) object: EpochObject,
    pub(super) roster: Roster,
    pub(super) servers: Api<GameServer>,
    pub(super) me: ReplicaId,
    pub(super) key: PublicKey,
    pub(super) desk: Desk,
    /// The newest epoch that was read: the object may go back to an old copy.
    pub(super) newest: Option<Epoch>,
    /// Its pod says that this process runs there.
    pub(super) has_signed: bool,
}

impl Epochs {
    pub(super) fn new(
        client: Client,
        namespace: &str,
        pod_name: &str,
        me: ReplicaId,
        key: PublicKey,
        desk: Desk,
    ) -> Self {
        Self {
            object: EpochObject::new(client.clone(), namespace),
            roster: Roster::new(client.clone(), namespace, pod_name),
            servers: Api::all(client),
            me,
            key,
            desk,
            newest: None,
            has_signed: false,
        }
    }

    pub(super) async fn keep(mut self, mut wants: mpsc::Receiver<Want>) {
        let mut ticks = interval(READ_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_told = false;
        loop {
            let want = tokio::select! {
                Some(want) = wants.recv() => want,
                _ = ticks.tick() => Want::Read,
            };
            let turned = async {
                // before it has signed nobody would know when it has ended, so it is named nowhere
                if !self.has_signed {
                    timeout(TURN_MAX, self.roster.sign(self.me, &self.key))
                        .await?
                        .map_err(TurnError::Roster)?;
                    self.has_signed = true;
                }
                self.turn(want).await
            };
            match turned.await {
                Ok(()) => has_told = false,
                Err(error) => {
                    ticks.reset_after(AGAIN_AFTER);
                    if std::mem::replace(&mut has_told, true) {
                        debug!(error = chain(&error), "failed to keep what allocation goes by");
                    } else {
                        warn!(
                            error = chain(&error),
                            "failed to keep what allocation goes by; it is tried again"
                        );
                    }
                }
            }
        }
    }

    async fn turn(&mut self, want: Want) -> Result<(), TurnError> {
        let read = match want {
            Want::Survey(reign) => return self.survey(reign).await,
            Want::Write(write) => timeout(TURN_MAX, self.object.write(&write)).await??,
            Want::Read => timeout(TURN_MAX, self.object.read()).await??,
        };
        let is_new = |read: &Epoch| self.newest.as_ref().is_none_or(|newest| read.is_after(newest));
        if let Some(read) = read.as_ref().filter(|read| is_new(read)) {
            self.newest = Some(read.clone());
        }
        self.desk.epoch(read).await;
        if let Some(newest) = self.newest.as_ref().filter(|epoch| !epoch.in_sync.contains(&self.me)) {
            let ended = self.roster.ended(self.me, &newest.in_sync);
            match timeout(TURN_MAX, ended).await?.map_err(TurnError::Roster)? {
                Some(ended) => self.desk.ended(ended).await,
                None => self.has_signed = false,
            }
        }
        Ok(())
    }

    /// Lists all servers: what a watch shows may be behind, or not begun.
    async fn survey(&self, reign: u64) -> Result<(), TurnError> {
        let listed = timeout(SURVEY_MAX, self.servers.list(&ListParams::default())).await?;
        let servers = listed.map_err(TurnError::Survey)?.items;
        let of = |server: GameServer| Some((ServerUid::from(server.uid()?), may_hold(&server)));
        self.desk.surveyed(reign, servers.into_iter().filter_map(of).collect()).await;
        Ok(())
    }
}

/// Every server that there is, and whether it may hold a key.
pub(super) type Survey = BTreeMap<ServerUid, bool>;

/// One that was never published as Ready was given to nobody; one that is given up is waited for by nobody.
fn may_hold(server: &GameServer) -> bool {
    let state = server.status.as_ref().and_then(|status| status.state);
    !matches!(state, None | Some(GameServerState::Starting | GameServerState::Unhealthy))
}
