//! A bare server to measure against: datagrams in batches at a fixed tick, and nothing else. No encryption, no
//! rules, no area of interest, no limits. What a game server does beyond this is what it costs. By recvmmsg and sendmmsg it is what the
//! machine gives; over our io_uring it is our game server with everything off.
//!
//! A datagram's first four bytes are the number of an input, the next four that of a client; each tick every client that ever
//! sent one from an address gets a state there that begins with its newest number and its own. Says `ready` when it is bound.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use gameserver_net::{Choice, Config, MAX_DATAGRAM_BYTES, Outgoing, bind, open};
use gameserver_sys::{Clock, observe_cpus, pin_current_thread};

/// A bare UDP tick server.
#[derive(Parser)]
struct Args {
    /// Address to bind.
    #[arg(long, default_value = "127.0.0.1:7788")]
    address: SocketAddr,
    /// Ticks a second.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    tick_hz: u32,
    /// Bytes of a state.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(8..=1200))]
    state_bytes: u16,
    /// How datagrams move.
    #[arg(long, value_enum, default_value = "mmsg")]
    net: Net,
}

#[derive(Clone, Copy, ValueEnum)]
enum Net {
    Mmsg,
    Uring,
}

impl From<Net> for Choice {
    fn from(net: Net) -> Self {
        match net {
            Net::Mmsg => Self::Mmsg,
            Net::Uring => Self::Uring,
        }
    }
}

struct Player {
    address: SocketAddr,
    client: [u8; 4],
    newest: [u8; 4],
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let cpu = observe_cpus()?.allowed.first().copied().context("no CPU to run on")?;
    pin_current_thread(cpu).context("failed to pin the thread")?;
    let (socket, _) = bind(args.address, 4 << 20).context("failed to bind")?;
    let mut datagrams =
        open(args.net.into(), socket, Config::default()).context("failed to open the socket")?.datagrams;
    let state_bytes = usize::from(args.state_bytes).min(MAX_DATAGRAM_BYTES);
    let (clock, period) = (Clock::start(), Duration::from_secs(1) / args.tick_hz);
    let mut players: Vec<Player> = Vec::new();
    let mut numbers: HashMap<(SocketAddr, [u8; 4]), usize> = HashMap::new();
    let mut due = period;
    writeln!(std::io::stdout(), "ready").context("nobody hears the toy")?;
    loop {
        loop {
            let wait = due.saturating_sub(clock.monotonic());
            if wait.is_zero() {
                break;
            }
            datagrams.receive(wait, &mut |address, input| {
                let Some((&newest, &client)) =
                    input.first_chunk().zip(input.get(4..).and_then(<[u8]>::first_chunk))
                else {
                    return;
                };
                let number = *numbers.entry((address, client)).or_insert_with(|| {
                    players.push(Player { address, client, newest });
                    players.len() - 1
                });
                players[number].newest = players[number].newest.max(newest);
            })?;
        }
        let mut turn = players.iter();
        datagrams.transmit(&mut |slot| {
            let player = turn.next()?;
            slot[..4].copy_from_slice(&player.newest);
            slot[4..8].copy_from_slice(&player.client);
            Some(Outgoing { to: player.address, len: state_bytes })
        })?;
        due = (due + period).max(clock.monotonic());
    }
}
