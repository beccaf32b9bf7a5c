//! What a client does with the resume tokens of its server.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::{Client, ClientState, ConnectToken, Now};
use gameserver_game::arena::Arena;
use gameserver_protocol::message::ResumeToken;
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, PacketKey, PacketKind};

const UNIX: u64 = 1_790_000_000;

fn at(milliseconds: u64) -> Now {
    let monotonic = Duration::from_millis(milliseconds);
    Now { monotonic, unix: Duration::from_secs(UNIX) + monotonic }
}

fn addresses() -> [SocketAddr; 2] {
    [SocketAddr::from(([192, 0, 2, 1], 7777)), SocketAddr::from(([192, 0, 2, 2], 7777))]
}

fn resume_token(number: u8, create_unix: u64) -> ResumeToken {
    ResumeToken {
        create_unix,
        expire_unix: create_unix + 30,
        nonce: [number; 24],
        private_token: [number; 1024],
        timeout_seconds: 5,
        client_to_server_key: [1; 32],
        server_to_client_key: [2; 32],
    }
}

/// A client, and the server's half of its session.
struct Pair {
    client: Client<Arena>,
    key: PacketKey,
    sequence: u64,
}

impl Pair {
    fn new() -> Self {
        let claims = ConnectTokenClaims {
            protocol_id: PROTOCOL_ID,
            server_addresses: &addresses(),
            client_id: 1,
            user_data: &[0; 256],
            now_unix: at(0).unix,
            lifetime_seconds: 30,
            timeout_seconds: 5,
        };
        let token = claims.mint(&[1; 32], &[7; 88]).expect("valid claims");
        let key = PacketKey::new(&token.server_to_client_key, PROTOCOL_ID);
        Self { client: Client::new(token, 64, at(0), [1; 32]), key, sequence: 1 }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.serve(0, PacketKind::Challenge, &[5; 308]);
        pair.serve(0, PacketKind::KeepAlive, &[0; 8]);
        assert_eq!(pair.client.state(), ClientState::Connected);
        pair
    }

    fn serve(&mut self, milliseconds: u64, kind: PacketKind, body: &[u8]) {
        let mut bytes = vec![0; 1300];
        let len = self.key.seal_body(kind, self.sequence, &mut bytes, body).expect("a valid body");
        self.sequence += 1;
        self.client.handle_datagram(at(milliseconds), &mut bytes[..len]);
    }

    fn hand_out(&mut self, milliseconds: u64, token: &ResumeToken) {
        let mut body = [0; 1200];
        let len = token.encode(&mut body).expect("there is room");
        self.serve(milliseconds, PacketKind::Payload, &body[..len]);
    }

    /// Which token the client would come back with, by the number that it was made from.
    fn number(&self, milliseconds: u64) -> Option<u8> {
        self.client.resume_token(at(milliseconds)).map(|token| token.nonce[0])
    }
}

#[test]
fn the_newest_token_is_kept_whatever_order_they_come_in() {
    let mut pair = Pair::connected();
    assert_eq!(pair.number(0), None);
    pair.hand_out(10, &resume_token(1, UNIX));
    assert_eq!(pair.number(10), Some(1));
    pair.hand_out(20_000, &resume_token(3, UNIX + 20));
    pair.hand_out(20_001, &resume_token(2, UNIX + 10));
    assert_eq!(pair.number(20_001), Some(3), "the one before came late");
}

#[test]
fn a_token_leads_to_the_server_that_the_client_is_at_for_as_long_as_it_is_good() {
    let mut pair = Pair::new();
    pair.serve(1, PacketKind::Denied, &[]);
    pair.serve(2, PacketKind::Challenge, &[5; 308]);
    pair.serve(3, PacketKind::KeepAlive, &[0; 8]);
    pair.hand_out(1000, &resume_token(1, UNIX + 1));
    let token: ConnectToken = pair.client.resume_token(at(11_000)).expect("it is good");
    assert_eq!(token.server_addresses.as_slice(), &addresses()[1..], "not the one that said no");
    assert_eq!((token.expire_unix - token.create_unix, token.expire_unix), (20, UNIX + 31));
    assert_eq!(pair.number(30_000), Some(1));
    assert_eq!(pair.number(30_001), None, "less than a second is left");
}

#[test]
fn a_client_that_lost_its_server_or_was_sent_away_has_its_token_and_one_that_left_has_none() {
    let with_token = || {
        let mut pair = Pair::connected();
        pair.hand_out(0, &resume_token(1, UNIX));
        pair
    };
    let mut lost = with_token();
    lost.client.update(at(5001));
    assert!(matches!(lost.client.state(), ClientState::Disconnected { .. }));
    assert_eq!(lost.number(5001), Some(1));
    let mut sent_away = with_token();
    sent_away.serve(1, PacketKind::Disconnect, &[]);
    assert_eq!(sent_away.number(1), Some(1));
    let mut left = with_token();
    left.client.disconnect();
    assert_eq!(left.number(1), None);
}

#[test]
fn a_token_is_no_news_of_the_game_and_keeps_the_session() {
    let mut pair = Pair::connected();
    pair.hand_out(4000, &resume_token(1, UNIX));
    assert!(pair.client.poll_event().is_none() && pair.client.snapshot().is_none());
    assert_eq!(pair.client.silence(at(4500)), Duration::from_millis(500));
    pair.client.update(at(9000));
    assert_eq!(pair.client.state(), ClientState::Connected);
}

#[test]
fn before_the_session_stands_and_from_strangers_no_token_is_taken() {
    let mut pair = Pair::new();
    pair.hand_out(1, &resume_token(1, UNIX));
    assert_eq!(pair.number(1), None);
    let mut pair = Pair::connected();
    pair.key = PacketKey::new(&[9; 32], PROTOCOL_ID);
    pair.hand_out(1, &resume_token(1, UNIX));
    assert_eq!(pair.number(1), None);
}
