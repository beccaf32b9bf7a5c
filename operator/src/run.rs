//! Puts the operator together and takes it apart again in order.

mod doors;

use anyhow::{Context as _, anyhow};
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::client::ClientBuilder;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Config as WatchConfig;
use kube::{Api, Client, ResourceExt};
use operator_api::{GameServer, labels};
use operator_core::allocation::ReplicaId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::doors::Doors;
use crate::allocation::{Desk, DeskSetup};
use crate::args::{PlayerAddress, RunArgs};
use crate::controllers::{self, Context, Stores};
use crate::debug::Shown;
use crate::journal::Journal;
use crate::links::{Links, Setup};
use crate::placement::Placement;
use crate::reports::endpoint::{self, Endpoint};
use crate::reports::identity::Verifier;
use crate::reports::keys::FleetKeys;
use crate::reports::live::LiveServers;
use crate::reports::replicas::replica_addresses;
use crate::reports::trust::{Bundles, Rotation, Trust};
use crate::runtime::admin::{self, Admin, Stage};
use crate::runtime::chance::random;
use crate::runtime::clock::Clock;
use crate::runtime::leadership::Candidate;
use crate::runtime::metrics::Metrics;
use crate::runtime::patience::answer_in_time;
use crate::runtime::raw_keys;
use crate::runtime::tasks::Tasks;
use crate::runtime::telemetry;
use crate::runtime::watch::Watched;
use crate::runtime::write_account::WriteAccount;

/// How long each group of tasks may take to stop; all four end well before a pod's grace period does.
const STOP_MAX: Duration = Duration::from_secs(3);
/// How often silent servers are looked for.
const SILENCE_PERIOD: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    telemetry::start(&args.log, args.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(operate(args))
}

async fn operate(args: RunArgs) -> anyhow::Result<()> {
    // From here on a signal waits until somebody asks for it.
    let signals = Signals::start()?;
    let clock = Clock::start();
    let metrics = Metrics::new().context("failed to make the metrics")?;
    let client = connect(&metrics).await?;
    info!(version = env!("CARGO_PKG_VERSION"), region = %args.region_id, "the operator starts");

    // Listeners first: a port that is taken must be known before anything else happens.
    let listeners = Listeners::bind(&args).await?;
    let when = (args.report_terms()?, clock.unix());
    let trust = Arc::new(Trust::open(client.clone(), &args.namespace, when, metrics.clone()).await?);
    let acceptor = TlsAcceptor::from(trust.server_config(&[])?);
    let report_endpoint = report_address(&client, &args).await?;

    let mut groups = Groups::default();
    let (stage, seen) = watch::channel(Stage::Starting);
    let admin = Admin { registry: metrics.registry.clone(), stage: seen };
    groups.admin.spawn("the admin endpoint", |stop| async {
        admin::serve(listeners.admin, admin, stop).await.context("failed to serve")
    });

    let serving = &mut groups.serving;
    let stores = watch_all(&client, &args.namespace, serving);
    let (live, journal) = (Arc::new(LiveServers::new()), Arc::new(Journal::new(clock)));
    show(Shown { journal: Arc::clone(&journal), live: Arc::clone(&live), clock }, listeners.debug, serving);
    let keys = Arc::new(FleetKeys::new(client.clone()));
    let verifier = Arc::new(Verifier::new(client.clone(), clock));
    let watched = (watch_operators(&client, &args, serving), stores.game_servers.store().clone());
    let setup =
        setup_of_desk((&client, &args), listeners.replica, watched, (&live, &journal), (&metrics, clock))?;
    let desk = start_desk(setup, serving);
    let doors = Doors { client: &client, args: &args, stores: &stores, desk: &desk, trust: &trust };
    doors.open((&verifier, &keys), (&metrics, clock), (listeners.allocation, listeners.agones), serving)?;
    let endpoint = Endpoint {
        acceptor,
        live: Arc::clone(&live),
        verifier: Arc::clone(&verifier),
        keys: Arc::clone(&keys),
        game_servers: stores.game_servers.store().clone(),
        pods: stores.pods.store().clone(),
        nodes: (args.player_address == PlayerAddress::External).then(|| stores.nodes.store().clone()),
        replicas: watch_replicas(&client, &args, serving),
        desk: desk.clone(),
        limits: endpoint::LIMITS,
        metrics: metrics.clone(),
        clock,
    };
    serving.spawn("the report endpoint", |stop| endpoint.serve(listeners.report, stop).map(Ok));
    serving.spawn("the look at the cluster's keys", |stop| verifier.keep_fresh(stop).map(Ok));
    let authorities = watch_authorities(&client, &args, serving);
    serving
        .spawn("the report certificate", |stop| Arc::clone(&trust).follow(authorities, clock, stop).map(Ok));
    let links = Arc::new(Links::new(args.region_id, stores.of_links(), metrics.clone(), clock));
    let registered = links.start(setup_of_links(&client, &args, listeners.link), serving).await?;
    let placement = Placement::new(Arc::<Links>::clone(&links), Arc::clone(&journal), metrics.clone(), clock);
    serving.spawn("the placement endpoint", |stop| placement.serve(listeners.placement, stop).map(Ok));
    let heard = (Arc::clone(&live), stores.clone());
    serving.spawn("the look for silent servers", |stop| notice_silence(heard, clock, stop).map(Ok));

    let shared = Shared {
        args,
        client,
        stores,
        live,
        journal,
        keys,
        trust,
        links,
        desk,
        report_endpoint,
        metrics,
        clock,
    };
    groups.live(shared, registered, stage, signals).await
}

