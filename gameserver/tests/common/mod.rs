//! The real program as a process, and players on real sockets.
#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

pub mod operator;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use gameserver_client::{ClientState, Event};
use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_protocol::message::Entity;
use gameserver_protocol::{ConnectToken, ConnectTokenClaims, Now, PROTOCOL_ID};
use gameserver_sys::Clock;
use serde_json::Value;

/// How long anything may take before a test gives up: a hang fails, a busy machine does not.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running game server. Killed when dropped.
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
    pub udp: SocketAddr,
    pub admin: SocketAddr,
}

/// A command for a server on free ports of the loopback address.
pub fn command(args: &[&str]) -> Command {
    command_of(env!("CARGO_BIN_EXE_gameserver"), args)
}

/// The same of a program that is the server by another path.
pub fn command_of(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--bind-address", "127.0.0.1", "--port", "0", "--admin-address", "127.0.0.1:0"])
        .args(["--log-format", "json"])
        .args(args)
        .stderr(Stdio::piped());
    command
}

impl Server {
    pub fn start(args: &[&str]) -> Self {
        Self::spawn(command(args))
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut log = Vec::new();
        let listening = loop {
            let line = read_line(&mut lines).unwrap_or_else(|| panic!("the server ended: {log:#?}"));
            log.push(line.clone());
            if line["message"] == "listening" {
                break line;
            }
        };
        let address = |field: &str| listening[field].as_str().unwrap().parse().unwrap();
        let log = Arc::new(Mutex::new(log));
        let shared = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            while let Some(line) = read_line(&mut lines) {
                shared.lock().unwrap().push(line);
            }
        });
        Self { child, log, reader: Some(reader), udp: address("udp"), admin: address("admin") }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the process has ended.
    pub fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        let status = await_some("the server to end", || self.child.try_wait().unwrap());
        self.reader.take().unwrap().join().unwrap();
        (status, self.log())
    }

    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// The line with this message.
    pub fn logged(&self, message: &str) -> Value {
        await_some(message, || self.log().into_iter().find(|line| line["message"] == message))
    }

    /// Status code and body of a path of the admin endpoint.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Value of a metric with these labels, of all zones together where each has one.
    pub fn metric(&self, name: &str) -> f64 {
        self.by_zone(name).iter().sum()
    }

    /// Value of a metric with these labels in each zone, or the one of the process.
    pub fn by_zone(&self, name: &str) -> Vec<f64> {
        let (_, text) = self.get("/metrics");
        let found = by_zone(&text, name);
        assert!(!found.is_empty(), "{name} is missing in\n{text}");
        found
    }
}

/// Values of a metric in what a server shows, by number of the zone, or the one of the process.
pub fn by_zone(text: &str, name: &str) -> Vec<f64> {
    let (name, labels) = name.strip_suffix('}').and_then(|name| name.split_once('{')).unwrap_or((name, ""));
    let value = |line: &str, zone: &str| -> Option<f64> {
        let both = if labels.is_empty() { zone.to_owned() } else { format!("{labels},{zone}") };
        let shown = if both.is_empty() {
            name.to_owned()
        } else {
            format!("{name}{{{}}}", both.trim_end_matches(','))
        };
        line.strip_prefix(&shown)?.strip_prefix(' ')?.parse().ok()
    };
    let of_zone = |zone: usize| text.lines().find_map(|line| value(line, &format!("zone=\"{zone}\"")));
    let of_zones: Vec<_> = (0..).map_while(of_zone).collect();
    if of_zones.is_empty() {
        text.lines().find_map(|line| value(line, "")).into_iter().collect()
    } else {
        of_zones
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn read_line(lines: &mut BufReader<ChildStderr>) -> Option<Value> {
    let mut line = String::new();
    (lines.read_line(&mut line).unwrap() > 0)
        .then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}")))
}

/// Asks until there is an answer.
pub fn await_some<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::start();
    let (_idle_sender, idle) = std::sync::mpsc::channel::<()>();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(clock.monotonic() < PATIENCE, "waited in vain for {what}");
        let _timed_out = idle.recv_timeout(Duration::from_millis(5));
    }
}

/// Players that share a thread, each on a socket of its own.
pub struct Players {
    pub clock: Clock,
    pub players: Vec<Player>,
}

type Client = gameserver_client::Client<Arena>;

pub struct Player {
    pub client: Client,
    pub socket: UdpSocket,
    sent_at: Option<(u32, Duration)>,
    pub latencies: Vec<Duration>,
    pub rejected: Vec<Event>,
    /// Everything that it was told of others, by tick and index, from when this is set on.
    pub told: Option<Vec<((u64, u32), Entity)>>,
}

impl Players {
    pub fn new(count: u64, server: SocketAddr, key: &[u8; 32]) -> Self {
        let mut players = Self { clock: Clock::start(), players: Vec::new() };
        for number in 0..count {
            players.add(mint(number + 1, server, key, now(&players.clock)), socket());
        }
        players
    }

    /// One more, with this token and behind this socket.
    pub fn add(&mut self, token: ConnectToken, socket: UdpSocket) {
        self.players.push(Player::new(token, socket, now(&self.clock)));
    }

