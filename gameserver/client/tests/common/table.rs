//! Players and the server that they would really play on, through a network of chance.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::{Client, Event};
use gameserver_core::ZoneServer;

pub use super::post::Network;
use super::post::{Post, SERVER_KEY, player, server_address, server_config};
use super::walk::{Field, Walk};
use super::{Random, at};

pub const FRAME: Duration = Duration::from_millis(16);

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
    pub post: Post,
    pub elapsed: Duration,
    pub next_tick: Duration,
    pub fared: Fared,
}

impl Table {
    pub fn new(seed: u64, network: Network, play: Play) -> Self {
        let config = server_config(play.players, play.tick_hz);
        let mut server = ZoneServer::new(config).expect("a valid configuration");
        server.install_key(SERVER_KEY);
        let mut random = Random::new(seed);
        let players =
            (0..play.players).map(|player| Player::new(player, play.tick_hz, &mut random)).collect();
        Self {
            server,
            players,
            play,
            post: Post::new(network, random),
            elapsed: Duration::ZERO,
            next_tick: play.tick(),
            fared: Fared::default(),
        }
    }

    pub fn flush(&mut self) {
        let mut buffer = [0; 1200];
        while let Some(transmit) = self.server.poll_transmit(at(self.elapsed), &mut buffer) {
            self.fared.bytes += transmit.len as u64 + 28;
            self.post.send(self.elapsed, server_address(), transmit.to, &buffer[..transmit.len]);
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
            if self.post.random.percent(20) {
                player.walk = Walk { east: self.post.random.sign(), north: self.post.random.sign() };
            }
            let is_refused = play.refused_percent > 0 && self.post.random.percent(play.refused_percent);
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
            let stall = play.stalls.filter(|stalls| self.post.random.below(stalls.one_in) == 0);
            let late_us_max = play.wake_late_us + stall.map_or(0, |stall| stall.us_max);
            let late = Duration::from_micros(self.post.random.below(late_us_max + 1));
            player.wakes = wanted.max(elapsed) + late;
        }
        let mut buffer = [0; 1200];
        let address = player.address;
        while let Some(transmit) = self.players[index].client.poll_transmit(now, &mut buffer) {
            self.post.send(elapsed, address, transmit.to, &buffer[..transmit.len]);
        }
    }

    /// When a player has something to do.
    pub fn wake(player: &Player) -> Duration {
        let wakes = player.wanted.map_or(Duration::MAX, |_| player.wakes);
        let timeout = player.client.poll_timeout().unwrap_or(Duration::MAX);
        wakes.min(timeout).min(player.next_frame)
    }

    pub fn step(&mut self) {
        let arrival = self.post.next_arrival().unwrap_or(Duration::MAX);
        let (index, wake) = (self.players.iter().enumerate())
            .map(|(index, player)| (index, Self::wake(player)))
            .min_by_key(|(_, wake)| *wake)
            .expect("players");
        let next = arrival.min(wake).min(self.next_tick).max(self.elapsed);
        self.elapsed = next;
        if let Some((from, to, bytes)) = self.post.pop(next) {
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
        let client_id = u64::from(index) + 1;
        let (token, address) = player(client_id, random);
        let client = Client::new(token, tick_hz, at(Duration::ZERO), random.bytes());
        Self {
            client,
            client_id,
            address,
            walk: Walk { east: 0, north: 0 },
            aimed_at: Duration::ZERO,
            wanted: None,
            wakes: Duration::ZERO,
            next_frame: Duration::from_micros(random.below(16_000)),
            asked: HashMap::new(),
        }
    }
}
