//! The game's messages: fixed bytes, a second reader, and anything at all.

use gameserver_protocol::RejectReason;
use gameserver_protocol::message::{
    DecodeError, ENTITY_BYTES_MAX, Entity, Input, Inputs, Intent, MAX_ENTITIES, MAX_INPUTS,
    MAX_MESSAGE_BYTES, MAX_REJECTED, Rejected, Snapshot, SnapshotHead, encode_entity, encode_inputs,
    encode_snapshot,
};
use proptest::prelude::*;

/// Ack of tick 300, then move 7 at tick 301 to (-5, 70 000) and move 8 at tick 0 to (0, 1 000 000), as any
/// MessagePack library writes it.
const INPUTS: &[u8] = &[
    0x93, 0x00, 0xCD, 0x01, 0x2C, 0x92, // [0, 300, [
    0x93, 0x07, 0xCD, 0x01, 0x2D, 0x93, 0x00, 0xFB, 0xCE, 0x00, 0x01, 0x11,
    0x70, // [7, 301, [0, -5, 70000]],
    0x93, 0x08, 0x00, 0x93, 0x00, 0x00, 0xCE, 0x00, 0x0F, 0x42, 0x40, // [8, 0, [0, 0, 1000000]]]]
];

/// Tick 301 at 5 s, input 7 decided, entity 12 at (1000, 2), input 6 rejected as too far, entity 9 at (-1, 128).
const SNAPSHOT: &[u8] = &[
    0x99, 0x01, 0xCD, 0x01, 0x2D, 0xCE, 0x00, 0x4C, 0x4B, 0x40, 0x07, 0x0C, 0xCD, 0x03, 0xE8,
    0x02, // head
    0x91, 0x92, 0x06, 0x02, // [[6, 2]]
    0x91, 0x93, 0x09, 0xFF, 0xCC, 0x80, // [[9, -1, 128]]
];

fn inputs() -> [Input; 2] {
    [
        Input { sequence: 7, tick: 301, intent: Intent::Move { x: -5, y: 70_000 } },
        Input { sequence: 8, tick: 0, intent: Intent::Move { x: 0, y: 1_000_000 } },
    ]
}

fn snapshot() -> Snapshot {
    Snapshot {
        head: SnapshotHead {
            tick: 301,
            server_time_us: 5_000_000,
            last_input_sequence: 7,
            entity_id: 12,
            x: 1000,
            y: 2,
        },
        rejected: vec![Rejected { sequence: 6, reason: RejectReason::MoveTooFar }],
        entities: vec![Entity { id: 9, x: -1, y: 128 }],
    }
}

fn write_inputs(ack_tick: u64, inputs: &[Input]) -> Vec<u8> {
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let len = encode_inputs(&mut bytes, ack_tick, inputs.iter()).expect("a message has room for them");
    bytes.truncate(len);
    bytes
}

fn read_inputs(bytes: &[u8]) -> Result<(u64, Vec<Input>), DecodeError> {
    let message = Inputs::decode(bytes)?;
    Ok((message.ack_tick, message.iter().collect::<Result<_, _>>()?))
}

fn write_snapshot(snapshot: &Snapshot) -> Vec<u8> {
    let (mut cells, mut end) = (vec![0; snapshot.entities.len() * ENTITY_BYTES_MAX], 0);
    for entity in &snapshot.entities {
        end += encode_entity(&mut cells[end..], entity).expect("an entity has room");
    }
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let rejected = snapshot.rejected.iter().copied();
    let count = snapshot.entities.len();
    let len = encode_snapshot(&mut bytes, &snapshot.head, rejected, count, [&cells[..end]])
        .expect("a message has room for the most of everything");
    bytes.truncate(len);
    bytes
}

fn read_snapshot(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
    let mut snapshot = Snapshot::default();
    snapshot.decode_into(bytes).map(|()| snapshot)
}

