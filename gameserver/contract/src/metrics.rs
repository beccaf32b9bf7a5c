//! Names of all metrics that a game server exports, so that dashboards and alerts can be checked against them.
//!
//! What a zone measures has the label `zone`, its number from 0: every counter, histogram and gauge but [`CAPACITY`], [`CPU`],
//! [`RESIDENT`], [`MEMORY`], [`MEMORY_LIMIT`], [`START_TIME`], [`PHASE`], [`BUILD`], [`REPORT_STREAMS`], [`SESSIONS`],
//! [`SESSIONS_ENDED`] and [`OUTDATED`].

/// Counter: datagrams received.
pub const PACKETS_IN: &str = "gameserver_packets_in_total";
/// Counter: datagrams sent.
pub const PACKETS_OUT: &str = "gameserver_packets_out_total";
/// Counter: bytes received, UDP payload only.
pub const BYTES_IN: &str = "gameserver_bytes_in_total";
/// Counter: bytes sent, UDP payload only.
pub const BYTES_OUT: &str = "gameserver_bytes_out_total";
/// Counter by `reason`: datagrams and inputs refused; the reasons are the session's and the pipeline's enums.
pub const REJECTS: &str = "gameserver_rejects_total";
/// Counter: datagrams that the kernel dropped because the socket buffer was full, while no filter kept strangers out.
pub const SOCKET_OVERFLOWS: &str = "gameserver_socket_overflows_total";
/// Counter: datagrams that the kernel dropped while a filter kept strangers out of a server that they flood: by the filter, or
/// because the socket buffer was full all the same.
pub const FILTERED: &str = "gameserver_filtered_total";
/// Counter: datagrams taken in from addresses that have no session.
pub const FROM_STRANGERS: &str = "gameserver_from_strangers_total";
/// Counter: datagrams dropped because they are longer than a server takes, or from no IP address.
pub const TRUNCATED: &str = "gameserver_truncated_total";
/// Counter: times the kernel ran out of posted receive buffers; those of io_uring only.
pub const REARMS: &str = "gameserver_receive_rearms_total";
/// Counter: datagrams of players that never came, by the gaps in their sequences; those of
/// [`SOCKET_OVERFLOWS`] are among them.
pub const PACKETS_LOST: &str = "gameserver_packets_lost_total";
/// Counter: datagrams that could not be sent.
pub const SEND_ERRORS: &str = "gameserver_send_errors_total";
/// Counter: answers to handshakes given up because too many were waiting to be sent.
pub const ANSWERS_DROPPED: &str = "gameserver_answers_dropped_total";
/// Counter: connect tokens that were decrypted, or tried to be, each under one key: the work that strangers can cause.
pub const TOKENS_TRIED: &str = "gameserver_tokens_tried_total";
/// Counter: packets that were decrypted, or tried to be.
pub const PACKETS_TRIED: &str = "gameserver_packets_tried_total";
/// Gauge: connected players.
pub const PLAYERS: &str = "gameserver_players";
/// Gauge: players that fit, in all zones together.
pub const CAPACITY: &str = "gameserver_capacity";
/// Counter: players that joined.
pub const JOINS: &str = "gameserver_joins_total";
/// Counter: players that said goodbye.
pub const LEAVES: &str = "gameserver_leaves_total";
/// Counter: handshakes answered with a refusal because the server was full or draining.
pub const DENIALS: &str = "gameserver_denials_total";
/// Counter: players whose session went on at another zone of the process.
pub const MOVES: &str = "gameserver_moves_total";
/// Counter: sessions opened with a resume token.
pub const RESUMES: &str = "gameserver_resumes_total";
/// Counter: resume tokens handed out.
pub const RESUME_TOKENS: &str = "gameserver_resume_tokens_total";
/// Counter: players lost to a time-out.
pub const TIMEOUTS: &str = "gameserver_timeouts_total";
/// Counter: snapshots sent.
pub const SNAPSHOTS: &str = "gameserver_snapshots_total";
/// Counter: snapshots that no acknowledgement named while 64 more were sent to the player.
pub const SNAPSHOTS_LOST: &str = "gameserver_snapshots_lost_total";
/// Histogram, seconds: a snapshot to the message that acknowledges it, without what the client held that back.
pub const ROUND_TRIP: &str = "gameserver_round_trip_seconds";
/// Counter: inputs carried out.
pub const INPUTS: &str = "gameserver_inputs_total";
/// Counter: inputs that arrived after the tick that they were aimed at.
pub const INPUTS_LATE: &str = "gameserver_inputs_late_total";
/// Counter: inputs that arrived again.
pub const INPUTS_REPEATED: &str = "gameserver_inputs_repeated_total";
/// Counter: inputs put off because their player's buffer was full; the client repeats them.
pub const INPUTS_DEFERRED: &str = "gameserver_inputs_deferred_total";
/// Counter: ticks that left inputs for the next because they had carried out their most.
pub const COMMANDS_DEFERRED: &str = "gameserver_commands_deferred_total";
/// Counter: news for players given up because too much of it was waiting to be heard.
pub const NOTICES_DROPPED: &str = "gameserver_notices_dropped_total";
/// Counter: times that news of an entity was made again because there was no room to keep it for the next player.
pub const CELLS_UNKEPT: &str = "gameserver_cells_unkept_total";
/// Histogram, seconds: how long a zone thread waited for datagrams before a tick. With [`TICK_RECEIVE`], [`TICK_WORK`] and
/// [`TICK_FLUSH`] it makes up all of the thread's time.
pub const TICK_WAIT: &str = "gameserver_tick_wait_seconds";
/// Histogram, seconds: taking in datagrams since the tick before, with whatever else is neither wait, work nor flush.
pub const TICK_RECEIVE: &str = "gameserver_tick_receive_seconds";
/// Histogram, seconds: work of a tick, flush excluded.
pub const TICK_WORK: &str = "gameserver_tick_work_seconds";
/// Histogram, seconds: how long the flush of a tick took.
pub const TICK_FLUSH: &str = "gameserver_tick_flush_seconds";
/// Histogram, seconds: how late a tick started.
pub const TICK_LATENESS: &str = "gameserver_tick_lateness_seconds";
/// Counter: ticks that started a whole tick late or more.
pub const LATE_TICKS: &str = "gameserver_late_ticks_total";
/// Histogram, seconds: arrival of an input to the flush of the state that acknowledges it.
pub const INPUT_LATENCY: &str = "gameserver_input_latency_seconds";
/// Histogram: inputs that wait in all players' buffers at the start of a tick.
pub const QUEUE_DEPTH: &str = "gameserver_queue_depth";
/// Gauge: orders of the control thread that a zone has not carried out yet.
pub const ORDERS_WAITING: &str = "gameserver_orders_waiting";
/// Counter: times that a zone had no room for an order; it is offered again.
pub const ORDERS_REFUSED: &str = "gameserver_orders_refused_total";
/// Counter, seconds: CPU time of the zone thread.
pub const ZONE_CPU: &str = "gameserver_zone_cpu_seconds_total";
/// Counter, seconds: CPU time of the process, all threads together.
pub const CPU: &str = "gameserver_cpu_seconds_total";
/// Gauge: memory of the process that is in RAM, bytes.
pub const RESIDENT: &str = "gameserver_resident_memory_bytes";
/// Gauge by `of` (`cgroup`, `host`): memory in use, bytes: of the control group, without file pages that can be dropped
/// at once, or of the host where the group has no limit.
pub const MEMORY: &str = "gameserver_memory_used_bytes";
/// Gauge by `of`: how much of that there is, bytes.
pub const MEMORY_LIMIT: &str = "gameserver_memory_limit_bytes";
/// Gauge: start of the process, seconds since the Unix epoch.
pub const START_TIME: &str = "gameserver_start_time_seconds";
/// Gauge, 1 for the backend in use, by `backend` and `zone`.
pub const BACKEND: &str = "gameserver_backend_info";
/// Gauge, always 1, by `zone`, `placement` (`on-node`, `interleaved`, `unbound`), `node` (empty for none in particular) and
/// `memory` (`applied`, `unconfirmed`, `denied`, `default`): where the zone thread and its memory are.
pub const NUMA: &str = "gameserver_numa_info";
/// Gauge, 1 for what is so, by `state` (`off`, `on`, `refused`: the kernel did not take the filter, or more are known than one has
/// room for) and `zone`: whether the kernel filters what strangers send.
pub const FILTER: &str = "gameserver_filter_info";
/// Gauge: share of strangers' handshakes that gets in, 1 without a filter.
pub const HANDSHAKES_LET_IN: &str = "gameserver_handshakes_let_in_ratio";
/// Gauge, 1 for the current phase, by `phase`.
pub const PHASE: &str = "gameserver_phase_info";
/// Gauge, always 1, by `version`.
pub const BUILD: &str = "gameserver_build_info";
/// Gauge: open report streams.
pub const REPORT_STREAMS: &str = "gameserver_report_streams";
/// Gauge: sessions that the server was allocated for and holds.
pub const SESSIONS: &str = "gameserver_sessions";
/// Counter: sessions that are over, by `reason`: `unused` (nobody came), `left` (everybody has left).
pub const SESSIONS_ENDED: &str = "gameserver_sessions_ended_total";
/// Gauge: 1 while servers of the Fleet are to be of another template, and this one takes no further session.
pub const OUTDATED: &str = "gameserver_outdated";

