//! The game's messages: fixed bytes, a second reader, and anything at all.

use gameserver_protocol::RejectReason;
use gameserver_protocol::message::{
    BufferTooSmall, CELL_BYTES_MAX, Cell, Change, DecodeError, Delta, ENTITY_FIELDS, Entity, FieldList,
    Input, Inputs, InputsHead, MAX_ARGUMENTS, MAX_BACK, MAX_CELL_ELEMENTS, MAX_INPUTS, MAX_MESSAGE_BYTES,
    MAX_NOTICES, MAX_OWN_FIELDS, MAX_REJECTED, Notice, Rejected, Snapshot, SnapshotHead, SnapshotWriter,
    encode_cell, encode_inputs,
};
use proptest::prelude::*;

/// Message 5 of a client that has the snapshots of ticks 300, 299 and 297, the newest for 1 ms, and draws others 6 ticks
/// behind its inputs; input 7 at tick 301 is `[0, -5, 70000]`, input 8 as soon as possible is `[1]`. As any MessagePack
/// library writes it.
const INPUTS: &[u8] = &[
    0x97, 0x00, 0x05, 0xCD, 0x01, 0x2C, 0x05, 0xCD, 0x03, 0xE8, 0x06, 0x92, // [0, 5, 300, 5, 1000, 6, [
    0x93, 0x07, 0xCD, 0x01, 0x2D, 0x93, 0x00, 0xFB, 0xCE, 0x00, 0x01, 0x11,
    0x70, // [7, 301, [0, -5, 70000]],
    0x93, 0x08, 0x00, 0x91, 0x01, // [8, 0, [1]]]]
];

/// Tick 301, sent 2 ms after it was due; message 5 arrived 300 us before; input 7 decided; aim a tick earlier. Itself
/// `[1000, 2]`; input 6 rejected as too far; notice 3 with code 9; entity 12 gone, entity 200 in full, entity 13 three
/// units further west and with 90 for its first figure than ten ticks ago.
const SNAPSHOT: &[u8] = &[
    0x9A, 0x01, 0xCD, 0x01, 0x2D, 0xCD, 0x07, 0xD0, 0x05, 0xCD, 0x01, 0x2C, 0x07, 0x01, // head
    0x92, 0xCD, 0x03, 0xE8, 0x02, // [1000, 2]
    0x92, 0x92, 0x06, 0x02, 0x95, 0x03, 0x09, 0x00, 0xFF, 0x01, // [[6, 2], [3, 9, 0, -1, 1]]
    0xDC, 0x00, 0x11, // 17 elements
    0x0C, 0xC0, // 12, nil
    0xCC, 0xC8, 0x00, 0x07, 0x01, 0xFF, 0xCC, 0x80, 0x64, 0x00, 0x00,
    0xFE, // 200, 0, 7, 1, -1, 128, 100, 0, 0, -2
    0x0D, 0x0A, 0x05, 0x05, 0x5A, // 13, 10, bits 0 and 2, -3, 90
];

fn inputs_head() -> InputsHead {
    InputsHead { stamp: 5, ack_tick: 300, ack_bits: 0b101, ack_hold_us: 1000, view_lag_ticks: 6 }
}

fn inputs() -> [Input; 2] {
    [
        Input { sequence: 7, tick: 301, intent: FieldList::new(&[0, -5, 70_000]) },
        Input { sequence: 8, tick: 0, intent: FieldList::new(&[1]) },
    ]
}

