//! Servers and clients with a network between them, in virtual time that jumps from event to event. A test says what
//! becomes of each datagram; everything that is sent is checked on its way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::{ClientState, DisconnectReason};
use gameserver_core::{Now, ServerConfig};
use gameserver_protocol::{ConnectToken, PacketHeader, PacketKey, PacketKind, TOKEN_RANDOM_BYTES};

use super::{BOOT_UNIX, Client, Random, SERVER_KEY, TICK_HZ, ZoneServer, claims};

/// What the network does to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Arrive,
    Lose,
    /// Arrives, and again so much later.
    Twice(Duration),
    /// Arrives so much later, behind others that were sent after it.
    Late(Duration),
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub kind: PacketKind,
    /// How many of this kind went to a server, or to a client, before it.
    pub number: usize,
    pub is_to_server: bool,
    pub bytes: Vec<u8>,
}

pub struct ServerEnd {
    pub address: SocketAddr,
    pub core: ZoneServer,
    /// A server that is off neither receives, ticks nor sends.
    pub is_on: bool,
    /// When this boot of it began.
    booted: Duration,
}

pub struct ClientEnd {
    pub address: SocketAddr,
    pub client: Client,
    pub token: ConnectToken,
    pub is_on: bool,
    wake: Option<Duration>,
    state: ClientState,
}

pub struct Net {
    pub servers: Vec<ServerEnd>,
    pub clients: Vec<ClientEnd>,
    pub elapsed: Duration,
    pub latency: Duration,
    pub tick: Duration,
    pub random: Random,
    rule: Box<dyn FnMut(&Flight) -> Fate>,
    next_tick: Duration,
    flying: BTreeMap<(Duration, u64), Flight>,
    sent: u64,
    numbers: HashMap<(u8, bool), usize>,
    wakes: BTreeSet<(Duration, usize)>,
    clients_by_address: HashMap<SocketAddr, usize>,
    /// Keys and sequences of all that was sealed; `None` while nobody asks.
    nonces: Option<HashSet<([u8; 32], u64)>>,
    /// Tokens of each address, newest last, to find the key of what a server sends there.
    tokens: HashMap<SocketAddr, Vec<ConnectToken>>,
    /// UDP payload that went to each address from servers, and to servers from it.
    pub bytes_to: HashMap<SocketAddr, usize>,
    pub bytes_from: HashMap<SocketAddr, usize>,
}

pub fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

fn kind_of(bytes: &[u8]) -> PacketKind {
    PacketHeader::parse(bytes).map_or(PacketKind::Request, |header| header.kind)
}

/// The transitions that the standard allows, as far as a client's user sees them.
fn is_allowed(from: ClientState, to: ClientState) -> bool {
    use ClientState::{Connected, Connecting, Denied, Disconnected};
    use DisconnectReason::{ByClient, ByServer, RequestTimedOut, ResponseTimedOut, TimedOut, TokenExpired};
    match (from, to) {
        (Connecting, Connected | Denied) => true,
        (Connecting, Disconnected { reason }) => {
            matches!(reason, RequestTimedOut | ResponseTimedOut | TokenExpired | ByClient)
        }
        (Connected, Disconnected { reason }) => matches!(reason, ByServer | TimedOut | ByClient),
        _ => from == to,
    }
}

impl Net {
    /// One server for each configuration, reached by its first public address.
    pub fn new(configs: Vec<ServerConfig>) -> Self {
        let tick = Duration::from_secs(1) / configs[0].tick_hz;
        let mut net = Self {
            servers: Vec::new(),
            clients: Vec::new(),
            elapsed: Duration::ZERO,
            latency: Duration::from_millis(10),
            tick,
            random: Random::new(1),
            rule: Box::new(|_| Fate::Arrive),
            next_tick: tick,
            flying: BTreeMap::new(),
            sent: 0,
            numbers: HashMap::new(),
            wakes: BTreeSet::new(),
            clients_by_address: HashMap::new(),
            nonces: None,
            tokens: HashMap::new(),
            bytes_to: HashMap::new(),
            bytes_from: HashMap::new(),
        };
        for config in configs {
            let address = config.public_addresses[0];
            let core = net.boot(config);
            net.servers.push(ServerEnd { address, core, is_on: true, booted: Duration::ZERO });
        }
        net
    }

    /// From now on this decides what becomes of each datagram.
    pub fn rule(&mut self, rule: impl FnMut(&Flight) -> Fate + 'static) {
        self.rule = Box::new(rule);
        self.numbers.clear();
    }

    /// From now on a nonce that is used twice under one key fails the test.
    pub fn watch_nonces(&mut self) {
        self.nonces = Some(HashSet::new());
    }

    /// Sealed packets that were looked at.
    pub fn nonces_seen(&self) -> usize {
        self.nonces.as_ref().map_or(0, HashSet::len)
    }

    pub fn unix(&self) -> Duration {
        BOOT_UNIX + self.elapsed
    }