    /// Everyone plays until `done`; each has one move under way at a time.
    pub fn play_until(&mut self, what: &str, mut done: impl FnMut(&[Player]) -> bool) {
        let end = self.clock.monotonic() + PATIENCE;
        let (_idle_sender, idle) = std::sync::mpsc::channel::<()>();
        while !done(&self.players) {
            assert!(self.clock.monotonic() < end, "waited in vain for {what}");
            let _timed_out = idle.recv_timeout(Duration::from_millis(1));
            self.turn();
        }
    }

    /// Everyone takes in what has come and sends what is due.
    pub fn turn(&mut self) {
        for player in &mut self.players {
            player.turn(self.clock);
        }
    }

    pub fn leave(&mut self) {
        for player in &mut self.players {
            player.client.disconnect();
            player.turn(self.clock);
        }
    }
}

pub fn now(clock: &Clock) -> Now {
    Now { monotonic: clock.monotonic(), unix: clock.unix() }
}

/// A socket at a port of its own.
pub fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// How often each zone refused something for this reason.
pub fn refused(server: &Server, reason: &str) -> Vec<f64> {
    server.by_zone(&format!("gameserver_rejects_total{{reason=\"{reason}\"}}"))
}

/// The zone that the kernel takes datagrams of this socket to: the one that refuses what is no packet.
fn zone_of(server: &Server, socket: &UdpSocket) -> usize {
    let before = refused(server, "malformed");
    socket.send_to(&[1], server.udp).unwrap();
    await_some("a zone that refuses what is no packet", || {
        let after = refused(server, "malformed");
        before.iter().zip(&after).position(|(before, after)| after > before)
    })
}

/// So many sockets that the kernel takes to each zone, by zone.
pub fn sockets_of_zones<const ZONES: usize>(server: &Server, count: usize) -> [Vec<UdpSocket>; ZONES] {
    let mut sockets = [const { Vec::new() }; ZONES];
    // each of 200 goes to one of three: a zone is short of a few of them never
    for _ in 0..200 {
        if sockets.iter().all(|of_zone| of_zone.len() == count) {
            return sockets;
        }
        let socket = socket();
        let zone = zone_of(server, &socket);
        if sockets[zone].len() < count {
            sockets[zone].push(socket);
        }
    }
    panic!("the kernel chose so: {:?}", sockets.map(|of_zone| of_zone.len()));
}

impl Player {
    fn new(token: ConnectToken, socket: UdpSocket, now: Now) -> Self {
        let client = Client::new(token, 64, now, [7; 32]);
        Self { client, socket, sent_at: None, latencies: Vec::new(), rejected: Vec::new(), told: None }
    }

    pub fn is_playing(&self) -> bool {
        self.client.state() == ClientState::Connected
    }

    fn note(&mut self) {
        let (Some(told), Some(snapshot)) = (&mut self.told, self.client.snapshot()) else { return };
        let tick = snapshot.head.tick;
        for cell in &snapshot.cells {
            told.extend(self.client.view().get(cell.index).map(|entity| ((tick, cell.index), *entity)));
        }
    }

    fn turn(&mut self, clock: Clock) {
        let mut buffer = [0; 2048];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let before = self.client.view().newest_tick();
            self.client.handle_datagram(now(&clock), &mut buffer[..len]);
            if self.client.view().newest_tick() != before {
                self.note();
            }
        }
        let time = now(&clock);
        self.client.update(time);
        while let Some(event) = self.client.poll_event() {
            match (event, self.sent_at) {
                (Event::Confirmed { input_seq, .. }, Some((sent, at))) if sent == input_seq => {
                    self.latencies.push(time.monotonic.saturating_sub(at));
                    self.sent_at = None;
                }
                (rejected @ Event::Rejected { .. }, _) => {
                    self.rejected.push(rejected);
                    self.sent_at = None;
                }
                _ => {}
            }
        }
        if self.sent_at.is_none()
            && let Some((x, y)) = self.client.own().map(|(_, own)| (own.x, own.y))
        {
            let x = if x > 500_000 { x - 1000 } else { x + 1000 };
            self.sent_at = Some((self.client.send_soon(time, Intent::Move { x, y }), time.monotonic));
        }
        while let Some(transmit) = self.client.poll_transmit(time, &mut buffer) {
            self.socket.send_to(&buffer[..transmit.len], transmit.to).unwrap();
        }
    }
}

/// A connect token for this player and server.
pub fn mint(client_id: u64, server: SocketAddr, key: &[u8; 32], now: Now) -> ConnectToken {
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: &[server],
        client_id,
        user_data: &[0; 256],
        now_unix: now.unix,
        lifetime_seconds: 30,
        timeout_seconds: 10,
    };
    claims.mint(key, &gameserver::random_bytes().unwrap()).unwrap()
}

/// A file in the temporary directory, removed when dropped.
pub struct TempFile(pub std::path::PathBuf);

impl TempFile {
    pub fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let unique = format!("gameserver-{}-{:?}-{name}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(unique.replace(['(', ')'], "-"));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _removed = std::fs::remove_file(&self.0);
    }
}