/// Every task of the process, by the order in which they stop.
#[derive(Default)]
struct Groups {
    leading: Tasks,
    /// The lease is given back only after the controllers have stopped.
    lease: Tasks,
    serving: Tasks,
    /// Says until the end how the rest is.
    admin: Tasks,
}

impl Groups {
    /// Until a signal, or the first task that fails; it stands for leader once every watch has its list.
    async fn live(
        mut self,
        shared: Shared,
        registered: watch::Receiver<bool>,
        stage: watch::Sender<Stage>,
        mut signals: Signals,
    ) -> anyhow::Result<()> {
        let stopped = tokio::select! {
            stopped = self.until_stopped(&mut signals) => Some(stopped),
            () = wait_until_warm(&shared, registered) => None,
        };
        let stopped = if let Some(stopped) = stopped {
            stopped
        } else {
            stage.send_replace(Stage::Running);
            self.stand_for_leader(shared);
            self.until_stopped(&mut signals).await
        };
        info!("the operator stops");
        stage.send_replace(Stage::Stopping);
        let ended = self.stop().await;
        // What made it stop is the cause of whatever went wrong after that.
        stopped.and(ended)
    }

    /// From here on this replica leads whenever the lease is its own.
    fn stand_for_leader(&mut self, shared: Shared) {
        let (leads, leading) = watch::channel(false);
        let candidate = Candidate {
            client: shared.client.clone(),
            namespace: shared.args.namespace.clone(),
            lease: shared.args.lease.clone(),
            identity: shared.args.pod_name.clone(),
            pulse: Arc::clone(&shared.links.pulse),
            clock: shared.clock,
        };
        self.lease.spawn("the lease", |stop| candidate.run(leads, stop));
        self.leading.spawn("the controllers", |stop| lead(shared, leading, stop));
    }

    /// Waits for a signal to end, or for the first task that fails.
    async fn until_stopped(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let Self { leading, lease, serving, admin } = self;
        Err(tokio::select! {
            signal = signals.next() => {
                info!(signal, "told to stop");
                return Ok(());
            }
            failure = leading.failure() => failure,
            failure = lease.failure() => failure,
            failure = serving.failure() => failure,
            failure = admin.failure() => failure,
        })
    }

    /// Stops all of them, one group after the other; the first failure is told.
    async fn stop(self) -> anyhow::Result<()> {
        let mut first = Ok(());
        for group in [self.leading, self.lease, self.serving, self.admin] {
            first = first.and(group.stop(STOP_MAX).await);
        }
        first
    }
}

