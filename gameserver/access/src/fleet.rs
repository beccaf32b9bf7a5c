//! What a region's API says of a Fleet: its servers, and the secret from which their keys are derived.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use gameserver_protocol::{Key, derive_server_key};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Config};
use operator_api::labels::{FLEET, FLEET_SECRET_KEY, fleet_secret_name};
use operator_api::{GameServer, GameServerState};
use tokio::sync::watch;

/// Until the Fleet's secret is there, and between looks for a new one.
const SECRET_PERIOD: Duration = Duration::from_secs(2);

/// What is known of a region.
#[derive(Clone, Debug, Default)]
pub struct RegionView {
    /// From which each server's key is derived.
    pub fleet_secret: Option<Vec<u8>>,
    /// Those of the Fleet, in whatever state.
    pub servers: Vec<ServerView>,
}

/// A server of the Fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Name of its GameServer.
    pub name: String,
    /// Uid of its GameServer.
    pub uid: String,
    /// Takes new players.
    pub is_ready: bool,
    /// Unknown until the server has a node.
    pub address: Option<SocketAddr>,
    /// Players at most.
    pub capacity: u32,
    /// Players by its own account, which may be some seconds old.
    pub players: u32,
}

impl ServerView {
    /// Its key, which follows from the secret of its Fleet.
    pub fn key(&self, fleet_secret: &[u8]) -> Key {
        derive_server_key(fleet_secret, &self.uid)
    }
}

/// Where a region's API is: the kubeconfig and context that are named, else those that kubectl would take.
///
/// # Errors
/// When there is no such kubeconfig or context, or it cannot be used.
pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> anyhow::Result<Client> {
    // kube takes the process's default; an earlier one stays
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let options =
        KubeConfigOptions { context: context.map(ToOwned::to_owned), ..KubeConfigOptions::default() };
    let config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("failed to read the kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        }
        None => Config::from_kubeconfig(&options).await,
    };
    Client::try_from(config.context("failed to use the kubeconfig")?).context("failed to make an API client")
}

/// The Fleet as it is now.
///
/// # Errors
/// When the API does not answer or refuses; a Fleet without servers or secret is none.
pub async fn look(client: Client, namespace: &str, fleet: &str) -> anyhow::Result<RegionView> {
    let servers = Api::<GameServer>::namespaced(client.clone(), namespace);
    let of_fleet = ListParams::default().labels(&format!("{FLEET}={fleet}"));
    let servers = servers.list(&of_fleet).await.context("failed to list the Fleet's servers")?;
    let secrets = Api::<Secret>::namespaced(client, namespace);
    let fleet_secret = read_secret(&secrets, fleet).await.context("failed to read the Fleet's secret")?;
    Ok(RegionView { fleet_secret, servers: servers.iter().map(server_view).collect() })
}

/// Keeps `view` up to date until nobody looks at it any more. Whatever fails is tried again.
pub async fn follow(client: Client, namespace: &str, fleet: &str, view: watch::Sender<RegionView>) {
    let servers = Api::<GameServer>::namespaced(client.clone(), namespace);
    let secrets = Api::<Secret>::namespaced(client, namespace);
    let config = watcher::Config::default().labels(&format!("{FLEET}={fleet}"));
    let (store, writer) = reflector::store();
    let mut events = reflector(writer, watcher(servers, config)).default_backoff().boxed();
    let mut secret_due = tokio::time::interval(SECRET_PERIOD);
    loop {
        tokio::select! {
            () = view.closed() => return,
            _ = secret_due.tick() => match read_secret(&secrets, fleet).await {
                Ok(Some(secret)) => view.send_modify(|view| view.fleet_secret = Some(secret)),
                Ok(None) => tracing::debug!(fleet, "the Fleet has no secret yet"),
                Err(error) => tracing::warn!(fleet, error = error.to_string(), "failed to read the Fleet's secret"),
            },
            event = events.try_next() => match event {
                Ok(Some(_)) => {
                    let servers = store.state().iter().map(|server| server_view(server)).collect();
                    view.send_modify(|view| view.servers = servers);
                }
                Ok(None) => return,
                Err(error) => tracing::warn!(fleet, error = error.to_string(), "failed to watch the Fleet's servers"),
            },
        }
    }
}

async fn read_secret(secrets: &Api<Secret>, fleet: &str) -> Result<Option<Vec<u8>>, kube::Error> {
    let secret = secrets.get_opt(&fleet_secret_name(fleet)).await?;
    Ok(secret.and_then(|secret| secret.data?.remove(FLEET_SECRET_KEY)).map(|bytes| bytes.0))
}

fn server_view(server: &GameServer) -> ServerView {
    let status = server.status.clone().unwrap_or_default();
    let port = status.ports.first().and_then(|port| u16::try_from(port.port).ok());
    let ip = status.address.and_then(|address| address.parse::<IpAddr>().ok());
    ServerView {
        name: server.metadata.name.clone().unwrap_or_default(),
        uid: server.metadata.uid.clone().unwrap_or_default(),
        is_ready: status.state == Some(GameServerState::Ready)
            && server.metadata.deletion_timestamp.is_none(),
        address: ip.zip(port).map(SocketAddr::from),
        capacity: u32::try_from(server.spec.capacity).unwrap_or(0),
        players: u32::try_from(status.players).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn view(status: &Value) -> ServerView {
        let object = json!({
            "apiVersion": "cranewing.dev/v1alpha1",
            "kind": "GameServer",
            "metadata": { "name": "arena-1", "uid": "7a3d" },
            "spec": { "capacity": 100 },
            "status": status,
        });
        server_view(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_ready_server_is_reached_at_the_address_that_its_status_shows() {
        let ports = json!([{ "name": "game", "port": 20000 }]);
        let ready = view(&json!({ "state": "Ready", "address": "192.0.2.1", "ports": ports, "players": 7 }));
        let expected = ServerView {
            name: "arena-1".to_owned(),
            uid: "7a3d".to_owned(),
            is_ready: true,
            address: Some("192.0.2.1:20000".parse().unwrap()),
            capacity: 100,
            players: 7,
        };
        assert_eq!(ready, expected);
    }

    #[test]
    fn a_server_in_any_other_state_is_not_offered() {
        for state in GameServerState::ALL.iter().filter(|&&state| state != GameServerState::Ready) {
            assert!(!view(&json!({ "state": state })).is_ready, "{state:?}");
        }
        assert!(!view(&Value::Null).is_ready);
    }
}
