//! Byte for byte what the reference implementation makes.
//!
//! The reference publishes what it writes for fixed inputs (`tests/vectors` of `netcode-official`, made by the C
//! implementation). Equal bytes have equal SHA-256 digests, so the digests stand here instead of 5 kB of binaries;
//! reading is then tested on our own output, which is the same.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_protocol::{
    ChallengeKey, ChallengeToken, ConnectToken, ConnectTokenClaims, Key, MAX_DATAGRAM_BYTES,
    MAX_PAYLOAD_BYTES, PacketHeader, PacketKey, PacketKind, PrivateToken, RequestPacket, ServerAddresses,
    TOKEN_RANDOM_BYTES, TokenError, challenge_body, keep_alive_body, parse_challenge_body, write_request,
};
use ring::digest::{SHA256, digest};

const PROTOCOL_ID: u64 = 0x1122_3344_5566_7788;
const CLIENT_ID: u64 = 0x0102_0304_0506_0708;
const CREATE: u64 = 1_720_000_000;
const EXPIRE: u64 = 1_720_000_100;
const SEQUENCE: u64 = 0x11_2233_4455;
const CHALLENGE_SEQUENCE: u64 = 1000;
const SERVER_KEY: Key = [
    0x60, 0x6a, 0xbe, 0x6e, 0xc9, 0x19, 0x10, 0xea, 0x9a, 0x65, 0x62, 0xf6, 0x6f, 0x2b, 0x30, 0xe4, 0x43,
    0x71, 0xd6, 0x2c, 0xd1, 0x99, 0x27, 0x26, 0x6b, 0x3c, 0x60, 0xf4, 0xb7, 0x15, 0xab, 0xa1,
];

/// The bytes `first`, `first + step`, `first + 2 step` and so on.
fn row<const N: usize>(first: u8, step: u8) -> [u8; N] {
    let mut value = first.wrapping_sub(step);
    std::array::from_fn(|_| {
        value = value.wrapping_add(step);
        value
    })
}

#[track_caller]
fn assert_digest(bytes: &[u8], expected: &str) {
    let hex: Vec<_> = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex.concat(), expected);
}

fn private_token() -> PrivateToken {
    let addresses: [SocketAddr; 2] =
        [SocketAddr::from(([127, 0, 0, 1], 40_000)), SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 50_000))];
    PrivateToken {
        client_id: CLIENT_ID,
        timeout_seconds: 15,
        server_addresses: ServerAddresses::new(&addresses).expect("two addresses"),
        client_to_server_key: row(0, 1),
        server_to_client_key: row(255, 255),
        user_data: row(0, 1),
        resume: None,
    }
}

fn connect_token() -> ConnectToken {
    let private = private_token();
    ConnectToken {
        protocol_id: PROTOCOL_ID,
        create_unix: CREATE,
        expire_unix: EXPIRE,
        nonce: row(100, 1),
        private_token: Box::new(private.seal(PROTOCOL_ID, EXPIRE, &row(100, 1), &SERVER_KEY)),
        timeout_seconds: private.timeout_seconds,
        server_addresses: private.server_addresses,
        client_to_server_key: private.client_to_server_key,
        server_to_client_key: private.server_to_client_key,
    }
}

fn challenge_token() -> [u8; 300] {
    let token = ChallengeToken { client_id: CLIENT_ID, user_data: row(0, 1) };
    ChallengeKey::new(&row(0, 2)).seal(&token, CHALLENGE_SEQUENCE)
}

fn packet(kind: PacketKind, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
    let len = PacketKey::new(&row(17, 1), PROTOCOL_ID)
        .seal_body(kind, SEQUENCE, &mut bytes, body)
        .expect("a body that its kind allows");
    bytes.truncate(len);
    bytes
}

