//! Logs: structured, on standard error, and on every line whom it is about.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{LogFormat, ReportArgs};

/// Starts logging at level `info`, or as `RUST_LOG` says.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // a second start (tests in one process) keeps the first
    let _started = match format {
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
            registry.with(lines).try_init()
        }
        LogFormat::Text => registry.with(lines).try_init(),
    };
}

/// The span of a server's whole life. The operator uses the same names for what it says of a server. It is an error's
/// span, so that no filter takes the fields from a line that it lets through.
pub fn about(report: &ReportArgs) -> tracing::Span {
    let zone = tracing::field::Empty;
    let Some(object) = report.game_server.as_deref() else {
        return tracing::error_span!(parent: None, "about", uid = "standalone", zone);
    };
    tracing::error_span!(
        parent: None,
        "about",
        kind = "GameServer",
        namespace = report.namespace,
        object,
        uid = report.game_server_uid,
        fleet = report.fleet,
        zone
    )
}

/// The span of a zone's thread: that of the server, and which zone it is.
pub(crate) fn about_zone(report: &ReportArgs, zone: usize) -> tracing::Span {
    let span = about(report);
    span.record("zone", zone);
    span
}
