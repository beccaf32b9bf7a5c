//! What links cost in steady state; `cargo xtask bench links` runs this in a network of its own and makes a page of its lines.

use super::peer::Peer;
use super::tests::{Region, until};
use super::*;
use kube::runtime::watcher::Event;
use serde_json::json;
use std::fs;
use std::io::Write as _;

/// For how long each measurement looks.
const LOOK_FOR: Duration = Duration::from_secs(10);
/// Placed Fleets of one home, which every region has.
const FLEETS: usize = 30;

/// CPU seconds of this process, and bytes that this network's loopback carried.
fn spent() -> (f64, f64) {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    // nanoseconds, which the times of `stat` are too coarse for
    let on_cpu = threads.map(|thread| fs::read_to_string(thread.join("schedstat")).unwrap());
    let nanos: u64 = on_cpu.map(|figures| figures.split(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    let devices = fs::read_to_string("/proc/net/dev").unwrap();
    let received = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let bytes = received.and_then(|rest| rest.split_whitespace().next()).unwrap();
    (Duration::from_nanos(nanos).as_secs_f64(), bytes.parse().unwrap())
}

/// The Fleet at its home, r0, or the copy of it elsewhere.
fn fleet(number: usize, me: &str) -> Fleet {
    let uid = format!("uid-of-arena-{number:02}");
    let mut metadata = json!({ "name": format!("arena-{number:02}"), "namespace": "games", "uid": uid });
    if me == "r0" {
        metadata["generation"] = json!(1);
        metadata["finalizers"] = json!([labels::PLACED_FINALIZER]);
    } else {
        metadata["labels"] = json!({ labels::HOME: "r0", labels::MANAGED_BY: labels::MANAGED_BY_OPERATOR });
        metadata["annotations"] = json!({ labels::VERSION: format!("{uid} 0 1") });
    }
    let spec = json!({ "home": "r0", "replicas": 60, "placement": {}, "template": { "spec": { "capacity": 1000 } } });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
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
            let name = format!("r{number}");
            let mut region = Region::start(&name).await;
            for number in 0..FLEETS {
                region.fleets.apply_watcher_event(&Event::Apply(fleet(number, &name)));
            }
            regions.push(region);
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
        let all_said = |region: &Region| {
            region
                .links
                .look(region.links.clock.elapsed())
                .known
                .values()
                .all(|known| known.digest().is_some_and(|digest| digest.holdings.fleets.len() == FLEETS))
        };
        until("all say what they hold of every Fleet", || regions.iter().all(all_said)).await;
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
