//! Programs are run by an interpreter of the instructions that they use, written from the kernel's description of them; the suite of
//! the backends has the kernel run them.

use std::net::Ipv4Addr;

use super::*;

/// A datagram as the kernel shows it to a filter.
struct Shown {
    ip: Vec<u8>,
    udp: Vec<u8>,
    random: u32,
}

fn shown(from: &str, payload: &[u8], random: u32) -> Shown {
    let from: SocketAddr = from.parse().unwrap();
    let mut ip = vec![0; 40];
    match from.ip() {
        IpAddr::V4(address) => {
            ip[0] = 0x45;
            ip[12..16].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            ip[0] = 0x60;
            ip[8..24].copy_from_slice(&address.octets());
        }
    }
    let mut udp = from.port().to_be_bytes().to_vec();
    udp.resize(8, 0);
    udp.extend(payload);
    Shown { ip, udp, random }
}

fn lets_in(filter: &SocketFilter, shown: &Shown) -> bool {
    let load = |at: u32, bytes: usize| -> Option<u32> {
        if at == RANDOM {
            return Some(shown.random);
        }
        let (from, at) =
            if at >= IP_HEADER { (&shown.ip, at.wrapping_sub(IP_HEADER)) } else { (&shown.udp, at) };
        let at = usize::try_from(at).unwrap();
        Some(from.get(at..at + bytes)?.iter().fold(0, |word, &byte| word << 8 | u32::from(byte)))
    };
    let (mut a, mut x, mut kept, mut at) = (0_u32, 0_u32, [None; 16], 0);
    loop {
        let Instruction { code, if_true, if_false, operand } = filter.program[at];
        at += 1;
        let mut branch = |is_true: bool| at += usize::from(if is_true { if_true } else { if_false });
        let place = || usize::try_from(operand).unwrap();
        match code {
            code::LOAD_WORD | code::LOAD_HALF | code::LOAD_BYTE => {
                let bytes = [4, 2, 1][usize::from((code - code::LOAD_WORD) / 8)];
                // the kernel ends a program that reads beyond the end, and drops the datagram
                let Some(word) = load(operand, bytes) else { return false };
                a = word;
            }
            code::LOAD_LENGTH => a = u32::try_from(shown.udp.len()).unwrap(),
            code::LOAD_KEPT => a = kept[place()].unwrap(),
            code::LOAD_KEPT_X => x = kept[place()].unwrap(),
            code::LOAD_IMMEDIATE => a = operand,
            code::KEEP => kept[place()] = Some(a),
            code::AND => a &= operand,
            code::MULTIPLY => a = a.wrapping_mul(operand),
            code::SHIFT_RIGHT => a >>= operand,
            code::XOR_X => a ^= x,
            code::COPY_TO_X => x = a,
            code::JUMP => at += place(),
            code::IF_EQUAL => branch(a == operand),
            code::IF_GREATER => branch(a > operand),
            code::IF_AT_LEAST => branch(a >= operand),
            code::RETURN => return operand == WHOLE,
            unknown => panic!("{unknown:#x}"),
        }
    }
}

fn numbered(number: usize) -> SocketAddr {
    let [host, port] = [number / 7, number % 7].map(|part| u16::try_from(part).unwrap());
    SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + u32::from(host)).into(), 2000 + port)
}

/// All are trusted.
fn players(known: impl IntoIterator<Item = SocketAddr>) -> Vec<(SocketAddr, Trust)> {
    known.into_iter().map(|address| (address, Trust::Full)).collect()
}

const LONG: Shape = Shape { bytes: 100..=100, mask: 0xff, first: 0 };
const RANGE: Shape = Shape { bytes: 20..=30, mask: 0x0f, first: 3 };

#[test]
fn who_is_known_gets_in_whatever_it_sends_and_nobody_else_does_however_many_there_are() {
    for count in [0, 1, 7, 8, 9, 63, 1000, KNOWN_MAX] {
        let known: Vec<_> = (0..count).map(numbered).collect();
        let filter = SocketFilter::new(players(known.iter().copied()), &[], 1, 7).unwrap();
        let leaves = count.div_ceil(LEAF);
        let searched = if count == 0 { 1 } else { count + 2 * leaves + 2 * (leaves - 1) };
        assert_eq!(filter.program.len(), searched + 88, "{count}");
        assert!(filter.program.len() <= INSTRUCTIONS_MAX, "{count}");
        for address in &known {
            assert!(lets_in(&filter, &shown(&address.to_string(), b"?", 0)), "{address} of {count}");
        }
        let strangers = (count..count + 2000).map(numbered);
        let let_in = strangers.filter(|from| lets_in(&filter, &shown(&from.to_string(), b"?", 0))).count();
        assert_eq!(let_in, 0, "{count}");
    }
}

