//! `bots flood`: garbage for a server on this machine, of every kind that a stranger can make without a key, at a steady rate.
//!
//! What is more than a millisecond late is not made up for, so that no burst is much larger than the rate makes it; what was really sent and how late is
//! told at the end. Only loopback is ever sent to: its addresses, of which there are millions, are the sources too.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use gameserver_access::{Role, ServerKey, Visit};
use gameserver_net::bind;
use gameserver_protocol::{MAX_DATAGRAM_BYTES as PACKET_BYTES_MAX, micros, write_request};
use gameserver_sys::{Clock, pin_current_thread};
use hdrhistogram::Histogram;
use quinn_udp::{Transmit, UdpSocketState};
use serde_json::{Value, json};

use crate::args::FloodArgs;
use crate::random::Random;

/// Between two bursts, each from another source.
const PERIOD: Duration = Duration::from_micros(250);
/// Later than this is not sent any more.
const LATENESS_MAX: Duration = Duration::from_millis(1);
/// Different trains of datagrams; each is changed a little whenever it is sent again.
const POOL: u16 = 64;
/// Datagrams of a train: of one kind and length, so that the kernel takes them in one call and cuts them apart. Any other way
/// the flood would need more of a core than there is beside the players.
const TRAIN: usize = 64;
/// Bytes that a call may take, the headers left out: IPv4's limit.
const CALL_BYTES_MAX: usize = 65_000;
/// A socket of a source sends and need not receive.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of a prefix and a sequence, in which forged packets are right.
const HEADER_BYTES: usize = 9;

/// What is sent to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Datagrams a second.
    pub(crate) rate: u32,
    /// Addresses from which they come.
    pub(crate) sources: u16,
    pub(crate) duration: Duration,
}

/// A process that floods.
pub(crate) struct Flood(Child);

impl Plan {
    pub(crate) fn lasting(self, duration: Duration) -> Self {
        Self { duration, ..self }
    }

