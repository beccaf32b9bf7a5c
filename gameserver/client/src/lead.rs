//! At which tick an input is aimed: the one before which it will just have arrived.

use std::time::Duration;

use gameserver_protocol::message::TICK_PARTS;

use crate::clock::ServerClock;
use crate::slew::{Line, SlewLimits, Slewed};
use crate::ticks::{duration, moment, tick_before};

/// How much faster or slower than real time the client's time goes to follow what the server asks for.
const SLEW: f64 = 0.06;
/// From this many ticks on it jumps.
const JUMP_TICKS: f64 = 8.0;
/// The server asks by the worst of the inputs of so many ticks, so what it asks sooner after a correction is still on
/// account of those before it.
const SERVER_REMEMBERS_TICKS: f64 = 64.0;
/// Inputs arrive at least this many ticks early, whatever the server asks for.
const MARGIN_MIN: f64 = 0.125;
/// As many ticks after its time may an input be sent and still be aimed at the same tick.
const AIM_LATE: f64 = 0.5;
/// Seconds by which inputs arrive early at most, whatever the server asks for.
const MARGIN_MAX_SECONDS: f64 = 0.5;

/// The client's time: the tick at which an input that is sent now is aimed, the server's own tick at its arrival and
/// a margin. The server asks for more or less of a margin; the client's time then goes up to 6 % faster or slower
/// until it is there, and jumps only when it is more than eight ticks off.
#[derive(Clone, Debug)]
pub(crate) struct InputLead {
    hz: f64,
    /// Ticks by which inputs are to arrive early.
    margin: f64,
    time: Option<Slewed>,
    /// From when on what is sent is judged by the margin that was asked for last alone.
    margin_since: f64,
    newest_aim: u64,
    jumps: u64,
    corrections: u64,
}

impl InputLead {
    pub(crate) fn new(tick_hz: u32) -> Self {
        Self {
            hz: f64::from(tick_hz.max(1)),
            margin: MARGIN_MIN,
            time: None,
            margin_since: 0.0,
            newest_aim: 0,
            jumps: 0,
            corrections: 0,
        }
    }

    /// Takes what a snapshot asks for: inputs so many parts of a tick earlier, as far as the server has seen messages that
    /// were sent until `heard`. A margin is corrected again only when the server has seen what came of the last
    /// time and forgotten what was before, and so at most once in a round trip.
    pub(crate) fn follow(
        &mut self,
        now: f64,
        clock: &ServerClock,
        jitter: f64,
        hurry: i8,
        heard: Option<f64>,
    ) {
        let Some(clock_line) = clock.line() else { return };
        if self.time.is_none() {
            self.margin = self.clamp(1.0 + 2.0 * jitter * self.hz);
        }
        let corrects =
            hurry != 0 && self.time.is_some() && heard.is_some_and(|sent| sent >= self.margin_since);
        if corrects {
            let margin = self.clamp(self.margin + f64::from(hurry) / f64::from(TICK_PARTS));
            self.corrections += u64::from((margin - self.margin).abs() > 0.0);
            self.margin = margin;
        }
        let way = clock.fastest_round_trip() / 2.0 * self.hz;
        let line = Line { value: clock_line.value + way + self.margin, ..clock_line };
        let limits = SlewLimits { per_second: SLEW * self.hz, seconds: 0.0, step: JUMP_TICKS };
        let time = self.time.get_or_insert_with(|| Slewed::on(line));
        self.jumps += u64::from(time.follow(line, now, &limits));
        if corrects {
            self.margin_since = time.settled_at().max(now) + SERVER_REMEMBERS_TICKS / self.hz;
        }
    }

    fn clamp(&self, margin: f64) -> f64 {
        margin.clamp(MARGIN_MIN, (MARGIN_MAX_SECONDS * self.hz).max(MARGIN_MIN))
    }

    /// The client's time in ticks; `None` as long as the server's is not known.
    pub(crate) fn tick_at(&self, now: f64) -> Option<f64> {
        self.time.map(|time| time.value_at(now))
    }

    /// The tick for an input that is sent now. Never one before that of an earlier input.
    pub(crate) fn aim(&mut self, now: f64) -> Option<u64> {
        // the server asks for as much of a margin as those need that are late
        let nearest = tick_before(self.tick_at(now)? + AIM_LATE);
        self.newest_aim = self.newest_aim.max(nearest);
        Some(self.newest_aim)
    }

    /// When the input after the newest is to be sent, one a tick; a past time is at once.
    pub(crate) fn next_input_at(&self, now: f64) -> Option<Duration> {
        let next = tick_before(self.tick_at(now)? + AIM_LATE).max(self.newest_aim.saturating_add(1));
        Some(duration(self.time?.time_of(moment(next))))
    }