fn snapshot() -> Snapshot {
    Snapshot {
        head: SnapshotHead {
            tick: 301,
            age_us: 2000,
            echo_stamp: 5,
            echo_hold_us: 300,
            last_input_sequence: 7,
            hurry: 1,
        },
        own: FieldList::new(&[1000, 2]),
        rejected: vec![Rejected { sequence: 6, reason: RejectReason::MoveTooFar }],
        notices: vec![Notice { number: 3, code: 9, figures: [0, -1, 1] }],
        cells: vec![
            Cell { index: 12, change: Change::Gone },
            Cell {
                index: 200,
                change: Change::Full(Entity { id: 7, kind: 1, x: -1, y: 128, fields: [100, 0, 0, -2] }),
            },
            Cell {
                index: 13,
                change: Change::Since {
                    back: 10,
                    delta: Delta { dx: -3, dy: 0, fields: [Some(90), None, None, None] },
                },
            },
        ],
        tells_of_others: true,
    }
}

fn write_inputs(head: &InputsHead, inputs: &[Input]) -> Vec<u8> {
    let mut bytes = vec![0; 4 * MAX_MESSAGE_BYTES];
    let len = encode_inputs(&mut bytes, head, inputs.iter()).expect("there is room for them");
    bytes.truncate(len);
    bytes
}

fn read_inputs(bytes: &[u8]) -> Result<(InputsHead, Vec<Input>), DecodeError> {
    let message = Inputs::decode(bytes)?;
    Ok((message.head, message.iter().collect::<Result<_, _>>()?))
}

fn try_write_snapshot(snapshot: &Snapshot) -> Result<Vec<u8>, BufferTooSmall> {
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let (rejected, notices) = (snapshot.rejected.iter().copied(), snapshot.notices.iter().copied());
    let mut writer = SnapshotWriter::new(&mut bytes, &snapshot.head, &snapshot.own, rejected, notices)?;
    for cell in &snapshot.cells {
        let mut encoded = [0; CELL_BYTES_MAX];
        let (len, elements) = encode_cell(&mut encoded, cell)?;
        writer.push(&encoded, len, elements)?;
    }
    let len = if snapshot.tells_of_others { writer.finish() } else { writer.finish_without_cells() };
    bytes.truncate(len);
    Ok(bytes)
}

fn write_snapshot(snapshot: &Snapshot) -> Vec<u8> {
    try_write_snapshot(snapshot).expect("there is room for it")
}

fn read_snapshot(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
    let mut snapshot = Snapshot::default();
    snapshot.decode_into(bytes).map(|()| snapshot)
}

/// `B10`: the bytes on the wire, for whoever writes a client in another language.
#[test]
fn messages_have_the_documented_bytes() {
    assert_eq!(write_inputs(&inputs_head(), &inputs()), INPUTS);
    assert_eq!(read_inputs(INPUTS), Ok((inputs_head(), inputs().to_vec())));
    assert_eq!(write_snapshot(&snapshot()), SNAPSHOT);
    assert_eq!(read_snapshot(SNAPSHOT), Ok(snapshot()));
}

#[test]
fn a_snapshot_that_tells_nothing_of_others_has_nil_for_cells() {
    let alone = Snapshot { cells: Vec::new(), tells_of_others: false, ..snapshot() };
    let bytes = write_snapshot(&alone);
    let before_cells = bytes.len() - 1;
    assert_eq!((&bytes[..before_cells], bytes[before_cells]), (&SNAPSHOT[..before_cells], 0xC0));
    assert_eq!(read_snapshot(&bytes), Ok(alone));
    assert_eq!(read_snapshot(&bytes[..before_cells]), Err(DecodeError::Truncated));
    assert_eq!(read_snapshot(&[&bytes[..], &[0x90]].concat()), Err(DecodeError::Trailing));
}

#[test]
fn who_makes_load_reads_everything_but_others() {
    let mut read = Snapshot::default();
    assert_eq!(read.decode_blindly_into(SNAPSHOT), Ok(()));
    assert_eq!(read, Snapshot { cells: Vec::new(), tells_of_others: false, ..snapshot() });
    assert_eq!(read.decode_blindly_into(&SNAPSHOT[..20]), Err(DecodeError::Truncated));
}

type PlainInputs = (u8, u16, u64, u64, u32, u8, Vec<(u32, u64, Vec<i64>)>);
type PlainSnapshot = (u8, u64, u32, u16, u32, u32, i8, Vec<i64>, Vec<Vec<i64>>, Vec<Option<i64>>);

