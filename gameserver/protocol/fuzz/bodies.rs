//! What each fuzz target does with its bytes: for libFuzzer, for the loop on the stable toolchain, and for the test of
//! the corpus.
#![allow(dead_code, unreachable_pub, reason = "who fuzzes one target uses one function")]

use std::collections::BTreeSet;
use std::time::Duration;

use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use gameserver_protocol::message::{
    CELL_BYTES_MAX, Input, Inputs, MAX_CELL_ELEMENTS, MAX_INPUTS, MAX_MESSAGE_BYTES, MAX_NOTICES,
    MAX_REJECTED, ResumeToken, Snapshot, SnapshotWriter, encode_cell, encode_inputs,
};
use gameserver_protocol::{
    CONNECT_TOKEN_BYTES, ConnectToken, Key, MAX_DATAGRAM_BYTES, PRIVATE_TOKEN_BYTES, PROTOCOL_ID,
    PacketError, PacketHeader, PacketKey, PacketKind, PrivateToken, REPLAY_WINDOW, REQUEST_BYTES,
    ReplayWindow, RequestPacket, TAG_BYTES, TokenError, write_request,
};

/// A fuzz target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this package, by the name of its corpus.
pub const TARGETS: &[Target] = &[
    ("inputs", inputs),
    ("snapshot", snapshot),
    ("resume", resume),
    ("packet", packet),
    ("request", request),
    ("replay", replay),
];

const KEY: Key = [7; 32];
const OTHER_KEY: Key = [8; 32];

/// What is read as inputs is written in no more bytes, and then read as the same.
pub fn inputs(data: &[u8]) {
    let Ok(message) = Inputs::decode(data) else { return };
    let Ok(inputs) = message.iter().collect::<Result<Vec<Input>, _>>() else { return };
    assert!(inputs.len() <= MAX_INPUTS);
    assert!(inputs.is_sorted_by_key(|input| input.sequence) && inputs.iter().all(|input| input.sequence > 0));
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let len = encode_inputs(&mut buffer, &message.head, inputs.iter()).expect("the smallest form");
    assert!(len <= data.len());
    let again = Inputs::decode(&buffer[..len]).expect("was just written");
    assert_eq!(again.head, message.head);
    assert_eq!(again.iter().collect::<Result<Vec<_>, _>>().expect("was just written"), inputs);
}

/// What is read as a snapshot is written in at most two bytes more (the array of cells has one form), and then read as the
/// same. A snapshot in which another was read before is none the worse for that.
pub fn snapshot(data: &[u8]) {
    let mut read = Snapshot::default();
    if read.decode_into(data).is_err() {
        return;
    }
    assert!(read.rejected.len() + read.notices.len() <= MAX_REJECTED + MAX_NOTICES);
    assert!(read.cells.len() * 2 <= MAX_CELL_ELEMENTS);
    let mut buffer = [0; MAX_MESSAGE_BYTES + CELL_BYTES_MAX];
    let (rejected, notices) = (read.rejected.iter().copied(), read.notices.iter().copied());
    let mut writer = SnapshotWriter::new(&mut buffer, &read.head, &read.own, rejected, notices)
        .expect("the smallest form");
    for cell in &read.cells {
        let mut bytes = [0; CELL_BYTES_MAX];
        let (len, elements) = encode_cell(&mut bytes, cell).expect("the longest cell fits");
        writer.push(&bytes, len, elements).expect("the smallest form");
    }
    let len = if read.tells_of_others { writer.finish() } else { writer.finish_without_cells() };
    assert!(len <= data.len() + 2);
    if len <= MAX_MESSAGE_BYTES {
        let mut again = read.clone();
        again.decode_into(&buffer[..len]).expect("was just written");
        assert_eq!(again, read);
    }
}

/// What is read as a resume token is written as the same, and makes a connect token that can be sent.
pub fn resume(data: &[u8]) {
    let Ok(token) = ResumeToken::decode(data) else { return };
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let len = token.encode(&mut buffer).expect("there is room");
    assert!(ResumeToken::decode(&buffer[..len]) == Ok(token.clone()));
    let server = ([192, 0, 2, 1], 7777).into();
    for age in [Duration::ZERO, Duration::from_millis(1500), Duration::MAX] {
        let Some(connect) = token.connect_token(PROTOCOL_ID, server, age) else { continue };
        assert!(connect.expire_unix > connect.create_unix && connect.expire_unix == token.expire_unix);
        assert!(ConnectToken::parse(&*connect.to_bytes()) == Ok(connect));
    }
}

/// Takes so many bytes off the front; zeroes where there are none.
fn take<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let len = N.min(data.len());
    taken[..len].copy_from_slice(&data[..len]);
    *data = &data[len..];
    taken
}

fn kind(byte: u8) -> PacketKind {
    [
        PacketKind::Denied,
        PacketKind::Challenge,
        PacketKind::Response,
        PacketKind::KeepAlive,
        PacketKind::Payload,
        PacketKind::Disconnect,
    ][usize::from(byte % 6)]
}

