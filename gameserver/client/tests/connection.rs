//! The client's side of a session against a server that does what the test wants.

mod common;

use common::walk::{Walk, Walker};
use common::{Pair, addresses, milliseconds, mint};
use gameserver_client::{
    Client, ClientState, DisconnectReason, Entity, Event, Notice, RejectReason, SnapshotHead, Watch, Watched,
};
use gameserver_game::Fields;
use gameserver_protocol::message::{
    Cell, Change, Delta, FieldList, Inputs, Notice as NoticeMessage, Rejected, SnapshotWriter, encode_cell,
};
use gameserver_protocol::{PacketHeader, PacketKind};
use proptest::prelude::*;

const WALK: Walk = Walk { east: 1, north: 0 };

/// What comes with a snapshot's head.
#[derive(Default)]
struct News<'a> {
    own: Option<FieldList>,
    rejected: &'a [Rejected],
    notices: &'a [NoticeMessage],
    change: Option<Change>,
}

impl Pair {
    fn serve_snapshot(&mut self, milli: u64, head: SnapshotHead, news: &News<'_>) {
        let (mut body, mut cell) = ([0; 1175], [0; 48]);
        let own = news.own.unwrap_or_else(|| Walker::new().to_fields());
        let (rejected, notices) = (news.rejected.iter().copied(), news.notices.iter().copied());
        let mut writer = SnapshotWriter::new(&mut body, &head, &own, rejected, notices).expect("room");
        if let Some(change) = news.change {
            let (len, elements) = encode_cell(&mut cell, &Cell { index: 9, change }).expect("room");
            writer.push(&cell, len, elements).expect("room");
        }
        let len = writer.finish();
        self.serve(milli, PacketKind::Payload, &body[..len]);
    }

    fn tick(&self) -> Option<u64> {
        self.client.snapshot().map(|snapshot| snapshot.head.tick)
    }
}

fn head(tick: u64, last_input_sequence: u32) -> SnapshotHead {
    SnapshotHead { tick, last_input_sequence, ..SnapshotHead::default() }
}

#[test]
fn a_request_is_repeated_until_there_is_an_answer_and_no_faster_than_ten_times_a_second() {
    let mut pair = Pair::new(&addresses()[..1]);
    let sent: usize = (0..1000).map(|millisecond| pair.sent(millisecond).len()).sum();
    assert!((6..=10).contains(&sent), "{sent} requests in a second");
    assert_eq!(pair.client.state(), ClientState::Connecting);
}

/// A server counts what a client sent and did not arrive by the gaps in its numbers.
#[test]
fn a_message_that_does_not_fit_takes_no_number() {
    let mut pair = Pair::connected();
    let mut numbers = Vec::new();
    for milli in (200..1000).step_by(200) {
        for room in [0, 20, 30] {
            let mut buffer = vec![0; room];
            assert_eq!(pair.client.poll_transmit(milliseconds(milli), &mut buffer), None);
        }
        let sent = pair.sent(milli);
        let number = |(_, bytes): &(_, Vec<u8>)| PacketHeader::parse(bytes).expect("a packet").sequence;
        numbers.extend(sent.iter().map(number));
    }
    assert_eq!(numbers, (numbers[0]..numbers[0] + 4).collect::<Vec<_>>());
}

