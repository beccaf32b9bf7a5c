//! A way to the server on which what the client sends can be made to wait, and what the server sends to be lost.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Default)]
struct Switches {
    inputs_wait: AtomicBool,
    news_are_lost: AtomicBool,
    lost: AtomicU64,
    stop: AtomicBool,
}

/// One client's way there and back.
pub struct Relay {
    pub address: SocketAddr,
    switches: Arc<Switches>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn to(server: SocketAddr) -> Self {
        let (near, far) = (socket(), socket());
        far.connect(server).unwrap();
        let address = near.local_addr().unwrap();
        let switches = Arc::new(Switches::default());
        let shared = Arc::clone(&switches);
        let thread = std::thread::spawn(move || pass_on(&near, &far, &shared));
        Self { address, switches, thread: Some(thread) }
    }

    /// Inputs wait, or go on in their order.
    pub fn hold_inputs(&self, wait: bool) {
        self.switches.inputs_wait.store(wait, Ordering::Relaxed);
    }

    /// What the server sends from now on is lost, or arrives.
    pub fn lose_news(&self, are_lost: bool) {
        self.switches.news_are_lost.store(are_lost, Ordering::Relaxed);
    }

    /// How much of what the server sent is lost by now.
    pub fn lost(&self) -> u64 {
        self.switches.lost.load(Ordering::Relaxed)
    }
}

fn pass_on(near: &UdpSocket, far: &UdpSocket, switches: &Switches) {
    let (_idle_sender, idle) = mpsc::channel::<()>();
    let (mut client, mut waiting, mut buffer) = (None, Vec::new(), [0; 2048]);
    while !switches.stop.load(Ordering::Relaxed) {
        while let Ok((len, from)) = near.recv_from(&mut buffer) {
            client = Some(from);
            waiting.push(buffer[..len].to_vec());
        }
        if !switches.inputs_wait.load(Ordering::Relaxed) {
            for bytes in waiting.drain(..) {
                let _lost = far.send(&bytes);
            }
        }
        while let Ok(len) = far.recv(&mut buffer) {
            if let Some(client) = client.filter(|_| !switches.news_are_lost.load(Ordering::Relaxed)) {
                let _lost = near.send_to(&buffer[..len], client);
            } else {
                switches.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        let _timed_out = idle.recv_timeout(Duration::from_millis(1));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.switches.stop.store(true, Ordering::Relaxed);
        let _joined = self.thread.take().map(JoinHandle::join);
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}
