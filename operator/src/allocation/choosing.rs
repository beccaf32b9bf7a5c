//! Which servers are free, and which of them fits: by what is published of them and by what their streams say now.

use kube::ResourceExt;
use kube::runtime::reflector::Store;
use operator_api::{GameServer, GameServerState};
use operator_core::allocation::{Free, Selector, ServerUid, choose};
use std::collections::BTreeMap;
use std::time::Duration;

use super::words::{Asked, ServerView};
use crate::reports::live::{LiveServers, Use};

/// What there is to choose from.
pub(super) struct Choosing<'a> {
    pub(super) game_servers: &'a Store<GameServer>,
    pub(super) live: &'a LiveServers,
    pub(super) now: Duration,
}

impl Choosing<'_> {
    /// A server for this, of those that `may_take` it, of as many sessions as they take at once.
    pub(super) fn choose(
        &self,
        asked: &Asked,
        may_take: impl Fn(&ServerUid, u32) -> bool,
    ) -> Option<ServerUid> {
        let servers = self.game_servers.state();
        let uids: Vec<&str> =
            servers.iter().map(|server| server.metadata.uid.as_deref().unwrap_or_default()).collect();
        let uses = self.live.uses(self.now, &uids);
        let (mut free, mut in_use) = (Vec::new(), BTreeMap::new());
        for ((server, uid), found) in servers.iter().zip(uids).zip(uses) {
            let Some(Use { is_used, sessions, takes }) = found else { continue };
            if is_used {
                *in_use.entry(node_of(server)).or_insert(0) += 1;
            }
            if sessions < takes && fits(server, asked) {
                let uid = ServerUid::from(uid);
                free.extend(may_take(&uid, takes).then_some((uid, server)));
            }
        }
        let best_of = |selector: &Selector| {
            let free = free.iter().filter(|(_, server)| selector.fits(server.labels()));
            let free = free.map(|(uid, server)| Free {
                uid,
                name: server.metadata.name.as_deref().unwrap_or_default(),
                node: node_of(server),
            });
            choose(free, &in_use, asked.spread).cloned()
        };
        if asked.selectors.is_empty() {
            best_of(&Selector::default())
        } else {
            asked.selectors.iter().find_map(best_of)
        }
    }
}

/// It has what is asked for, and its state is published: whoever begins anew waits for all servers that were.
fn fits(server: &GameServer, asked: &Asked) -> bool {
    let state = server.status.as_ref().and_then(|status| status.state);
    state == Some(GameServerState::Ready)
        && server.metadata.deletion_timestamp.is_none()
        && server.metadata.namespace.as_deref() == Some(&asked.namespace)
        && asked.labels.iter().all(|(name, value)| server.labels().get(name) == Some(value))
}

fn node_of(server: &GameServer) -> &str {
    server.status.as_ref().and_then(|status| status.node_name.as_deref()).unwrap_or_default()
}

/// What a caller needs of a server.
pub(super) fn view(server: &GameServer) -> ServerView {
    let status = server.status.as_ref();
    let ports = status.into_iter().flat_map(|status| &status.ports);
    ServerView {
        namespace: server.namespace().unwrap_or_default(),
        name: server.name_any(),
        address: status.and_then(|status| status.address.clone()),
        ports: ports.map(|port| (port.name.clone(), port.port)).collect(),
        labels: server.labels().clone(),
    }
}
