//! Golden vectors: what messages say and the bytes that say it, read and written by two implementations.

#[path = "second/build.rs"]
mod build;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use gameserver_protocol::RejectReason;
use gameserver_protocol::message::{
    CELL_BYTES_MAX, Cell, Change, Delta, Entity, FieldList, Input, Inputs, InputsHead, Notice, Rejected,
    ResumeToken, Snapshot, SnapshotHead, SnapshotWriter, encode_cell, encode_inputs,
};
use serde_json::Value;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
const FILES: [&str; 3] = ["inputs.json", "snapshot.json", "resume.json"];
/// Room for more than any message.
const ROOM: usize = 4096;

static SECOND: LazyLock<PathBuf> =
    LazyLock::new(|| build::program(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second"))));

fn text(file: &str) -> String {
    std::fs::read_to_string(Path::new(DIRECTORY).join(file)).expect("the vectors are in the repository")
}

fn vectors(file: &str) -> Vec<Value> {
    match serde_json::from_str(&text(file)).expect("JSON") {
        Value::Array(vectors) => vectors,
        other => panic!("{file} is no array but {other}"),
    }
}

/// The bytes of a vector, see the README there.
fn bytes(vector: &Value) -> Vec<u8> {
    let lines = vector["bytes"].as_array().expect("lines");
    let words = lines.iter().flat_map(|line| line.as_str().expect("text").split_whitespace());
    words.flat_map(word).collect()
}

fn word(word: &str) -> Vec<u8> {
    let (digits, times) = word.split_once('*').unwrap_or((word, "1"));
    assert!(digits.len().is_multiple_of(2), "{word}");
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect();
    bytes.repeat(times.parse().expect("a number"))
}

fn int<T: TryFrom<i128>>(value: &Value) -> T {
    let wide = value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from));
    let wide = wide.unwrap_or_else(|| panic!("{value} is no integer"));
    T::try_from(wide).unwrap_or_else(|_out_of_range| panic!("{wide} is out of range"))
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no array")).iter().map(read).collect()
}

fn array<T: TryFrom<i128>, const N: usize>(value: &Value) -> [T; N] {
    list(value, int).try_into().unwrap_or_else(|_other_length| panic!("{value} has not {N} elements"))
}

fn field_list(value: &Value) -> FieldList {
    FieldList::new(&list(value, int))
}

fn check_inputs(fields: &Value, bytes: &[u8], is_written: bool) {
    let head = InputsHead {
        stamp: int(&fields["stamp"]),
        ack_tick: int(&fields["ack_tick"]),
        ack_bits: int(&fields["ack_bits"]),
        ack_hold_us: int(&fields["ack_hold_us"]),
        view_lag_ticks: int(&fields["view_lag_ticks"]),
    };
    let said = list(&fields["inputs"], |input| Input {
        sequence: int(&input["sequence"]),
        tick: int(&input["tick"]),
        intent: field_list(&input["intent"]),
    });
    let read = Inputs::decode(bytes).expect("a message");
    assert_eq!(read.head, head);
    assert_eq!(read.iter().collect::<Result<Vec<_>, _>>().expect("inputs"), said);
    let mut buffer = [0; ROOM];
    let len = encode_inputs(&mut buffer, &head, said.iter()).expect("room");
    assert!(!is_written || buffer[..len] == *bytes, "is written {:02x?}", &buffer[..len]);
}

fn cell(value: &Value) -> Cell {
    let change = match (value.get("full"), value.get("since")) {
        (Some(full), None) => Change::Full(Entity {
            id: int(&full["id"]),
            kind: int(&full["kind"]),
            x: int(&full["x"]),
            y: int(&full["y"]),
            fields: array(&full["figures"]),
        }),
        (None, Some(since)) => {
            let figures = list(&since["figures"], |figure| (!figure.is_null()).then(|| int(figure)));
            let fields = figures.try_into().expect("four figures");
            let delta = Delta { dx: int(&since["east"]), dy: int(&since["north"]), fields };
            Change::Since { back: int(&since["back"]), delta }
        }
        (None, None) => Change::Gone,
        _ => panic!("{value} is two things at once"),
    };
    Cell { index: int(&value["index"]), change }
}

fn check_snapshot(fields: &Value, bytes: &[u8], is_written: bool) {
    let said = Snapshot {
        head: SnapshotHead {
            tick: int(&fields["tick"]),
            age_us: int(&fields["age_us"]),
            echo_stamp: int(&fields["echo_stamp"]),
            echo_hold_us: int(&fields["echo_hold_us"]),
            last_input_sequence: int(&fields["last_input_sequence"]),
            hurry: int(&fields["hurry"]),
        },
        own: field_list(&fields["own"]),
        rejected: list(&fields["rejected"], |one| Rejected {
            sequence: int(&one["sequence"]),
            reason: RejectReason::from_code(int(&one["reason"])).expect("a reason"),
        }),
        notices: list(&fields["notices"], |one| Notice {
            number: int(&one["number"]),
            code: int(&one["code"]),
            figures: array(&one["figures"]),
        }),
        cells: if fields["cells"].is_null() { Vec::new() } else { list(&fields["cells"], cell) },
        tells_of_others: !fields["cells"].is_null(),
    };
    let mut read = Snapshot::default();
    read.decode_into(bytes).expect("a message");
    assert_eq!(read, said);
    let written = write_snapshot(&said);
    assert!(!is_written || written == bytes, "is written {written:02x?}");
}

