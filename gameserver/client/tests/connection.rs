//! The client's side of a session against a server that does what the test wants.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::{Client, ClientState, DisconnectReason, Event, Now};
use gameserver_protocol::message::{
    Entity, Inputs, Rejected, Snapshot, SnapshotHead, encode_entity, encode_snapshot,
};
use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, PROTOCOL_ID, PacketHeader, PacketKey, PacketKind, RejectReason,
    Transmit,
};
use proptest::prelude::*;

const UNIX: Duration = Duration::from_secs(1_790_000_000);

fn addresses() -> [SocketAddr; 2] {
    [SocketAddr::from(([192, 0, 2, 1], 7777)), SocketAddr::from(([192, 0, 2, 2], 7777))]
}

fn mint(addresses: &[SocketAddr]) -> ConnectToken {
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: addresses,
        client_id: 1,
        user_data: &[0; 256],
        now_unix: UNIX,
        lifetime_seconds: 30,
        timeout_seconds: 5,
    };
    claims.mint(&[1; 32], &std::array::from_fn(|byte| byte.to_le_bytes()[0])).expect("valid claims")
}

fn at(milliseconds: u64) -> Now {
    let monotonic = Duration::from_millis(milliseconds);
    Now { monotonic, unix: UNIX + monotonic }
}

/// A client, and the server's half of its session.
struct Pair {
    client: Client,
    token: ConnectToken,
    sequence: u64,
}

impl Pair {
    fn new(addresses: &[SocketAddr]) -> Self {
        let token = mint(addresses);
        Self { client: Client::new(token.clone(), at(0), [1; 32]), token, sequence: 1 }
    }

    fn connected() -> Self {
        let mut pair = Self::new(&addresses()[..1]);
        assert_eq!(pair.sent(0).len(), 1);
        pair.serve(0, PacketKind::Challenge, &[5; 308]);
        assert_eq!(pair.sent(0).len(), 1);
        pair.serve(0, PacketKind::KeepAlive, &[0; 8]);
        assert_eq!(pair.client.state(), ClientState::Connected);
        pair
    }

    /// Everything that the client sends at this time.
    fn sent(&mut self, milliseconds: u64) -> Vec<(Transmit, Vec<u8>)> {
        let (mut sent, mut buffer) = (Vec::new(), [0; 1200]);
        self.client.update(at(milliseconds));
        while let Some(transmit) = self.client.poll_transmit(at(milliseconds), &mut buffer) {
            sent.push((transmit, buffer[..transmit.len].to_vec()));
        }
        sent
    }

    /// Body of a sealed packet that the client sent.
    fn open(&self, bytes: &[u8]) -> (PacketKind, Vec<u8>) {
        let (header, mut bytes) = (PacketHeader::parse(bytes).expect("a packet"), bytes.to_vec());
        let key = PacketKey::new(&self.token.client_to_server_key, PROTOCOL_ID);
        let body = key.open(&header, &mut bytes).expect("authentic").to_vec();
        (header.kind, body)
    }

    fn seal(&mut self, kind: PacketKind, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 1300];
        let key = PacketKey::new(&self.token.server_to_client_key, PROTOCOL_ID);
        let len = key.seal_body(kind, self.sequence, &mut bytes, body).expect("a valid body");
        self.sequence += 1;
        bytes.truncate(len);
        bytes
    }

    fn serve(&mut self, milliseconds: u64, kind: PacketKind, body: &[u8]) {
        let mut bytes = self.seal(kind, body);
        self.client.handle_datagram(at(milliseconds), &mut bytes);
    }

    fn serve_snapshot(&mut self, milliseconds: u64, head: SnapshotHead, rejected: &[Rejected]) {
        let (mut body, mut cell) = ([0; 1175], [0; 16]);
        let cell_len = encode_entity(&mut cell, &Entity { id: 9, x: 1, y: 2 }).expect("there is room");
        let len = encode_snapshot(&mut body, &head, rejected.iter().copied(), 1, [&cell[..cell_len]])
            .expect("there is room");
        self.serve(milliseconds, PacketKind::Payload, &body[..len]);
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }
}

