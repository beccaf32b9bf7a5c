//! Logs: structured, on standard error, with the server's uid on every line.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::LogFormat;

/// Starts logging at level `info`, or as `RUST_LOG` says. `game_server_uid` is on every line that is written
/// within the span `server_span`.
pub fn start(format: LogFormat, game_server_uid: Option<&str>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // a second start (tests in one process) keeps the first
    let _started = match format {
        LogFormat::Json => {
            registry.with(lines.json().flatten_event(true).with_span_events(FmtSpan::NONE)).try_init()
        }
        LogFormat::Text => registry.with(lines).try_init(),
    };
    tracing::debug!(game_server_uid, "logging started");
}

/// The span of a server's whole life.
pub(crate) fn server_span(game_server_uid: Option<&str>) -> tracing::Span {
    tracing::info_span!("server", uid = game_server_uid.unwrap_or("standalone"))
}
