//! What links cost in steady state; `cargo xtask bench links` runs this in a network of its own and makes a page of its lines.

use super::peer::Peer;
use super::tests::{Region, until};
use super::*;
use serde_json::json;
use std::fs;
use std::io::Write as _;

/// For how long each measurement looks.
const LOOK_FOR: Duration = Duration::from_secs(10);
/// Ticks a second of the CPU times under `/proc`, on every Linux that we run on.
const TICKS_A_SECOND: f64 = 100.0;

/// CPU seconds of this process, and bytes that this network's loopback carried.
fn spent() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // the name before it may contain anything but the last parenthesis
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    let devices = fs::read_to_string("/proc/net/dev").unwrap();
    let received = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let bytes = received.and_then(|rest| rest.split_whitespace().next()).unwrap();
    (ticks / TICKS_A_SECOND, bytes.parse().unwrap())
}

async fn measure() -> (f64, f64) {
    let clock = Clock::start();
    let (cpu, bytes) = spent();
    sleep(LOOK_FOR).await;
    let (later_cpu, later_bytes) = spent();
    let seconds = clock.elapsed().as_secs_f64();
    ((later_cpu - cpu) / seconds, (later_bytes - bytes) / seconds)
}

/// One replica a region, in one process: what all do without peers, and then with all the others as peers.
#[tokio::test]
#[ignore = "it measures: cargo xtask bench links"]
async fn links_in_steady_state() {
    for count in [3_u8, 20] {
        let mut regions = Vec::new();
        for number in 0..count {
            regions.push(Region::start(&format!("r{number}")).await);
        }
        let alone = measure().await;
        let peers: Vec<Peer> = regions.iter().map(Region::peer).collect();
        for region in &mut regions {
            let others: Vec<Peer> =
                peers.iter().filter(|peer| peer.region != region.links.me).cloned().collect();
            region.register(&others).await;
        }
        let all_connected = "C".repeat(count.into());
        until("all read all", || regions.iter().all(|region| region.standings() == all_connected)).await;
        let linked = measure().await;
        let count = f64::from(count);
        let figures = json!({
            "regions": count,
            "cpu_percent": 100.0 * (linked.0 - alone.0) / count,
            "bytes_per_second": (linked.1 - alone.1) / count,
        });
        writeln!(std::io::stdout().lock(), "\nlinks: {figures}").unwrap();
    }
}
