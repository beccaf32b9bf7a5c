//! `operator responder`: answers the probes of other regions, so that a region whose API server or operators are away is told
//! from one that is gone.

use anyhow::Context as _;
use operator_core::responder::{AddressLimiter, answer};
use std::net::SocketAddr;
use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::ResponderArgs;
use crate::runtime::chance::random;
use crate::runtime::clock::Clock;
use crate::runtime::receive::receive;

/// Longer datagrams are cut: of a probe only its head counts.
const DATAGRAM_BYTES_MAX: usize = 64;

/// Answers until SIGTERM or SIGINT.
pub fn run(args: &ResponderArgs) -> anyhow::Result<()> {
    crate::runtime::telemetry::start("info", args.log_format)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for signals")?;
        let socket = bind(args.listen).await?;
        tracing::info!(address = %args.listen, "the responder starts");
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            never = respond(&socket) => never,
        }
    })
}

pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<UdpSocket> {
    UdpSocket::bind(address).await.with_context(|| format!("failed to bind the responder to {address}"))
}

pub(crate) async fn respond(socket: &UdpSocket) -> anyhow::Result<()> {
    let clock = Clock::start();
    let mut limiter = AddressLimiter::new(random()?);
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    loop {
        let (length, from) = receive(socket, &mut datagram).await;
        if let Some(answer) = answer(&datagram[..length])
            && limiter.admits(clock.elapsed(), from.ip())
        {
            // One that cannot be sent now is lost, like any datagram.
            drop(socket.try_send_to(&answer, from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use operator_core::responder::{probe, read_answer};

    #[tokio::test]
    async fn a_probe_is_answered_and_noise_is_not() {
        let responder = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = responder.local_addr().unwrap();
        let prober = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let asking = async {
            let mut answered = [0; 200];
            for datagram in [vec![0; 100], probe(7, 1).to_vec(), [&probe(7, 2)[..], &[0; 100]].concat()] {
                prober.send_to(&datagram, address).await.unwrap();
            }
            for number in 1..=2 {
                let (length, from) = prober.recv_from(&mut answered).await.unwrap();
                assert_eq!((read_answer(7, &answered[..length]), from), (Some(number), address));
            }
        };
        tokio::select! {
            () = asking => {}
            ended = respond(&responder) => panic!("{ended:?}"),
        }
    }
}
