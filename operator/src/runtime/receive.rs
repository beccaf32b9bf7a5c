//! Receives datagrams; an error that lasts costs no more than a look at it now and then.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::sleep;

/// Wait after a datagram could not be received.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Where datagrams come from.
pub(crate) trait Receive {
    /// The next one.
    async fn receive(&self, datagram: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
}

impl Receive for UdpSocket {
    async fn receive(&self, datagram: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from(datagram).await
    }
}

/// The next datagram that can be received: its length, of what fits, and from whom. Cancel-safe.
pub(crate) async fn receive(socket: &impl Receive, datagram: &mut [u8]) -> (usize, SocketAddr) {
    loop {
        match socket.receive(datagram).await {
            Ok(received) => return received,
            // Of an earlier answer, whose receiver is gone, or of the socket itself: trying at once could go on for ever.
            Err(_error) => sleep(AGAIN_AFTER).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::timeout;

    /// Fails for so many times.
    struct Failing(Cell<u32>);

    impl Receive for Failing {
        async fn receive(&self, _datagram: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            let Some(left) = self.0.get().checked_sub(1) else {
                return Ok((7, "192.0.2.1:1".parse().unwrap()));
            };
            self.0.set(left);
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_lasts_does_not_spin_and_one_that_passes_costs_nothing() {
        let lasting = Failing(Cell::new(u32::MAX));
        assert!(timeout(Duration::from_secs(1), receive(&lasting, &mut [])).await.is_err());
        assert!(u32::MAX - lasting.0.get() <= 11);
        assert_eq!(receive(&Failing(Cell::new(1)), &mut []).await.0, 7);
    }
}
