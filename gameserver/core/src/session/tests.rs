//! What the sessions do by themselves, without a game on top.

use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, PROTOCOL_ID, PacketKey, PrivateToken, keep_alive_body, write_request,
};

use super::*;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7777);
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9999);

fn at(milliseconds: u64) -> Now {
    let monotonic = Duration::from_millis(milliseconds);
    Now { monotonic, unix: Duration::from_secs(1_790_000_000) + monotonic }
}

struct Bench {
    sessions: Sessions,
    token: ConnectToken,
    counters: Counters,
    sequence: u64,
}

impl Bench {
    /// `timeout_seconds` is what the player's token says; the server allows five.
    fn new(tick_hz: u32, timeout_seconds: i32) -> Self {
        let config = ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: vec![SERVER],
            capacity: 2,
            tick_hz,
            timeout: Duration::from_secs(5),
            boot_unix_ms: 1_790_000_000_000,
            random: [1; 32],
            max_commands_per_tick: 1,
            snapshot_bytes: crate::MAX_SNAPSHOT_BYTES,
            replication_hz: crate::DEFAULT_REPLICATION_HZ,
            interpolation: crate::DEFAULT_INTERPOLATION,
            registry: None,
        };
        let mut sessions = Sessions::new(config).expect("one server");
        sessions.install_key([9; 32]);
        let claims = ConnectTokenClaims {
            protocol_id: PROTOCOL_ID,
            server_addresses: &[SERVER],
            client_id: 1,
            user_data: &[0; 256],
            now_unix: at(0).unix,
            lifetime_seconds: 30,
            timeout_seconds: 5,
        };
        let mut token = claims.mint(&[9; 32], &[7; 88]).expect("valid claims");
        // sealed anew, for a backend may also write what our own mints for nobody: a time-out below zero
        let private = PrivateToken {
            client_id: 1,
            timeout_seconds,
            server_addresses: token.server_addresses,
            client_to_server_key: token.client_to_server_key,
            server_to_client_key: token.server_to_client_key,
            user_data: [0; 256],
            resume: None,
        };
        token.private_token = Box::new(private.seal(PROTOCOL_ID, token.expire_unix, &token.nonce, &[9; 32]));
        Self { sessions, token, counters: Counters::default(), sequence: 0 }
    }

    fn receive(&mut self, datagram: &mut [u8]) {
        let received = self.sessions.receive(at(0), CLIENT, datagram, &mut self.counters);
        assert_eq!(received, Ok(Received::Nothing));
    }

    fn seal(&mut self, kind: PacketKind, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 1200];
        let key = PacketKey::new(&self.token.client_to_server_key, PROTOCOL_ID);
        let len = key.seal_body(kind, self.sequence, &mut packet, body).expect("a valid body");
        self.sequence += 1;
        packet.truncate(len);
        packet
    }

    /// Kinds and bodies of what the sessions answer with.
    fn answers(&mut self, milliseconds: u64) -> Vec<(PacketKind, Vec<u8>)> {
        let key = PacketKey::new(&self.token.server_to_client_key, PROTOCOL_ID);
        let mut buffer = [0; 1200];
        std::iter::from_fn(|| {
            let transmit = self.sessions.poll_answer(at(milliseconds), &mut buffer)?;
            let header = PacketHeader::parse(&buffer[..transmit.len]).expect("a packet");
            let body = key.open(&header, &mut buffer[..transmit.len]).expect("for this client");
            Some((header.kind, body.to_vec()))
        })
        .collect()
    }

    /// A player who has got this challenge.
    fn challenged(tick_hz: u32, timeout_seconds: i32) -> (Self, Vec<u8>) {
        let mut bench = Self::new(tick_hz, timeout_seconds);
        let mut request = vec![0; REQUEST_BYTES];
        write_request(&bench.token, &mut request).expect("there is room");
        bench.receive(&mut request);
        let challenge = bench.answers(0).remove(0).1;
        (bench, challenge)
    }

    /// A player who knows that it is connected.
    fn connected(tick_hz: u32, timeout_seconds: i32) -> Self {
        let (mut bench, challenge) = Self::challenged(tick_hz, timeout_seconds);
        let mut response = bench.seal(PacketKind::Response, &challenge);
        bench.receive(&mut response);
        assert_eq!(bench.answers(0).remove(0).0, PacketKind::KeepAlive);
        let mut packet = bench.seal(PacketKind::KeepAlive, &keep_alive_body(0, 0));
        bench.receive(&mut packet);
        bench
    }

    fn step(&mut self, milliseconds: u64) -> usize {
        let mut lost = Vec::new();
        self.sessions.step(at(milliseconds), &mut lost, &mut self.counters);
        let answers = self.answers(milliseconds);
        assert!(answers.iter().all(|(kind, _)| *kind == PacketKind::KeepAlive));
        answers.len()
    }

    /// Tenths of a second after which there is nobody at the player's address any more.
    fn forgotten_after(mut self) -> u64 {
        let tenths = 1..200;
        let is_gone = |tenth: &u64| {
            self.step(100 * tenth);
            self.sessions.known_addresses().count() == 0
        };
        tenths.into_iter().find(is_gone).expect("nobody is waited for so long")
    }
}

