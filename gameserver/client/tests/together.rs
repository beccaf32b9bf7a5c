//! Players and the server that they would really play on, through a network of chance: how early inputs come, how many
//! come late, how long it takes until their player hears of them, and how often a player was drawn where it was not.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use common::walk::{Field, Walk};
use common::{Random, TICK_HZ, UNIX, at};
use gameserver_client::{Client, Event};
use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, ServerConfig, ZoneServer, snapshot_bytes_for,
};
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID};

const SERVER_KEY: [u8; 32] = [9; 32];
const FRAME: Duration = Duration::from_millis(16);

/// What the network does to each datagram.
#[derive(Clone, Copy, Debug)]
struct Network {
    loss_percent: u64,
    twice_percent: u64,
    /// Each way.
    delay_us: u64,
    /// Uniform and on top.
    jitter_us: u64,
    /// Once in so long nothing comes through for so long, and then everything that was on its way.
    stands: Option<(Duration, Duration)>,
}

impl Network {
    /// When something arrives that would do so at a moment if the network never stood.
    fn arrival(&self, at: Duration) -> Duration {
        let Some((once_in, for_long)) = self.stands else { return at };
        let since =
            Duration::from_micros(u64::try_from(at.as_micros() % once_in.as_micros()).expect("short"));
        at + for_long.saturating_sub(since)
    }
}

/// How its players play.
#[derive(Clone, Copy, Debug)]
struct Play {
    players: u32,
    tick_hz: u32,
    /// An input each so many ticks.
    ticks_between_inputs: u32,
    /// Which part of them asks for what is refused.
    refused_percent: u64,
    /// How much later than they wanted to players wake up at most.
    wake_late_us: u64,
    stalls: Option<Stalls>,
    /// How many times as long as they should the server's ticks last.
    ticks_last: f64,
}

impl Play {
    fn tick(&self) -> Duration {
        Duration::from_secs(1) / self.tick_hz
    }
}

/// What holds a player up besides.
#[derive(Clone, Copy, Debug)]
struct Stalls {
    /// At one of so many inputs, by chance.
    one_in: u64,
    us_max: u64,
}

/// How the inputs of all players fared.
#[derive(Debug, Default)]
struct Fared {
    /// From when an input was due to be sent to when its player heard what became of it.
    heard_after: Vec<Duration>,
    inputs: u64,
    late: u64,
    frames: u64,
    corrections: u64,
    /// Frames that show the player before what it has asked for by then.
    short: u64,
    /// Inputs of which their players will not hear.
    given_up: u64,
    /// That the server sent, with the 28 bytes of UDP and IPv4 around each datagram.
    bytes: u64,
}

impl Fared {
    fn heard_ms(&self, per_mille: usize) -> f64 {
        let mut sorted = self.heard_after.clone();
        sorted.sort_unstable();
        let at = sorted.len().saturating_sub(1) * per_mille / 1000;
        sorted.get(at).map_or(f64::NAN, |heard| heard.as_secs_f64() * 1e3)
    }

    #[expect(clippy::cast_precision_loss, reason = "few")]
    fn late_per_mille(&self) -> f64 {
        self.late as f64 * 1e3 / self.inputs as f64
    }

    fn figures(&self) -> String {
        format!(
            "{} of {} inputs late, {} given up; answered after {:.1} ms, 99 % within {:.1}; {} corrections in {} frames",
            self.late,
            self.inputs,
            self.given_up,
            self.heard_ms(500),
            self.heard_ms(990),
            self.corrections,
            self.frames
        )
    }
}

struct Player {
    client: Client<Field>,
    client_id: u64,
    address: SocketAddr,
    walk: Walk,
    /// Of its newest input.
    aimed_at: Duration,
    /// When it wanted to act next, and when it will have woken up.
    wanted: Option<Duration>,
    wakes: Duration,
    next_frame: Duration,
    asked: HashMap<u32, Duration>,
}

struct Table {
    server: ZoneServer<Field>,
    players: Vec<Player>,
    play: Play,
    network: Network,
    random: Random,
    elapsed: Duration,
    next_tick: Duration,
    flying: BTreeMap<(Duration, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    fared: Fared,
}

fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7777))
}

