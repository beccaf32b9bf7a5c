//! `bots fleet`: play on the Fleets of one or several regions.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use gameserver_access::{ClusterArgs, RegionView, ServerView, connect, follow};
use gameserver_sys::Clock;
use tokio::sync::watch;

use crate::args::FleetArgs;
use crate::assignment::{Assignment, Occupancy, assign};
use crate::bot::Place;
use crate::course::Course;
use crate::ramp::{Ramp, share};
use crate::stats::LineHead;
use crate::stats_file::StatsFile;
use crate::stop::StopSignal;
use crate::swarm::{Census, Swarm, Ticket};

/// How often bots are sent or called back.
const DIRECT_PERIOD: Duration = Duration::from_millis(100);
/// Bots of a region that are sent or called back at a time: 200 a second.
const MOVES_MAX: u32 = 20;

pub(crate) fn run(args: FleetArgs) -> anyhow::Result<()> {
    let stop = StopSignal::listen().context("failed to listen for signals")?;
    let mut file =
        args.stats.as_deref().map(StatsFile::open).transpose().context("failed to open the stats file")?;
    let clock = Clock::start();
    let mut swarm =
        Swarm::new(args.regions.len(), args.play.into(), clock).context("failed to set up polling")?;
    let ramp = Ramp {
        players: args.players,
        up: args.ramp_up,
        hold: args.hold,
        down: args.ramp_down,
        cycle: args.cycle,
    };
    let names: Vec<String> = args.regions.iter().map(|region| region.id.clone()).collect();
    let (fleet, namespace, leave_free) =
        (args.fleet.clone(), args.cluster.namespace.clone(), args.leave_free);
    let watchers = Watchers::start(args)?;

    let direct_all = |swarm: &mut Swarm, target| {
        let mut regions = watchers.views.iter().enumerate();
        regions.try_for_each(|(region, view)| {
            direct(swarm, region, (share(target, region, names.len()), leave_free), &view.borrow())
        })
    };
    let record = |swarm: &mut Swarm, target| write_lines(swarm, &names, target, clock, file.as_mut());
    Course { ramp, clock, direct_period: DIRECT_PERIOD }.run(&mut swarm, &stop, direct_all, record)?;
    // whoever reads the file sees everyone gone, and counts that are final
    write_lines(&mut swarm, &names, 0, clock, file.as_mut())?;
    let is_known: Vec<bool> =
        watchers.views.iter().map(|view| view.borrow().fleet_secret.is_some()).collect();
    watchers.stop();
    let mut nobody = Vec::new();
    for ((name, stats), is_known) in names.iter().zip(&swarm.stats).zip(is_known) {
        tracing::debug!(region = name, "{}", stats.summary());
        writeln!(std::io::stdout(), "{name}: {stats}").context("failed to print what was measured")?;
        if stats.totals.joins == 0 {
            nobody.push(if is_known {
                format!("no server of Fleet {fleet} in {name} let anybody in")
            } else {
                format!("there is no Fleet {fleet} with a key in namespace {namespace} of {name}")
            });
        }
    }
    // a signal may come before anybody was sent
    let was_tried = swarm.stats.iter().any(|stats| stats.totals.joins + stats.totals.refused > 0);
    if nobody.len() == names.len() && (was_tried || !stop.has_come()) {
        bail!("nobody played: {}; `kubectl get cwf,cwgs -A` shows what there is", nobody.join(", "));
    }
    Ok(())
}

/// One line for each region.
fn write_lines(
    swarm: &mut Swarm,
    names: &[String],
    target: u32,
    clock: Clock,
    mut file: Option<&mut StatsFile>,
) -> anyhow::Result<()> {
    for (region, name) in names.iter().enumerate() {
        let census = swarm.census(region);
        let servers = census.into_iter().map(|(name, census)| (name, census.playing)).collect();
        let target = share(target, region, names.len());
        let head = LineHead { region: name, unix: clock.unix(), target, servers: &servers };
        let line = swarm.stats[region].take_line(&head);
        tracing::debug!("{line}");
        if let Some(file) = &mut file {
            file.append(&line).context("failed to write the stats file")?;
        }
    }
    Ok(())
}

