//! The control thread's runtime: tokio-uring, or plain tokio where io_uring is denied.

use tokio::task::LocalSet;

/// Runs `future` to its end on this thread.
///
/// # Errors
/// When not even the plain runtime can be made.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    // a small ring: the control thread has a handful of operations at a time, and locked memory is scarce
    match tokio_uring::Runtime::new(tokio_uring::builder().entries(16)) {
        Ok(runtime) => {
            tracing::debug!(runtime = "tokio-uring", "control thread");
            Ok(runtime.block_on(future))
        }
        Err(denied) => {
            tracing::info!(reason = denied.to_string(), "the control thread runs on plain tokio");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(LocalSet::new().block_on(&runtime, future))
        }
    }
}