    /// Clients have been up as long as the world.
    pub fn now(&self) -> Now {
        Now { monotonic: self.elapsed, unix: self.unix() }
    }

    fn server_now(&self, server: usize) -> Now {
        Now { monotonic: self.elapsed.saturating_sub(self.servers[server].booted), unix: self.unix() }
    }

    fn boot(&self, config: ServerConfig) -> ZoneServer {
        let boot_unix_ms = u64::try_from(self.unix().as_millis()).expect("this era");
        let mut core =
            ZoneServer::new(ServerConfig { boot_unix_ms, ..config }).expect("a valid configuration");
        core.install_key(SERVER_KEY);
        core
    }

    /// The server's process begins anew, with its key and nothing else.
    pub fn restart(&mut self, server: usize, config: ServerConfig) {
        let core = self.boot(config);
        let booted = self.elapsed;
        let end = &mut self.servers[server];
        *end = ServerEnd { address: end.address, core, is_on: true, booted };
    }

    /// A backend's token for all servers, in their order.
    pub fn mint(&mut self, client_id: u64) -> ConnectToken {
        let addresses: Vec<_> = self.servers.iter().map(|server| server.address).collect();
        let random: [u8; TOKEN_RANDOM_BYTES] = self.random.bytes();
        let mut claims = claims(client_id, self.unix());
        claims.server_addresses = &addresses;
        claims.mint(&SERVER_KEY, &random).expect("valid claims")
    }

    /// A client that starts to connect now.
    pub fn add(&mut self, address: SocketAddr, token: ConnectToken) -> usize {
        let index = self.clients.len();
        let client = Client::new(token.clone(), TICK_HZ, self.now(), self.random.bytes());
        let state = client.state();
        self.tokens.entry(address).or_default().push(token.clone());
        self.clients_by_address.insert(address, index);
        self.clients.push(ClientEnd { address, client, token, is_on: true, wake: None, state });
        self.turn_client(index);
        index
    }

    /// The player's program begins anew at `address` with `token`.
    pub fn replace(&mut self, index: usize, address: SocketAddr, token: ConnectToken) {
        let client = Client::new(token.clone(), TICK_HZ, self.now(), self.random.bytes());
        let state = client.state();
        self.clients_by_address.remove(&self.clients[index].address);
        self.tokens.entry(address).or_default().push(token.clone());
        self.clients_by_address.insert(address, index);
        let wake = self.clients[index].wake;
        self.clients[index] = ClientEnd { address, client, token, is_on: true, wake, state };
        self.turn_client(index);
    }

    /// The player comes back with the newest resume token that it has; false when it has none.
    pub fn resume(&mut self, index: usize, address: SocketAddr) -> bool {
        let now = self.now();
        match self.clients[index].client.resume_token(now) {
            Some(token) => {
                self.replace(index, address, token);
                true
            }
            None => false,
        }
    }

    /// Sends a datagram that no client of ours made, some time from now.
    pub fn inject(&mut self, after: Duration, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let number = self.sent;
        self.sent += 1;
        let flight =
            Flight { from, to, kind: kind_of(&bytes), number: 0, is_to_server: self.is_server(to), bytes };
        self.flying.insert((self.elapsed + after + self.latency, number), flight);
    }

    fn is_server(&self, address: SocketAddr) -> bool {
        self.servers.iter().any(|server| server.address == address)
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let (kind, is_to_server) = (kind_of(bytes), self.is_server(to));
        let number = self.numbers.entry((kind as u8, is_to_server)).or_default();
        let flight = Flight { from, to, kind, number: *number, is_to_server, bytes: bytes.to_vec() };
        *number += 1;
        self.check_nonce(&flight);
        let (address, bytes) =
            if is_to_server { (from, &mut self.bytes_from) } else { (to, &mut self.bytes_to) };
        *bytes.entry(address).or_default() += flight.bytes.len();
        let extra: &[Duration] = match (self.rule)(&flight) {
            Fate::Arrive => &[Duration::ZERO],
            Fate::Lose => &[],
            Fate::Twice(after) => &[Duration::ZERO, after],
            Fate::Late(by) => &[by],
        };
        for &extra in extra {
            self.flying.insert((self.elapsed + self.latency + extra, self.sent), flight.clone());
            self.sent += 1;
        }
    }

    /// Fails when a server or client has sealed two packets under one key with one sequence.
    fn check_nonce(&mut self, flight: &Flight) {
        let Some(nonces) = &mut self.nonces else { return };
        let Ok(header) = PacketHeader::parse(&flight.bytes) else { return };
        let peer = if flight.is_to_server { flight.from } else { flight.to };
        let key = self.tokens.get(&peer).into_iter().flatten().rev().find_map(|token| {
            let key =
                if flight.is_to_server { token.client_to_server_key } else { token.server_to_client_key };
            let opened =
                PacketKey::new(&key, token.protocol_id).open(&header, &mut flight.bytes.clone()).is_ok();
            opened.then_some(key)
        });
        let key = key.unwrap_or_else(|| panic!("a packet under a key of nobody: {header:?} for {peer}"));
        assert!(nonces.insert((key, header.sequence)), "{header:?} of {peer} repeats a nonce");
    }