impl Table {
    fn new(seed: u64, network: Network, play: Play) -> Self {
        let config = ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: vec![server_address()],
            capacity: play.players as usize,
            tick_hz: play.tick_hz,
            timeout: Duration::from_secs(5),
            boot_unix_ms: u64::try_from(UNIX.as_millis()).expect("this era"),
            random: [4; 32],
            max_commands_per_tick: 1000,
            snapshot_bytes: snapshot_bytes_for(play.tick_hz, DEFAULT_REPLICATION_HZ),
            replication_hz: DEFAULT_REPLICATION_HZ,
            interpolation: DEFAULT_INTERPOLATION,
            registry: None,
        };
        let mut server = ZoneServer::new(config).expect("a valid configuration");
        server.install_key(SERVER_KEY);
        let mut random = Random::new(seed);
        let players =
            (0..play.players).map(|player| Player::new(player, play.tick_hz, &mut random)).collect();
        Self {
            server,
            players,
            play,
            network,
            random,
            elapsed: Duration::ZERO,
            next_tick: play.tick(),
            flying: BTreeMap::new(),
            sent: 0,
            fared: Fared::default(),
        }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.random.percent(self.network.loss_percent) {
            return;
        }
        let is_doubled = self.network.twice_percent > 0 && self.random.percent(self.network.twice_percent);
        for _ in 0..=u64::from(is_doubled) {
            let way = self.network.delay_us + self.random.below(self.network.jitter_us + 1);
            self.sent += 1;
            let arrival = self.network.arrival(self.elapsed + Duration::from_micros(way));
            self.flying.insert((arrival, self.sent), (from, to, bytes.to_vec()));
        }
    }

    fn flush(&mut self) {
        let mut buffer = [0; 1200];
        while let Some(transmit) = self.server.poll_transmit(at(self.elapsed), &mut buffer) {
            self.fared.bytes += transmit.len as u64 + 28;
            self.send(server_address(), transmit.to, &buffer[..transmit.len]);
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let now = at(self.elapsed);
        if to == server_address() {
            self.server.handle_datagram(now, from, &mut bytes);
            self.flush();
        } else {
            let index = self.players.iter().position(|player| player.address == to).expect("a player");
            self.players[index].client.handle_datagram(now, &mut bytes);
            self.act(index);
        }
    }

    /// A player does what it wants to by now.
    fn act(&mut self, index: usize) {
        let (elapsed, play, tick) = (self.elapsed, self.play, self.play.tick());
        let player = &mut self.players[index];
        let now = at(elapsed);
        player.client.update(now);
        if player.wakes <= elapsed
            && let Some(due) = player.wanted.take()
        {
            if self.random.percent(20) {
                player.walk = Walk { east: self.random.sign(), north: self.random.sign() };
            }
            let is_refused = play.refused_percent > 0 && self.random.percent(play.refused_percent);
            let walk = if is_refused { Walk { east: 2, north: 0 } } else { player.walk };
            let sequence = player.client.send(now, walk);
            player.asked.insert(sequence, due);
            player.aimed_at = due;
            self.fared.inputs += 1;
        }
        if player.next_frame <= elapsed {
            player.next_frame += FRAME;
            if let Some(frame) = player.client.frame(now)
                && let Some((predicted, _)) = player.client.predicted()
            {
                self.fared.short +=
                    u64::from(frame.tick.floor() > f64::from(u32::try_from(predicted).expect("few")));
            }
        }
        while let Some(event) = player.client.poll_event() {
            let (input_seq, told) = match event {
                Event::Confirmed { input_seq, .. } => (input_seq, Some(true)),
                Event::Rejected { input_seq, .. } => (input_seq, Some(false)),
                Event::GivenUp { input_seq } => (input_seq, None),
                Event::Corrected { .. } | Event::Notice(_) => continue,
            };
            let due = player.asked.remove(&input_seq).expect("asked for once, and told of once");
            if told.is_some() {
                let outcome = self.server.game().outcomes.get(&(player.client_id, input_seq)).copied();
                assert_eq!(outcome, told, "{event:?}");
                self.fared.heard_after.push(elapsed.saturating_sub(due));
            } else {
                self.fared.given_up += 1;
            }
        }
        // the next input: the first that is due a period after the last one or later
        if player.wanted.is_none()
            && let Some(next) = player.client.next_input_at(now)
        {
            // by the client's time, which may go a little faster than real time
            let period_later = player.aimed_at + tick * play.ticks_between_inputs;
            let mut wanted = next;
            while wanted + tick / 4 < period_later {
                wanted += tick;
            }
            player.wanted = Some(wanted);
            let stall = play.stalls.filter(|stalls| self.random.below(stalls.one_in) == 0);
            let late_us_max = play.wake_late_us + stall.map_or(0, |stall| stall.us_max);
            let late = Duration::from_micros(self.random.below(late_us_max + 1));
            player.wakes = wanted.max(elapsed) + late;
        }
        let mut buffer = [0; 1200];
        let address = player.address;
        while let Some(transmit) = self.players[index].client.poll_transmit(now, &mut buffer) {
            self.send(address, transmit.to, &buffer[..transmit.len]);
        }
    }

    /// When a player has something to do.
    fn wake(player: &Player) -> Duration {
        let wakes = player.wanted.map_or(Duration::MAX, |_| player.wakes);
        let timeout = player.client.poll_timeout().unwrap_or(Duration::MAX);
        wakes.min(timeout).min(player.next_frame)
    }

    fn step(&mut self) {
        let arrival = self.flying.first_key_value().map_or(Duration::MAX, |(key, _)| key.0);
        let (index, wake) = (self.players.iter().enumerate())
            .map(|(index, player)| (index, Self::wake(player)))
            .min_by_key(|(_, wake)| *wake)
            .expect("players");
        let next = arrival.min(wake).min(self.next_tick).max(self.elapsed);
        self.elapsed = next;
        if arrival <= next {
            let (_, (from, to, bytes)) = self.flying.pop_first().expect("one");
            self.arrive(from, to, bytes);
        } else if wake <= next {
            self.act(index);
        } else {
            self.next_tick += self.play.tick().mul_f64(self.play.ticks_last);
            self.server.step(at(self.elapsed));
            self.flush();
        }
    }

    /// Plays for so long to get used to it, and then for so long.
    fn play(mut self, warm_up: u64, seconds: u64) -> Fared {
        let sum = |table: &Self, of: fn(&Player) -> u64| table.players.iter().map(of).sum::<u64>();
        while self.elapsed < Duration::from_secs(warm_up) {
            self.step();
        }
        let frames = |player: &Player| player.client.stats().frames;
        let corrections = |player: &Player| player.client.stats().corrections;
        let before = (self.server.counters().inputs_late, sum(&self, frames), sum(&self, corrections));
        self.fared = Fared::default();
        while self.elapsed < Duration::from_secs(warm_up + seconds) {
            self.step();
        }
        let after = (self.server.counters().inputs_late, sum(&self, frames), sum(&self, corrections));
        Fared {
            late: after.0 - before.0,
            frames: after.1 - before.1,
            corrections: after.2 - before.2,
            ..self.fared
        }
    }
}

