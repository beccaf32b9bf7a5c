//! Accepts streams, so many at most, and runs one task a stream.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::telemetry::chain;

/// Wait after a stream could not be accepted.
pub(crate) const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How many streams there may be at once; more wait where the kernel keeps those that nobody accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// All of them.
    pub(crate) streams: usize,
    /// Those not welcomed yet.
    pub(crate) greetings: usize,
}

/// Where streams come from.
pub(crate) trait Accept {
    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }
}

/// Runs a task for each stream until `stop`; ends when every one of them has ended. Each gets a place among those that are
/// not welcomed yet, and drops it when it is. `what` names a stream in the log.
pub(crate) async fn serve_each<Running: Future<Output = ()> + Send + 'static>(
    what: &'static str,
    listener: impl Accept,
    limits: Limits,
    stop: CancellationToken,
    run: impl Fn((TcpStream, SocketAddr), OwnedSemaphorePermit) -> Running,
) {
    let places = Arc::new(Semaphore::new(limits.streams));
    let greetings = Arc::new(Semaphore::new(limits.greetings));
    let mut streams = JoinSet::new();
    loop {
        // The place first: who cannot be served waits where the kernel keeps those that nobody accepted.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, Arc::clone(&greetings).acquire_owned().await, listener.accept().await)
        };
        let Some((Ok(place), Ok(greeting), accepted)) = stop.run_until_cancelled(next).await else {
            break;
        };
        while let Some(ended) = streams.try_join_next() {
            tell_panic(what, ended);
        }
        match accepted {
            Ok(accepted) => {
                let running = run(accepted, greeting);
                streams.spawn(async move {
                    running.await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "failed to accept {what}");
                // Out of files or memory, mostly: trying at once would only burn what is left.
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
    while let Some(ended) = streams.join_next().await {
        tell_panic(what, ended);
    }
}

/// The panic hook has said where; this says that it was a stream, and that only this one ended.
fn tell_panic(what: &str, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(error = chain(&error), "the task of {what} failed");
    }
}
