//! A change of a Fleet's template: what is in use stays, and enough servers are there at every moment.

use e2e::allocation::Matchmaker;
use e2e::command::try_kubectl;
use e2e::{PATIENCE, Scratch, eventually, in_namespace, operator};
use futures::TryStreamExt as _;
use gameserver_contract::ADMIN_PORT;
use kube::ResourceExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use operator_api::{Fleet, GameServer, GameServerState, labels};
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

use crate::duel;

const REPLICAS: usize = 4;
/// One more than are wanted, and none fewer.
const SURGE: usize = 1;

/// What the watch of all servers has shown, event by event.
#[derive(Debug, Default)]
struct Seen {
    servers: BTreeMap<String, Option<GameServerState>>,
    fewest: usize,
    most: usize,
}

impl Seen {
    /// Ready ones and the one that is held are `fewest` at least; those that serve are `most` at most.
    fn take(&mut self, event: Event<GameServer>, held: &str) {
        match event {
            Event::Apply(server) | Event::InitApply(server) => {
                let state = server.status.as_ref().and_then(|status| status.state);
                let state = state.filter(|_| server.metadata.deletion_timestamp.is_none());
                self.servers.insert(server.name_any(), state);
            }
            Event::Delete(server) => drop(self.servers.remove(&server.name_any())),
            Event::Init => return,
            Event::InitDone => self.fewest = usize::MAX,
        }
        let is_held = |name: &String| name == held;
        let states = || self.servers.iter();
        let standing =
            states().filter(|(name, state)| **state == Some(GameServerState::Ready) || is_held(name)).count();
        let serving = states()
            .filter(|(name, state)| {
                is_held(name)
                    || matches!(
                        state,
                        Some(
                            GameServerState::Starting | GameServerState::Ready | GameServerState::Recovering
                        )
                    )
            })
            .count();
        if self.fewest > 0 {
            self.fewest = self.fewest.min(standing);
        }
        self.most = self.most.max(serving);
    }
}

/// Watches until it is told to stop; what it has seen.
fn watch(scratch: &Scratch, held: String) -> (JoinHandle<Seen>, tokio::sync::oneshot::Sender<()>) {
    let servers = scratch.api::<GameServer>();
    let of_fleet = watcher::Config::default().labels(&labels::fleet_selector("duel"));
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let watching = tokio::spawn(async move {
        let (mut seen, mut events) = (Seen::default(), std::pin::pin!(watcher(servers, of_fleet)));
        loop {
            tokio::select! {
                _ = &mut stopped => return seen,
                event = events.try_next() => seen.take(event.unwrap().unwrap(), &held),
            }
        }
    });
    (watching, stop)
}

/// B22, C21. Event by event of the watch: the servers that are Ready or in use are never fewer than are wanted, and never more than
/// one beyond that serves. The one that is held stays as it is and gives way when its session is over.
#[tokio::test]
async fn a_changed_template_replaces_free_servers_and_never_leaves_fewer_than_it_may() {
    in_namespace("rolled", &[], async |scratch| {
        let patient = "name: gameserver, env: [{name: CRANEWING_JOIN_DEADLINE_SECONDS, value: '3600'}],";
        let fleet = duel(REPLICAS, "").replace("name: gameserver,", patient).replace(
            "template: {spec: {capacity",
            "strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}, template: {spec: {capacity",
        );
        drop(scratch.apply::<Fleet>(&fleet).await);
        drop(scratch.await_fleet("duel", REPLICAS).await);
        operator::await_reports_to_every_replica(&scratch.region, 2, REPLICAS).await;
        let matchmaker = Matchmaker::new(scratch).await;
        let replicas = operator::replica_names(&scratch.region).await;
        let held = matchmaker.given_by(scratch, &replicas[0], ("duel", "match")).await;
        let before = scratch.api::<GameServer>().get(&held).await.unwrap();

        let (watching, stop) = watch(scratch, held.clone());
        drop(scratch.apply::<Fleet>(&fleet.replace("capacity: 16", "capacity: 17")).await);
        eventually("all but the held one are replaced", PATIENCE, || async {
            let servers = scratch.servers("duel").await?;
            let (old, new): (Vec<_>, Vec<_>) = servers.iter().partition(|server| server.spec.capacity == 16);
            let is_ready = |server: &&&GameServer| {
                server.status.as_ref().and_then(|status| status.state) == Some(GameServerState::Ready)
            };
            let ready = new.iter().filter(is_ready).count();
            let names: Vec<String> = old.iter().map(|server| server.name_any()).collect();
            if names == [held.as_str()] && ready == REPLICAS {
                Ok(())
            } else {
                Err(format!("{ready} new ones are ready, and old are {names:?}"))
            }
        })
        .await;
        scratch.await_condition::<Fleet>("duel", "Reconciling", "True").await;
        let health =
            format!("/api/v1/namespaces/{}/pods/{held}:{ADMIN_PORT}/proxy/health", scratch.namespace);
        eventually("the held one hears that it is outdated", PATIENCE, || async {
            let health = try_kubectl(&scratch.region, &["get", "--raw", &health], "").await?;
            if health.contains("\"outdated\":true") { Ok(()) } else { Err(health) }
        })
        .await;
        let after = scratch.api::<GameServer>().get(&held).await.unwrap();
        assert_eq!((after.uid(), after.spec), (before.uid(), before.spec), "nobody touches what is in use");
        stop.send(()).unwrap();
        let seen = watching.await.unwrap();
        assert!(seen.fewest >= REPLICAS, "{seen:?}");
        assert!(seen.most <= REPLICAS + SURGE, "{seen:?}");
    })
    .await;
}

