//! The game's core on a real socket.
#![allow(unreachable_pub, reason = "each test file uses what it needs")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_SNAPSHOT_BYTES, Now, ServerConfig, ZoneServer,
};
use gameserver_game::arena::Arena;
use gameserver_net::{Config, Datagrams, Mmsg, Outgoing, bind};
use gameserver_protocol::PROTOCOL_ID;
use gameserver_sys::Clock;

const TICK: Duration = Duration::from_micros(15_625);

/// The core at 64 Hz on a thread, until dropped.
pub struct Server {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(capacity: usize, key: [u8; 32]) -> Self {
        let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut datagrams = Mmsg::open(socket, Config::default()).unwrap();
            let mut zone = zone(capacity, key);
            let clock = Clock::start();
            let now = || Now { monotonic: clock.monotonic(), unix: clock.unix() };
            let mut due = TICK;
            while !stopped.load(Ordering::Relaxed) {
                let wait = due.saturating_sub(clock.monotonic());
                datagrams.receive(wait, &mut |from, bytes| zone.handle_datagram(now(), from, bytes)).unwrap();
                if clock.monotonic() >= due {
                    zone.step(now());
                    due = (due + TICK).max(clock.monotonic());
                }
                let time = now();
                let mut fill = |slot: &mut [u8]| {
                    let transmit = zone.poll_transmit(time, slot)?;
                    Some(Outgoing { to: transmit.to, len: transmit.len })
                };
                datagrams.transmit(&mut fill).unwrap();
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _joined = self.thread.take().unwrap().join();
    }
}

fn zone(capacity: usize, key: [u8; 32]) -> ZoneServer<Arena> {
    let mut zone = ZoneServer::new(ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: Vec::new(),
        capacity,
        tick_hz: 64,
        timeout: Duration::from_secs(5),
        boot_unix_ms: u64::try_from(Clock::start().unix().as_millis()).unwrap(),
        random: [3; 32],
        max_commands_per_tick: 1000,
        snapshot_bytes: MAX_SNAPSHOT_BYTES,
        replication_hz: DEFAULT_REPLICATION_HZ,
        interpolation: DEFAULT_INTERPOLATION,
        registry: None,
    })
    .unwrap();
    zone.install_key(key);
    zone
}
