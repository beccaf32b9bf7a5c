//! What a filter costs the thread that makes it, by how many are known: to build the program, and to have the kernel take it.
//! `cargo run --release -p gameserver-net --example filter_cost [known]`. Medians of two hundred.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads the clock and prints"
)]

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gameserver_net::{Choice, Config, KNOWN_MAX, Shape, SocketFilter, Trust, bind, open};

const ROUNDS: u32 = 200;

fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // a request and responses, as the game server lets them in; this crate does not know the protocol
    let shapes = [
        Shape { bytes: 1078..=1078, mask: 0xff, first: 0 },
        Shape { bytes: 326..=333, mask: 0x0f, first: 3 },
    ];
    let (socket, _) = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1 << 16)?;
    let mut server = open(Choice::Mmsg, socket, Config::default())?.datagrams;
    let asked = std::env::args().skip(1).map(|count| count.parse()).collect::<Result<Vec<_>, _>>()?;
    for count in if asked.is_empty() { vec![10, 100, 1000, KNOWN_MAX] } else { asked } {
        let known: Vec<_> = (0..u32::try_from(count)?)
            .map(|number| (SocketAddr::from(((0x0a00_0000 + number).to_be_bytes(), 4000)), Trust::Full))
            .collect();
        let (mut built, mut taken) = (Vec::new(), Vec::new());
        for one_in in 1..=ROUNDS {
            let start = Instant::now();
            let filter =
                SocketFilter::new(known.iter().copied(), &shapes, one_in, 7).map_err(io::Error::other)?;
            built.push(start.elapsed());
            let start = Instant::now();
            server.admit(Some(&filter))?;
            taken.push(start.elapsed());
        }
        println!(
            "{count} known: {:.0?} to build, {:.0?} to have taken",
            median(&mut built),
            median(&mut taken)
        );
    }
    Ok(())
}
