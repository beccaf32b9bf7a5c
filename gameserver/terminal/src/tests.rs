//! The client in virtual time against the game server's core, over a network with a delay: what is drawn is what the server
//! had, or marked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_access::{Role, Visit};
use gameserver_client::{Client, ClientState, Entity, Now};
use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_SNAPSHOT_BYTES, ServerConfig, ZoneServer,
};
use gameserver_game::Game;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::{Arena, PLAYER_KIND};
use gameserver_protocol::PROTOCOL_ID;

use crate::app::{App, Order};
use crate::asked::Wish;
use crate::keys::{Action, Way};
use crate::scene::{Point, Scene, distance};

const KEY: [u8; 32] = [9; 32];
const TICK_HZ: u32 = 64;
const UNIX: Duration = Duration::from_secs(1_790_000_000);
/// Each way.
const DELAY: Duration = Duration::from_millis(60);
const SECOND: Duration = Duration::from_secs(1);
/// Units within which a stun reaches.
const REACH: f64 = 200.0;

/// A server, the player at the keys, who is the first, and another.
struct World {
    server: ZoneServer<Arena>,
    clients: Vec<(SocketAddr, Client<Arena>)>,
    app: App,
    scene: Scene,
    elapsed: Duration,
    ticks: u32,
    /// By arrival and number.
    flying: BTreeMap<(Duration, u64), Flight>,
    /// What the server sends is lost.
    loses_news: bool,
    sent: u64,
    /// Where the server had the player at each tick.
    truth: BTreeMap<u64, Point>,
    /// Frames in which the player was drawn ahead of where it was confirmed to be.
    frames_ahead: u32,
}

/// A datagram on its way.
struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7777))
}

impl World {
    fn new(seed: u8) -> Self {
        let config = ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: vec![server_address()],
            capacity: 2,
            tick_hz: TICK_HZ,
            timeout: Duration::from_secs(5),
            boot_unix_ms: 1_790_000_000_000,
            random: [seed; 32],
            max_commands_per_tick: 100,
            snapshot_bytes: MAX_SNAPSHOT_BYTES,
            replication_hz: DEFAULT_REPLICATION_HZ,
            interpolation: DEFAULT_INTERPOLATION,
            registry: None,
        };
        let mut server = ZoneServer::new(config).unwrap();
        server.install_key(KEY);
        let now = Now { monotonic: Duration::ZERO, unix: UNIX };
        let clients = [1, 2].map(|number| {
            let visit = Visit { server: server_address(), client_id: number, role: Role::Player };
            let address = SocketAddr::from(([10, 0, 0, 1], 1000 + u16::try_from(number).unwrap()));
            (address, Client::new(visit.mint(&KEY, UNIX).unwrap(), TICK_HZ, now, [1; 32]))
        });
        let mut clients = Vec::from(clients);
        let scene = Scene::of(&mut clients[0].1, Role::Player, TICK_HZ, now);
        Self {
            server,
            clients,
            app: App::default(),
            scene,
            elapsed: Duration::ZERO,
            ticks: 0,
            flying: BTreeMap::new(),
            loses_news: false,
            sent: 0,
            truth: BTreeMap::new(),
            frames_ahead: 0,
        }
    }

    fn now(&self) -> Now {
        Now { monotonic: self.elapsed, unix: UNIX + self.elapsed }
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.sent += 1;
        self.flying.insert((self.elapsed + DELAY, self.sent), Flight { from, to, bytes: bytes.to_vec() });
    }

    /// Lets a millisecond pass.
    fn step(&mut self) {
        self.elapsed += Duration::from_millis(1);
        let now = self.now();
        while let Some(next) = self.flying.first_entry().filter(|next| next.key().0 <= self.elapsed) {
            let Flight { from, to, mut bytes } = next.remove();
            if self.loses_news && to != server_address() {
                continue;
            }
            match self.clients.iter_mut().find(|(address, _)| *address == to) {
                Some((_, client)) => client.handle_datagram(now, &mut bytes),
                None => self.server.handle_datagram(now, from, &mut bytes),
            }
        }
        if self.elapsed.as_nanos() * u128::from(TICK_HZ) >= u128::from(self.ticks + 1) * 1_000_000_000 {
            self.ticks += 1;
            self.server.step(now);
            let game = self.server.game();
            if let Some(own) = game.own(0) {
                let (x, y) = Arena::place(&own);
                self.truth.insert(game.tick(), (x.into(), y.into()));
            }
        }
        let mut buffer = [0; 1200];
        while let Some(transmit) = self.server.poll_transmit(now, &mut buffer) {
            self.send(server_address(), transmit.to, &buffer[..transmit.len]);
        }
        for index in 0..self.clients.len() {
            let from = self.clients[index].0;
            self.clients[index].1.update(now);
            while let Some(transmit) = self.clients[index].1.poll_transmit(now, &mut buffer) {
                self.send(from, transmit.to, &buffer[..transmit.len]);
            }
        }
        while let Some(event) = self.clients[0].1.poll_event() {
            self.app.tell(self.elapsed, event, &self.scene);
        }
        if self.elapsed.as_millis().is_multiple_of(33) {
            self.draw();
        }
    }

    /// A frame, and what has to be true of each.
    fn draw(&mut self) {
        let now = self.now();
        self.scene = Scene::of(&mut self.clients[0].1, Role::Player, TICK_HZ, now);
        let snaps = self.app.snaps;
        self.app.see(self.elapsed, &self.scene);
        let Some(me) = self.scene.me() else { return };
        assert_eq!(
            Some(&me.place()),
            self.truth.get(&self.scene.tick),
            "what is confirmed is what the server had"
        );
        let ahead = distance(me.drawn, me.place());
        self.frames_ahead += u32::from(ahead > 50.0);
        if self.app.snaps > snaps {
            // a walk of what is left of the lead, and no more
            assert!(ahead < 10.0, "{ahead} hundredths from where the server has it after a snap");
        }
        for other in self.scene.others.iter().filter(|other| other.is_alive()) {
            let (x, y) = other.place;
            assert!((0.0..=100_000.0).contains(&x) && (0.0..=100_000.0).contains(&y), "{other:?}");
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        while self.elapsed < end {
            self.step();
        }
    }

    fn press(&mut self, action: Action) {
        let now = self.now();
        self.scene = Scene::of(&mut self.clients[0].1, Role::Player, TICK_HZ, now);
        if let Some(Order::Ask(wish @ Wish::Do(intent))) = self.app.act(action, &self.scene) {
            let sequence = self.clients[0].1.send(now, intent);
            self.app.asked.push(sequence, wish);
        }
    }

    /// Whether the log has a line with these words.
    fn has_told(&self, words: &str) -> bool {
        self.app.log.last(usize::MAX).any(|line| line.text.contains(words))
    }

    /// Both in a match, at most so many units from each other; the seed is looked for.
    fn with_neighbours(units: f64) -> Self {
        let worlds = (1..).map(|seed| {
            let mut world = Self::new(seed);
            world.run(2 * SECOND);
            assert!(world.clients.iter().all(|(_, client)| client.state() == ClientState::Connected));
            world
        });
        let is_near = |world: &Self| {
            let places = [0, 1].map(|player| {
                let (x, y) = Arena::place(&world.server.game().own(player).unwrap());
                (f64::from(x), f64::from(y))
            });
            distance(places[0], places[1]) < units * 100.0
        };
        worlds.take(250).find(is_near).expect("one of so many places is near")
    }

    /// The other stuns the player.
    fn stun(&mut self) {
        let now = self.now();
        let client = &mut self.clients[1].1;
        let is_player = |(_, entity): &(u32, &Entity)| entity.kind == PLAYER_KIND;
        let target = client.view().entities().find(is_player).expect("the player is seen").1.id;
        client.send(now, Intent::Cast { skill: 1003, target });
    }
}