#[test]
fn tokens_are_written_as_the_reference_writes_them() {
    let token = connect_token();
    assert_digest(&*token.private_token, "3fc190a87b816c4340e0894a16d5b0d9c55507bab095d77da9c07daf7e3bf98a");
    assert_digest(&*token.to_bytes(), "12cd58f0e2d17b002b629359f207018eac54e8cff2064382e600df738cfd4410");
    assert_digest(&challenge_token(), "33c5560aaed4192fc714fbba4910c38f235a4298f9121901c0d47549cc0a62e0");
}

#[test]
fn packets_are_written_as_the_reference_writes_them() {
    let mut request = [0; 1078];
    write_request(&connect_token(), &mut request).expect("there is room");
    assert_digest(&request, "fc7d9221a4b2d74dfaa7accd870730d434caa2315724cce1141c91ad47969968");
    let challenge = challenge_body(CHALLENGE_SEQUENCE, &challenge_token());
    let payload: Vec<u8> = row::<MAX_PAYLOAD_BYTES>(0, 1).to_vec();
    for (kind, body, digest) in [
        (PacketKind::Denied, &[][..], "ecc44891ea58f39f107287bfbbe90e6be82ba6e9b0b53b2b5da1dffa007c2fc8"),
        (
            PacketKind::Challenge,
            &challenge,
            "22fc408d3ab1e8655d9edf9dd9bdad69b06978ff85323a564c0563fc7dfbf6a7",
        ),
        (
            PacketKind::Response,
            &challenge,
            "d7f8965bb2961ae0c355f50ecedc13347575d38832668b6e4b7c5f6ae49973e9",
        ),
        (
            PacketKind::KeepAlive,
            &keep_alive_body(7, 32),
            "c96b56dbef593cab4e6c2ef9cbce7c44132d8240fbfeb4958d0c4ac22390d9c3",
        ),
        (PacketKind::Payload, &payload, "e991282ba33dae3d19f4a9ecd0577f876a8175cf399180af5e3b21a33a4c6377"),
        (PacketKind::Disconnect, &[], "e79e7c56a01a8c066aa90236fe71ba74fdc5d29249472150d96aea42c1d3357e"),
    ] {
        assert_digest(&packet(kind, body), digest);
    }
}

#[test]
fn what_was_written_reads_back() {
    let token = connect_token();
    assert_eq!(ConnectToken::parse(&*token.to_bytes()), Ok(token.clone()));
    let mut request = [0; 1078];
    write_request(&token, &mut request).expect("there is room");
    let RequestPacket { expire_unix, nonce, private_token: sealed } =
        RequestPacket::parse(&mut request, PROTOCOL_ID).expect("a request");
    let opened = PrivateToken::open(sealed, PROTOCOL_ID, expire_unix, &nonce, &SERVER_KEY);
    assert_eq!(opened, Ok(private_token()));

    let mut bytes = packet(PacketKind::Challenge, &challenge_body(CHALLENGE_SEQUENCE, &challenge_token()));
    let header = PacketHeader::parse(&bytes).expect("a packet");
    assert_eq!((header.kind, header.sequence), (PacketKind::Challenge, SEQUENCE));
    let body = PacketKey::new(&row(17, 1), PROTOCOL_ID).open(&header, &mut bytes).expect("authentic");
    let (sequence, sealed) = parse_challenge_body(body).expect("a challenge");
    let challenge = ChallengeKey::new(&row(0, 2)).open(&sealed, sequence).expect("authentic");
    assert_eq!((challenge.client_id, challenge.user_data), (CLIENT_ID, row(0, 1)));
}

