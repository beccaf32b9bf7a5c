//! The process of a server that is measured.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use gameserver_access::ServerKey;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::scrape::Scrape;

/// How long an answer of its admin port may take.
const SCRAPE_LIMIT: Duration = Duration::from_secs(2);
/// Bytes of such an answer at most.
const SCRAPE_BYTES: u64 = 1 << 20;

/// How a game server is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch<'a> {
    pub(super) program: &'a Path,
    /// Its datagram backend, by its name on the command line.
    pub(super) backend: &'a str,
    pub(super) capacity: u32,
    pub(super) tick_hz: u32,
    /// Further arguments.
    pub(super) more: &'a [String],
}

/// A server process, killed and reaped when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    /// Where it tells its figures; the toy has none to tell.
    admin: Option<SocketAddr>,
    pub(super) key_file: PathBuf,
}

impl Server {
    /// A game server of this key.
    pub(super) fn game(launch: &Launch<'_>, key: &[u8; 32]) -> anyhow::Result<Self> {
        let (address, admin) = (free_address()?, free_admin_address()?);
        let key_file = std::env::temp_dir().join(format!("bots-bench-{}.key", std::process::id()));
        fs::write(&key_file, ServerKey(*key).digits()).context("failed to write the key file")?;
        let mut command = Command::new(launch.program);
        command
            .args(["--bind-address", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--admin-address", &admin.to_string(), "--pin", "always"])
            .args(["--tick-hz", &launch.tick_hz.to_string(), "--net", launch.backend])
            .args(["--capacity", &launch.capacity.to_string()])
            .arg("--key-file")
            .arg(&key_file)
            .args(launch.more);
        Ok(Self { child: start(command)?, address, admin: Some(admin), key_file })
    }

    /// The toy.
    pub(super) fn toy(program: &Path, tick_hz: u32) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(program);
        command.args(["--address", &address.to_string(), "--tick-hz", &tick_hz.to_string()]);
        Ok(Self { child: start(command)?, address, admin: None, key_file: PathBuf::new() })
    }

    /// What the server has measured so far, if it measures anything.
    pub(super) fn scrape(&self) -> anyhow::Result<Option<Scrape>> {
        let Some(admin) = self.admin else { return Ok(None) };
        let text = get(admin, "/metrics").context("failed to read the figures of the server")?;
        Ok(Some(Scrape::parse(&text)))
    }

    /// How it ended, if it did; it stays to be reaped.
    pub(super) fn ended(&self) -> anyhow::Result<Option<String>> {
        let pid = Pid::from_child(&self.child);
        let asked = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(pid), asked).context("failed to ask for the server")?;
        Ok(status.map(|status| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit status: {code}"),
            (None, Some(signal)) => format!("signal: {signal}"),
            (None, None) => "for no reason that is told".to_owned(),
        }))
    }

    /// CPU time of the process so far: fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second, which is what
    /// Linux shows on every machine.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        parse_cpu_time(&stat).with_context(|| format!("failed to understand {path}"))
    }

    /// What is resident of the process, megabytes; `None` of one that has ended.
    pub(super) fn memory_mb(&self) -> anyhow::Result<Option<f64>> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        Ok(parse_memory_mb(&status))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // an error says that it has ended by itself or that the file is gone, which is what is wanted
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        let _removed = fs::remove_file(&self.key_file);
    }
}

fn start(mut command: Command) -> anyhow::Result<Child> {
    let program = command.get_program().to_owned();
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().with_context(|| format!("failed to start {}", program.display()))
}

fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, SCRAPE_LIMIT)?;
    stream.set_read_timeout(Some(SCRAPE_LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(SCRAPE_BYTES).read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "it answered {:?}", answer.lines().next());
    Ok(answer)
}

fn parse_cpu_time(stat: &str) -> Option<Duration> {
    // the name in field 2 may hold spaces; it ends with the last parenthesis
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

fn parse_memory_mb(status: &str) -> Option<f64> {
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = resident.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes / 1e3)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    Ok(probe.local_addr()?)
}

fn free_admin_address() -> anyhow::Result<SocketAddr> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    Ok(probe.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_gone_is_seen_and_how_it_went() {
        for (script, how) in [("exit 3", "exit status: 3"), ("kill -9 $$", "signal: 9")] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let child = start(command).unwrap();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let server = Server { child, address, admin: None, key_file: PathBuf::new() };
            let ended = std::iter::repeat_with(|| server.ended().unwrap()).flatten().next();
            assert_eq!(ended.as_deref(), Some(how));
            assert_eq!(server.ended().unwrap().as_deref(), Some(how), "and again");
        }
    }

    #[test]
    fn cpu_time_is_user_and_system_time_whatever_the_name() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(parse_cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu_time("nonsense"), None);
    }

    #[test]
    fn memory_is_what_is_resident_and_one_that_has_ended_has_none() {
        let status = "Name:\tVmRSS\nVmPeak:\t  900000 kB\nVmRSS:\t   12340 kB\nRssAnon:\t    7000 kB\n";
        assert_eq!(parse_memory_mb(status), Some(12.34));
        assert_eq!(parse_memory_mb("Name:\tgameserver\nState:\tZ (zombie)\n"), None);
        let mut command = Command::new("sleep");
        command.arg("60");
        let child = start(command).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut server = Server { child, address, admin: None, key_file: PathBuf::new() };
        assert!(server.memory_mb().unwrap().is_some_and(|megabytes| megabytes > 0.0));
        server.child.kill().unwrap();
        while server.ended().unwrap().is_none() {}
        assert_eq!(server.memory_mb().unwrap(), None, "it is there until it is reaped");
    }
}
