//! Names of the environment variables that the operator sets in a game server's container.

/// `IP:port` of the report Service (its ClusterIP, so that cluster DNS is not needed). Unset: the server runs
/// standalone and reports to nobody.
pub const REPORT_ENDPOINT: &str = "CRANEWING_REPORT_ENDPOINT";
/// Path of the PEM bundle that signs the operator's report certificates. Re-read on every connect.
pub const REPORT_CA_FILE: &str = "CRANEWING_REPORT_CA_FILE";
/// Path of the projected service account token. Re-read on every connect, because the kubelet rotates it.
pub const REPORT_TOKEN_FILE: &str = "CRANEWING_REPORT_TOKEN_FILE";
/// Namespace of the GameServer object.
pub const NAMESPACE: &str = "CRANEWING_NAMESPACE";
/// Name of the GameServer object.
pub const GAME_SERVER: &str = "CRANEWING_GAME_SERVER";
/// Uid of the GameServer object.
pub const GAME_SERVER_UID: &str = "CRANEWING_GAME_SERVER_UID";
/// Uid of the pod (downward API).
pub const POD_UID: &str = "CRANEWING_POD_UID";
/// Name of the Fleet, empty for a GameServer of its own.
pub const FLEET: &str = "CRANEWING_FLEET";
/// regionId of the region, such as `kr`.
pub const REGION_ID: &str = "CRANEWING_REGION_ID";
/// UDP port that the server binds inside its pod.
pub const PORT: &str = "CRANEWING_PORT";
/// Address of the node, by which players reach the server (downward API `status.hostIP`).
pub const HOST_IP: &str = "CRANEWING_HOST_IP";
/// UDP port on the node that leads to [`PORT`]; connect tokens name `HOST_IP:HOST_PORT`.
pub const HOST_PORT: &str = "CRANEWING_HOST_PORT";
/// Seconds, with a fraction, that players are given to leave after SIGTERM. Less than the pod's termination grace
/// period, so that whoever stays is told before the kubelet kills the process.
pub const DRAIN_DEADLINE: &str = "CRANEWING_DRAIN_DEADLINE_SECONDS";
/// Players that the server takes at most.
pub const CAPACITY: &str = "CRANEWING_CAPACITY";
/// The NUMA node of the zone thread and its memory, as `--numa` says it. The operator leaves it to the template.
pub const NUMA: &str = "CRANEWING_NUMA";
/// Directory that lasts as long as the pod, for what a server that starts again must still know.
pub const STATE_DIR: &str = "CRANEWING_STATE_DIR";
/// Sessions that the server is allocated for at once.
pub const SESSIONS: &str = "CRANEWING_SESSIONS";
/// Seconds, with a fraction, that a session for which the server was allocated is waited for until somebody comes.
pub const JOIN_DEADLINE: &str = "CRANEWING_JOIN_DEADLINE_SECONDS";
