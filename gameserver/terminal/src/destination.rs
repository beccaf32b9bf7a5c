//! Which server to go to, and what is needed to be let in.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use gameserver_access::{ClusterArgs, RegionView, ServerView, Visit, connect, look};
use gameserver_protocol::Key;

use crate::args::{FleetArgs, Place, ServerArgs, VisitArgs};

/// A server and the key to it.
pub(crate) struct Destination {
    /// What people call it.
    pub(crate) name: String,
    pub(crate) visit: Visit,
    pub(crate) key: Key,
    pub(crate) tick_hz: u32,
}

impl Destination {
    fn new(name: String, server: SocketAddr, key: Key, args: VisitArgs) -> Self {
        let mut visit = Visit::of_somebody_new(server, args.role());
        visit.client_id = args.player.unwrap_or(visit.client_id);
        Self { name, visit, key, tick_hz: args.tick_hz }
    }
}

/// Finds the server that is meant.
///
/// # Errors
/// When there is no key, no such server, or none that takes players.
pub(crate) fn find(place: &Place) -> anyhow::Result<Destination> {
    match place {
        Place::Server(args) => {
            let ServerArgs { server, visit } = args;
            Ok(Destination::new(server.address.to_string(), server.address, server.key()?.0, *visit))
        }
        Place::Fleet(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let region = runtime.block_on(async {
                let ClusterArgs { kubeconfig, context, namespace } = &args.cluster;
                let client = connect(kubeconfig.as_deref(), context.as_deref()).await?;
                look(client, namespace, &args.fleet).await
            })?;
            choose(args, &region)
        }
    }
}

/// The server that is named, or the fullest that takes players; among equals the first by name.
fn choose(args: &FleetArgs, region: &RegionView) -> anyhow::Result<Destination> {
    let FleetArgs { fleet, cluster: ClusterArgs { namespace, .. }, server, visit } = args;
    let Some(secret) = &region.fleet_secret else {
        bail!("no Fleet {fleet} with a key in namespace {namespace}: `kubectl get cwf -A` shows all Fleets");
    };
    let chosen = match server {
        Some(name) => region.servers.iter().find(|found| found.name == *name).with_context(|| {
            let names: Vec<_> = region.servers.iter().map(|server| server.name.as_str()).collect();
            format!("Fleet {fleet} has no server {name}; it has {}", names.join(", "))
        })?,
        None => fullest(&region.servers).with_context(|| {
            let (count, ready) =
                (region.servers.len(), region.servers.iter().filter(|server| server.is_ready).count());
            format!(
                "no server of Fleet {fleet} takes players: {ready} of {count} are ready, and those are full"
            )
        })?,
    };
    let address = chosen
        .address
        .with_context(|| format!("server {} has no address yet; is its pod scheduled?", chosen.name))?;
    Ok(Destination::new(format!("{} {address}", chosen.name), address, chosen.key(secret), *visit))
}

fn fullest(servers: &[ServerView]) -> Option<&ServerView> {
    let with_room = servers
        .iter()
        .filter(|server| server.is_ready && server.address.is_some() && server.players < server.capacity);
    with_room.max_by(|a, b| a.players.cmp(&b.players).then_with(|| b.name.cmp(&a.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_access::Role;

    fn server(name: &str, is_ready: bool, players: u32) -> ServerView {
        let address = Some(SocketAddr::from(([192, 0, 2, 1], 7000)));
        ServerView { name: name.to_owned(), uid: name.to_owned(), is_ready, address, capacity: 10, players }
    }

    fn args(server: Option<&str>) -> FleetArgs {
        FleetArgs {
            fleet: "arena".to_owned(),
            server: server.map(str::to_owned),
            cluster: ClusterArgs { kubeconfig: None, context: None, namespace: "games".to_owned() },
            visit: VisitArgs { spectate: true, player: Some(7), tick_hz: 64 },
        }
    }

    fn chosen(name: Option<&str>, servers: Vec<ServerView>) -> Result<String, String> {
        let region = RegionView { fleet_secret: Some(b"secret".to_vec()), servers };
        let destination = choose(&args(name), &region).map_err(|error| error.to_string())?;
        assert_eq!((destination.visit.client_id, destination.visit.role), (7, Role::Spectator));
        Ok(destination.name.split(' ').next().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_fullest_with_room_is_taken_or_the_one_that_is_named() {
        let all = || {
            vec![
                server("a", true, 3),
                server("b", true, 3),
                server("full", true, 10),
                server("off", false, 9),
            ]
        };
        assert_eq!(chosen(None, all()), Ok("a".to_owned()));
        assert_eq!(chosen(Some("full"), all()), Ok("full".to_owned()), "the server itself says no");
        let homeless = ServerView { address: None, ..server("homeless", true, 9) };
        assert_eq!(chosen(None, vec![homeless.clone(), server("a", true, 0)]), Ok("a".to_owned()));
        for (name, servers, reason) in [
            (Some("c"), all(), "Fleet arena has no server c; it has a, b, full, off"),
            (None, vec![server("full", true, 10), server("off", false, 0)], "1 of 2 are ready"),
            (Some("homeless"), vec![homeless], "server homeless has no address yet"),
        ] {
            let refused = chosen(name, servers).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn a_fleet_that_is_not_there_is_told_by_name() {
        let error = choose(&args(None), &RegionView::default()).err().unwrap().to_string();
        assert!(error.contains("no Fleet arena with a key in namespace games"), "{error}");
    }
}