    /// How often the client's time has jumped.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// How often the margin was changed.
    pub(crate) fn corrections(&self) -> u64 {
        self.corrections
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Sample;
    use crate::round_trip::Echo;

    const HZ: f64 = 64.0;
    /// The fastest way there and back, in seconds.
    const ROUND_TRIP: f64 = 0.0625;

    /// A snapshot that was sent at a tick and arrives two ticks later, as an answer to a message just before.
    fn observe(clock: &mut ServerClock, tick: f64, now: f64) {
        let echo = Some(Echo { sent: now - ROUND_TRIP - 0.01, hold: 0.01 });
        clock.observe(Sample { tick, arrived: now, echo }, 0.0);
    }

    /// Time, clock and lead after a second of snapshots, with the server at tick 1000 + 64 * time.
    fn synchronised() -> (ServerClock, InputLead) {
        let (mut clock, mut lead) = (ServerClock::new(64), InputLead::new(64));
        for step in 0..32 {
            let now = f64::from(step) / 32.0;
            observe(&mut clock, 1000.0 + now * HZ - 2.0, now);
            lead.follow(now, &clock, 0.0, 0, Some(now));
        }
        (clock, lead)
    }

    fn near(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-6
    }

    #[test]
    fn an_input_is_aimed_at_the_servers_tick_at_its_arrival_and_a_tick_more() {
        let (_, mut lead) = synchronised();
        assert!(near(lead.tick_at(1.0).expect("known"), 1064.0 + 2.0 + 1.0));
        assert_eq!(lead.aim(1.0), Some(1067));
        assert_eq!(lead.aim(1.0 + 0.4 / HZ), Some(1067), "a little late is in time");
        assert_eq!(lead.aim(1.0 + 0.6 / HZ), Some(1068));
    }

    #[test]
    fn inputs_are_sent_once_a_tick_in_step_with_the_server() {
        let (_, mut lead) = synchronised();
        let mut now = 1.0;
        assert_eq!(lead.aim(now), Some(1067));
        for tick in 1068..1200 {
            let next = lead.next_input_at(now).expect("known").as_secs_f64();
            assert!(near(next, 1.0 + f64::from(tick - 1067) / HZ), "{tick}: {next}");
            now = next + 0.003; // whoever sends wakes up late
            assert_eq!(lead.aim(now), u64::try_from(tick).ok());
        }
    }

    #[test]
    fn what_the_server_asks_for_is_done_once_and_evenly() {
        for (hurry, seconds) in [(48, 3.0 / (SLEW * HZ)), (-16, 0.875 / (SLEW * HZ))] {
            let (clock, mut lead) = synchronised();
            let before = lead.tick_at(1.0).expect("known");
            // the same is asked for until the server has seen messages of after it
            for step in 0..64 {
                let now = 1.0 + f64::from(step) / HZ;
                lead.follow(now, &clock, 0.0, hurry, Some((now - ROUND_TRIP).min(1.0)));
                let tick = lead.tick_at(now).expect("known");
                let even = before + (now - 1.0) * HZ;
                assert!((tick - even).abs() <= SLEW * HZ * (now - 1.0) + 1e-6, "{hurry}: {tick} at {now}");
            }
            let moved = lead.tick_at(2.0).expect("known") - before - HZ;
            assert!(
                near(moved, (f64::from(hurry) / 16.0).max(-0.875)),
                "{hurry}: {moved}, not below the least margin"
            );
            assert!(near(lead.margin_since, 1.0 + seconds + 1.0), "{hurry}: {}", lead.margin_since);
            assert_eq!((lead.corrections(), lead.jumps()), (1, 0));
            lead.follow(2.0, &clock, 0.0, 1, Some(2.0 + seconds - 1e-3));
            assert_eq!(lead.corrections(), 1, "not yet");
            lead.follow(2.0, &clock, 0.0, 1, Some(2.0 + seconds));
            assert_eq!(lead.corrections(), 2, "after that it may ask again");
        }
    }

    #[test]
    fn whatever_is_asked_for_inputs_are_not_more_than_half_a_second_early_nor_late_by_intent() {
        let (clock, mut lead) = synchronised();
        for (hurry, expected) in [(i8::MAX, MARGIN_MAX_SECONDS * HZ), (i8::MIN, MARGIN_MIN)] {
            for second in 1..=32 {
                let now = f64::from(second) * 10.0;
                lead.follow(now, &clock, 0.0, hurry, Some(now));
            }
            assert!(near(lead.margin, expected), "{hurry}: {}", lead.margin);
            lead.margin_since = 0.0;
        }
    }

    #[test]
    fn no_input_is_aimed_before_an_earlier_one_even_when_time_jumps_back() {
        let (mut clock, mut lead) = synchronised();
        let newest = lead.aim(1.0).expect("known");
        for step in 0..32 {
            let now = 1.5 + f64::from(step) / 32.0;
            observe(&mut clock, 1000.0 + (now - 0.4) * HZ - 2.0, now);
            lead.follow(now, &clock, 0.0, 0, Some(now));
        }
        assert_eq!(lead.jumps(), 1, "the server has let 0.4 s go");
        let now = 1.0;
        assert!(lead.tick_at(now).expect("known") < moment(newest) - 20.0);
        assert_eq!(lead.aim(now), Some(newest));
        let next = lead.next_input_at(now).expect("known").as_secs_f64();
        assert!(near(lead.tick_at(next).expect("known"), moment(newest + 1)), "and nothing is sent twice");
    }
}
