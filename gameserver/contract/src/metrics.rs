//! Names of all metrics that a game server exports, so that dashboards and alerts can be checked against them.

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
/// Counter: datagrams that the kernel dropped because the socket buffer was full.
pub const SOCKET_OVERFLOWS: &str = "gameserver_socket_overflows_total";
/// Counter: datagrams dropped because they are longer than a server takes, or from no IP address.
pub const TRUNCATED: &str = "gameserver_truncated_total";
/// Counter: times the kernel ran out of posted receive buffers; those of io_uring only.
pub const REARMS: &str = "gameserver_receive_rearms_total";
/// Counter: datagrams that could not be sent.
pub const SEND_ERRORS: &str = "gameserver_send_errors_total";
/// Gauge: connected players.
pub const PLAYERS: &str = "gameserver_players";
/// Counter: players that joined.
pub const JOINS: &str = "gameserver_joins_total";
/// Counter: sessions opened with a resume token.
pub const RESUMES: &str = "gameserver_resumes_total";
/// Counter: resume tokens handed out.
pub const RESUME_TOKENS: &str = "gameserver_resume_tokens_total";
/// Counter: players lost to a time-out.
pub const TIMEOUTS: &str = "gameserver_timeouts_total";
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
/// Histogram: depth of the command queue, commands a tick.
pub const QUEUE_DEPTH: &str = "gameserver_queue_depth";
/// Gauge, 1 for the backend in use, by `backend`.
pub const BACKEND: &str = "gameserver_backend_info";
/// Gauge, always 1, by `placement` (`on-node`, `interleaved`, `unbound`), `node` (empty for none in particular) and
/// `memory` (`applied`, `unconfirmed`, `denied`, `default`): where the zone thread and its memory are.
pub const NUMA: &str = "gameserver_numa_info";
/// Gauge, 1 for the current phase, by `phase`.
pub const PHASE: &str = "gameserver_phase_info";
/// Gauge, always 1, by `version`.
pub const BUILD: &str = "gameserver_build_info";
/// Gauge: open report streams.
pub const REPORT_STREAMS: &str = "gameserver_report_streams";

/// Every name above.
pub const ALL: &[&str] = &[
    PACKETS_IN,
    PACKETS_OUT,
    BYTES_IN,
    BYTES_OUT,
    REJECTS,
    SOCKET_OVERFLOWS,
    TRUNCATED,
    REARMS,
    SEND_ERRORS,
    PLAYERS,
    JOINS,
    RESUMES,
    RESUME_TOKENS,
    TIMEOUTS,
    TICK_WORK,
    TICK_FLUSH,
    TICK_LATENESS,
    LATE_TICKS,
    INPUT_LATENCY,
    QUEUE_DEPTH,
    BACKEND,
    NUMA,
    PHASE,
    BUILD,
    REPORT_STREAMS,
];