async fn connect(metrics: &Metrics) -> anyhow::Result<Client> {
    let config =
        kube::Config::infer().await.context("failed to find a cluster; set KUBECONFIG or run in a pod")?;
    let builder = ClientBuilder::try_from(config).context("failed to make a client")?;
    // The wait is outermost: a request counts as a write even if its answer never comes.
    let account =
        WriteAccount { writes: metrics.api_writes.clone(), refused: metrics.api_writes_refused.clone() };
    Ok(builder.with_layer(&account).with_layer(&answer_in_time()).build())
}

fn setup_of_links<'a>(client: &'a Client, args: &'a RunArgs, listener: TcpListener) -> Setup<'a> {
    let (namespace, responder_port) = (args.namespace.as_str(), args.responder_port);
    Setup { client, namespace, responder_port, recorder: recorder(client, args), listener }
}

fn setup_of_desk(
    (client, args): (&Client, &RunArgs),
    listener: TcpListener,
    (pods, game_servers): (Store<Pod>, Store<GameServer>),
    (live, journal): (&Arc<LiveServers>, &Arc<Journal>),
    (metrics, clock): (&Metrics, Clock),
) -> anyhow::Result<DeskSetup> {
    Ok(DeskSetup {
        client: client.clone(),
        namespace: args.namespace.clone(),
        pod_name: args.pod_name.clone(),
        me: ReplicaId(random()?),
        key: raw_keys::fresh_key()?,
        pods,
        listener,
        port: args.replica_listen.port(),
        game_servers,
        live: Arc::clone(live),
        journal: Arc::clone(journal),
        metrics: metrics.allocations.clone(),
        clock,
    })
}

fn start_desk(setup: DeskSetup, tasks: &mut Tasks) -> Desk {
    let (desk, work) = Desk::new(setup);
    tasks.spawn("allocation", |stop| work.run(stop));
    desk
}

fn show(shown: Shown, listener: TcpListener, tasks: &mut Tasks) {
    tasks.spawn("the debug endpoint", |stop| async {
        shown.serve(listener, stop).await.context("failed to serve")
    });
}

/// Who Events come from.
fn recorder(client: &Client, args: &RunArgs) -> Recorder {
    let instance = Some(args.pod_name.clone());
    Recorder::new(client.clone(), Reporter { controller: "cranewing-operator".to_owned(), instance })
}

/// Where others reach this replica.
struct Listeners {
    admin: TcpListener,
    report: TcpListener,
    link: TcpListener,
    placement: TcpListener,
    allocation: TcpListener,
    agones: Option<TcpListener>,
    replica: TcpListener,
    debug: TcpListener,
}

impl Listeners {
    async fn bind(args: &RunArgs) -> anyhow::Result<Self> {
        Ok(Self {
            admin: bind(args.admin_listen, "admin").await?,
            report: bind(args.report_listen, "report").await?,
            link: bind(args.link_listen, "link").await?,
            placement: bind(args.placement_listen, "placement").await?,
            allocation: bind(args.allocation_listen, "allocation").await?,
            agones: match args.agones.agones_listen {
                Some(address) => Some(bind(address, "Agones' allocation").await?),
                None => None,
            },
            replica: bind(args.replica_listen, "replica").await?,
            debug: bind(args.debug_listen, "debug").await?,
        })
    }
}

async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to bind the {what} endpoint to {address}"))
}

