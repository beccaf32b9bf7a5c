//! A small server for one client, as the messages want it: it carries out inputs at their tick, tells changes since
//! what was acknowledged, repeats what was not, and asks for inputs to be as early as it needs them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use gameserver_client::{Entity, Game, SnapshotHead};
use gameserver_game::{Command, Fields, Output};
use gameserver_protocol::message::{
    CELL_BYTES_MAX, Cell, Change, Delta, FieldList, Input, Inputs, MAX_BACK, MAX_MESSAGE_BYTES, Notice,
    Rejected, SnapshotWriter, encode_cell,
};
use gameserver_protocol::{PacketKind, micros};

use super::Session;
use super::walk::{Field, Walk};

/// Inputs of which the earliness is looked at: those of a second.
const WATCHED: usize = 64;

pub type Entities = BTreeMap<u32, Entity>;

pub struct Server {
    pub field: Field,
    pub session: Session,
    /// Own fields that it sends instead of a walker's, as to a spectator.
    pub own: Option<FieldList>,
    pub tick_period: Duration,
    pub snapshot_ticks: u64,
    /// From a tick to the sending of its snapshot.
    pub flush_takes: Duration,
    /// When the next tick is due.
    pub due: Duration,
    waiting: BTreeMap<u32, Input>,
    decided: u32,
    stamp: (u16, Duration),
    acknowledged: u64,
    /// What the world was at each snapshot.
    pub sent: BTreeMap<u64, Entities>,
    /// News and the snapshot that had them first.
    rejected: Vec<(u64, Rejected)>,
    notices: Vec<(u64, Notice)>,
    notices_count: u32,
    /// By how many ticks the last inputs were early.
    pub early: VecDeque<i64>,
    /// Inputs that came after their tick.
    pub late: u64,
    pub refused: BTreeSet<u32>,
    pub view_lag: u8,
    output: Output,
}

impl Server {
    pub fn new(session: Session) -> Self {
        let setup = gameserver_game::Setup { capacity: 8, tick_hz: 64, seed: 1 };
        let mut field = Field::new(setup);
        field.join(0, 1);
        Self {
            field,
            session,
            own: None,
            tick_period: Duration::from_nanos(15_625_000),
            snapshot_ticks: 3,
            flush_takes: Duration::ZERO,
            due: Duration::from_nanos(15_625_000),
            waiting: BTreeMap::new(),
            decided: 0,
            stamp: (0, Duration::ZERO),
            acknowledged: 0,
            sent: BTreeMap::new(),
            rejected: Vec::new(),
            notices: Vec::new(),
            notices_count: 0,
            early: VecDeque::new(),
            late: 0,
            refused: BTreeSet::new(),
            view_lag: 0,
            output: Output::default(),
        }
    }

    pub fn notify(&mut self, code: u8) {
        self.notices_count += 1;
        let notice = Notice { number: self.notices_count, code, figures: [1, 2, 3] };
        self.notices.push((self.field.tick() + 1, notice));
    }

    pub fn receive(&mut self, now: Duration, datagram: &mut [u8]) {
        let (PacketKind::Payload, body) = self.session.open(datagram) else { return };
        let message = Inputs::decode(body).expect("an inputs message");
        let head = message.head;
        if head.stamp.wrapping_sub(self.stamp.0) < 1 << 15 && head.stamp != self.stamp.0 {
            self.stamp = (head.stamp, now);
            self.view_lag = head.view_lag_ticks;
        }
        if head.ack_tick > self.acknowledged {
            assert!(self.sent.contains_key(&head.ack_tick), "acknowledged what was never sent");
            self.acknowledged = head.ack_tick;
            self.rejected.retain(|(first, _)| *first > head.ack_tick);
            self.notices.retain(|(first, _)| *first > head.ack_tick);
        }
        for input in &message {
            let input = input.expect("lawful inputs");
            if input.sequence <= self.decided || self.waiting.contains_key(&input.sequence) {
                continue;
            }
            if input.tick > 0 {
                let early = signed(input.tick) - signed(self.field.tick()) - 1;
                self.late += u64::from(early < 0);
                self.early.push_back(early);
                if self.early.len() > WATCHED {
                    self.early.pop_front();
                }
            }
            self.waiting.insert(input.sequence, input);
        }
    }

    /// One or two ticks early is what the earliest of the last inputs must be for all to be in time.
    fn hurry(&self) -> i8 {
        let Some(&least) = self.early.iter().min() else { return 0 };
        let hurry = if least < 1 { 1 - least } else { (2 - least).min(0) };
        i8::try_from((hurry * 16).clamp(-127, 127)).expect("small")
    }