#[test]
fn packets_of_the_reference_open_to_what_is_in_them_and_changed_ones_do_not() {
    let challenge = challenge_body(CHALLENGE_SEQUENCE, &challenge_token());
    let payload: Vec<u8> = row::<MAX_PAYLOAD_BYTES>(0, 1).to_vec();
    // byte for byte those of `packets_are_written_as_the_reference_writes_them`
    for (kind, body) in [
        (PacketKind::Denied, &[][..]),
        (PacketKind::Challenge, &challenge),
        (PacketKind::Response, &challenge),
        (PacketKind::KeepAlive, &keep_alive_body(7, 32)),
        (PacketKind::Payload, &payload),
        (PacketKind::Disconnect, &[]),
    ] {
        let bytes = packet(kind, body);
        let open = |mut bytes: Vec<u8>, protocol_id| {
            let header = PacketHeader::parse(&bytes).map_err(drop)?;
            let key = PacketKey::new(&row(17, 1), protocol_id);
            key.open(&header, &mut bytes)
                .map(|body| (header.kind, header.sequence, body.to_vec()))
                .map_err(drop)
        };
        assert_eq!(open(bytes.clone(), PROTOCOL_ID), Ok((kind, SEQUENCE, body.to_vec())));
        assert_eq!(open(bytes.clone(), PROTOCOL_ID + 1), Err(()), "{kind:?} of another protocol");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(open(changed, PROTOCOL_ID), Err(()), "{kind:?} with byte {at} changed");
        }
        for len in 0..bytes.len() {
            assert_eq!(open(bytes[..len].to_vec(), PROTOCOL_ID), Err(()), "{kind:?} of {len} bytes");
        }
    }
}

/// What the reference's own conformance tool prints (`tools/conformance/gen_vectors.c`): a keep-alive at both sides
/// of a sequence's lengths.
#[test]
fn keep_alives_are_those_of_the_conformance_tool() {
    let key = PacketKey::new(&row(0, 1), 0x1234_5678_90AB_CDEF);
    for (sequence, expected) in [
        (0, "14001bb842318de6a6d1ea9c6dedef680ec6a1528c6db35d5ce7"),
        (1, "14019c57f35f952aaf18dcc90d0e5de82c514b2ccb9aafb82c84"),
        (255, "14ff0c31f0c65041c3374562ad1c9578ce87b8dd7bda8d5a56ba"),
        (256, "240001ff81f979d58a2a1f2d9c64a6ababb9903685c1cb7345e2e1"),
        (65_535, "24ffff1c721c15c67e56e43b5c5008629327134a96727a0ddbc97f"),
        (65_536, "340000012b05cafa4781e01c08389825228bcabff67a17985993d7b1"),
        (0x00FF_FFFF, "34ffffff356fb528be78754d09bb19f12a22278afe46cac0823fbd6e"),
        (0x0100_0000, "4400000001b47142c0681c09658326d1075e0d85ca2a18e9840e30c52c"),
        (0x00FF_FFFF_FFFF, "54ffffffffff00494fcc9445b57ed46794842daa11cbd7b52f932dd609ab"),
        (u64::MAX, "84ffffffffffffffff538355438205b22c890388b4e03971e4c6a7953a60668dca"),
    ] {
        let mut packet = [0; 64];
        let len = key
            .seal_body(PacketKind::KeepAlive, sequence, &mut packet, &keep_alive_body(3, 32))
            .expect("there is room");
        let hex: Vec<_> = packet[..len].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.concat(), expected);
    }
}

/// Both sides of a sequence's every length.
#[test]
fn sequences_are_written_without_their_high_zero_bytes() {
    let key = PacketKey::new(&row(17, 1), PROTOCOL_ID);
    for (sequence, bytes) in [
        (0, 1),
        (1, 1),
        (255, 1),
        (256, 2),
        (65_535, 2),
        (65_536, 3),
        (0x00FF_FFFF, 3),
        (1 << 32, 5),
        (u64::MAX, 8),
    ] {
        let mut packet = [0; 64];
        let len =
            key.seal_body(PacketKind::KeepAlive, sequence, &mut packet, &[0; 8]).expect("there is room");
        assert_eq!((usize::from(packet[0] >> 4), len), (bytes, 1 + bytes + 8 + 16), "{sequence}");
        assert_eq!(PacketHeader::parse(&packet[..len]).map(|header| header.sequence), Ok(sequence));
    }
}