/// A reader that knows MessagePack and the documented order of fields, and nothing of ours.
#[test]
fn a_second_implementation_agrees() {
    let plain: PlainInputs = rmp_serde::from_slice(INPUTS).expect("MessagePack");
    assert_eq!(plain, (0, 5, 300, 5, 1000, 6, vec![(7, 301, vec![0, -5, 70_000]), (8, 0, vec![1])]));
    assert_eq!(rmp_serde::to_vec(&plain).expect("written"), INPUTS);
    let plain: PlainSnapshot = rmp_serde::from_slice(SNAPSHOT).expect("MessagePack");
    let cells = [
        &[Some(12), None][..],
        &[200, 0, 7, 1, -1, 128, 100, 0, 0, -2].map(Some),
        &[13, 10, 0b101, 5, 90].map(Some),
    ];
    let news = vec![vec![6, 2], vec![3, 9, 0, -1, 1]];
    assert_eq!(plain, (1, 301, 2000, 5, 300, 7, 1, vec![1000, 2], news, cells.concat()));
}

#[test]
fn a_message_of_the_most_and_the_largest_of_everything_is_read_or_does_not_fit() {
    let entity =
        Entity { id: u32::MAX, kind: u8::MAX, x: i32::MIN, y: i32::MIN, fields: [i32::MIN; ENTITY_FIELDS] };
    let mut bytes = [0; CELL_BYTES_MAX];
    let cell = Cell { index: u32::MAX, change: Change::Full(entity) };
    assert!(encode_cell(&mut bytes, &cell).is_ok());
    let delta = Delta { dx: i32::MIN, dy: i32::MAX, fields: [Some(i32::MIN); ENTITY_FIELDS] };
    let change = Change::Since { back: MAX_BACK, delta };
    assert!(encode_cell(&mut bytes, &Cell { index: u32::MAX, change }).is_ok());
    let largest = Snapshot {
        head: SnapshotHead {
            tick: u64::MAX,
            age_us: u32::MAX,
            echo_stamp: u16::MAX,
            echo_hold_us: u32::MAX,
            last_input_sequence: u32::MAX,
            hurry: i8::MIN,
        },
        own: FieldList::new(&[i64::MIN; MAX_OWN_FIELDS]),
        rejected: vec![Rejected { sequence: u32::MAX, reason: RejectReason::MoveTooFar }; MAX_REJECTED],
        notices: vec![Notice { number: u32::MAX, code: u8::MAX, figures: [i64::MIN; 3] }; MAX_NOTICES],
        cells: Vec::new(),
        tells_of_others: true,
    };
    assert_eq!(read_snapshot(&write_snapshot(&largest)), Ok(largest));
    let crowd = Snapshot { cells: vec![cell; 200], tells_of_others: true, ..Snapshot::default() };
    assert_eq!(try_write_snapshot(&crowd), Err(BufferTooSmall));
    let first = u32::MAX - 32;
    let intent = FieldList::new(&[i64::MIN; MAX_ARGUMENTS]);
    let most: Vec<_> =
        (1..=32).map(|more| Input { sequence: first + more, tick: u64::MAX, intent }).collect();
    assert_eq!(most.len(), MAX_INPUTS);
    assert_eq!(read_inputs(&write_inputs(&inputs_head(), &most)), Err(DecodeError::TooLong));
    let (least, _) = most.split_at(12);
    assert_eq!(
        read_inputs(&write_inputs(&inputs_head(), least)),
        Ok((inputs_head(), least.to_vec())),
        "twelve of the largest, or all of the usual ones, fit"
    );
}

