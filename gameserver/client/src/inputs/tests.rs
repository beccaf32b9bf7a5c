//! What becomes of inputs, by tables, and against a server that is as bad as it may be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gameserver_game::RandomStream;
use gameserver_protocol::RejectReason;
use gameserver_protocol::message::Inputs;
use proptest::prelude::*;

use super::*;

const REASON: RejectReason = RejectReason::MoveTooFar;
const MESSAGES_HOLD: u32 = 32;

fn head(stamp: u16) -> InputsHead {
    InputsHead { stamp, ..LONGEST_HEAD }
}

/// The inputs of the next message.
fn sequences(inputs: &mut UnsettledInputs<FieldList>, stamp: u16) -> Vec<u32> {
    let mut body = [0; MAX_MESSAGE_BYTES];
    let len = inputs.encode(&mut body, &head(stamp)).expect("a message holds them");
    let message = Inputs::decode(&body[..len]).expect("a message");
    message.iter().map(|input| input.expect("an input").sequence).collect()
}

/// So many inputs of which each does `arguments`, with a message after each: 1 and so on.
fn pushed(count: u16, arguments: &[i64]) -> UnsettledInputs<FieldList> {
    let mut inputs = UnsettledInputs::default();
    for stamp in 1..=count {
        inputs.push(0, 0, FieldList::new(arguments), |event| panic!("{event:?}"));
        sequences(&mut inputs, stamp);
    }
    inputs
}

/// What a snapshot settles that names the newest message at the server and the newest input that it has decided.
fn settle(
    inputs: &mut UnsettledInputs<FieldList>,
    echo_stamp: u16,
    decided: u32,
    rejected: &[u32],
) -> Vec<Event> {
    let head = SnapshotHead { tick: 9, echo_stamp, last_input_sequence: decided, ..SnapshotHead::default() };
    let rejected: Vec<_> = rejected.iter().map(|&sequence| Rejected { sequence, reason: REASON }).collect();
    let mut events = Vec::new();
    inputs.settle(&head, &rejected, |event| events.push(event));
    events
}

fn confirmed(input_seq: u32) -> Event {
    Event::Confirmed { input_seq, tick: 9 }
}

fn rejected(input_seq: u32) -> Event {
    Event::Rejected { input_seq, reason: REASON }
}

fn given_up(input_seq: u32) -> Event {
    Event::GivenUp { input_seq }
}

#[test]
fn an_input_is_settled_once_as_confirmed_or_rejected() {
    let mut inputs = pushed(3, &[1, 2]);
    let news = [rejected(1), confirmed(2), Event::Corrected { tick: 9 }];
    assert_eq!(settle(&mut inputs, 3, 2, &[1]), news);
    assert_eq!(settle(&mut inputs, 3, 2, &[1]), [], "the same news again is no news");
    assert_eq!(sequences(&mut inputs, 4), [3]);
}

#[test]
fn a_rejection_may_come_before_older_inputs_are_decided() {
    let mut inputs = pushed(2, &[1, 2]);
    assert_eq!(settle(&mut inputs, 2, 0, &[2])[0], rejected(2));
    assert_eq!(sequences(&mut inputs, 3), [1]);
}

#[test]
fn a_message_holds_the_newest_and_what_it_holds_no_more_it_never_holds_again() {
    for (name, arguments, kept) in
        [("small ones", &[1, 2][..], MESSAGES_HOLD), ("the longest, of 76 bytes", &[i64::MIN; 8], 15)]
    {
        let mut inputs = pushed(40, arguments);
        assert_eq!(sequences(&mut inputs, 41), (41 - kept..=40).collect::<Vec<_>>(), "{name}");
        assert_eq!(inputs.iter().len(), 40, "{name}: those before are open all the same");
        settle(&mut inputs, 15, 0, &[39, 40]);
        assert_eq!(inputs.iter().len(), 38, "{name}: two are refused and none is given up");
        assert_eq!(
            sequences(&mut inputs, 42),
            (41 - kept..=38).collect::<Vec<_>>(),
            "{name}: with room again"
        );
    }
}

/// Input 8 is in messages 8 to 39, of forty.
#[test]
fn what_is_decided_is_true_of_an_input_as_long_as_the_newest_message_at_the_server_held_it() {
    for (name, echo, decided, refused, expected) in [
        ("decided, and the newest message held it", 39, 8, &[][..], Some(confirmed(8))),
        (
            "decided, and the newest message was a later one: it may have been passed over",
            40,
            8,
            &[],
            Some(given_up(8)),
        ),
        ("not decided, and it may still be", 39, 7, &[], None),
        (
            "not decided, and a later message has come: it may be passed over or not",
            40,
            7,
            &[],
            Some(given_up(8)),
        ),
        ("what is named as refused was there", 40, 8, &[8], Some(rejected(8))),
    ] {
        let mut inputs = pushed(40, &[1]);
        settle(&mut inputs, 38, 7, &[]);
        let events = settle(&mut inputs, echo, decided, refused);
        assert_eq!(events.first().copied(), expected, "{name}");
        assert_eq!(inputs.iter().len(), 33 - usize::from(expected.is_some()), "{name}");
    }
}