impl Player {
    fn new(index: u32, tick_hz: u32, random: &mut Random) -> Self {
        let addresses = [server_address()];
        let client_id = u64::from(index) + 1;
        let claims = ConnectTokenClaims {
            protocol_id: PROTOCOL_ID,
            server_addresses: &addresses,
            client_id,
            user_data: &[0; 256],
            now_unix: UNIX,
            lifetime_seconds: 30,
            timeout_seconds: 5,
        };
        let token = claims.mint(&SERVER_KEY, &random.bytes()).expect("valid claims");
        let client = Client::new(token, tick_hz, at(Duration::ZERO), random.bytes());
        Self {
            client,
            client_id,
            address: SocketAddr::from(([10, 0, 0, 1], u16::try_from(10_000 + index).expect("few"))),
            walk: Walk { east: 0, north: 0 },
            aimed_at: Duration::ZERO,
            wanted: None,
            wakes: Duration::ZERO,
            next_frame: Duration::from_micros(random.below(16_000)),
            asked: HashMap::new(),
        }
    }
}

/// Across an ocean, over a bad radio link.
const BAD: Network =
    Network { loss_percent: 5, twice_percent: 0, delay_us: 25_000, jitter_us: 50_000, stands: None };
/// In the same city.
const NEAR: Network =
    Network { loss_percent: 0, twice_percent: 0, delay_us: 100, jitter_us: 1500, stands: None };
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
    // so long that each has a resume token meanwhile
    const SECONDS: u32 = 10;
    let play = Play { players: PLAYERS, tick_hz: 20, ..EACH_THIRD_TICK };
    let fared = Table::new(1, NEAR, play).play(2, SECONDS.into());
    let bits_a_second = fared.bytes * 8 / u64::from(PLAYERS * SECONDS);
    assert!((60_000..=64_000).contains(&bits_a_second), "{bits_a_second} bits a second");
    assert_eq!(fared.corrections, 0, "{}", fared.figures());
}

/// A way that is so long there and back, and on which as much comes twice as is lost.
fn far(round_trip_ms: u64, jitter_us: u64, loss_percent: u64) -> Network {
    Network {
        loss_percent,
        twice_percent: loss_percent,
        delay_us: round_trip_ms * 500,
        jitter_us,
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