#[test]
fn the_most_of_the_usual_inputs_fits() {
    let intent = FieldList::new(&[0, 1_000_000, 1_000_000]);
    let usual: Vec<_> = (1..=32)
        .map(|sequence| Input { sequence: 1_000_000 + sequence, tick: 100_000_000, intent })
        .collect();
    assert!(write_inputs(&inputs_head(), &usual).len() <= MAX_MESSAGE_BYTES);
}

#[test]
fn malformed_inputs_are_refused_by_name() {
    let head = [0x97, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00];
    let with_head = |rest: &[u8]| [&head[..], rest].concat();
    for (name, bytes, error) in [
        ("nothing", vec![], DecodeError::Truncated),
        ("an array that ends", vec![0x97], DecodeError::Truncated),
        ("nil", vec![0xC0], DecodeError::Value),
        ("a map", vec![0x80], DecodeError::Value),
        ("a snapshot", vec![0x97, 0x01], DecodeError::MessageType),
        ("too many fields", [&[0x98][..], &head[1..], &[0x90, 0x00]].concat(), DecodeError::ArrayLength),
        ("too few fields", vec![0x92, 0x00, 0x00], DecodeError::ArrayLength),
        ("billions of fields", vec![0xDD, 0xFF, 0xFF, 0xFF, 0xFF], DecodeError::ArrayLength),
        ("a negative number", vec![0x97, 0x00, 0x01, 0xFF], DecodeError::Value),
        ("a message number too large", vec![0x97, 0x00, 0xCE, 0, 1, 0, 0], DecodeError::Value),
        ("33 inputs", with_head(&[0xDC, 0x00, 0x21]), DecodeError::ArrayLength),
        ("billions of inputs", with_head(&[0xDD, 0xFF, 0xFF, 0xFF, 0xFF]), DecodeError::ArrayLength),
        ("an input that is not there", with_head(&[0x91]), DecodeError::Truncated),
        ("something behind the end", with_head(&[0x90, 0x00]), DecodeError::Trailing),
        ("sequence 0", with_head(&[0x91, 0x93, 0x00, 0x00, 0x91, 0x00]), DecodeError::Order),
        ("an intent of 9 numbers", with_head(&[0x91, 0x93, 0x01, 0x00, 0x99]), DecodeError::ArrayLength),
        ("an input of 2 fields", with_head(&[0x91, 0x92, 0x01, 0x00]), DecodeError::ArrayLength),
        (
            "a float",
            with_head(&[0x91, 0x93, 0x01, 0x00, 0x92, 0x00, 0xCB, 0, 0, 0, 0, 0, 0, 0, 0]),
            DecodeError::Value,
        ),
        ("a sequence too large", with_head(&[0x91, 0x93, 0xCF, 0, 0, 0, 1, 0, 0, 0, 0]), DecodeError::Value),
        (
            "a hundred arrays in each other",
            with_head(&[&[0x91, 0x93, 0x01, 0x00, 0x91][..], &[0x91; 100]].concat()),
            DecodeError::Value,
        ),
        ("more than a message", vec![0; MAX_MESSAGE_BYTES + 1], DecodeError::TooLong),
    ] {
        assert_eq!(read_inputs(&bytes), Err(error), "{name}");
    }
}

#[test]
fn malformed_snapshots_are_refused_by_name() {
    let changed = |at: usize, value: u8| {
        let mut bytes = SNAPSHOT.to_vec();
        bytes[at] = value;
        read_snapshot(&bytes).err()
    };
    for (name, at, value, error) in [
        ("inputs", 1, 0x00, DecodeError::MessageType),
        ("a reason that there is not", 22, 0x00, DecodeError::Value),
        ("news of 3 numbers", 20, 0x93, DecodeError::ArrayLength),
        ("cells that are longer than their list", 31, 0x10, DecodeError::ArrayLength),
        ("a list longer than any", 30, 0xFF, DecodeError::ArrayLength),
        ("from more ticks ago than are kept", 47, 0x40, DecodeError::Value),
        ("a bit that means nothing", 48, 0x45, DecodeError::Value),
    ] {
        assert_eq!(changed(at, value), Some(error), "{name}");
    }
    for len in 0..SNAPSHOT.len() {
        assert_eq!(read_snapshot(&SNAPSHOT[..len]), Err(DecodeError::Truncated), "{len} bytes");
    }
}