    /// Runs the tick that is due.
    pub fn step(&mut self) {
        let tick = self.field.tick() + 1;
        let mut commands = Vec::new();
        while let Some(first) = self.waiting.first_entry().filter(|first| first.get().tick <= tick) {
            let (sequence, input) = first.remove_entry();
            let intent = Walk::from_fields(input.intent.as_slice()).expect("a walk");
            commands.push(Command { player: 0, sequence, rewind_ticks: 0, intent });
        }
        self.field.step(&commands, &mut self.output);
        for outcome in self.output.outcomes.drain(..) {
            self.decided = self.decided.max(outcome.sequence);
            if let Err(reason) = outcome.result {
                self.refused.insert(outcome.sequence);
                let first = tick.next_multiple_of(self.snapshot_ticks);
                self.rejected.push((first, Rejected { sequence: outcome.sequence, reason }));
            }
        }
        self.output.clear();
    }

    pub fn is_snapshot_due(&self) -> bool {
        self.field.tick().is_multiple_of(self.snapshot_ticks)
    }

    /// The snapshot of the newest tick, sealed. Changes are told since the newest state that was acknowledged.
    pub fn snapshot(&mut self, now: Duration, age: Duration) -> Vec<u8> {
        let tick = self.field.tick();
        let world: Entities = self.field.entities().collect();
        let back = tick - self.acknowledged;
        let base = self.sent.get(&self.acknowledged).filter(|_| back <= u64::from(MAX_BACK));
        let mut changes: Vec<(u32, Change)> = Vec::new();
        for (&index, entity) in &world {
            let before = base.and_then(|base| base.get(&index)).filter(|before| before.id == entity.id);
            changes.extend(match before {
                None => Some((index, Change::Full(*entity))),
                // whatever the client has since the base: it was the same
                Some(before) if self.is_same_since(index, before) && before == entity => None,
                Some(before) => {
                    let back = u8::try_from(back).expect("at most 63");
                    Some((index, Change::Since { back, delta: Delta::between(before, entity) }))
                }
            });
        }
        // whoever may be known: was told of since the base, or at any time when there is none
        let since = if base.is_some() { self.acknowledged } else { 0 };
        let is_known = |index: &u32| self.sent.range(since..).any(|(_, world)| world.contains_key(index));
        changes.extend(
            (0..8)
                .filter(|index| !world.contains_key(index) && is_known(index))
                .map(|index| (index, Change::Gone)),
        );
        let body = self.write(now, age, &changes);
        self.sent.insert(tick, world);
        self.session.seal(PacketKind::Payload, &body)
    }

    /// Whether an entity was like this in everything that was sent since the newest acknowledged snapshot.
    fn is_same_since(&self, index: u32, state: &Entity) -> bool {
        self.sent.range(self.acknowledged..).all(|(_, world)| world.get(&index) == Some(state))
    }

    fn write(&self, now: Duration, age: Duration, changes: &[(u32, Change)]) -> Vec<u8> {
        let own =
            self.own.unwrap_or_else(|| self.field.own(0).map(|own| own.to_fields()).unwrap_or_default());
        let hold = if self.stamp.0 > 0 { now.saturating_sub(self.stamp.1) } else { Duration::ZERO };
        let head = SnapshotHead {
            tick: self.field.tick(),
            age_us: u32::try_from(micros(age)).expect("short"),
            echo_stamp: self.stamp.0,
            echo_hold_us: u32::try_from(micros(hold)).expect("short"),
            last_input_sequence: self.decided,
            hurry: self.hurry(),
        };
        let (mut body, mut cell) = (vec![0; MAX_MESSAGE_BYTES], [0; CELL_BYTES_MAX]);
        let rejected = self.rejected.iter().take(32).map(|(_, rejected)| *rejected);
        let notices = self.notices.iter().take(16).map(|(_, notice)| *notice);
        let mut writer = SnapshotWriter::new(&mut body, &head, &own, rejected, notices).expect("room");
        for (index, change) in changes {
            let news = Cell { index: *index, change: *change };
            let (len, elements) = encode_cell(&mut cell, &news).expect("room");
            writer.push(&cell, len, elements).expect("room");
        }
        let len = writer.finish();
        body.truncate(len);
        body
    }
}

fn signed(tick: u64) -> i64 {
    i64::try_from(tick).expect("a young server")
}
