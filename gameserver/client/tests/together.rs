//! How early inputs of players come to the server that they would really play on, how many come late, how long it takes until
//! their player hears of them, and how often a player was drawn where it was not.

mod common;

use std::time::Duration;

use common::TICK_HZ;
use common::table::{Network, Play, Stalls, Table};

/// Across an ocean, over a bad radio link.
const BAD: Network = Network {
    loss_percent: 5,
    twice_percent: 0,
    delay_us: 25_000,
    jitter_us: 50_000,
    there_us: 0,
    stands: None,
};
/// In the same city.
const NEAR: Network =
    Network { loss_percent: 0, twice_percent: 0, delay_us: 100, jitter_us: 1500, there_us: 0, stands: None };
const EACH_TICK: Play = Play {
    players: 4,
    tick_hz: TICK_HZ,
    ticks_between_inputs: 1,
    refused_percent: 0,
    wake_late_us: 500,
    stalls: None,
    ticks_last: 1.0,
};
const EACH_THIRD_TICK: Play = Play { ticks_between_inputs: 3, ..EACH_TICK };

#[test]
fn a_player_sees_itself_where_the_server_will_have_it_whatever_its_network_does() {
    for (name, play) in [("each tick", EACH_TICK), ("each third tick", EACH_THIRD_TICK)] {
        for seed in 1..=2 {
            let fared = Table::new(seed, BAD, play).play(15, 20);
            let figures = fared.figures();
            assert!(fared.frames > 4 * 1200, "{name}, seed {seed}: {figures}");
            assert!(fared.corrections * 1000 <= fared.frames, "{name}, seed {seed}: {figures}");
            assert!(fared.late_per_mille() <= 60.0, "{name}, seed {seed}: {figures}");
        }
    }
}

#[test]
fn near_its_server_no_input_is_late_and_each_is_answered_within_half_a_tick() {
    for (name, play) in [("each tick", EACH_TICK), ("each third tick", EACH_THIRD_TICK)] {
        let fared = Table::new(1, NEAR, play).play(6, 10);
        assert!(fared.late == 0 && fared.heard_ms(990) < 7.8, "{name}: {}", fared.figures());
    }
}

/// One of thirty inputs is held up, by up to a third of a tick.
#[test]
fn inputs_do_not_wait_for_the_few_among_them_that_are_held_up() {
    for (name, play) in [("each tick", EACH_TICK), ("each third tick", EACH_THIRD_TICK)] {
        let stalls = Some(Stalls { one_in: 30, us_max: 5000 });
        let fared = Table::new(1, NEAR, Play { stalls, ..play }).play(15, 30);
        let figures = fared.figures();
        assert!(fared.late_per_mille() < 5.0, "{name}: {figures}");
        assert!(fared.heard_ms(500) < 8.0 && fared.heard_ms(990) < 14.0, "{name}: {figures}");
    }
}

/// A player whom a hiccup of the network holds up for a third of a second is not told of everything late afterwards.
#[test]
fn after_a_hiccup_inputs_are_answered_as_before() {
    let network = Network { stands: Some((Duration::from_secs(5), Duration::from_millis(300))), ..NEAR };
    for (name, play) in [("each tick", EACH_TICK), ("each third tick", EACH_THIRD_TICK)] {
        let fared = Table::new(1, network, play).play(20, 30);
        let figures = fared.figures();
        // one in seventeen comes while it stands
        assert!(fared.heard_ms(500) < 8.0 && fared.heard_ms(900) < 10.0, "{name}: {figures}");
    }
}

/// A server that has too much to do ticks more slowly than it says: its players' inputs are aimed by the ticks that there are.
#[test]
fn a_server_whose_ticks_are_late_all_the_time_is_followed() {
    for (ticks_last, bound_ms) in [(1.05, 25.0), (1.25, 200.0), (2.0, 350.0)] {
        for (name, play) in [("each tick", EACH_TICK), ("each third tick", EACH_THIRD_TICK)] {
            let mut table = Table::new(1, NEAR, Play { ticks_last, ..play });
            while table.elapsed < Duration::from_secs(30) {
                table.step();
            }
            let (figures, rejected) = (table.fared.figures(), table.server.counters().rejected_inputs());
            assert!(
                table.fared.heard_ms(990) < bound_ms,
                "{name}, ticks {ticks_last} times as long: {figures}"
            );
            assert_eq!(rejected, 0, "{name}, ticks {ticks_last} times as long");
        }
    }
}

