//! Probes the responders of every peer each second, apart from the links: whoever answers is there, whatever its API server
//! and its operator do.

use anyhow::Context as _;
use operator_core::responder::{PROBE_BYTES, probe, read_answer};
use ring::hmac::{self, Key};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::table::PeerTable;
use crate::runtime::clock::Clock;
use crate::runtime::receive::receive;

/// How often each responder is probed.
const PERIOD: Duration = Duration::from_secs(1);

/// Probes until `stop`, by this process's own `key`.
pub(super) async fn run(
    table: Arc<PeerTable>,
    key: Key,
    clock: Clock,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let socket = bind().await.context("failed to bind a socket for probes")?;
    let speaks_v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut datagram = [0; PROBE_BYTES + 1];
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {
                for (responder, number) in table.probe(clock.elapsed()) {
                    // One that cannot be sent is a probe without an answer.
                    let to = mapped(responder, speaks_v6);
                    if let Err(error) = socket.send_to(&probe(token(&key, responder), number), to).await {
                        debug!(%responder, %error, "failed to send a probe");
                    }
                }
            }
            (length, from) = receive(&socket, &mut datagram) => {
                let responder = SocketAddr::new(from.ip().to_canonical(), from.port());
                if let Some(number) = read_answer(token(&key, responder), &datagram[..length]) {
                    table.answered(clock.elapsed(), responder, number);
                }
            }
        }
    }
}

/// Each responder has its own, so that nobody who does not see its probes can answer them: neither a stranger, nor a region
/// for the responder of another one.
fn token(key: &Key, responder: SocketAddr) -> u64 {
    let tag = hmac::sign(key, responder.to_string().as_bytes());
    tag.as_ref().iter().take(8).fold(0, |token, &byte| token << 8 | u64::from(byte))
}

/// One socket for both families, or one for IPv4 where the kernel has no other.
async fn bind() -> std::io::Result<UdpSocket> {
    match UdpSocket::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)).await {
        Ok(socket) => Ok(socket),
        Err(_no_v6) => UdpSocket::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)).await,
    }
}

/// An IPv4 address as a socket of IPv6 takes it.
fn mapped(responder: SocketAddr, speaks_v6: bool) -> SocketAddr {
    match responder.ip() {
        IpAddr::V4(address) if speaks_v6 => {
            SocketAddr::new(address.to_ipv6_mapped().into(), responder.port())
        }
        _ => responder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::chance::random_key;

    #[test]
    fn a_token_answers_for_one_responder_and_to_one_process() {
        let (key, other) = (random_key().unwrap(), random_key().unwrap());
        let [jp, sg] = ["192.0.2.1:8444", "192.0.2.2:8444"].map(|address| address.parse().unwrap());
        assert_eq!(token(&key, jp), token(&key, jp));
        assert_ne!(token(&key, jp), token(&key, sg));
        assert_ne!(token(&key, jp), token(&other, jp));
    }
}