    /// Has another process of this program carry it out, on this CPU.
    pub(crate) fn start(self, server: SocketAddr, key_file: &Path, cpu: usize) -> anyhow::Result<Flood> {
        let program = std::env::current_exe().context("failed to find this program")?;
        let mut command = Command::new(program);
        command
            .args(["flood", "--address", &server.to_string(), "--rate", &self.rate.to_string()])
            .args(["--sources", &self.sources.to_string(), "--cpu", &cpu.to_string()])
            .args(["--duration", &self.duration.as_secs_f64().to_string(), "--key-file"])
            .arg(key_file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Ok(Flood(child.context("failed to start the flood")?))
    }
}

impl Flood {
    /// Waits until it is over, and returns what it says.
    pub(crate) fn finish(mut self) -> anyhow::Result<Value> {
        let said = self.0.stdout.take().context("the flood has no output")?;
        let status = self.0.wait().context("failed to wait for the flood")?;
        ensure!(status.success(), "the flood failed: {status}");
        serde_json::from_reader(said).context("the flood's words are not understood")
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // an error says that it has ended by itself
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(crate) fn run(args: &FloodArgs) -> anyhow::Result<()> {
    if let Some(cpu) = args.cpu {
        pin_current_thread(cpu).context("failed to pin the flood")?;
    }
    let key = args.key_file.as_deref().map(ServerKey::read).transpose()?;
    let plan = Plan { rate: args.rate, sources: args.sources, duration: args.duration };
    let told = flood(plan, args.address, key)?;
    writeln!(std::io::stdout(), "{told}").context("nobody hears the flood")
}

/// Sends, and returns what was sent.
fn flood(plan: Plan, server: SocketAddr, key: Option<ServerKey>) -> anyhow::Result<Value> {
    let clock = Clock::start();
    let sources = sources(server, plan.sources)?;
    let mut garbage = Garbage::new(server, key, &clock)?;
    let bursts = plan.duration.as_micros() / PERIOD.as_micros();
    let mut lateness = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let (mut sent, mut skipped, mut errors, begun) = (0_u64, 0_u64, 0_u64, clock.monotonic());
    for number in 0..u32::try_from(bursts).context("the flood is too long")? {
        let due = begun + PERIOD * number;
        let late = clock.monotonic().checked_sub(due);
        let mut left = burst(plan.rate, number);
        match late {
            Some(late) if late > LATENESS_MAX => {
                skipped += u64::from(left);
                continue;
            }
            Some(late) => lateness.saturating_record(micros(late)),
            None => {
                pause(due.saturating_sub(clock.monotonic()));
                lateness.saturating_record(micros(clock.monotonic().saturating_sub(due)));
            }
        }
        let source = &sources[number as usize % sources.len()];
        while left > 0 {
            let train = garbage.next(source.at_once().min(left));
            left -= train.datagrams;
            match source.send(server, train) {
                Ok(()) => sent += u64::from(train.datagrams),
                Err(full) if full.kind() == ErrorKind::WouldBlock => errors += u64::from(train.datagrams),
                Err(broken) => return Err(broken).context("failed to send"),
            }
        }
    }
    let seconds = clock.monotonic().saturating_sub(begun).as_secs_f64();
    Ok(json!({
        "sent": sent,
        "skipped": skipped,
        "errors": errors,
        "seconds": seconds,
        "rate": u32::try_from(sent).map_or(f64::MAX, f64::from) / seconds,
        "lateness_us_p99": lateness.value_at_quantile(0.99),
    }))
}

/// Datagrams of the burst of this number, so that all of a second make up the rate.
fn burst(rate: u32, number: u32) -> u32 {
    let until = |number: u64| u64::from(rate) * number / (1_000_000 / micros(PERIOD));
    u32::try_from(until(u64::from(number) + 1) - until(number.into())).unwrap_or(0)
}

/// Whether this server may be flooded: decided before there is a socket, so that whoever tries this out sends nothing.
fn check(server: SocketAddr) -> anyhow::Result<()> {
    let IpAddr::V4(ip) = server.ip() else { bail!("{server} is no IPv4 address of this machine's loopback") };
    ensure!(ip.is_loopback(), "{server} is not on this machine's loopback, and nothing else is flooded");
    Ok(())
}

/// A source address.
struct Source {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Source {
    fn open(number: u16) -> std::io::Result<Self> {
        let [high, low] = number.to_be_bytes();
        let (socket, _) = bind((Ipv4Addr::new(127, 1, high, low), 0).into(), BUFFER_BYTES)?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state })
    }

    /// Datagrams of one length that the kernel takes in one call.
    fn at_once(&self) -> u32 {
        u32::try_from(self.state.max_gso_segments()).unwrap_or(1)
    }

    fn send(&self, server: SocketAddr, train: Train<'_>) -> std::io::Result<()> {
        let contents = train.bytes;
        let segment_size = (train.datagrams > 1).then_some(train.len);
        let transmit = Transmit { destination: server, ecn: None, contents, segment_size, src_ip: None };
        self.state.try_send((&self.socket).into(), &transmit)
    }
}

/// A source for each address.
fn sources(server: SocketAddr, count: u16) -> anyhow::Result<Vec<Source>> {
    check(server)?;
    (1..=count).map(|number| Source::open(number).context("failed to open a source")).collect()
}

/// Datagrams of one length, one behind the other.
#[derive(Clone, Copy)]
struct Train<'a> {
    bytes: &'a [u8],
    len: usize,
    datagrams: u32,
}

/// Datagrams that no server takes, ready to be sent.
struct Garbage {
    /// Trains, and how long a datagram of each is.
    pool: Vec<(Vec<u8>, usize)>,
    next: usize,
    random: Random,
}

impl Garbage {
    /// With the server's key a request that is good once is among them, and comes from everywhere.
    fn new(server: SocketAddr, key: Option<ServerKey>, clock: &Clock) -> anyhow::Result<Self> {
        let mut random = Random::new(u64::from(server.port()));
        let somebody = Visit::of_somebody_new(server, Role::Player);
        let token = somebody.mint(&key.map_or([0; 32], |key| key.0), clock.unix())?;
        let mut request = vec![0; PACKET_BYTES_MAX];
        let len = write_request(&token, &mut request).context("a request has no room")?;
        request.truncate(len);
        let pool = (0..POOL).map(|number| Self::train(number, &request, &mut random)).collect();
        Ok(Self { pool, next: 0, random })
    }