/// `ClusterIP:port` of the report Service: game servers reach it without cluster DNS (rules 14).
async fn report_address(client: &Client, args: &RunArgs) -> anyhow::Result<String> {
    let api: Api<Service> = Api::namespaced(client.clone(), &args.namespace);
    let service = api
        .get(&args.report_service)
        .await
        .with_context(|| format!("failed to read Service {}/{}", args.namespace, args.report_service))?;
    let spec = service.spec.unwrap_or_default();
    let address = spec.cluster_ip.filter(|address| address != "None" && !address.is_empty());
    let port = spec.ports.unwrap_or_default().first().map(|port| port.port);
    let (Some(address), Some(port)) = (address, port) else {
        anyhow::bail!("Service {}/{} needs a ClusterIP and a port", args.namespace, args.report_service);
    };
    Ok(if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") })
}

fn watch_all(client: &Client, namespace: &str, tasks: &mut Tasks) -> Stores {
    let all = WatchConfig::default;
    let game_pods = all().labels(&format!("{}={}", labels::ROLE, labels::ROLE_GAME_SERVER));
    let responders = all().labels(labels::RESPONDER_PODS);
    let ballot = all().fields(&format!("metadata.name={}", labels::BALLOT));
    Stores {
        fleets: Watched::start(Api::all(client.clone()), all(), tasks),
        game_servers: Watched::start(Api::all(client.clone()), all(), tasks),
        revisions: Watched::start(Api::all(client.clone()), all().labels(labels::FLEET), tasks),
        auto_scalers: Watched::start(Api::all(client.clone()), all(), tasks),
        allocations: Watched::start(Api::all(client.clone()), all(), tasks),
        region_clusters: Watched::start(Api::all(client.clone()), all(), tasks),
        pods: Watched::start(Api::all(client.clone()), game_pods, tasks),
        nodes: Watched::start(Api::all(client.clone()), all(), tasks),
        responders: Watched::start(Api::namespaced(client.clone(), namespace), responders, tasks),
        horizontal: Watched::start(Api::all(client.clone()), all(), tasks),
        ballots: Watched::start(Api::namespaced(client.clone(), namespace), ballot, tasks),
    }
}

/// The Secret of the report endpoint's authorities.
fn watch_authorities(client: &Client, args: &RunArgs, tasks: &mut Tasks) -> Watched<Secret> {
    watch_secret(client, args, labels::CA_SECRET, tasks)
}

/// A Secret of the operator's namespace.
fn watch_secret(client: &Client, args: &RunArgs, name: &str, tasks: &mut Tasks) -> Watched<Secret> {
    let this_one = WatchConfig::default().fields(&format!("metadata.name={name}"));
    Watched::start(Api::namespaced(client.clone(), &args.namespace), this_one, tasks)
}

/// The operator's own pods: each says which process runs in it.
fn watch_operators(client: &Client, args: &RunArgs, tasks: &mut Tasks) -> Store<Pod> {
    let ours = WatchConfig::default().labels(labels::OPERATOR_PODS);
    Watched::start(Api::namespaced(client.clone(), &args.namespace), ours, tasks).store().clone()
}

/// Addresses of all replicas' report endpoints, as they change.
fn watch_replicas(client: &Client, args: &RunArgs, tasks: &mut Tasks) -> watch::Receiver<Vec<SocketAddr>> {
    let api = Api::namespaced(client.clone(), &args.namespace);
    let of_service =
        WatchConfig::default().labels(&format!("kubernetes.io/service-name={}", args.report_service));
    let slices = Watched::start(api, of_service, tasks);
    let (sender, receiver) = watch::channel(Vec::new());
    tasks.spawn("the addresses of the replicas", |stop| async move {
        let mut changes =
            Box::pin(slices.concerning(|slice: &EndpointSlice| vec![ObjectRef::from_obj(slice)]));
        while let Some(Some(_)) = stop.run_until_cancelled(changes.next()).await {
            let state = slices.store().state();
            let addresses = replica_addresses(state.iter().map(Arc::as_ref));
            sender.send_if_modified(|old| {
                let differs = *old != addresses;
                *old = addresses;
                differs
            });
        }
        Ok(())
    });
    receiver
}

/// Tells of silent servers, and forgets those that are gone.
async fn notice_silence((live, stores): (Arc<LiveServers>, Stores), clock: Clock, stop: CancellationToken) {
    let mut ticks = interval(SILENCE_PERIOD);
    // Who stood still looks once and not once for each second of it.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        live.tell_silent(clock.elapsed());
        live.retain(|object: &ObjectRef<GameServer>, uid| {
            stores.game_servers.store().get(object).is_some_and(|server| server.uid().as_deref() == Some(uid))
        });
    }
}

