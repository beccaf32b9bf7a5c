//! Logs: one form of line for every object, so that one query finds all that was said about a server.

use crate::args::LogFormat;
use anyhow::{Context, anyhow};
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// Begins to log to standard error in the given form.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(filter).with_context(|| format!("failed to read the log filter `{filter}`"))?;
    let started = match format {
        LogFormat::Text => text(filter).try_init(),
        LogFormat::Json => json(filter, std::io::stderr).try_init(),
    };
    started.map_err(|error| anyhow!("failed to start logging: {error}"))
}

fn text(filter: EnvFilter) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).finish()
}

/// Whom a line is about is in its `span`, the innermost alone: `span.uid` is that of the object.
pub(crate) fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).json();
    lines.flatten_event(true).with_current_span(true).with_span_list(false).finish()
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