    /// Chance, packets of a session that is not there, a request again and again, and requests with a forged token, by turns.
    fn train(number: u16, request: &[u8], random: &mut Random) -> (Vec<u8>, usize) {
        let mut bytes = |len: usize| (0..len).map(|_| random.next().to_le_bytes()[0]).collect::<Vec<u8>>();
        let (mut train, len) = match number % 8 {
            0..=2 => {
                let len = 1 + usize::from(bytes(1)[0]) * 4;
                (bytes(len * TRAIN), len)
            }
            3..=5 => (bytes((HEADER_BYTES + 80) * TRAIN), HEADER_BYTES + 80),
            _ => (request.repeat(TRAIN), request.len()),
        };
        for datagram in train.chunks_exact_mut(len) {
            match number % 8 {
                // eight bytes of sequence, and a keep-alive, payload or goodbye
                kind @ 3..=5 => datagram[0] = 0x81 + u8::try_from(kind).unwrap_or(0),
                7 => datagram[len / 2] ^= bytes(1)[0] | 1,
                _ => {}
            }
        }
        (train, len)
    }

    /// So many datagrams of the next train, or as many as one call may take.
    fn next(&mut self, most: u32) -> Train<'_> {
        let (bytes, len) = &mut self.pool[self.next];
        self.next = (self.next + 1) % usize::from(POOL);
        let count = (most as usize).min(CALL_BYTES_MAX / *len).clamp(1, TRAIN);
        let bytes = &mut bytes[..count * *len];
        for datagram in bytes.chunks_exact_mut(*len) {
            // all but requests, of which it is the repetition that counts
            if datagram[0] != 0 {
                let changed = usize::try_from(self.random.next()).unwrap_or(0) % datagram.len();
                if changed > 0 {
                    datagram[changed] = datagram[changed].wrapping_add(1);
                }
            }
        }
        Train { bytes, len: *len, datagrams: u32::try_from(count).unwrap_or(1) }
    }
}

#[expect(clippy::disallowed_methods, reason = "what is sent at a rate waits until it is due")]
fn pause(sleep: Duration) {
    std::thread::sleep(sleep);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const PLAN: Plan = Plan { rate: 20_000, sources: 8, duration: Duration::from_millis(100) };

    #[test]
    fn bursts_of_a_second_make_up_the_rate() {
        for rate in [1, 999, 4000, 200_000, 1_000_000] {
            assert_eq!((0..4000).map(|number| burst(rate, number)).sum::<u32>(), rate);
        }
    }

    #[test]
    fn nothing_but_loopback_is_flooded() {
        for address in ["10.0.0.1:7777", "192.0.2.1:7777", "[::1]:7777", "0.0.0.0:7777"] {
            let refused = check(address.parse().unwrap()).unwrap_err().to_string();
            assert!(refused.contains("loopback"), "{refused}");
        }
        assert!(check("127.0.0.1:7777".parse().unwrap()).is_ok());
        // and it is asked: nobody is at the documentation's addresses, and no source is opened for one
        assert!(sources("192.0.2.1:7777".parse().unwrap(), 1).is_err());
    }

    #[test]
    fn a_flood_comes_from_all_its_sources_and_counts_what_it_sent_and_what_it_did_not() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let told = flood(PLAN, server.local_addr().unwrap(), None).unwrap();
        let [sent, skipped, errors] = ["sent", "skipped", "errors"].map(|of| told[of].as_u64().unwrap());
        assert_eq!(sent + skipped + errors, 2000, "{told}");
        assert!(sent > 0, "{told}");
        let mut buffer = [0; 2048];
        let from: BTreeSet<_> =
            std::iter::from_fn(|| server.recv_from(&mut buffer).ok()).map(|(_, from)| from.ip()).collect();
        assert!(from.iter().all(IpAddr::is_loopback) && from.len() > 1, "{from:?}");
    }

    #[test]
    fn garbage_is_of_every_kind() {
        let mut garbage = Garbage::new("127.0.0.1:1".parse().unwrap(), None, &Clock::start()).unwrap();
        let (mut requests, mut packets, mut kinds, mut count) = (0, 0, BTreeSet::new(), 0);
        for _ in 0..POOL {
            let train = garbage.next(50);
            assert_eq!(train.bytes.len(), train.len * train.datagrams as usize);
            for datagram in train.bytes.chunks(train.len) {
                count += 1;
                requests += u32::from(datagram[0] == 0 && train.len == gameserver_protocol::REQUEST_BYTES);
                packets += u32::from(gameserver_protocol::PacketHeader::parse(datagram).is_ok());
                kinds.insert(datagram[0]);
            }
        }
        assert_eq!((count, requests), (3200, 800), "a quarter");
        assert!(packets >= 1200 && kinds.len() > 100, "{packets} {kinds:?}");
    }
}
