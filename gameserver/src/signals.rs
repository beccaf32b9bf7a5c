//! SIGTERM and SIGINT, from the first moment of the process on.

use std::future::pending;
use std::io;
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tokio::io::AsyncReadExt as _;

/// Signals that have come and nobody has asked for yet. A kernel drops a signal to the first process of a container while that has no
/// handler for it, and the kubelet sends SIGTERM once: a pod that is deleted in its first moments would stay for the whole of its grace.
/// So this is made before anything that takes time, and whoever may wait asks for them later.
pub(crate) struct Signals(UnixStream);

/// Signals, one by one.
pub(crate) struct Coming(tokio::net::UnixStream);

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        pipe::register(SIGTERM, write.try_clone()?)?;
        pipe::register(SIGINT, write)?;
        Ok(Self(read))
    }

    /// For whoever waits for them, on a runtime.
    pub(crate) fn coming(self) -> io::Result<Coming> {
        tokio::net::UnixStream::from_std(self.0).map(Coming)
    }
}

impl Coming {
    /// The next one, which may have come before.
    pub(crate) async fn next(&mut self) {
        let mut one = [0];
        if self.0.read_exact(&mut one).await.is_err() {
            // the other end is with the handlers, and they stay
            pending::<()>().await;
        }
    }
}

/// Every listener of a process hears each of its signals, so a test that raises one is alone with those that listen.
#[cfg(test)]
pub(crate) static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::block_on;
    use signal_hook::low_level::raise;
    use std::sync::PoisonError;
    use std::time::Duration;
    use tokio::time::timeout;

    #[test]
    fn a_signal_that_comes_before_anybody_waits_is_heard_and_each_counts() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let signals = Signals::listen().unwrap();
        raise(SIGTERM).unwrap();
        raise(SIGINT).unwrap();
        block_on(async {
            let mut coming = signals.coming().unwrap();
            coming.next().await;
            coming.next().await;
            let third = timeout(Duration::from_millis(20), coming.next()).await;
            assert!(third.is_err(), "two came");
        })
        .unwrap();
    }
}
