//! The clock against a server and a network in virtual time.

use std::time::Duration;

use super::*;
use crate::round_trip::RoundTrip;

const HZ: f64 = 64.0;

/// A server, the two ways to it and a client's clock. Times in seconds.
#[derive(Clone, Copy)]
struct Setting {
    there: f64,
    back: f64,
    /// Uniform, on top of each way.
    jitter: f64,
    loss: f64,
    /// Between two messages of the client, and two snapshots.
    message_period: f64,
    snapshot_ticks: u32,
    /// By how much the client's clock is fast.
    fast: f64,
    /// When the server stands still, and for how long; it lets the ticks go.
    stall: (f64, f64),
}

const PLAIN: Setting = Setting {
    there: 0.02,
    back: 0.02,
    jitter: 0.0,
    loss: 0.0,
    message_period: 1.0 / 64.0,
    snapshot_ticks: 3,
    fast: 0.0,
    stall: (1e9, 0.0),
};

struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("half of it")) / f64::from(u32::MAX)
    }
}

/// What was seen each millisecond: real time, what the clock shows and what the server is at.
struct Seen {
    at: f64,
    shown: f64,
    estimated: f64,
    truth: f64,
}

/// Number of the newest message that the server has, and when it arrived.
type Heard = Option<(u16, f64)>;

/// Plays for so many seconds.
fn play(setting: &Setting, seconds: f64, seed: u64) -> (Vec<Seen>, ServerClock) {
    let mut random = Random(seed);
    let (mut clock, mut round_trip) = (ServerClock::new(64), RoundTrip::default());
    let local = |at: f64| 1000.0 + at * (1.0 + setting.fast);
    let truth = |at: f64| {
        let (stall, lasts) = setting.stall;
        1e6 + HZ * if at < stall { at } else { (at - lasts).max(stall) }
    };
    // under way: arrival of a message and its number; arrival of a snapshot, when it was sent, and what it answers
    let mut up: Vec<(f64, u16)> = Vec::new();
    let mut down: Vec<(f64, f64, Heard)> = Vec::new();
    let (mut next_message, mut next_snapshot, mut newest) = (0.0, 0.0, Heard::None);
    let mut watched = Vec::new();
    let mut at = 0.0;
    while at < seconds {
        if at >= next_message {
            next_message += setting.message_period;
            let stamp = round_trip.stamp(local(at));
            if random.uniform() >= setting.loss {
                up.push((at + setting.there + setting.jitter * random.uniform(), stamp));
            }
        }
        up.sort_by(|one, other| one.0.total_cmp(&other.0));
        let arrivals = up.partition_point(|message| message.0 <= at);
        for (arrived, stamp) in up.drain(..arrivals) {
            if newest.is_none_or(|(known, _)| stamp > known) {
                newest = Some((stamp, arrived));
            }
        }
        let stalled = (setting.stall.0..setting.stall.0 + setting.stall.1).contains(&at);
        if at >= next_snapshot && !stalled {
            next_snapshot += f64::from(setting.snapshot_ticks) / HZ;
            if random.uniform() >= setting.loss {
                down.push((at + setting.back + setting.jitter * random.uniform(), at, newest));
            }
        }
        down.sort_by(|one, other| one.0.total_cmp(&other.0));
        let arrivals = down.partition_point(|snapshot| snapshot.0 <= at);
        for (arrived, sent, echo) in down.drain(..arrivals) {
            let echo = echo.and_then(|(stamp, heard)| {
                let hold = Duration::from_secs_f64(sent - heard).as_micros();
                let hold_us = u32::try_from(hold).expect("short");
                round_trip.observe(stamp, hold_us, local(arrived))
            });
            clock.observe(Sample { tick: truth(sent), arrived: local(arrived), echo }, round_trip.jitter());
        }
        if let (Some(shown), Some(line)) = (clock.tick_at(local(at)), clock.line()) {
            watched.push(Seen { at, shown, estimated: line.value_at(local(at)), truth: truth(at) });
        }
        at += 0.001;
    }
    (watched, clock)
}

fn milliseconds(ticks: f64) -> f64 {
    ticks / HZ * 1000.0
}

/// How far off the shown clock is from `from` on at most, in milliseconds.
fn residual(seen: &[Seen], from: f64) -> f64 {
    seen.iter()
        .filter(|seen| seen.at >= from)
        .map(|seen| milliseconds((seen.shown - seen.truth).abs()))
        .fold(0.0, f64::max)
}

/// Slower than 94 % or faster than 106 % of real time (5 % and what the rates differ by).
fn assert_even(name: &str, seen: &[Seen]) {
    for pair in seen.windows(2) {
        let rate = (pair[1].shown - pair[0].shown) / (pair[1].at - pair[0].at) / HZ;
        assert!((0.94..1.06).contains(&rate), "{name}: goes at {rate} after {} s", pair[0].at);
    }
}