fn head(tick: u64, last_input_sequence: u32) -> SnapshotHead {
    SnapshotHead { tick, last_input_sequence, x: 100, y: 200, ..SnapshotHead::default() }
}

#[test]
fn a_request_is_repeated_until_there_is_an_answer_and_no_faster_than_ten_times_a_second() {
    let mut pair = Pair::new(&addresses()[..1]);
    let sent: usize = (0..1000).map(|millisecond| pair.sent(millisecond).len()).sum();
    assert!((6..=10).contains(&sent), "{sent} requests in a second");
    assert_eq!(pair.client.state(), ClientState::Connecting);
}

#[test]
fn clients_who_start_together_do_not_stay_together() {
    let times = |random: u8| {
        let mut client = Client::new(mint(&addresses()), at(0), [random; 32]);
        let mut buffer = [0; 1200];
        let sends = |millisecond| client.poll_transmit(at(millisecond), &mut buffer).map(|_| millisecond);
        (0..1000).filter_map(sends).collect::<Vec<_>>()
    };
    assert_ne!(times(1), times(2));
}

#[test]
fn a_denied_client_tries_the_next_server_and_gives_up_after_the_last() {
    let mut pair = Pair::new(&addresses());
    assert_eq!(pair.sent(0)[0].0.to, addresses()[0]);
    pair.serve(1, PacketKind::Denied, &[]);
    assert_eq!(pair.client.state(), ClientState::Connecting);
    assert_eq!(pair.sent(1)[0].0.to, addresses()[1]);
    pair.serve(2, PacketKind::Denied, &[]);
    assert_eq!(pair.client.state(), ClientState::Denied);
    assert!(pair.sent(500).is_empty());
    assert_eq!(pair.client.poll_timeout(), None);
}

#[test]
fn a_silent_server_is_left_for_the_next_after_the_timeout() {
    let mut pair = Pair::new(&addresses());
    assert_eq!(pair.sent(5000)[0].0.to, addresses()[0]);
    assert_eq!(pair.sent(5001)[0].0.to, addresses()[1]);
    pair.serve(5002, PacketKind::Challenge, &[5; 308]);
    pair.sent(10_003);
    let reason = DisconnectReason::ResponseTimedOut;
    assert_eq!(pair.client.state(), ClientState::Disconnected { reason });
}

#[test]
fn an_expired_token_ends_the_attempt() {
    let many = [addresses()[0]; 32];
    let mut pair = Pair::new(&many);
    for second in 1..=29 {
        pair.sent(second * 1000);
    }
    assert_eq!(pair.client.state(), ClientState::Connecting);
    pair.sent(30_000);
    let reason = DisconnectReason::TokenExpired;
    assert_eq!(pair.client.state(), ClientState::Disconnected { reason });
}

#[test]
fn an_idle_client_acknowledges_ten_times_a_second() {
    let mut pair = Pair::connected();
    pair.sent(0);
    pair.serve_snapshot(1, head(7, 0), &[]);
    let sent: Vec<_> = (2..1002).flat_map(|millisecond| pair.sent(millisecond)).collect();
    assert_eq!(sent.len(), 10);
    let (kind, body) = pair.open(&sent[0].1);
    assert_eq!(kind, PacketKind::Payload);
    assert_eq!(Inputs::decode(&body).map(|inputs| inputs.ack_tick), Ok(7));
}