fn walk(world: &World) -> Action {
    let (x, _) = world.scene.me().unwrap().place();
    let east = if x > 50_000.0 { -1 } else { 1 };
    Action::Go { way: Way { east, north: 0 }, is_long: false }
}

#[test]
fn a_walk_is_predicted_and_marked_until_the_server_has_confirmed_all_of_it() {
    let mut world = World::with_neighbours(REACH);
    let before = world.scene.me().unwrap().place();
    let action = walk(&world);
    world.press(action);
    world.run(Duration::from_millis(150));
    let me = world.scene.me().unwrap();
    assert!(distance(me.drawn, before) > 50.0, "it goes at once");
    world.run(SECOND);
    let me = world.scene.me().unwrap();
    assert!((distance(me.place(), before) - 400.0).abs() < 2.0 && distance(me.drawn, me.place()) < 1.0);
    assert!(world.frames_ahead > 0 && world.app.snaps == 0 && !world.has_told("refused"));
    assert_eq!((world.app.asked.open().count(), world.scene.open_inputs), (0, 0));
}

#[test]
fn others_are_drawn_where_the_server_said_that_they_were_and_no_farther() {
    // so near that each snapshot tells of it
    let mut world = World::with_neighbours(90.0);
    let (now, (_, own)) = (world.now(), world.clients[1].1.own().unwrap());
    let (x, y) = (if own.x > 500_000 { own.x - 9000 } else { own.x + 9000 }, own.y);
    world.clients[1].1.send(now, Intent::Move { x, y });
    world.run(Duration::from_millis(500));
    world.loses_news = true;
    world.run(Duration::from_millis(300));
    let drawn: Vec<_> = world.scene.others.iter().map(|other| (other.id, other.place)).collect();
    assert!(!drawn.is_empty());
    for (_, entity) in world.clients[0].1.view().entities() {
        let place = (f64::from(entity.x), f64::from(entity.y));
        assert!(drawn.contains(&(entity.id, place)), "{entity:?} is drawn among {drawn:?}");
    }
}

#[test]
fn a_stunned_player_who_walks_on_snaps_back_to_where_the_server_holds_it() {
    let mut world = World::with_neighbours(REACH);
    let action = walk(&world);
    world.stun();
    // a held key
    for _ in 0..15 {
        world.press(action);
        world.run(Duration::from_millis(40));
    }
    assert!(world.has_told("refused: walk: Cannot move in current state"), "{:?}", world.app.log);
    assert!(world.has_told("you are stunned for 1.0 s, by player"), "{:?}", world.app.log);
    assert!(world.app.snaps > 0 && world.has_told("snapped back by"), "{:?}", world.app.log);
    assert!(world.frames_ahead > 0);
    world.run(2 * SECOND);
    world.press(action);
    let snaps = world.app.snaps;
    world.run(SECOND);
    assert_eq!(world.app.snaps, snaps, "it walks again");
}