    fn turn_client(&mut self, index: usize) {
        let (now, mut buffer) = (self.now(), [0; 1200]);
        self.clients[index].client.update(now);
        while let Some(transmit) = self.clients[index].client.poll_transmit(now, &mut buffer) {
            if self.clients[index].is_on {
                let from = self.clients[index].address;
                self.send(from, transmit.to, &buffer[..transmit.len]);
            }
        }
        let end = &mut self.clients[index];
        while end.client.poll_event().is_some() {}
        let state = end.client.state();
        assert!(
            is_allowed(end.state, state),
            "{:?} -> {state:?} is no transition of the standard",
            end.state
        );
        end.state = state;
        if let Some(wake) = end.wake.take() {
            self.wakes.remove(&(wake, index));
        }
        // a client that is due now has been asked just now
        let soonest = self.elapsed + Duration::from_micros(100);
        end.wake = end.client.poll_timeout().map(|wake| wake.max(soonest));
        if let Some(wake) = end.wake {
            self.wakes.insert((wake, index));
        }
    }

    fn turn_server(&mut self, index: usize) {
        let (now, mut buffer) = (self.server_now(index), [0; 1200]);
        while let Some(transmit) = self.servers[index].core.poll_transmit(now, &mut buffer) {
            assert!(transmit.len <= 1200, "a datagram of {} bytes", transmit.len);
            let from = self.servers[index].address;
            self.send(from, transmit.to, &buffer[..transmit.len]);
        }
    }

    /// When the next datagram arrives, client wakes and server ticks.
    fn next_events(&self) -> [Duration; 3] {
        let arrival = self.flying.first_key_value().map_or(Duration::MAX, |(key, _)| key.0);
        let wake = self.wakes.first().map_or(Duration::MAX, |wake| wake.0);
        [arrival, wake, self.next_tick]
    }

    /// Time goes on to the next thing that happens.
    pub fn step(&mut self) {
        let [arrival, wake, tick] = self.next_events();
        self.elapsed = arrival.min(wake).min(tick);
        if arrival == self.elapsed {
            if let Some((_, flight)) = self.flying.pop_first() {
                self.arrive(flight);
            }
        } else if wake == self.elapsed {
            if let Some((_, index)) = self.wakes.pop_first() {
                self.clients[index].wake = None;
                self.turn_client(index);
            }
        } else {
            self.next_tick += self.tick;
            for index in 0..self.servers.len() {
                if self.servers[index].is_on {
                    let now = self.server_now(index);
                    self.servers[index].core.step(now);
                    self.turn_server(index);
                }
            }
        }
    }

    fn arrive(&mut self, mut flight: Flight) {
        if let Some(index) = self.servers.iter().position(|server| server.address == flight.to) {
            if self.servers[index].is_on {
                let now = self.server_now(index);
                self.servers[index].core.handle_datagram(now, flight.from, &mut flight.bytes);
                self.turn_server(index);
            }
        } else if let Some(&index) = self.clients_by_address.get(&flight.to)
            && self.clients[index].is_on
        {
            let now = self.now();
            self.clients[index].client.handle_datagram(now, &mut flight.bytes);
            self.turn_client(index);
        }
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        while self.next_events().into_iter().any(|event| event <= end) {
            self.step();
        }
        self.elapsed = end;
    }

    /// Steps until `condition` holds and returns how long that took; fails after `patience`.
    #[track_caller]
    pub fn run_until(&mut self, patience: Duration, condition: impl Fn(&Self) -> bool) -> Duration {
        let start = self.elapsed;
        while !condition(self) {
            assert!(
                self.elapsed.saturating_sub(start) < patience,
                "it did not come true within {patience:?}"
            );
            self.step();
        }
        self.elapsed.saturating_sub(start)
    }

    pub fn state(&self, client: usize) -> ClientState {
        self.clients[client].client.state()
    }

    pub fn players(&self, server: usize) -> usize {
        self.servers[server].core.status(self.server_now(server)).players
    }

    pub fn drain(&mut self, server: usize) {
        let now = self.server_now(server);
        self.servers[server].core.drain(now);
    }

    pub fn is_drained(&self, server: usize) -> bool {
        self.servers[server].core.status(self.server_now(server)).drained
    }

    pub fn disconnect_all(&mut self, server: usize) {
        let now = self.server_now(server);
        self.servers[server].core.disconnect_all(now);
        self.turn_server(server);
    }

    pub fn leave(&mut self, client: usize) {
        self.clients[client].client.disconnect();
        self.turn_client(client);
    }

    pub fn is_connected(&self, client: usize) -> bool {
        self.state(client) == ClientState::Connected
    }
}