#[test]
fn a_token_of_the_reference_backend_reads_as_it_was_meant() {
    let public = [SocketAddr::from(([10, 0, 0, 1], 7777))];
    let bytes =
        netcode::generate_connect_token(&public, &public, 30, 5, 42, PROTOCOL_ID, &SERVER_KEY, &[6; 256])
            .expect("a token");
    let token = ConnectToken::parse(&bytes).expect("a token that we can read");
    assert_eq!((token.protocol_id, token.timeout_seconds), (PROTOCOL_ID, 5));
    assert_eq!(token.expire_unix - token.create_unix, 30);
    let mut sealed = *token.private_token;
    let private = PrivateToken::open(&mut sealed, PROTOCOL_ID, token.expire_unix, &token.nonce, &SERVER_KEY)
        .expect("authentic");
    assert_eq!((private.client_id, private.user_data), (42, [6; 256]));
    assert_eq!(private.server_addresses.as_slice(), public);
    assert_eq!(private.client_to_server_key, token.client_to_server_key);
}

fn claims(addresses: &[SocketAddr]) -> ConnectTokenClaims<'_> {
    ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: addresses,
        client_id: 1,
        user_data: &[0; 256],
        now_unix: Duration::from_millis(CREATE * 1000 + 999),
        lifetime_seconds: 30,
        timeout_seconds: 5,
    }
}

#[test]
fn a_minted_token_opens_with_its_key_and_nothing_else() {
    let addresses = [SocketAddr::from(([10, 0, 0, 1], 7777)); 32];
    let token = claims(&addresses).mint(&SERVER_KEY, &row(1, 3)).expect("valid claims");
    assert_eq!((token.create_unix, token.expire_unix), (CREATE, CREATE + 30));
    let open = |protocol_id, expire_unix, key: &Key| {
        let mut sealed = *token.private_token;
        PrivateToken::open(&mut sealed, protocol_id, expire_unix, &token.nonce, key)
            .map(|private| private.client_id)
    };
    assert_eq!(open(PROTOCOL_ID, token.expire_unix, &SERVER_KEY), Ok(1));
    assert_eq!(open(PROTOCOL_ID + 1, token.expire_unix, &SERVER_KEY), Err(TokenError::Forged));
    assert_eq!(open(PROTOCOL_ID, token.expire_unix + 1, &SERVER_KEY), Err(TokenError::Forged));
    assert_eq!(open(PROTOCOL_ID, token.expire_unix, &[0; 32]), Err(TokenError::Forged));
}

#[test]
fn tokens_out_of_range_are_neither_minted_nor_read() {
    let random = [0; TOKEN_RANDOM_BYTES];
    let many = [SocketAddr::from(([10, 0, 0, 1], 7777)); 33];
    for addresses in [&many[..0], &many] {
        assert_eq!(claims(addresses).mint(&SERVER_KEY, &random).err(), Some(TokenError::Addresses));
    }
    let good = *connect_token().to_bytes();
    let count_at = 13 + 3 * 8 + 24 + 1024 + 4;
    let changed = |at: usize, value: u8| {
        let mut bytes = good;
        bytes[at] = value;
        ConnectToken::parse(&bytes).err()
    };
    assert_eq!(ConnectToken::parse(&good[..2047]).err(), Some(TokenError::Length));
    assert_eq!(changed(0, b'n'), Some(TokenError::Version));
    assert_eq!(changed(count_at, 0), Some(TokenError::Addresses));
    assert_eq!(changed(count_at, 33), Some(TokenError::Addresses));
    assert_eq!(changed(count_at + 4, 0), Some(TokenError::Malformed), "no such type of address");
    assert_eq!(changed(13 + 8 + 7, 1), Some(TokenError::Lifetime), "created after it expires");
}

#[test]
fn a_token_shows_no_key_when_it_is_logged() {
    let shown = format!("{:?} {:?}", connect_token(), private_token());
    assert!(shown.contains("40000") && !shown.contains("key"), "{shown}");
}