#[test]
fn clients_who_start_together_do_not_stay_together() {
    let times = |random: u8| {
        let mut client =
            Client::<common::walk::Field>::new(mint(&addresses()), 64, milliseconds(0), [random; 32]);
        let mut buffer = [0; 1200];
        let sends =
            |millisecond| client.poll_transmit(milliseconds(millisecond), &mut buffer).map(|_| millisecond);
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
fn a_spectator_asks_for_where_to_look_until_it_is_heard_and_knows_what_it_is_told() {
    let mut pair = Pair::connected();
    assert_eq!(
        pair.client.watch(Watch::Entity { id: 7 }),
        None,
        "a player's server would not know what it is"
    );
    pair.client = pair.client.spectator();
    pair.serve_snapshot(1, head(1, 0), &News { own: Some(FieldList::new(&[50, 60, 0])), ..News::default() });
    assert_eq!(pair.client.watched(), Some(Watched { x: 50, y: 60, follows: 0 }));
    assert_eq!((pair.client.own(), pair.client.stats().own_unreadable), (None, 0));

    assert_eq!(pair.client.watch(Watch::Entity { id: 7 }), Some(1));
    for milli in [2, 40, 80] {
        let sent = pair.sent(milli);
        let [(_, datagram)] = &*sent else { panic!("one message, not {}", sent.len()) };
        let (_, message) = pair.open(datagram);
        let inputs = Inputs::decode(&message).expect("an inputs message");
        let input = inputs.iter().next().expect("it is repeated").expect("lawful");
        let asked = Watch::from_fields(input.intent.as_slice());
        assert_eq!((asked, input.tick), (Some(Watch::Entity { id: 7 }), 0), "at {milli} ms");
    }
    pair.serve_snapshot(90, head(2, 1), &News { own: Some(FieldList::new(&[51, 60, 7])), ..News::default() });
    assert_eq!(pair.client.watched(), Some(Watched { x: 51, y: 60, follows: 7 }));
    assert_eq!(pair.client.poll_event(), Some(Event::Confirmed { input_seq: 1, tick: 2 }));
    pair.serve_snapshot(95, head(3, 1), &News { own: Some(FieldList::new(&[1])), ..News::default() });
    assert_eq!((pair.client.stats().own_unreadable, pair.client.watched().is_some()), (1, true));
}

#[test]
fn an_idle_client_acknowledges_ten_times_a_second() {
    let mut pair = Pair::connected();
    pair.sent(0);
    pair.serve_snapshot(1, head(7, 0), &News::default());
    let sent: Vec<_> = (2..1002).flat_map(|millisecond| pair.sent(millisecond)).collect();
    assert_eq!(sent.len(), 10);
    let (kind, body) = pair.open(&sent[0].1);
    assert_eq!(kind, PacketKind::Payload);
    assert_eq!(
        Inputs::decode(&body).map(|inputs| (inputs.head.ack_tick, inputs.head.ack_hold_us)),
        Ok((7, 99_000))
    );
}

#[test]
fn an_input_is_sent_at_once_and_repeated_until_its_outcome_is_known() {
    let mut pair = Pair::connected();
    pair.sent(0);
    let sequence = pair.client.send(milliseconds(1), WALK);
    for millisecond in [1, 34, 67] {
        let sent = pair.sent(millisecond);
        assert_eq!(sent.len(), 1, "at {millisecond} ms");
        let (_, body) = pair.open(&sent[0].1);
        let inputs = Inputs::decode(&body).expect("an inputs message");
        let sequences: Vec<_> = inputs.iter().map(|input| input.map(|input| input.sequence)).collect();
        assert_eq!(sequences, [Ok(sequence)]);
    }
    assert!(pair.events().is_empty(), "nothing is known before the server says it (B38)");
    pair.serve_snapshot(80, head(3, sequence), &News::default());
    assert_eq!(pair.events(), [Event::Confirmed { input_seq: sequence, tick: 3 }]);
    assert!(pair.sent(100).is_empty(), "nothing is left to repeat");
}

#[test]
fn an_input_is_repeated_after_two_ticks_and_within_a_tenth_of_a_second() {
    for (tick_hz, repeated_after) in [(128, 33), (64, 33), (30, 67), (20, 100), (5, 100)] {
        let mut pair = Pair::connected_at(tick_hz);
        pair.sent(0);
        pair.client.send(milliseconds(1), WALK);
        let sent: Vec<_> = (1..=150).filter(|millisecond| !pair.sent(*millisecond).is_empty()).collect();
        assert_eq!(sent[..2], [1, 1 + repeated_after], "{tick_hz} Hz");
    }
}

#[test]
fn a_rejected_input_snaps_back_to_what_the_server_says() {
    let mut pair = Pair::connected();
    let sequence = pair.client.send(milliseconds(1), WALK);
    let reason = RejectReason::OutOfBounds;
    pair.serve_snapshot(
        2,
        head(3, sequence),
        &News { rejected: &[Rejected { sequence, reason }], ..News::default() },
    );
    assert_eq!(
        pair.events(),
        [Event::Rejected { input_seq: sequence, reason }, Event::Corrected { tick: 3 }]
    );
}

#[test]
fn an_older_snapshot_changes_nothing() {
    let mut pair = Pair::connected();
    let sequence = pair.client.send(milliseconds(1), WALK);
    pair.serve_snapshot(2, head(5, 0), &News::default());
    pair.serve_snapshot(3, head(4, sequence), &News::default());
    assert_eq!(pair.events(), []);
    assert_eq!(pair.tick(), Some(5));
}

#[test]
fn a_snapshot_that_cannot_be_applied_changes_nothing_and_is_not_acknowledged() {
    let mut pair = Pair::connected();
    let sequence = pair.client.send(milliseconds(1), WALK);
    let entity = Entity { id: 3, kind: 1, x: 7, y: 8, fields: [0; 4] };
    let since = |back| {
        let delta = Delta { dx: 5, ..Delta::default() };
        News { change: Some(Change::Since { back, delta }), ..News::default() }
    };
    pair.serve_snapshot(2, head(3, 0), &News { change: Some(Change::Full(entity)), ..News::default() });
    pair.serve_snapshot(3, head(5, sequence), &since(1));
    assert_eq!((pair.tick(), pair.client.stats().refused), (Some(3), 1));
    assert_eq!(pair.events(), [], "not even what it says of inputs counts");
    assert_eq!(pair.client.view().get(9), Some(&entity));
    pair.serve_snapshot(4, head(6, sequence), &since(3));
    assert_eq!(pair.client.view().get(9), Some(&Entity { x: 12, ..entity }));
    let sent = pair.sent(5);
    let (_, body) = pair.open(&sent[0].1);
    let acknowledged = Inputs::decode(&body).map(|inputs| (inputs.head.ack_tick, inputs.head.ack_bits));
    assert_eq!(acknowledged, Ok((6, 0b100)), "6, and 3 before it");
}

#[test]
fn a_notice_that_is_repeated_is_told_once() {
    let mut pair = Pair::connected();
    let notice = |number| NoticeMessage { number, code: 7, figures: [1, 2, 3] };
    for (tick, numbers) in [(3, [1, 2]), (6, [2, 3]), (9, [1, 3])] {
        let notices = numbers.map(notice);
        pair.serve_snapshot(tick, head(tick, 0), &News { notices: &notices, ..News::default() });
    }
    assert_eq!(pair.events(), [Event::Notice(Notice { code: 7, figures: [1, 2, 3] }); 3]);
}

#[test]
fn what_the_player_is_told_of_itself_is_kept_when_the_next_is_not_readable() {
    let mut pair = Pair::connected();
    assert_eq!(pair.client.own(), None);
    pair.serve_snapshot(1, head(3, 0), &News::default());
    pair.serve_snapshot(2, head(4, 0), &News { own: Some(FieldList::new(&[1])), ..News::default() });
    assert_eq!(pair.client.own(), Some((3, &Walker::new())));
    assert_eq!((pair.tick(), pair.client.stats().own_unreadable), (Some(4), 1));
}

#[test]
fn a_replayed_packet_does_not_keep_the_session_alive() {
    let mut pair = Pair::connected();
    let keep_alive = pair.session.seal(PacketKind::KeepAlive, &[0; 8]);
    pair.client.handle_datagram(milliseconds(100), &mut keep_alive.clone());
    pair.client.handle_datagram(milliseconds(5000), &mut keep_alive.clone());
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
        pair.client.send(milliseconds(1), WALK);
    }
    assert_eq!(pair.events().len(), 1024);
    assert_eq!(pair.client.stats().events_dropped, 2000 - 256 - 1024);
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
            pair.client.handle_datagram(milliseconds(1), &mut bytes);
        }
        prop_assert_eq!(pair.client.state(), ClientState::Connected);
        pair.serve_snapshot(1, head(5, 0), &News::default());
        let before = pair.client.snapshot().cloned();
        for message in messages {
            let mut message = message;
            message[0] = 0xC1; // the one byte that MessagePack never uses
            pair.serve(2, PacketKind::Payload, &message);
        }
        prop_assert_eq!(pair.client.snapshot().cloned(), before);
    }

    /// Whatever a server says of time, nothing overflows or goes on for ever.
    #[test]
    fn any_times_are_survived(
        heads in prop::collection::vec(
            (any::<u64>(), any::<u32>(), 0..4_u16, 0..100_000_u32, any::<i8>(), 0..200_u64, 0..8_u32), 1..40,
        ),
        end in prop::bool::ANY,
    ) {
        let mut pair = Pair::connected();
        let (mut milli, mut ticks) = (0, heads.iter().map(|head| head.0).collect::<Vec<_>>());
        ticks.sort_unstable();
        if end {
            *ticks.last_mut().expect("one at least") = u64::MAX;
        }
        for (&tick, (_, age_us, echo_stamp, echo_hold_us, hurry, later, shift)) in ticks.iter().zip(heads) {
            milli += later;
            pair.client.send(milliseconds(milli), WALK);
            pair.client.send_soon(milliseconds(milli), WALK);
            pair.sent(milli);
            let (tick, last_input_sequence) = (tick.max(tick >> shift), shift);
            let head = SnapshotHead { tick, age_us, echo_stamp, echo_hold_us, last_input_sequence, hurry };
            pair.serve_snapshot(milli, head, &News::default());
            let now = milliseconds(milli);
            if let Some(frame) = pair.client.frame(now) {
                prop_assert!(frame.own.is_some() && pair.client.view().at(frame.view_tick).count() == 0);
                prop_assert!(pair.client.next_input_at(now).is_some());
            }
        }
        prop_assert!(pair.tick() == ticks.last().copied().filter(|&tick| tick > 0));
    }
}