#[test]
fn that_holds_too_where_the_numbers_of_messages_begin_again() {
    for (echo, expected) in [(65_535, confirmed(1)), (1, given_up(1)), (30, given_up(1))] {
        let mut inputs = UnsettledInputs::default();
        for _ in 0..MESSAGES_HOLD {
            inputs.push(0, 0, FieldList::new(&[1]), |event| panic!("{event:?}"));
        }
        sequences(&mut inputs, u16::MAX);
        inputs.push(0, 0, FieldList::new(&[1]), |event| panic!("{event:?}"));
        assert_eq!(settle(&mut inputs, echo, 1, &[]), [expected], "message {echo}");
    }
}

#[test]
fn what_was_in_no_message_is_given_up_as_soon_as_one_has_come() {
    let mut inputs = UnsettledInputs::default();
    for _ in 0..=MESSAGES_HOLD {
        inputs.push(0, 0, FieldList::new(&[1]), |event| panic!("{event:?}"));
    }
    assert_eq!(sequences(&mut inputs, 1)[0], 2);
    assert_eq!(settle(&mut inputs, 0, 0, &[]), []);
    assert_eq!(settle(&mut inputs, 1, 1, &[]), [given_up(1)]);
}

#[test]
fn the_oldest_is_given_up_when_256_are_open() {
    let mut inputs = pushed(256, &[1]);
    let mut events = Vec::new();
    inputs.push(0, 0, FieldList::new(&[1]), |event| events.push(event));
    assert_eq!((events, inputs.iter().len()), (vec![given_up(1)], MAX_OPEN));
}

/// What happens to datagrams and inputs. Times are in ticks.
#[derive(Clone, Copy, Debug)]
struct Circumstances {
    loss_percent: u64,
    twice_percent: u64,
    /// Each way.
    delay: u64,
    jitter: u64,
    /// Inputs that wait at the server at most.
    room: usize,
    /// A tick decides so many at most, by chance.
    most_decided: u64,
    /// One of so many inputs is refused.
    refuses_one_in: u32,
}

/// A client with an input each tick and a server that takes inputs as ours does: in order, what it has room for, and what it has
/// passed over never.
struct Way {
    circumstances: Circumstances,
    chance: RandomStream,
    tick: u64,
    there: BTreeMap<(u64, u64), Vec<u8>>,
    back: BTreeMap<(u64, u64), (SnapshotHead, Vec<Rejected>)>,
    sent: u64,
    inputs: UnsettledInputs<FieldList>,
    newest_snapshot: u64,
    received: u32,
    waiting: VecDeque<u32>,
    snapshot: SnapshotHead,
    rejections: Vec<(u64, Rejected)>,
    /// What was carried out, and what was refused.
    done: BTreeMap<u32, bool>,
    heard: BTreeSet<u32>,
    given_up: u32,
}