#[test]
fn repeated_or_shrinking_sequences_are_refused() {
    let intent = FieldList::new(&[0]);
    let order = |sequences: &[u32]| {
        let inputs: Vec<_> = sequences.iter().map(|&sequence| Input { sequence, tick: 0, intent }).collect();
        read_inputs(&write_inputs(&inputs_head(), &inputs)).map(|_| ())
    };
    assert_eq!(order(&[1, 2, 9]), Ok(()));
    assert_eq!(order(&[2, 2]), Err(DecodeError::Order));
    assert_eq!(order(&[2, 1]), Err(DecodeError::Order));
}

fn field_list(max: usize) -> impl Strategy<Value = FieldList> {
    prop::collection::vec(prop_oneof![any::<i64>(), -200_i64..200], 0..=max)
        .prop_map(|fields| FieldList::new(&fields))
}

fn entity() -> impl Strategy<Value = Entity> {
    let fields = any::<[i32; ENTITY_FIELDS]>();
    (any::<u32>(), any::<u8>(), any::<i32>(), any::<i32>(), fields)
        .prop_map(|(id, kind, x, y, fields)| Entity { id, kind, x, y, fields })
}

fn change() -> impl Strategy<Value = Change> {
    let delta = (any::<i32>(), -70_i32..70, any::<[Option<i32>; ENTITY_FIELDS]>());
    prop_oneof![
        Just(Change::Gone),
        entity().prop_map(Change::Full),
        (1..=MAX_BACK, delta)
            .prop_map(|(back, (dx, dy, fields))| Change::Since { back, delta: Delta { dx, dy, fields } }),
    ]
}

proptest! {
    #[test]
    fn inputs_round_trip(
        stamp in any::<u16>(), ack_tick in any::<u64>(), ack_bits in any::<u64>(),
        rows in prop::collection::vec((1_u32..1000, any::<u64>(), field_list(MAX_ARGUMENTS)), 0..=12),
    ) {
        let head = InputsHead { stamp, ack_tick, ack_bits, ack_hold_us: 1, view_lag_ticks: 2 };
        let mut sequence = 0;
        let inputs: Vec<_> = rows.into_iter().map(|(gap, tick, intent)| {
            sequence += gap;
            Input { sequence, tick, intent }
        }).collect();
        prop_assert_eq!(read_inputs(&write_inputs(&head, &inputs)), Ok((head, inputs)));
    }

    #[test]
    fn snapshots_round_trip(
        own in field_list(MAX_OWN_FIELDS),
        cells in prop::collection::vec((any::<u32>(), change()), 0..20),
    ) {
        let cells = cells.into_iter().map(|(index, change)| Cell { index, change }).collect();
        let whole = Snapshot { own, cells, ..snapshot() };
        prop_assert_eq!(read_snapshot(&write_snapshot(&whole)), Ok(whole));
    }

    #[test]
    fn a_difference_told_is_a_difference_applied(before in entity(), after in entity(), back in 1..=MAX_BACK) {
        let after = Entity { id: before.id, kind: before.kind, ..after };
        let delta = Delta::between(&before, &after);
        let cells = vec![Cell { index: 1, change: Change::Since { back, delta } }];
        let read = read_snapshot(&write_snapshot(&Snapshot { cells, tells_of_others: true, ..Snapshot::default() })).expect("readable");
        let Change::Since { delta, .. } = read.cells[0].change else { panic!("another change") };
        prop_assert_eq!(delta.apply(&before), after);
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
            if let Ok(snapshot) = read_snapshot(&bytes) {
                prop_assert!(snapshot.cells.len() <= MAX_CELL_ELEMENTS);
            }
        }
    }
}
