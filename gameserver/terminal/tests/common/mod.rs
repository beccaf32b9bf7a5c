//! The game server as a process, the terminal client in a pseudo-terminal, and a way between them that can be held up.

pub mod pty;
pub mod relay;
pub mod rival;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use gameserver_access::ServerKey;
use gameserver_sys::Clock;
use serde_json::Value;

/// How long anything may take before a test gives up: a hang fails, a busy machine does not.
pub const PATIENCE: Duration = Duration::from_secs(40);
pub const KEY: [u8; 32] = [0xab; 32];
/// Says to [`serve`] that this process is to be a game server, with these arguments.
const SERVE: &str = "CRANEWING_TERMINAL_TEST_SERVER";

/// The program `gameserver`, if this process was started to be one. (Its own file belongs to another package, of whose
/// programs cargo tells no test.)
pub fn serve() {
    let Ok(args) = std::env::var(SERVE) else { return };
    let args = gameserver::Args::parse_from(args.split(' '));
    gameserver::telemetry::start(args.log_format);
    gameserver::run(&args).unwrap();
}

/// A running game server on a free port of the loopback address. Killed when dropped.
pub struct Server {
    child: Child,
    reader: Option<JoinHandle<()>>,
    key: PathBuf,
    pub address: SocketAddr,
}

impl Server {
    /// `test` is the name of the test that calls [`serve`] and nothing else; port 0 is any.
    pub fn start(test: &str, key: [u8; 32], port: u16) -> Self {
        let digits = ServerKey(key).digits();
        let thread = std::thread::current().id();
        let name = format!("cranewing-terminal-{}-{thread:?}-{port}.key", std::process::id());
        let key = std::env::temp_dir().join(name.replace(['(', ')'], "-"));
        std::fs::write(&key, digits).unwrap();
        let args = format!(
            "gameserver --bind-address 127.0.0.1 --port {port} --admin-address 127.0.0.1:0 --log-format json \
             --capacity 10 --drain-deadline 0.2 --key-file {}",
            key.display()
        );
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(SERVE, args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut log = Vec::new();
        let address = loop {
            let line = read_line(&mut lines).unwrap_or_else(|| panic!("the server ended: {log:#?}"));
            if line["message"] == "listening" {
                break line["udp"].as_str().unwrap().parse().unwrap();
            }
            log.push(line);
        };
        // what it says must be taken, or it waits
        let reader = std::thread::spawn(move || while read_line(&mut lines).is_some() {});
        Self { child, reader: Some(reader), key, address }
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        let _removed = std::fs::remove_file(&self.key);
        let _joined = self.reader.take().map(JoinHandle::join);
    }
}

pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn read_line(lines: &mut BufReader<ChildStderr>) -> Option<Value> {
    let mut line = String::new();
    (lines.read_line(&mut line).unwrap_or(0) > 0).then(|| serde_json::from_str(&line).unwrap_or(Value::Null))
}

/// Asks until there is an answer; `why` says what was there instead when there is none.
pub fn await_some<T>(what: &str, mut ask: impl FnMut() -> Option<T>, why: impl Fn() -> String) -> T {
    let clock = Clock::start();
    let (_idle_sender, idle) = mpsc::channel::<()>();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(clock.monotonic() < PATIENCE, "waited in vain for {what}\n{}", why());
        let _timed_out = idle.recv_timeout(Duration::from_millis(5));
    }
}