/// The standard: ten times a second, in the absence of messages.
#[test]
fn whoever_gets_no_messages_hears_that_all_is_well() {
    let mut bench = Bench::connected(64, 5);
    let heard: usize = (1..=64).map(|tick| bench.step(tick * 1000 / 64)).sum();
    assert!((8..=10).contains(&heard), "{heard} keep-alives in a second");
    // a message each tick says the same
    let mut buffer = [0; 1200];
    let heard: usize = (65..=128)
        .map(|tick| {
            let now = at(tick * 1000 / 64);
            assert!(bench.sessions.seal_message(now, 0, &mut buffer, |_| Some(1)).is_some());
            bench.step(tick * 1000 / 64)
        })
        .sum();
    assert_eq!(heard, 0);
}

/// At four ticks a second a message a tick is all that there is to send.
#[test]
fn between_messages_of_slow_ticks_nothing_is_sent() {
    let mut bench = Bench::connected(4, 5);
    let mut buffer = [0; 1200];
    for tick in 1..=8 {
        assert_eq!(bench.step(tick * 250), 0, "tick {tick}");
        assert!(bench.sessions.seal_message(at(tick * 250), 0, &mut buffer, |_| Some(1)).is_some());
    }
}

/// Silence is allowed for as long as both sides agree to: the token's time-out, but the server's at most, and the server's
/// where the token has none.
#[test]
fn a_token_may_shorten_the_time_out_and_never_lengthen_it() {
    for (name, timeout_seconds, tenths) in [
        ("shorter than the server's", 2, 20),
        ("the same", 5, 50),
        ("longer", 60, 50),
        ("none", 0, 50),
        ("less than none", -1, 50),
        ("the longest that there is", i32::MAX, 50),
        ("the least", i32::MIN, 50),
    ] {
        let connected = Bench::connected(64, timeout_seconds);
        assert_eq!(connected.forgotten_after(), tenths + 1, "{name}: a player");
        let (challenged, _) = Bench::challenged(64, timeout_seconds);
        let sweep = 3;
        let after = challenged.forgotten_after();
        assert!((tenths + 1..=tenths + sweep).contains(&after), "{name}: a handshake, after {after}");
    }
}

/// Whoever looks for gaps in the numbers of what it gets finds what was lost, and nothing that was never sent.
#[test]
fn what_is_not_sent_takes_no_number_and_what_is_sent_one_of_its_own() {
    let mut bench = Bench::connected(64, 5);
    let mut buffer = [0; 1200];
    let mut sent = Vec::new();
    for message in 0..100 {
        let is_said = message % 7 == 0;
        let transmit = bench.sessions.seal_message(at(1), 0, &mut buffer, |_| is_said.then_some(1));
        assert_eq!(transmit.is_some(), is_said);
        assert_eq!(bench.sessions.seal_message(at(1), 0, &mut buffer[..20], |_| Some(1)), None, "no room");
        if let Some(transmit) = transmit {
            sent.push(PacketHeader::parse(&buffer[..transmit.len]).expect("a packet").sequence);
        }
    }
    let first = sent[0];
    assert_eq!(sent, (first..first + 15).collect::<Vec<_>>());
}