/// `B10`: the bytes on the wire, for whoever writes a client in another language.
#[test]
fn messages_have_the_documented_bytes() {
    assert_eq!(write_inputs(300, &inputs()), INPUTS);
    assert_eq!(read_inputs(INPUTS), Ok((300, inputs().to_vec())));
    assert_eq!(write_snapshot(&snapshot()), SNAPSHOT);
    assert_eq!(read_snapshot(SNAPSHOT), Ok(snapshot()));
}

type PlainInputs = (u8, u64, Vec<(u32, u64, (u8, i32, i32))>);
type PlainSnapshot = (u8, u64, u64, u32, u32, i32, i32, Vec<(u32, u8)>, Vec<(u32, i32, i32)>);

/// A reader and writer that knows only the documented field order.
#[test]
fn a_second_implementation_agrees() {
    let plain: PlainInputs = rmp_serde::from_slice(INPUTS).expect("MessagePack");
    assert_eq!(plain, (0, 300, vec![(7, 301, (0, -5, 70_000)), (8, 0, (0, 0, 1_000_000))]));
    assert_eq!(rmp_serde::to_vec(&plain).expect("written"), INPUTS);
    let plain: PlainSnapshot = rmp_serde::from_slice(SNAPSHOT).expect("MessagePack");
    assert_eq!(plain, (1, 301, 5_000_000, 7, 12, 1000, 2, vec![(6, 2)], vec![(9, -1, 128)]));
    assert_eq!(rmp_serde::to_vec(&plain).expect("written"), SNAPSHOT);
}

#[test]
fn the_most_of_everything_fits_into_a_message() {
    let entity = Entity { id: u32::MAX, x: i32::MIN, y: i32::MIN };
    let mut bytes = [0; 64];
    assert_eq!(encode_entity(&mut bytes, &entity), Ok(ENTITY_BYTES_MAX));
    let largest = Snapshot {
        head: SnapshotHead {
            tick: u64::MAX,
            server_time_us: u64::MAX,
            last_input_sequence: u32::MAX,
            entity_id: u32::MAX,
            x: i32::MIN,
            y: i32::MIN,
        },
        rejected: vec![Rejected { sequence: u32::MAX, reason: RejectReason::MoveTooFar }; MAX_REJECTED],
        entities: vec![entity; MAX_ENTITIES],
    };
    assert_eq!(read_snapshot(&write_snapshot(&largest)), Ok(largest));
    let first = u32::MAX - 32;
    let intent = Intent::Move { x: i32::MIN, y: i32::MAX };
    let most: Vec<_> =
        (1..=32).map(|more| Input { sequence: first + more, tick: u64::MAX, intent }).collect();
    assert_eq!(most.len(), MAX_INPUTS);
    assert_eq!(read_inputs(&write_inputs(u64::MAX, &most)), Ok((u64::MAX, most)));
}

