//! Ends by signal: a thread of its own waits for them, so that the playing thread only looks at a flag.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Whether SIGTERM or SIGINT came. Dropping it ends and joins its thread.
pub(crate) struct StopSignal {
    came: Arc<AtomicBool>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StopSignal {
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut terminate, mut interrupt) = {
            let _entered = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let came = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel::<()>();
        let flag = Arc::clone(&came);
        let wait = async move {
            tokio::select! {
                _ = terminate.recv() => flag.store(true, Ordering::Relaxed),
                _ = interrupt.recv() => flag.store(true, Ordering::Relaxed),
                _ = ended => {}
            }
        };
        let thread =
            std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait))?;
        Ok(Self { came, end: Some(end), thread: Some(thread) })
    }

    pub(crate) fn has_come(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }
}

impl Drop for StopSignal {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // it cannot panic, and if it did there is nothing left to clean up
            let _joined = thread.join();
        }
    }
}