#[test]
fn an_input_is_sent_at_once_and_repeated_until_its_outcome_is_known() {
    let mut pair = Pair::connected();
    pair.sent(0);
    let sequence = pair.client.send_move(at(1), 5, 6);
    for millisecond in [1, 34, 67] {
        let sent = pair.sent(millisecond);
        assert_eq!(sent.len(), 1, "at {millisecond} ms");
        let (_, body) = pair.open(&sent[0].1);
        let inputs = Inputs::decode(&body).expect("an inputs message");
        let sequences: Vec<_> = inputs.iter().map(|input| input.map(|input| input.sequence)).collect();
        assert_eq!(sequences, [Ok(sequence)]);
    }
    assert!(pair.events().is_empty(), "nothing is known before the server says it (B38)");
    pair.serve_snapshot(80, head(3, sequence), &[]);
    assert_eq!(pair.events(), [Event::Confirmed { input_seq: sequence, tick: 3, x: 100, y: 200 }]);
    assert!(pair.sent(100).is_empty(), "nothing is left to repeat");
}

#[test]
fn a_rejected_input_snaps_back_to_what_the_server_says() {
    let mut pair = Pair::connected();
    let sequence = pair.client.send_move(at(1), -5, 6);
    let reason = RejectReason::OutOfBounds;
    pair.serve_snapshot(2, head(3, sequence), &[Rejected { sequence, reason }]);
    assert_eq!(
        pair.events(),
        [Event::Rejected { input_seq: sequence, reason }, Event::Corrected { tick: 3, x: 100, y: 200 }]
    );
}

#[test]
fn an_older_snapshot_changes_nothing() {
    let mut pair = Pair::connected();
    let sequence = pair.client.send_move(at(1), 5, 6);
    pair.serve_snapshot(2, head(5, 0), &[]);
    pair.serve_snapshot(3, head(4, sequence), &[]);
    assert_eq!(pair.events(), []);
    assert_eq!(pair.client.snapshot().map(|snapshot| snapshot.head.tick), Some(5));
}

#[test]
fn a_replayed_packet_does_not_keep_the_session_alive() {
    let mut pair = Pair::connected();
    let keep_alive = pair.seal(PacketKind::KeepAlive, &[0; 8]);
    pair.client.handle_datagram(at(100), &mut keep_alive.clone());
    pair.client.handle_datagram(at(5000), &mut keep_alive.clone());
    pair.sent(5101);
    let reason = DisconnectReason::TimedOut;
    assert_eq!(pair.client.state(), ClientState::Disconnected { reason });
}

#[test]
fn goodbye_is_said_ten_times_and_heard_once() {
    let mut pair = Pair::connected();
    pair.client.disconnect();
    let sent = pair.sent(1);
    assert_eq!(sent.len(), 10);
    assert!(sent.iter().all(|(_, bytes)| pair.open(bytes).0 == PacketKind::Disconnect));
    assert!(pair.sent(1000).is_empty());

    let mut pair = Pair::connected();
    pair.serve(1, PacketKind::Disconnect, &[]);
    let reason = DisconnectReason::ByServer;
    assert_eq!(pair.client.state(), ClientState::Disconnected { reason });
}

#[test]
fn events_that_nobody_fetches_are_bounded_and_counted() {
    let mut pair = Pair::connected();
    for _ in 0..2000 {
        pair.client.send_move(at(1), 5, 6);
    }
    assert_eq!(pair.events().len(), 1024);
    assert_eq!(pair.client.events_dropped(), 2000 - 32 - 1024);
}

proptest! {
    /// What no server sealed changes nothing; what one did is read without panic.
    #[test]
    fn any_bytes_are_survived(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1300), 1..20),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1200), 1..20),
    ) {
        let mut pair = Pair::connected();
        for mut bytes in noise {
            pair.client.handle_datagram(at(1), &mut bytes);
        }
        prop_assert_eq!(pair.client.state(), ClientState::Connected);
        pair.serve_snapshot(1, head(5, 0), &[]);
        let before: Option<Snapshot> = pair.client.snapshot().cloned();
        for message in messages {
            let mut message = message;
            message[0] = 0xC1; // the one byte that MessagePack never uses
            pair.serve(2, PacketKind::Payload, &message);
        }
        prop_assert_eq!(pair.client.snapshot().cloned(), before);
    }
}