/// All begin in one place and walk about there, so that there is more to tell of than fits.
#[test]
fn in_a_crowd_a_player_is_told_as_much_as_its_share_of_the_line_and_no_more() {
    const PLAYERS: u32 = 130;
    // so long at 20 Hz that each has a resume token meanwhile
    for (name, play, seconds, bits) in [
        ("20 Hz", Play { tick_hz: 20, ..EACH_THIRD_TICK }, 10, 60_000..=64_000),
        ("64 Hz and an input each tick", Play { tick_hz: 64, ..EACH_TICK }, 5, 140_000..=205_000),
    ] {
        let fared = Table::new(1, NEAR, Play { players: PLAYERS, ..play }).play(2, seconds);
        let bits_a_second = fared.bytes * 8 / (u64::from(PLAYERS) * seconds);
        assert!(bits.contains(&bits_a_second), "{name}: {bits_a_second} bits a second");
        assert_eq!(fared.corrections, 0, "{name}: {}", fared.figures());
    }
}

/// A way that is so long there and back, and on which as much comes twice as is lost.
fn far(round_trip_ms: u64, jitter_us: u64, loss_percent: u64) -> Network {
    Network {
        loss_percent,
        twice_percent: loss_percent,
        delay_us: round_trip_ms * 500,
        jitter_us,
        there_us: 0,
        stands: None,
    }
}

/// A message holds 32 inputs, half a second of them at one a tick: from there on more are open than that.
#[test]
fn far_from_its_server_a_player_hears_of_each_input_once_and_sees_itself_where_the_server_will_have_it() {
    for (name, network, play) in [
        ("300 ms", far(300, 20_000, 0), EACH_TICK),
        ("500 ms on an even way", far(500, 0, 0), EACH_TICK),
        ("700 ms with losses", far(700, 20_000, 5), EACH_TICK),
        ("a second with many losses", far(1000, 50_000, 10), EACH_TICK),
        ("600 ms with an input each third tick", far(600, 20_000, 0), EACH_THIRD_TICK),
    ] {
        let fared = Table::new(1, network, play).play(10, 10);
        let (figures, heard) = (fared.figures(), fared.heard_after.len() as u64);
        assert_eq!((fared.given_up, fared.corrections), (0, 0), "{name}: {figures}");
        assert_eq!(fared.short, 0, "{name}: of {} frames", fared.frames);
        // as many are open at the begin as at the end, but for what is late
        assert!(
            fared.inputs > 0 && heard.abs_diff(fared.inputs) <= fared.inputs / 20,
            "{name}: {heard}, {figures}"
        );
    }
    let some_refused = Play { refused_percent: 10, ..EACH_TICK };
    let fared = Table::new(1, far(1000, 50_000, 10), some_refused).play(10, 10);
    assert_eq!(fared.given_up, 0, "a tenth is refused: {}", fared.figures());
}

/// A server remembers 32 refusals of which their player has not heard, and takes no more inputs until it has: messages arrive
/// whose inputs do not.
#[test]
fn who_has_more_refused_than_the_server_remembers_gives_inputs_up_and_is_told_nothing_wrong() {
    for refused_percent in [70, 100] {
        let play = Play { refused_percent, ..EACH_TICK };
        let fared = Table::new(1, far(1000, 20_000, 5), play).play(10, 10);
        let told = fared.given_up + fared.heard_after.len() as u64;
        let figures = fared.figures();
        assert!(fared.given_up > fared.inputs / 10, "{refused_percent} %: {figures}");
        assert!(told.abs_diff(fared.inputs) <= fared.inputs / 20, "{refused_percent} %: {told}, {figures}");
    }
}

/// The way to the server takes longer from one moment to the next, and nothing else tells a client of it but the server: what comes back
/// comes as it did.
#[test]
fn a_server_that_starves_tells_its_clients_to_be_faster_and_they_are_until_it_starves_no_more() {
    for (name, play) in [("each tick", EACH_TICK), ("each third tick", EACH_THIRD_TICK)] {
        let mut table = Table::new(1, NEAR, play);
        table.run_until(20);
        let before = table.players.iter().map(|player| player.client.stats()).collect::<Vec<_>>();
        let late = table.server.counters().inputs_late;
        assert_eq!(late, 0, "{name}: all is well at first");
        table.post.network.there_us = 40_000;
        table.run_until(24);
        let starved = table.server.counters().inputs_late;
        assert!(starved > 10, "{name}: {starved} inputs came late");
        table.run_until(40);
        assert_eq!(table.server.counters().inputs_late, starved, "{name}: all are in time again");
        for (player, before) in table.players.iter().zip(&before) {
            let after = player.client.stats();
            assert!(after.hurry_corrections > before.hurry_corrections, "{name}: it was told and did so");
            assert_eq!(after.time_jumps, before.time_jumps, "{name}: by going faster");
        }
    }
}