fn write_snapshot(said: &Snapshot) -> Vec<u8> {
    let mut buffer = [0; ROOM];
    let (rejected, notices) = (said.rejected.iter().copied(), said.notices.iter().copied());
    let mut writer =
        SnapshotWriter::new(&mut buffer, &said.head, &said.own, rejected, notices).expect("room");
    for cell in &said.cells {
        let mut bytes = [0; CELL_BYTES_MAX];
        let (len, elements) = encode_cell(&mut bytes, cell).expect("room");
        writer.push(&bytes, len, elements).expect("room");
    }
    let len = if said.tells_of_others { writer.finish() } else { writer.finish_without_cells() };
    buffer[..len].to_vec()
}

fn check_resume(fields: &Value, bytes: &[u8], is_written: bool) {
    let said = ResumeToken {
        create_unix: int(&fields["create_unix"]),
        expire_unix: int(&fields["expire_unix"]),
        nonce: [int(&fields["nonce"]); 24],
        private_token: [int(&fields["private_token"]); 1024],
        timeout_seconds: int(&fields["timeout_seconds"]),
        client_to_server_key: [int(&fields["client_to_server_key"]); 32],
        server_to_client_key: [int(&fields["server_to_client_key"]); 32],
    };
    assert!(ResumeToken::decode(bytes).expect("a message") == said, "another token is read");
    let mut buffer = [0; ROOM];
    let len = said.encode(&mut buffer).expect("room");
    assert!(!is_written || buffer[..len] == *bytes, "is written {:02x?}", &buffer[..len]);
}

fn is_refused(message: &str, bytes: &[u8]) -> bool {
    match message {
        "inputs" => Inputs::decode(bytes).map_or(true, |message| message.iter().any(|input| input.is_err())),
        "snapshot" => Snapshot::default().decode_into(bytes).is_err(),
        "resume" => ResumeToken::decode(bytes).is_err(),
        other => panic!("no such message: {other}"),
    }
}

fn check(vector: &Value) {
    let (message, bytes) = (vector["message"].as_str().expect("a message"), bytes(vector));
    let Some(fields) = vector.get("fields") else {
        assert!(is_refused(message, &bytes), "is read, and says nothing");
        return;
    };
    let is_written = vector.get("read").is_none();
    match message {
        "inputs" => check_inputs(fields, &bytes, is_written),
        "snapshot" => check_snapshot(fields, &bytes, is_written),
        "resume" => check_resume(fields, &bytes, is_written),
        other => panic!("no such message: {other}"),
    }
}

#[test]
fn every_vector_is_read_and_written_as_it_stands() {
    let all = FILES.iter().flat_map(|file| vectors(file));
    let wrong: Vec<String> = all
        .filter(|vector| std::panic::catch_unwind(|| check(vector)).is_err())
        .map(|vector| vector["name"].to_string())
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

fn second(directory: &Path) -> Output {
    Command::new(&*SECOND).arg("vectors").arg(directory).output().expect("it was built")
}

#[test]
fn the_second_implementation_reads_and_writes_every_vector() {
    let output = second(Path::new(DIRECTORY));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let count = FILES.iter().map(|file| vectors(file).len()).sum::<usize>().to_string();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), count, "vectors that it found");
}

#[test]
fn the_second_implementation_finds_a_vector_whose_bytes_say_something_else() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors-changed");
    std::fs::create_dir_all(&directory).expect("a directory");
    for (file, from, to, name) in [
        ("inputs.json", "92 93 07 cd012d", "92 93 06 cd012d", "two inputs"),
        ("snapshot.json", "0d 0a 05 05 5a", "0d 0a 05 06 5a", "everything once"),
        (
            "resume.json",
            "11*24 22*1024 0a 00*3 33*32 44*32",
            "11*24 22*1024 0b 00*3 33*32 44*32",
            "half a minute",
        ),
        // not the smallest form: it is read, and written otherwise
        ("snapshot.json", "0d 0a 05 05 5a", "0d 0a 05 cc05 5a", "everything once"),
        // what has to be refused no longer has
        ("snapshot.json", "90 91 92 01 10 dc0000", "90 91 92 01 0f dc0000", "reason 16"),
    ] {
        let (before, changed) = (text(file), text(file).replacen(from, to, 1));
        assert_ne!(before, changed, "{from} is in {file}");
        let path = directory.join(file);
        std::fs::write(&path, changed).expect("written");
        let output = second(&directory);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(name), "{from} as {to}: {said}");
        std::fs::remove_file(&path).expect("removed");
    }
}