#[test]
fn one_more_than_there_is_room_for_is_an_error() {
    let known = (0..=KNOWN_MAX).map(numbered);
    assert_eq!(SocketFilter::new(players(known), &[], 1, 7), Err(TooManyKnown(KNOWN_MAX + 1)));
}

#[test]
fn port_address_and_family_tell_one_from_another_and_a_mapped_address_is_the_one_that_is_mapped() {
    let known = ["192.0.2.1:5", "[2001:db8::1]:5", "[::ffff:192.0.2.9]:5"];
    let filter = SocketFilter::new(players(known.map(|known| known.parse().unwrap())), &[], 1, 7).unwrap();
    for (from, expected) in [
        ("192.0.2.1:5", true),
        ("192.0.2.1:6", false),
        ("192.0.2.2:5", false),
        ("192.0.2.9:5", true),
        ("[2001:db8::1]:5", true),
        ("[2001:db8::1]:6", false),
        ("[2001:db8::2]:5", false),
        ("[2001:db9::1]:5", false),
    ] {
        assert_eq!(lets_in(&filter, &shown(from, b"?", 0)), expected, "{from}");
    }
}

#[test]
fn of_strangers_only_what_has_the_shape_of_a_handshake_gets_in() {
    let filter = SocketFilter::new([], &[LONG, RANGE], 1, 7).unwrap();
    let sent = |first: u8, bytes: usize| {
        let mut payload = vec![0x55; bytes];
        if let Some(byte) = payload.first_mut() {
            *byte = first;
        }
        payload
    };
    for (first, bytes, expected) in [
        (0, 100, true),
        (0, 99, false),
        (0, 101, false),
        (1, 100, false),
        (3, 20, true),
        (0x83, 30, true),
        (3, 19, false),
        (3, 31, false),
        (4, 25, false),
        (0, 0, false),
    ] {
        let found = lets_in(&filter, &shown("192.0.2.1:5", &sent(first, bytes), u32::MAX));
        assert_eq!(found, expected, "{first:#x} and {bytes} bytes");
    }
}

#[test]
fn a_share_of_strangers_gets_in_by_chance_and_all_who_are_known() {
    let payload = [0; 100];
    for one_in in [1, 2, 16, 1024] {
        let filter = SocketFilter::new(players([numbered(0)]), &[LONG], one_in, 7).unwrap();
        let get_in = |from: &str| {
            // as many draws, evenly spread
            (0..4096_u32).filter(|draw| lets_in(&filter, &shown(from, &payload, draw << 20))).count()
        };
        assert_eq!(get_in("192.0.2.1:5"), 4096 / one_in as usize, "one in {one_in}");
        assert_eq!(get_in(&numbered(0).to_string()), 4096);
    }
}

#[test]
fn two_salts_make_two_programs_of_the_same_addresses() {
    let [one, other] = [1, 2].map(|salt| SocketFilter::new(players([numbered(0)]), &[], 1, salt).unwrap());
    assert_ne!(one.program, other.program);
}

#[test]
fn who_is_on_the_way_in_gets_in_with_all_its_handshakes_and_with_nothing_else() {
    for count in [1, 9, 1000] {
        let entering = (0..count).map(|number| (numbered(number), Trust::Handshakes));
        let known = entering.chain(players([numbered(2000)]));
        let filter = SocketFilter::new(known, &[LONG], u32::MAX, 7).unwrap();
        for (from, bytes, expected) in [
            (numbered(0), 100, true),
            (numbered(count - 1), 100, true),
            (numbered(count - 1), 99, false),
            (numbered(count), 100, false),
            (numbered(2000), 99, true),
        ] {
            let shown = shown(&from.to_string(), &vec![0; bytes], u32::MAX);
            assert_eq!(lets_in(&filter, &shown), expected, "{from} of {count} with {bytes} bytes");
        }
    }
}