/// Every watch has its list, and every peer is read or silent.
async fn wait_until_warm(shared: &Shared, registered: watch::Receiver<bool>) {
    let Stores {
        fleets,
        game_servers,
        revisions,
        auto_scalers,
        // definitions that are older than this operator have no such kind, and it works all the same
        allocations: _,
        region_clusters,
        pods,
        nodes,
        responders,
        horizontal,
        ballots,
    } = &shared.stores;
    // An error means that the watch ended, which happens only when the operator stops.
    let _all = tokio::join!(
        fleets.store().wait_until_ready(),
        game_servers.store().wait_until_ready(),
        revisions.store().wait_until_ready(),
        auto_scalers.store().wait_until_ready(),
        region_clusters.store().wait_until_ready(),
        pods.store().wait_until_ready(),
        nodes.store().wait_until_ready(),
        responders.store().wait_until_ready(),
        horizontal.store().wait_until_ready(),
        ballots.store().wait_until_ready(),
        shared.links.settle(registered),
    );
}

struct Shared {
    args: RunArgs,
    client: Client,
    stores: Stores,
    live: Arc<LiveServers>,
    journal: Arc<Journal>,
    keys: Arc<FleetKeys>,
    trust: Arc<Trust>,
    links: Arc<Links>,
    desk: Desk,
    report_endpoint: String,
    metrics: Metrics,
    clock: Clock,
}

/// Runs the controllers while this replica leads.
async fn lead(
    shared: Shared,
    mut leading: watch::Receiver<bool>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        match stop.run_until_cancelled(leading.wait_for(|leads| *leads)).await {
            Some(began) => drop(began.context("nobody says any more whether this replica leads")?),
            None => return Ok(()),
        }
        shared.metrics.leader.set(1);
        shared.live.forget_orders();
        let context = Arc::new(shared.context());
        let ended = tokio::select! {
            () = controllers::run(context) => Err(anyhow!("the controllers ended by themselves")),
            _ = leading.wait_for(|leads| !*leads) => Ok(()),
            () = stop.cancelled() => Ok(()),
        };
        shared.metrics.forget_leading();
        ended?;
    }
}

impl Shared {
    fn context(&self) -> Context {
        Context::new(self, recorder(&self.client, &self.args))
    }
}

impl Context {
    fn new(shared: &Shared, recorder: Recorder) -> Self {
        let (client, trust) = (&shared.client, &shared.trust);
        let bundles = Arc::new(Bundles::new(client.clone(), Arc::clone(trust)));
        let rotation =
            Rotation::new(client.clone(), &shared.args.namespace, Arc::clone(trust), Arc::clone(&bundles));
        Self {
            client: shared.client.clone(),
            namespace: shared.args.namespace.clone(),
            stores: shared.stores.clone(),
            live: Arc::clone(&shared.live),
            journal: Arc::clone(&shared.journal),
            keys: Arc::clone(&shared.keys),
            pods: controllers::PodDefaults {
                image: shared.args.gameserver_image.clone(),
                region_id: shared.args.region_id.to_string(),
                report_endpoint: shared.report_endpoint.clone(),
                seccomp_profile: shared.args.seccomp_profile.clone(),
            },
            ports: controllers::HostPortLedger::new(shared.args.host_ports),
            bundles,
            rotation,
            pace: controllers::Pace::default(),
            placements: controllers::Placements::default(),
            scale_times: controllers::ScaleTimes::default(),
            trials: controllers::Trials::default(),
            recovery: controllers::Shown::default(),
            links: Arc::clone(&shared.links),
            desk: shared.desk.clone(),
            recorder,
            metrics: shared.metrics.clone(),
            clock: shared.clock,
            leading_since: shared.live.awake(shared.clock.elapsed()),
        }
    }
}

/// Signals by which the process is told to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn start() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests;
