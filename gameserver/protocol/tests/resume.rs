//! The message with a resume token: its bytes, and anything at all.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_protocol::message::{DecodeError, MAX_MESSAGE_BYTES, RESUME_MESSAGE_BYTES, ResumeToken};
use gameserver_protocol::{ConnectToken, PrivateToken, ResumeMark, ServerAddresses};
use proptest::prelude::*;

const PROTOCOL_ID: u64 = 7;

fn private() -> PrivateToken {
    PrivateToken {
        client_id: 42,
        timeout_seconds: 5,
        // the longest token that there is
        server_addresses: ServerAddresses::new(&[SocketAddr::from(([0x2001; 8], 7777)); 32])
            .expect("32 addresses"),
        client_to_server_key: [1; 32],
        server_to_client_key: [2; 32],
        user_data: [3; 256],
        resume: Some(ResumeMark { session: 1 << 61, serial: u64::MAX }),
    }
}

fn token() -> ResumeToken {
    ResumeToken {
        create_unix: 1_790_000_000,
        expire_unix: 1_790_000_030,
        nonce: [4; 24],
        private_token: private().seal(PROTOCOL_ID, 1_790_000_030, &[4; 24], &[9; 32]),
        timeout_seconds: 5,
        client_to_server_key: [1; 32],
        server_to_client_key: [2; 32],
    }
}

fn encode(token: &ResumeToken) -> Vec<u8> {
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let len = token.encode(&mut bytes).expect("a message has room for it");
    bytes.truncate(len);
    bytes
}

/// Rule 16: unpadded, in a datagram of its own of at most 1200 bytes.
#[test]
fn a_resume_token_fits_into_one_datagram() {
    let bytes = encode(&token());
    assert_eq!(bytes.len(), RESUME_MESSAGE_BYTES);
    assert!(9 + bytes.len() + 16 <= 1200, "{} bytes", bytes.len());
    assert_eq!(bytes[..5], [0x92, 2, 0xC5, 0x04, 0x6C], "an array of type 2 and a byte string of 1132");
    assert_eq!(ResumeToken::decode(&bytes), Ok(token()));
}

#[test]
fn the_mark_of_a_server_is_read_back_and_a_backends_token_has_none() {
    let open = |token: PrivateToken| {
        let mut sealed = token.seal(PROTOCOL_ID, 1, &[4; 24], &[9; 32]);
        PrivateToken::open(&mut sealed, PROTOCOL_ID, 1, &[4; 24], &[9; 32]).map(|opened| opened.resume)
    };
    assert_eq!(open(private()), Ok(private().resume));
    assert_eq!(open(PrivateToken { resume: None, ..private() }), Ok(None));
}

#[test]
fn it_becomes_a_connect_token_for_what_is_left_of_its_life() {
    let server = SocketAddr::from(([192, 0, 2, 1], 7777));
    let after = |seconds: f64| token().connect_token(PROTOCOL_ID, server, Duration::from_secs_f64(seconds));
    for (age, left) in [(0.0, 30), (0.1, 29), (20.0, 10), (29.0, 1)] {
        let token = after(age).expect("still good");
        assert_eq!(token.expire_unix - token.create_unix, left, "after {age} s");
        assert_eq!(token.expire_unix, 1_790_000_030);
        assert_eq!(token.server_addresses.as_slice(), [server]);
        assert_eq!(
            ConnectToken::parse(&*token.to_bytes()),
            Ok(token),
            "any client of the standard can use it"
        );
    }
    assert_eq!(after(29.1), None);
    assert_eq!(after(1000.0), None);
}

#[test]
fn what_is_no_resume_token_is_refused_by_its_reason() {
    let good = encode(&token());
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        ResumeToken::decode(&bytes)
    };
    for (change, error) in [
        (&(|bytes: &mut Vec<u8>| bytes[1] = 1) as &dyn Fn(&mut Vec<u8>), DecodeError::MessageType),
        (&|bytes| bytes[0] = 0x93, DecodeError::ArrayLength),
        (&|bytes| bytes[4] += 1, DecodeError::ArrayLength),
        (&|bytes| bytes[2] = 0xC0, DecodeError::Value),
        (&|bytes| bytes.truncate(1136), DecodeError::Truncated),
        (&|bytes| bytes.truncate(3), DecodeError::Truncated),
        (&|bytes| bytes.push(0), DecodeError::Trailing),
        (&|bytes| bytes[5 + 7] = 1, DecodeError::Value),
    ] {
        assert_eq!(changed(change).err(), Some(error));
    }
    assert!(token().encode(&mut [0; RESUME_MESSAGE_BYTES - 1]).is_err());
}

#[test]
fn a_resume_token_shows_no_key_when_it_is_logged() {
    let shown = format!("{:?}", token());
    assert!(shown.contains("1790000030") && !shown.contains("key"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..1300), at in 0_usize..1137, flip in 1_u8..) {
        let _read = ResumeToken::decode(&bytes);
        let mut changed = encode(&token());
        changed[at] ^= flip;
        let _read = ResumeToken::decode(&changed);
    }
}