#[test]
fn malformed_inputs_are_refused_by_name() {
    for (bytes, error) in [
        (&[][..], DecodeError::Truncated),
        (&[0x93], DecodeError::Truncated),
        (&[0xC0], DecodeError::Value),
        (&[0x80], DecodeError::Value),
        (&[0x93, 0x01, 0x00, 0x90], DecodeError::MessageType),
        (&[0x94, 0x00, 0x00, 0x90, 0x00], DecodeError::ArrayLength),
        (&[0x92, 0x00, 0x00], DecodeError::ArrayLength),
        (&[0xDD, 0xFF, 0xFF, 0xFF, 0xFF], DecodeError::ArrayLength),
        (&[0x93, 0x00, 0xFF, 0x90], DecodeError::Value),
        (&[0x93, 0x00, 0x00, 0xDC, 0x00, 0x21], DecodeError::ArrayLength),
        (&[0x93, 0x00, 0x00, 0xDD, 0xFF, 0xFF, 0xFF, 0xFF], DecodeError::ArrayLength),
        (&[0x93, 0x00, 0x00, 0x91], DecodeError::Truncated),
        (&[0x93, 0x00, 0x00, 0x90, 0x00], DecodeError::Trailing),
        (&[0x93, 0x00, 0x00, 0x91, 0x93, 0x00, 0x00, 0x93, 0x00, 0x01, 0x01], DecodeError::Order),
        (&[0x93, 0x00, 0x00, 0x91, 0x93, 0x01, 0x00, 0x91, 0x07], DecodeError::Intent),
        (&[0x93, 0x00, 0x00, 0x91, 0x93, 0x01, 0x00, 0x92, 0x00, 0x01], DecodeError::ArrayLength),
        (&[0x93, 0x00, 0x00, 0x91, 0x92, 0x01, 0x00], DecodeError::ArrayLength),
        (
            &[0x93, 0x00, 0x00, 0x91, 0x93, 0x01, 0x00, 0x93, 0x00, 0xCB, 0, 0, 0, 0, 0, 0, 0, 0],
            DecodeError::Value,
        ),
        (&[0x93, 0x00, 0x00, 0x91, 0x93, 0xCF, 0, 0, 0, 1, 0, 0, 0, 0, 0x00], DecodeError::Value),
        (&[0; 1176], DecodeError::TooLong),
    ] {
        assert_eq!(read_inputs(bytes), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn malformed_snapshots_are_refused_by_name() {
    let changed = |at: usize, value: u8| {
        let mut bytes = SNAPSHOT.to_vec();
        bytes[at] = value;
        read_snapshot(&bytes).err()
    };
    assert_eq!(changed(1, 0), Some(DecodeError::MessageType));
    assert_eq!(changed(19, 0), Some(DecodeError::Value), "no such reason");
    assert_eq!(changed(17, 0x93), Some(DecodeError::ArrayLength));
    for len in 0..SNAPSHOT.len() {
        assert_eq!(read_snapshot(&SNAPSHOT[..len]), Err(DecodeError::Truncated), "{len} bytes");
    }
}

#[test]
fn repeated_or_shrinking_sequences_are_refused() {
    let intent = Intent::Move { x: 0, y: 0 };
    let order = |sequences: &[u32]| {
        let inputs: Vec<_> = sequences.iter().map(|&sequence| Input { sequence, tick: 0, intent }).collect();
        read_inputs(&write_inputs(0, &inputs)).map(|_| ())
    };
    assert_eq!(order(&[1, 2, 9]), Ok(()));
    assert_eq!(order(&[2, 2]), Err(DecodeError::Order));
    assert_eq!(order(&[2, 1]), Err(DecodeError::Order));
}

fn input() -> impl Strategy<Value = (u32, u64, i32, i32)> {
    (1_u32..1000, any::<u64>(), any::<i32>(), any::<i32>())
}

proptest! {
    #[test]
    fn inputs_round_trip(ack_tick in any::<u64>(), rows in prop::collection::vec(input(), 0..=MAX_INPUTS)) {
        let mut sequence = 0;
        let inputs: Vec<_> = rows.into_iter().map(|(gap, tick, x, y)| {
            sequence += gap;
            Input { sequence, tick, intent: Intent::Move { x, y } }
        }).collect();
        prop_assert_eq!(read_inputs(&write_inputs(ack_tick, &inputs)), Ok((ack_tick, inputs)));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..1400)) {
        drop(read_inputs(&bytes));
        drop(read_snapshot(&bytes));
    }

    #[test]
    fn nearly_valid_messages_are_read_without_panic(at in 0_usize..64, value in any::<u8>(), cut in 0_usize..64) {
        for golden in [INPUTS, SNAPSHOT] {
            let mut bytes = golden.to_vec();
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(golden.len() - cut % golden.len());
            drop(read_inputs(&bytes));
            drop(read_snapshot(&bytes));
        }
    }
}