/// Every name above.
pub const ALL: &[&str] = &[
    PACKETS_IN,
    PACKETS_OUT,
    BYTES_IN,
    BYTES_OUT,
    REJECTS,
    SOCKET_OVERFLOWS,
    FILTERED,
    FROM_STRANGERS,
    TRUNCATED,
    REARMS,
    PACKETS_LOST,
    SEND_ERRORS,
    ANSWERS_DROPPED,
    TOKENS_TRIED,
    PACKETS_TRIED,
    PLAYERS,
    CAPACITY,
    JOINS,
    LEAVES,
    DENIALS,
    MOVES,
    RESUMES,
    RESUME_TOKENS,
    TIMEOUTS,
    SNAPSHOTS,
    SNAPSHOTS_LOST,
    ROUND_TRIP,
    INPUTS,
    INPUTS_LATE,
    INPUTS_REPEATED,
    INPUTS_DEFERRED,
    COMMANDS_DEFERRED,
    NOTICES_DROPPED,
    CELLS_UNKEPT,
    TICK_WAIT,
    TICK_RECEIVE,
    TICK_WORK,
    TICK_FLUSH,
    TICK_LATENESS,
    LATE_TICKS,
    INPUT_LATENCY,
    QUEUE_DEPTH,
    ORDERS_WAITING,
    ORDERS_REFUSED,
    ZONE_CPU,
    CPU,
    RESIDENT,
    MEMORY,
    MEMORY_LIMIT,
    START_TIME,
    BACKEND,
    NUMA,
    FILTER,
    HANDSHAKES_LET_IN,
    PHASE,
    BUILD,
    REPORT_STREAMS,
    SESSIONS,
    SESSIONS_ENDED,
    OUTDATED,
];