/// Sends bots to a region's servers, or calls them back.
fn direct(
    swarm: &mut Swarm,
    region: usize,
    (target, leave_free): (u32, u32),
    view: &RegionView,
) -> anyhow::Result<()> {
    let Some(secret) = &view.fleet_secret else { return Ok(()) };
    let servers = occupancies(&view.servers, leave_free, swarm.census(region));
    for assignment in assign(servers, target, MOVES_MAX) {
        match assignment {
            Assignment::Join(name) => {
                let Some(server) = view.servers.iter().find(|server| server.name == name) else { continue };
                let Some(address) = server.address else { continue };
                let key = server.key(secret);
                let place = Place { region, server: Rc::from(name) };
                swarm.join(place, address, Ticket::Key(key))?;
            }
            Assignment::Leave(name) => {
                swarm.leave(&Place { region, server: Rc::from(name) });
            }
        }
    }
    Ok(())
}

/// What the region shows and what our bots know, together. A server that is gone from the view may still have bots.
fn occupancies(
    servers: &[ServerView],
    leave_free: u32,
    mut census: BTreeMap<String, Census>,
) -> Vec<Occupancy> {
    let mut occupancies: Vec<_> = servers
        .iter()
        .map(|server| Occupancy {
            server: server.name.clone(),
            is_ready: server.is_ready && server.address.is_some(),
            capacity: server.capacity.saturating_sub(leave_free),
            reported: server.players,
            bots: census.remove(&server.name).unwrap_or_default().bots,
        })
        .collect();
    occupancies.extend(census.into_iter().map(|(server, census)| Occupancy {
        server,
        is_ready: false,
        capacity: 0,
        reported: 0,
        bots: census.bots,
    }));
    occupancies
}

/// A thread that watches every region.
struct Watchers {
    views: Vec<watch::Receiver<RegionView>>,
    thread: JoinHandle<()>,
}

impl Watchers {
    fn start(args: FleetArgs) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut clients = Vec::new();
        for region in &args.regions {
            let ClusterArgs { kubeconfig, context, .. } = &args.cluster;
            // a kubeconfig of its own leads to one region; another may lead to several, by contexts that are called like them
            let by_name = region.kubeconfig.is_none().then_some(region.id.as_str());
            let kubeconfig = region.kubeconfig.as_deref().or(kubeconfig.as_deref());
            let client = runtime.block_on(connect(kubeconfig, context.as_deref().or(by_name)));
            clients.push(client.with_context(|| {
                let id = &region.id;
                format!(
                    "failed to reach region {id}: without --context its context is called like the region, and \
                     --region {id}=KUBECONFIG names a kubeconfig of its own"
                )
            })?);
        }
        let (shown, views): (Vec<_>, Vec<_>) =
            clients.iter().map(|_| watch::channel(RegionView::default())).unzip();
        let watch_all = async move {
            let followed = clients.into_iter().zip(shown);
            futures::future::join_all(
                followed.map(|(client, view)| follow(client, &args.cluster.namespace, &args.fleet, view)),
            )
            .await;
        };
        let run = move || runtime.block_on(watch_all);
        let thread = std::thread::Builder::new().name("watchers".into()).spawn(run)?;
        Ok(Self { views, thread })
    }

    /// Lets go of the views, which ends the watches.
    fn stop(self) {
        drop(self.views);
        if self.thread.join().is_err() {
            tracing::error!("the watching thread panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_an_address_is_not_offered_and_one_that_is_gone_still_counts() {
        let server = ServerView {
            name: "a".to_owned(),
            uid: "1".to_owned(),
            is_ready: true,
            address: None,
            capacity: 10,
            players: 4,
        };
        let census = BTreeMap::from([
            ("a".to_owned(), Census { bots: 2, playing: 1 }),
            ("gone".to_owned(), Census { bots: 3, playing: 3 }),
        ]);
        let occupancies = occupancies(&[server], 1, census);
        let seen: Vec<_> = occupancies
            .iter()
            .map(|o| (o.server.as_str(), o.is_ready, o.capacity, o.reported, o.bots))
            .collect();
        assert_eq!(seen, [("a", false, 9, 4, 2), ("gone", false, 0, 0, 3)]);
    }
}
