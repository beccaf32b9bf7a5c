//! A game that is not the arena, served and played: server and client know no more of it than the trait.

mod common;
#[path = "../../game/examples/tag.rs"]
#[expect(dead_code, reason = "the example's own main is not run here")]
mod tag;

use std::net::SocketAddr;
use std::time::Duration;

use common::post::{Network, Post, SERVER_KEY, player, server_address, server_config};
use common::{Random, at};
use gameserver_client::{Client, Event};
use gameserver_core::ZoneServer;
use gameserver_game::{Fields, Game, RejectReason};
use tag::{Tag, Walk};

const TICK_HZ: u32 = 20;
const BAD: Network = Network {
    loss_percent: 5,
    twice_percent: 5,
    delay_us: 25_000,
    jitter_us: 20_000,
    there_us: 0,
    stands: None,
};

struct Player {
    client: Client<Tag>,
    address: SocketAddr,
    events: Vec<Event>,
}

/// A server of tag, and those who play it; the slot of each is its place in the list.
struct Playground {
    server: ZoneServer<Tag>,
    players: Vec<Player>,
    post: Post,
    elapsed: Duration,
}

impl Playground {
    fn new() -> Self {
        let mut server = ZoneServer::new(server_config(4, TICK_HZ)).expect("a valid configuration");
        server.install_key(SERVER_KEY);
        Self { server, players: Vec::new(), post: Post::new(BAD, Random::new(1)), elapsed: Duration::ZERO }
    }

    /// The next player comes in.
    fn join(&mut self) {
        let (token, address) = player(1 + self.players.len() as u64, &mut self.post.random);
        let client = Client::new(token, TICK_HZ, at(self.elapsed), self.post.random.bytes());
        self.players.push(Player { client, address, events: Vec::new() });
        self.run_until("it knows where it is", |ground| {
            ground.players.iter().all(|player| player.client.own().is_some())
        });
    }

    /// Lets a millisecond pass.
    fn step(&mut self) {
        self.elapsed += Duration::from_millis(1);
        let (now, mut buffer) = (at(self.elapsed), [0; 1200]);
        while let Some((from, to, mut bytes)) = self.post.pop(self.elapsed) {
            if to == server_address() {
                self.server.handle_datagram(now, from, &mut bytes);
            } else if let Some(player) = self.players.iter_mut().find(|player| player.address == to) {
                player.client.handle_datagram(now, &mut bytes);
            }
        }
        if self.elapsed.as_millis().is_multiple_of(u128::from(1000 / TICK_HZ)) {
            self.server.step(now);
        }
        while let Some(transmit) = self.server.poll_transmit(now, &mut buffer) {
            self.post.send(self.elapsed, server_address(), transmit.to, &buffer[..transmit.len]);
        }
        for Player { client, address, events } in &mut self.players {
            client.update(now);
            events.extend(std::iter::from_fn(|| client.poll_event()));
            while let Some(transmit) = client.poll_transmit(now, &mut buffer) {
                self.post.send(self.elapsed, *address, transmit.to, &buffer[..transmit.len]);
            }
        }
    }

    #[track_caller]
    fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = self.elapsed + Duration::from_secs(20);
        while !condition(self) {
            assert!(self.elapsed < deadline, "{what}: not within 20 seconds");
            self.step();
        }
    }

    /// The player asks to go there; by which number its client knows that.
    fn walk(&mut self, player: usize, (x, y): (i32, i32)) -> u32 {
        let walk = Walk::from_fields(&[0, x.into(), y.into()]).expect("a walk");
        self.players[player].client.send(at(self.elapsed), walk)
    }

    /// Where the player knows that it is.
    fn place(&self, player: usize) -> (i32, i32) {
        Tag::place(self.players[player].client.own().expect("in the game").1)
    }

    /// What one player sees of another: where it is, and whether it is "it".
    fn sees(&self, player: usize, other: u32) -> Option<((i32, i32), bool)> {
        let mut seen = self.players[player].client.view().entities();
        let (_, entity) = seen.find(|&(index, _)| index == other)?;
        Some(((entity.x, entity.y), entity.fields[0] == 1))
    }

    /// Whether the player has been told that it was touched.
    fn is_told(&self, player: usize) -> bool {
        let is_it = |event: &Event| matches!(event, Event::Notice(notice) if notice.code == 1);
        self.players[player].events.iter().any(is_it)
    }
}

#[test]
fn two_players_of_another_game_than_the_arena_walk_see_and_touch_each_other_over_a_bad_network() {
    let mut ground = Playground::new();
    ground.join();
    ground.join();
    let corner = (400, 4600);
    ground.walk(1, corner);
    ground.run_until("it knows that it is there", |ground| ground.place(1) == corner);
    ground.run_until("the other sees it there", |ground| ground.sees(0, 1) == Some((corner, false)));
    ground.run_until("and is seen", |ground| ground.sees(1, 0) == Some((ground.place(0), true)));

    let beyond = ground.walk(0, (5001, 0));
    let refused = Event::Rejected { input_seq: beyond, reason: RejectReason::OutOfBounds };
    ground.run_until("there is no way off the map", |ground| ground.players[0].events.contains(&refused));

    ground.walk(0, corner);
    ground.run_until("who is touched is told", |ground| ground.is_told(1));
    assert!(!ground.is_told(0), "and nobody else");
    ground.run_until("and seen to be it", |ground| ground.sees(0, 1).is_some_and(|(_, is_it)| is_it));
    // they stay together, so that it goes back
    ground.run_until("who was it is it again", |ground| ground.is_told(0));
    for player in 0..2_u32 {
        let known = ground.players[player as usize].client.own().map(|(_, own)| *own);
        assert_eq!(known, ground.server.game().own(player), "both know what is so");
        let stats = ground.players[player as usize].client.stats();
        assert_eq!((stats.malformed, stats.refused, stats.own_unreadable), (0, 0, 0));
    }
    assert_eq!(ground.server.game().violations(), Vec::<String>::new());
}