/// B22, C21. The servers of the new template end as soon as they start. Nobody but the canary gets it, what was proven stays as it is, and
/// comes back; people see why, put the template back or have it tried again.
#[tokio::test]
async fn a_template_whose_servers_crash_is_rejected_at_its_canary_and_nothing_else_moves() {
    in_namespace("rejected", &[], async |scratch| {
        let strategy = "strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}, canary: {seconds: 1}, gates: {crashes: 0}}, template: {spec: {capacity";
        let good = duel(2, "").replace("template: {spec: {capacity", strategy);
        drop(scratch.apply::<Fleet>(&good).await);
        drop(scratch.await_fleet("duel", 2).await);
        scratch.await_condition::<Fleet>("duel", "RolledOut", "True").await;
        let before = scratch.identities("duel").await;

        let bad = good.replace("name: gameserver,", "name: gameserver, args: [--of-another-game],");
        drop(scratch.apply::<Fleet>(&bad).await);
        scratch.await_condition::<Fleet>("duel", "Stalled", "True").await;
        let said = scratch.try_rollout(&["status", "duel", "--once"]).unwrap_err();
        assert!(said.contains("RolledBack") && said.contains("crashed"), "{said}");
        drop(scratch.await_fleet("duel", 2).await);
        assert_eq!(scratch.identities("duel").await, before, "those that were proven were not touched");
        let history = scratch.try_rollout(&["history", "duel"]).unwrap();
        assert!(history.contains("Proven") && history.contains("Rejected"), "{history}");

        let tried = scratch.try_rollout(&["retry", "duel"]).unwrap();
        assert!(tried.contains("is tried again"), "{tried}");
        let ended = scratch.try_rollout(&["status", "duel", "--timeout", "2m"]).unwrap_err();
        assert!(ended.contains("RolledBack"), "{ended}");
        drop(scratch.try_rollout(&["undo", "duel"]).unwrap());
        let through = scratch.try_rollout(&["status", "duel", "--timeout", "2m"]).unwrap();
        assert!(through.contains("all game servers are of template"), "{through}");
        drop(scratch.await_fleet("duel", 2).await);
        assert_eq!(scratch.identities("duel").await, before, "and still were not");
    })
    .await;
}

/// B22, C21. New servers come beside the old ones, none of which goes: neither when they are taken back, nor before somebody says that all
/// go over.
#[tokio::test]
async fn servers_that_come_beside_the_old_ones_go_over_on_a_word_or_are_taken_back() {
    in_namespace("beside", &[], async |scratch| {
        let strategy = "strategy: {type: BlueGreen, blueGreen: {seconds: 1, promotion: Manual}}, template: {spec: {capacity";
        let blue = duel(2, "").replace("template: {spec: {capacity", strategy);
        let with_capacity = |capacity: i32| blue.replace("capacity: 16", &format!("capacity: {capacity}"));
        drop(scratch.apply::<Fleet>(&blue).await);
        drop(scratch.await_fleet("duel", 2).await);
        scratch.await_condition::<Fleet>("duel", "RolledOut", "True").await;
        let before = scratch.identities("duel").await;

        drop(scratch.apply::<Fleet>(&with_capacity(17)).await);
        let waits = scratch.try_rollout(&["status", "duel", "--timeout", "2m"]).unwrap_err();
        assert!(waits.contains("AwaitsPromotion") && waits.contains("rollout promote duel"), "{waits}");
        let both = scratch.identities("duel").await;
        assert_eq!(both.len(), 4, "{both:?}");
        assert!(before.iter().all(|old| both.iter().any(|now| now == old)), "{before:?} became {both:?}");
        drop(scratch.try_rollout(&["undo", "duel"]).unwrap());
        drop(scratch.try_rollout(&["status", "duel", "--timeout", "2m"]).unwrap());
        drop(scratch.await_fleet("duel", 2).await);
        assert_eq!(scratch.identities("duel").await, before, "those before were not touched");

        drop(scratch.apply::<Fleet>(&with_capacity(18)).await);
        let waits = scratch.try_rollout(&["status", "duel", "--timeout", "2m"]).unwrap_err();
        assert!(waits.contains("AwaitsPromotion"), "{waits}");
        let promoted = scratch.try_rollout(&["promote", "duel"]).unwrap();
        assert!(promoted.contains("is promoted"), "{promoted}");
        drop(scratch.try_rollout(&["status", "duel", "--timeout", "2m"]).unwrap());
        let servers = scratch.await_fleet("duel", 2).await;
        assert!(servers.iter().all(|server| server.spec.capacity == 18), "{servers:?}");
    })
    .await;
}