/// Bytes that nobody has sealed do not open. A kind, a sequence and a body, sealed, open as what they were; with a bit
/// changed, or by another key, they do not.
pub fn packet(data: &[u8]) {
    let key = PacketKey::new(&KEY, PROTOCOL_ID);
    if let Ok(header) = PacketHeader::parse(data) {
        assert_eq!(key.open(&header, &mut data.to_vec()), Err(PacketError::Forged));
    }
    let mut rest = data;
    let (kind, at) = (kind(take::<1>(&mut rest)[0]), u16::from_le_bytes(take(&mut rest)));
    let sequence = u64::from_le_bytes(take(&mut rest));
    let mut sealed = [0; MAX_DATAGRAM_BYTES];
    let Ok(len) = key.seal_body(kind, sequence, &mut sealed, rest) else { return };
    let sealed = &sealed[..len];
    let open = |key: &PacketKey, packet: &[u8]| {
        let header = PacketHeader::parse(packet)?;
        let body = key.open(&header, &mut packet.to_vec())?.to_vec();
        Ok::<_, PacketError>((header.kind, header.sequence, body))
    };
    assert_eq!(open(&key, sealed), Ok((kind, sequence, rest.to_vec())));
    assert_eq!(open(&PacketKey::new(&OTHER_KEY, PROTOCOL_ID), sealed), Err(PacketError::Forged));
    let mut changed = sealed.to_vec();
    changed[usize::from(at >> 3) % len] ^= 1 << (at & 7);
    assert!(open(&key, &changed).is_err());
    assert!(open(&key, &sealed[..len - 1 - usize::from(at) % len]).is_err());
}

/// Bytes as a request, as a connect token, and as what is sealed inside of one.
pub fn request(data: &[u8]) {
    let mut copy = data.to_vec();
    if let Ok(request) = RequestPacket::parse(&mut copy, PROTOCOL_ID) {
        let opened =
            PrivateToken::open(request.private_token, PROTOCOL_ID, request.expire_unix, &request.nonce, &KEY);
        assert_eq!(opened.err(), Some(TokenError::Forged), "nobody has sealed it");
    }
    if let Ok(token) = ConnectToken::parse(data) {
        assert!(ConnectToken::parse(&*token.to_bytes()).as_ref() == Ok(&token));
        let mut packet = [0; REQUEST_BYTES];
        assert_eq!(write_request(&token, &mut packet), Ok(REQUEST_BYTES));
        let request = RequestPacket::parse(&mut packet, token.protocol_id).expect("was just written");
        assert_eq!((request.expire_unix, request.nonce), (token.expire_unix, token.nonce));
        assert!(*request.private_token == *token.private_token);
    }
    assert!(data.len() == CONNECT_TOKEN_BYTES || ConnectToken::parse(data).is_err());
    sealed_token(data);
}

/// A backend may seal anything: what is read of that is written as the same.
fn sealed_token(data: &[u8]) {
    let mut rest = data;
    let nonce = [5; 24];
    let mut sealed: [u8; PRIVATE_TOKEN_BYTES] = take(&mut rest);
    let (plain, tag) = sealed.split_at_mut(PRIVATE_TOKEN_BYTES - TAG_BYTES);
    let mut associated = b"NETCODE 1.02\0".to_vec();
    associated.extend(PROTOCOL_ID.to_le_bytes());
    associated.extend(1000_u64.to_le_bytes());
    let made = XChaCha20Poly1305::new(&KEY.into())
        .encrypt_in_place_detached(XNonce::from_slice(&nonce), &associated, plain)
        .expect("1008 bytes are within the cipher's limit");
    tag.copy_from_slice(&made);
    let opened = PrivateToken::open(&mut sealed, PROTOCOL_ID, 1000, &nonce, &KEY);
    assert_ne!(opened.as_ref().err(), Some(&TokenError::Forged));
    let Ok(token) = opened else { return };
    let mut again = token.seal(PROTOCOL_ID, 1000, &nonce, &KEY);
    assert!(PrivateToken::open(&mut again, PROTOCOL_ID, 1000, &nonce, &KEY) == Ok(token));
}

/// The window answers as a set of everything that was received would, wherever in the range it begins.
pub fn replay(data: &[u8]) {
    let mut rest = data;
    let mut sequence = u64::from_le_bytes(take(&mut rest));
    let (mut window, mut seen, mut newest) = (ReplayWindow::default(), BTreeSet::new(), 0);
    while !rest.is_empty() {
        // steps of either sign, and now and then a far one
        let step = i64::from(i16::from_le_bytes(take(&mut rest)));
        let far = if step & 0xFF == 0x80 { 40 } else { 0 };
        sequence = sequence.wrapping_add_signed(step.wrapping_shl(far));
        let is_old = newest >= REPLAY_WINDOW && sequence <= newest - REPLAY_WINDOW;
        let is_replay = is_old || seen.contains(&sequence);
        assert_eq!(window.is_replay(sequence), is_replay, "{sequence} of {newest}");
        if !is_replay {
            window.advance(sequence);
            seen.insert(sequence);
            newest = newest.max(sequence);
            assert_eq!(window.newest(), newest);
        }
    }
}