#[test]
fn the_clock_is_right_within_its_bound_after_two_seconds() {
    let cases = [
        // name, setting, how far off at most in milliseconds from two seconds on, and from ten
        ("a constant delay", PLAIN, 0.1, 0.1),
        ("a jitter of 50 ms", Setting { jitter: 0.05, ..PLAIN }, 4.0, 1.5),
        ("an idle client", Setting { jitter: 0.05, message_period: 0.1, ..PLAIN }, 6.0, 3.0),
        ("30 % lost", Setting { jitter: 0.05, loss: 0.3, ..PLAIN }, 5.0, 2.5),
        ("a clock 200 ppm fast", Setting { fast: 2e-4, ..PLAIN }, 0.7, 0.6),
        ("a clock 200 ppm slow", Setting { fast: -2e-4, ..PLAIN }, 0.7, 0.6),
        ("snapshots every tick", Setting { jitter: 0.05, snapshot_ticks: 1, ..PLAIN }, 4.0, 1.5),
        (
            "a LAN and a clock 200 ppm fast",
            Setting { there: 3e-5, back: 3e-5, fast: 2e-4, ..PLAIN },
            0.7,
            0.6,
        ),
        // the bound is half of the difference of the ways, and so half of the round trip at most
        ("all of the delay there", Setting { there: 0.08, back: 0.0, ..PLAIN }, 40.1, 40.1),
        ("all of the delay back", Setting { there: 0.0, back: 0.08, ..PLAIN }, 40.1, 40.1),
    ];
    for (name, setting, early, late) in cases {
        for seed in 1..=5 {
            let (seen, clock) = play(&setting, 40.0, seed);
            assert!(seen[0].at < 0.5, "{name}: knows nothing before {} s", seen[0].at);
            assert_even(name, &seen);
            let (after_two, after_ten) = (residual(&seen, 2.0), residual(&seen, 10.0));
            println!("{name}, seed {seed}: {after_two:.2} ms off after 2 s, {after_ten:.2} ms after 10 s");
            assert!(after_two <= early, "{name}, seed {seed}: {after_two} ms off after 2 s");
            assert!(after_ten <= late, "{name}, seed {seed}: {after_ten} ms off after 10 s");
            assert_eq!(clock.steps(), 0, "{name}");
        }
    }
}

#[test]
fn the_rates_of_the_clocks_are_compared() {
    for fast in [2e-4, -2e-4] {
        let (seen, clock) = play(&Setting { fast, jitter: 0.02, ..PLAIN }, 60.0, 7);
        assert!((clock.rate + fast).abs() < 4e-5, "{fast}: {}", clock.rate);
        let off = residual(&seen, 30.0);
        assert!(off < 1.5, "{fast}: {off} ms off");
    }
}

#[test]
fn a_server_that_lets_ticks_go_is_followed_without_going_back() {
    for (name, jitter, lasts, seconds, bound) in [
        ("0.3 s", 0.0, 0.3, 8.0, 0.5),
        ("0.3 s with jitter", 0.05, 0.3, 8.0, 6.0),
        ("one tick", 0.0, 1.0 / 64.0, 3.0, 0.5),
    ] {
        let setting = Setting { jitter, stall: (10.0, lasts), ..PLAIN };
        let (seen, clock) = play(&setting, 20.0, 3);
        assert_even(name, &seen);
        let late = residual(&seen, 10.0 + lasts + seconds);
        assert!(late <= bound, "{name}: {late} ms off {seconds} s after it");
        // what inputs are sent by knows it as soon as a few snapshots have come
        let estimate = seen
            .iter()
            .filter(|seen| seen.at > 10.0 + lasts + 0.6)
            .map(|seen| milliseconds((seen.estimated - seen.truth).abs()))
            .fold(0.0, f64::max);
        assert!(estimate <= bound, "{name}: the estimate is {estimate} ms off");
        assert_eq!(clock.steps(), 0, "{name}");
    }
}

#[test]
fn a_clock_that_is_more_than_half_a_second_off_steps_once() {
    let (seen, clock) = play(&Setting { stall: (10.0, 0.8), ..PLAIN }, 15.0, 3);
    assert_eq!(clock.steps(), 1);
    let off = residual(&seen, 11.5);
    assert!(off < 0.5, "{off} ms off");
}

#[test]
fn nothing_is_shown_before_a_round_trip_is_known() {
    let mut clock = ServerClock::new(64);
    clock.observe(Sample { tick: 500.0, arrived: 1.0, echo: None }, 0.0);
    assert_eq!(clock.tick_at(1.0), None);
    let echo = Some(Echo { sent: 1.0, hold: 0.01 });
    clock.observe(Sample { tick: 506.4, arrived: 1.1, echo }, 0.0);
    let shown = clock.tick_at(1.1).expect("a round trip is known");
    assert!((500.0..=512.8).contains(&shown), "{shown}");
}
