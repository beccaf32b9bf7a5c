//! The stream index as it is shown to whoever looks for a fault: each server as this replica knows it.

use gameserver_contract::Phase;
use serde::Serialize;
use std::time::Duration;

use super::LiveServers;

/// A server as this replica knows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    namespace: Option<String>,
    game_server: String,
    uid: String,
    connected: bool,
    phase: Phase,
    players: u32,
    sessions: u32,
    sessions_max: u32,
    capacity: u32,
    cpu_millis: u32,
    /// Since its last report, in time in which this process ran.
    silent_ms: u128,
    version: String,
    backend: &'static str,
    boot_unix_ms: u64,
    /// Drain that this replica ordered and has not taken back.
    drain_order: Option<u64>,
    drained: bool,
    newest_order: Option<u64>,
    outdated: bool,
}

impl LiveServers {
    /// Every server that was heard and is not forgotten, by namespace and name.
    pub(crate) fn index(&self, now: Duration) -> Vec<Row> {
        let awake = self.awake(now);
        let servers = self.lock();
        let mut rows: Vec<Row> = servers
            .iter()
            .map(|(uid, live)| Row {
                namespace: live.object.namespace.clone(),
                game_server: live.object.name.clone(),
                uid: uid.clone(),
                connected: live.connected,
                phase: live.phase,
                players: live.players,
                sessions: live.sessions,
                sessions_max: live.facts.sessions,
                capacity: live.facts.capacity,
                cpu_millis: live.cpu_millis,
                silent_ms: awake.saturating_sub(live.heard_at).as_millis(),
                version: live.facts.version.clone(),
                backend: live.facts.backend.as_str(),
                boot_unix_ms: live.facts.boot_unix_ms,
                drain_order: live.order.map(|order| order.number),
                drained: live.order.is_some_and(|order| order.drained),
                newest_order: live.newest_order,
                outdated: live.outdated,
            })
            .collect();
        // nobody who reports waits for that
        drop(servers);
        rows.sort_by(|one, other| {
            (&one.namespace, &one.game_server).cmp(&(&other.namespace, &other.game_server))
        });
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hello;
    use super::*;
    use crate::reports::live::ORDERS_MAX;
    use gameserver_contract::Hello;
    use tokio::sync::mpsc;

    #[test]
    fn each_server_is_shown_by_its_name_with_what_its_stream_said_last() {
        let live = LiveServers::new();
        let (orders, _received) = mpsc::channel(ORDERS_MAX);
        for name in ["b", "a"] {
            let hello = Hello { namespace: "games".to_owned(), ..hello(name) };
            live.connect(Duration::ZERO, name, &hello, orders.clone());
        }
        live.order_drain("b", 7);
        let rows = serde_json::to_value(live.index(Duration::from_secs(1))).unwrap();
        let names: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["gameServer"].as_str()).collect();
        assert_eq!(names, [Some("a"), Some("b")]);
        assert_eq!(rows[1]["drainOrder"], 7);
        assert_eq!((&rows[0]["connected"], &rows[0]["phase"]), (&true.into(), &"starting".into()), "{rows}");
    }
}
