//! Players and the server that they would really play on, through a network of chance.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::{Client, Event};
use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, ServerConfig, ZoneServer, snapshot_bytes_for,
};
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID};

use super::walk::{Field, Walk};
use super::{Random, UNIX, at};

const SERVER_KEY: [u8; 32] = [9; 32];
pub const FRAME: Duration = Duration::from_millis(16);

/// What the network does to each datagram.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    pub loss_percent: u64,
    pub twice_percent: u64,
    /// Each way.
    pub delay_us: u64,
    /// Uniform and on top.
    pub jitter_us: u64,
    /// On top, to the server alone: of that its clients know only by what the server asks of them.
    pub there_us: u64,
    /// Once in so long nothing comes through for so long, and then everything that was on its way.
    pub stands: Option<(Duration, Duration)>,
}

impl Network {
    /// When something arrives that would do so at a moment if the network never stood.
    pub fn arrival(&self, at: Duration) -> Duration {
        let Some((once_in, for_long)) = self.stands else { return at };
        let since =
            Duration::from_micros(u64::try_from(at.as_micros() % once_in.as_micros()).expect("short"));
        at + for_long.saturating_sub(since)
    }
}

/// How its players play.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    pub players: u32,
    pub tick_hz: u32,
    /// An input each so many ticks.
    pub ticks_between_inputs: u32,
    /// Which part of them asks for what is refused.
    pub refused_percent: u64,
    /// How much later than they wanted to players wake up at most.
    pub wake_late_us: u64,
    pub stalls: Option<Stalls>,
    /// How many times as long as they should the server's ticks last.
    pub ticks_last: f64,
}

impl Play {
    pub fn tick(&self) -> Duration {
        Duration::from_secs(1) / self.tick_hz
    }
}

/// What holds a player up besides.
#[derive(Clone, Copy, Debug)]
pub struct Stalls {
    /// At one of so many inputs, by chance.
    pub one_in: u64,
    pub us_max: u64,
}

/// How the inputs of all players fared.
#[derive(Debug, Default)]
pub struct Fared {
    /// From when an input was due to be sent to when its player heard what became of it.
    pub heard_after: Vec<Duration>,
    pub inputs: u64,
    pub late: u64,
    pub frames: u64,
    pub corrections: u64,
    /// Frames that show the player before what it has asked for by then.
    pub short: u64,
    /// Inputs of which their players will not hear.
    pub given_up: u64,
    /// That the server sent, with the 28 bytes of UDP and IPv4 around each datagram.
    pub bytes: u64,
}

impl Fared {
    pub fn heard_ms(&self, per_mille: usize) -> f64 {
        let mut sorted = self.heard_after.clone();
        sorted.sort_unstable();
        let at = sorted.len().saturating_sub(1) * per_mille / 1000;
        sorted.get(at).map_or(f64::NAN, |heard| heard.as_secs_f64() * 1e3)
    }

    #[expect(clippy::cast_precision_loss, reason = "few")]
    pub fn late_per_mille(&self) -> f64 {
        self.late as f64 * 1e3 / self.inputs as f64
    }

    pub fn figures(&self) -> String {
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

pub struct Player {
    pub client: Client<Field>,
    pub client_id: u64,
    pub address: SocketAddr,
    pub walk: Walk,
    /// Of its newest input.
    pub aimed_at: Duration,
    /// When it wanted to act next, and when it will have woken up.
    pub wanted: Option<Duration>,
    pub wakes: Duration,
    pub next_frame: Duration,
    pub asked: HashMap<u32, Duration>,
}

pub struct Table {
    pub server: ZoneServer<Field>,
    pub players: Vec<Player>,
    pub play: Play,
    pub network: Network,
    pub random: Random,
    pub elapsed: Duration,
    pub next_tick: Duration,
    pub flying: BTreeMap<(Duration, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    pub sent: u64,
    pub fared: Fared,
}

fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7777))
}

impl Table {
    pub fn new(seed: u64, network: Network, play: Play) -> Self {
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

    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.random.percent(self.network.loss_percent) {
            return;
        }
        let is_doubled = self.network.twice_percent > 0 && self.random.percent(self.network.twice_percent);
        for _ in 0..=u64::from(is_doubled) {
            let there_us = if to == server_address() { self.network.there_us } else { 0 };
            let way = self.network.delay_us + self.random.below(self.network.jitter_us + 1) + there_us;
            self.sent += 1;
            let arrival = self.network.arrival(self.elapsed + Duration::from_micros(way));
            self.flying.insert((arrival, self.sent), (from, to, bytes.to_vec()));
        }
    }

    pub fn flush(&mut self) {
        let mut buffer = [0; 1200];
        while let Some(transmit) = self.server.poll_transmit(at(self.elapsed), &mut buffer) {
            self.fared.bytes += transmit.len as u64 + 28;
            self.send(server_address(), transmit.to, &buffer[..transmit.len]);
        }
    }

    pub fn arrive(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
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
    pub fn act(&mut self, index: usize) {
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
    pub fn wake(player: &Player) -> Duration {
        let wakes = player.wanted.map_or(Duration::MAX, |_| player.wakes);
        let timeout = player.client.poll_timeout().unwrap_or(Duration::MAX);
        wakes.min(timeout).min(player.next_frame)
    }

    pub fn step(&mut self) {
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

    pub fn run_until(&mut self, seconds: u64) {
        while self.elapsed < Duration::from_secs(seconds) {
            self.step();
        }
    }

    /// Plays for so long to get used to it, and then for so long.
    pub fn play(mut self, warm_up: u64, seconds: u64) -> Fared {
        let sum = |table: &Self, of: fn(&Player) -> u64| table.players.iter().map(of).sum::<u64>();
        self.run_until(warm_up);
        let frames = |player: &Player| player.client.stats().frames;
        let corrections = |player: &Player| player.client.stats().corrections;
        let before = (self.server.counters().inputs_late, sum(&self, frames), sum(&self, corrections));
        self.fared = Fared::default();
        self.run_until(warm_up + seconds);
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
    pub fn new(index: u32, tick_hz: u32, random: &mut Random) -> Self {
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
