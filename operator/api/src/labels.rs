//! Labels, annotations and names of objects that the operator makes.

/// Label on GameServers and Pods: name of the Fleet.
pub const FLEET: &str = "cranewing.dev/fleet";
/// Label on Pods: name of the GameServer.
pub const GAME_SERVER: &str = "cranewing.dev/game-server";
/// Label on GameServers, Pods and ControllerRevisions: short hash of the Fleet's template.
pub const REVISION: &str = "cranewing.dev/revision";
/// Annotation on the ControllerRevision of a Fleet's template: how it was judged, [`PROVEN`] or [`REJECTED`]. Without one it was not yet.
pub const VERDICT: &str = "cranewing.dev/verdict";
/// Value of [`VERDICT`]: all servers have had it, and no gate failed.
pub const PROVEN: &str = "Proven";
/// Value of [`VERDICT`]: a gate failed.
pub const REJECTED: &str = "Rejected";
/// Annotation on the ControllerRevision of a template that was rejected: why.
pub const VERDICT_REASON: &str = "cranewing.dev/verdict-reason";
/// Label that marks every Pod of a game server, for network policies and dashboards.
pub const ROLE: &str = "cranewing.dev/role";
/// Value of [`ROLE`] on game server Pods.
pub const ROLE_GAME_SERVER: &str = "game-server";
/// Standard label: who manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const MANAGED_BY_OPERATOR: &str = "cranewing-operator";

/// Secret in the operator's namespace: the key by which this region proves itself to others.
pub const LINK_SECRET: &str = "cranewing-link";
/// Service in the operator's namespace by which other regions reach this one's operators.
pub const LINK_SERVICE: &str = "cranewing-link";
/// Service in the operator's namespace at which matchmakers ask where players go.
pub const PLACEMENT_SERVICE: &str = "cranewing-placement";
/// Label on Secrets in the operator's namespace: regionId of the region whose addresses and keys they hold.
pub const PEER: &str = "cranewing.dev/peer";
/// Label on the copy of another region's object: regionId of its home.
pub const HOME: &str = "cranewing.dev/home";
/// Label on a region's share of a placed Fleet, and on the AutoScaler of that share: name of that Fleet.
pub const PARENT: &str = "cranewing.dev/parent";
/// Annotation on the copy of a placed Fleet or of a RegionCluster: which version of it this is, as `uid homeEpoch generation`.
pub const VERSION: &str = "cranewing.dev/version";
/// Annotation on a placed Fleet at its home: how often that home was taken over or came back from nothing; 0 without one.
pub const HOME_EPOCH: &str = "cranewing.dev/home-epoch";
/// Annotation on a region's own RegionCluster: who counts, where home and peers differ. [`CONFIRM_TAKE_BACK`] or [`CONFIRM_KEEP`];
/// the operator acts on it and takes it away.
pub const CONFIRM: &str = "cranewing.dev/confirm";
/// Value of [`CONFIRM`]: what the peers keep counts.
pub const CONFIRM_TAKE_BACK: &str = "take-back";
/// Value of [`CONFIRM`]: what is here counts.
pub const CONFIRM_KEEP: &str = "keep";
/// Annotation on a placed Fleet that follows its players: the record of their weights, as `number region=weight,...`.
pub const WEIGHTS: &str = "cranewing.dev/weights";
/// Annotation on a namespace: regions whose placed Fleets have copies in it, by regionId and comma separated, or `*` for all.
pub const TAKES_FLEETS_FROM: &str = "cranewing.dev/takes-fleets-from";
/// Annotation on a placed Fleet: the record of its AutoScaler, as JSON with `number`, `uid`, `generation` and `spec`; without a spec
/// it had one and has none now.
pub const SCALER: &str = "cranewing.dev/scaler";
/// Annotation on a region's share of a placed Fleet: generation of that Fleet's spec whose template the share has; of an epoch after
/// the first, 2^32 times the epoch more.
pub const TEMPLATE_GENERATION: &str = "cranewing.dev/template-generation";
/// Finalizer of a placed Fleet at its home: the other regions must hear of its end.
pub const PLACED_FINALIZER: &str = "cranewing.dev/placed";
/// ConfigMap in the operator's namespace: this region's vote, what its shares go by, and tombstones of its placed Fleets.
pub const BALLOT: &str = "cranewing-ballot";
/// ConfigMap in the operator's namespace: which of its replicas allocates, and which have what it answered.
pub const ALLOCATION: &str = "cranewing-allocation";
/// Service in the operator's namespace where servers are asked for.
pub const ALLOCATION_SERVICE: &str = "cranewing-allocation";
/// Service at which clients of Agones' allocator ask for game servers.
pub const AGONES_SERVICE: &str = "cranewing-agones";
/// Annotation on a pod of the operator: the process that runs in it, in sixteen hexadecimal digits, and the key by which it is known, in
/// base64. One that starts again is another.
pub const REPLICA: &str = "cranewing.dev/replica";
/// Selector of the operator's own pods, as the chart labels them.
pub const OPERATOR_PODS: &str = "app.kubernetes.io/name=cranewing";
/// Selector of the pods of a region's responders, as the chart labels them.
pub const RESPONDER_PODS: &str = "app.kubernetes.io/name=cranewing-responder";
/// Annotation on the copy of another region's RegionCluster: addresses of that region's responders, comma separated.
pub const RESPONDERS: &str = "cranewing.dev/responders";

/// Well-known node label with the zone's name.
pub const NODE_ZONE: &str = "topology.kubernetes.io/zone";

/// ConfigMap in every namespace with game servers: the bundle by which they verify the operator.
pub const CA_BUNDLE_CONFIG_MAP: &str = "cranewing-report-ca";
/// Key of the bundle in [`CA_BUNDLE_CONFIG_MAP`].
pub const CA_BUNDLE_KEY: &str = "ca.crt";
/// Secret in the operator's namespace: certificate authority of the report endpoints.
pub const CA_SECRET: &str = "cranewing-report-ca";

/// Name of the container that runs the game server when a template names no other.
pub const CONTAINER: &str = "gameserver";

/// Key in a Fleet's Secret: 32 random bytes from which each server's key is derived.
pub const FLEET_SECRET_KEY: &str = "secret";

/// Annotation on the ControllerRevision of a template that is on trial: [`CANARY_PASSED`] once its first servers have proven themselves.
pub const CANARY: &str = "cranewing.dev/canary";
/// Value of [`CANARY`].
pub const CANARY_PASSED: &str = "passed";

/// Name of the Secret that holds a Fleet's key. Pods never mount it.
pub fn fleet_secret_name(fleet: &str) -> String {
    format!("{fleet}-keys")
}

/// Name of the Secret that holds the key of a GameServer without a Fleet. No Fleet's Secret can have such a name.
pub fn server_secret_name(game_server: &str) -> String {
    format!("{game_server}-server-key")
}

/// Name of the Secret that holds a peer's addresses and keys.
pub fn peer_secret_name(region_id: &str) -> String {
    format!("cranewing-peer-{region_id}")
}

/// Label selector that matches the Pods of a Fleet, as the scale subresource publishes it.
pub fn fleet_selector(fleet: &str) -> String {
    format!("{FLEET}={fleet}")
}

/// Name of the ControllerRevision of a Fleet's template with this short hash.
pub fn revision_name(fleet: &str, revision: &str) -> String {
    format!("{fleet}-{revision}")
}

/// Name of a region's share of a placed Fleet.
pub fn share_name(fleet: &str, region_id: &str) -> String {
    format!("{fleet}-{region_id}")
}