impl Way {
    fn new(seed: u64, circumstances: Circumstances) -> Self {
        Self {
            circumstances,
            chance: RandomStream::new(seed),
            tick: 0,
            there: BTreeMap::new(),
            back: BTreeMap::new(),
            sent: 0,
            inputs: UnsettledInputs::default(),
            newest_snapshot: 0,
            received: 0,
            waiting: VecDeque::new(),
            snapshot: SnapshotHead::default(),
            rejections: Vec::new(),
            done: BTreeMap::new(),
            heard: BTreeSet::new(),
            given_up: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.chance.next_u64() % bound
    }

    /// When each copy of a datagram arrives.
    fn arrivals(&mut self) -> Vec<(u64, u64)> {
        let Circumstances { loss_percent, twice_percent, delay, jitter, .. } = self.circumstances;
        let mut arrivals = Vec::new();
        for _ in 0..=u64::from(self.below(100) < twice_percent) {
            self.sent += 1;
            if self.below(100) >= loss_percent {
                arrivals.push((self.tick + delay + self.below(jitter + 1), self.sent));
            }
        }
        arrivals
    }

    fn ask(&mut self, is_new: bool) {
        if is_new {
            let mut events = Vec::new();
            self.inputs.push(0, 0, FieldList::new(&[1]), |event| events.push(event));
            self.note(&events);
        }
        let stamp = u16::try_from(self.tick).expect("a short play");
        let head = InputsHead { stamp, ack_tick: self.newest_snapshot, ..InputsHead::default() };
        let mut body = [0; MAX_MESSAGE_BYTES];
        let len = self.inputs.encode(&mut body, &head).expect("a message holds them");
        for arrival in self.arrivals() {
            self.there.insert(arrival, body[..len].to_vec());
        }
    }

    fn receive(&mut self, message: &[u8]) {
        let message = Inputs::decode(message).expect("a message");
        self.snapshot.echo_stamp = self.snapshot.echo_stamp.max(message.head.stamp);
        self.rejections.retain(|&(tick, _)| tick > message.head.ack_tick);
        for input in &message {
            let sequence = input.expect("an input").sequence;
            if sequence > self.received && self.waiting.len() < self.circumstances.room {
                self.received = sequence;
                self.waiting.push_back(sequence);
            }
        }
    }

    fn decide(&mut self) {
        for _ in 0..self.below(self.circumstances.most_decided + 1) {
            if self.rejections.len() == 32 {
                return;
            }
            let Some(sequence) = self.waiting.pop_front() else { return };
            let is_refused = sequence.is_multiple_of(self.circumstances.refuses_one_in);
            if is_refused {
                self.rejections.push((self.tick, Rejected { sequence, reason: REASON }));
            }
            self.snapshot.last_input_sequence = sequence;
            self.done.insert(sequence, !is_refused);
        }
    }

    fn hear(&mut self, head: &SnapshotHead, rejected: &[Rejected]) {
        if head.tick <= self.newest_snapshot {
            return;
        }
        self.newest_snapshot = head.tick;
        let mut events = Vec::new();
        self.inputs.settle(head, rejected, |event| events.push(event));
        self.note(&events);
    }

    /// Each input has one outcome, and if it is told it is true.
    fn note(&mut self, events: &[Event]) {
        for event in events {
            let (sequence, was_carried_out) = match *event {
                Event::Confirmed { input_seq, .. } => (input_seq, Some(true)),
                Event::Rejected { input_seq, .. } => (input_seq, Some(false)),
                Event::GivenUp { input_seq } => (input_seq, None),
                Event::Corrected { .. } | Event::Notice(_) => continue,
            };
            assert!(self.heard.insert(sequence), "{event:?} for the second time");
            match was_carried_out {
                Some(_) => assert_eq!(self.done.get(&sequence).copied(), was_carried_out, "{event:?}"),
                None => self.given_up += 1,
            }
        }
    }

    fn step(&mut self, is_new: bool) {
        self.tick += 1;
        self.ask(is_new);
        while let Some(next) = self.there.first_entry().filter(|next| next.key().0 <= self.tick) {
            let message = next.remove();
            self.receive(&message);
        }
        self.decide();
        self.snapshot.tick = self.tick;
        let rejected: Vec<_> = self.rejections.iter().map(|&(_, rejected)| rejected).collect();
        for arrival in self.arrivals() {
            self.back.insert(arrival, (self.snapshot, rejected.clone()));
        }
        while let Some(next) = self.back.first_entry().filter(|next| next.key().0 <= self.tick) {
            let (head, rejected) = next.remove();
            self.hear(&head, &rejected);
        }
    }

    /// Plays until everything is settled.
    fn play(mut self, ticks: u64) -> Self {
        for _ in 0..ticks {
            self.step(true);
        }
        let end = self.tick + 2000;
        while !self.inputs.is_empty() {
            assert!(self.tick < end, "{} are open for ever", self.inputs.iter().len());
            self.step(false);
        }
        self
    }
}

prop_compose! {
    fn any_circumstances()(
        loss_percent in 0..60_u64, twice_percent in 0..50_u64, delay in 0..40_u64, jitter in 0..60_u64,
        room in 1..33_usize, most_decided in 1..5_u64, refuses_one_in in 1..20_u32,
    ) -> Circumstances {
        Circumstances { loss_percent, twice_percent, delay, jitter, room, most_decided, refuses_one_in }
    }
}

prop_compose! {
    /// Round trips of up to a second at 64 Hz, and a server that has time and room.
    fn usual_circumstances()(
        loss_percent in 0..11_u64, twice_percent in 0..20_u64, delay in 0..29_u64, jitter in 0..4_u64,
        refuses_one_in in 4..20_u32,
    ) -> Circumstances {
        Circumstances {
            loss_percent, twice_percent, delay, jitter, refuses_one_in, room: MAX_INPUTS, most_decided: 8,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_no_input_is_settled_twice_or_otherwise_than_it_was(
        seed: u64, circumstances in any_circumstances()
    ) {
        Way::new(seed, circumstances).play(400);
    }

    #[test]
    fn an_input_each_tick_is_heard_of_at_round_trips_of_up_to_a_second(
        seed: u64, circumstances in usual_circumstances()
    ) {
        let way = Way::new(seed, circumstances).play(400);
        prop_assert_eq!((way.heard.len(), way.given_up), (400, 0));
    }
}
