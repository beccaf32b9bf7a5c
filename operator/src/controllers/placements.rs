//! Since when this replica has seen pods on a node: how long their servers may still take is counted from there.
//!
//! What an object says of times is said by other clocks than ours, and goes on while nobody here could hear a report.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Pods remembered before those that are gone are looked for.
const SWEEP_AT_MIN: usize = 1024;

/// When each pod was first seen on a node, by its uid, in time in which this process ran.
#[derive(Default)]
pub(crate) struct Placements(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    since: HashMap<String, Duration>,
    /// Twice what was left at the last sweep, so that sweeping costs each pod a constant.
    sweep_at: usize,
}

impl Placements {
    /// For how long this replica has seen `pod`, one of `pods`, on its node when it is `awake` for so long.
    pub(crate) fn placed_for(&self, awake: Duration, pod: &Pod, pods: &Store<Pod>) -> Duration {
        let uid = pod.uid().unwrap_or_default();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = seen.since.get(&uid) {
            return awake.saturating_sub(*since);
        }
        if seen.since.len() >= seen.sweep_at.max(SWEEP_AT_MIN) {
            let there: HashSet<String> = pods.state().iter().filter_map(|pod| pod.uid()).collect();
            seen.since.retain(|uid, _| there.contains(uid));
            seen.sweep_at = seen.since.len() * 2;
        }
        seen.since.insert(uid, awake);
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

    fn pod(number: usize) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(format!("arena-{number}"));
        pod.metadata.uid = Some(format!("p-{number}"));
        pod
    }

    #[test]
    fn a_pod_counts_from_the_moment_in_which_it_was_first_seen() {
        let (pods, _feed) = reflector::store();
        let placements = Placements::default();
        let at = |seconds, number| {
            placements.placed_for(Duration::from_secs(seconds), &pod(number), &pods).as_secs()
        };
        assert_eq!((at(3600, 0), at(3650, 0), at(3660, 1), at(3660, 0)), (0, 50, 0, 60));
    }

    #[test]
    fn pods_that_are_gone_are_forgotten() {
        let (pods, mut feed) = reflector::store();
        feed.apply_watcher_event(&Event::Apply(pod(0)));
        let placements = Placements::default();
        for number in 0..SWEEP_AT_MIN * 10 {
            placements.placed_for(Duration::from_secs(1), &pod(number), &pods);
        }
        let remembered = placements.0.lock().unwrap().since.len();
        assert!(remembered <= SWEEP_AT_MIN, "{remembered}");
        assert_eq!(
            placements.placed_for(Duration::from_secs(9), &pod(0), &pods),
            Duration::from_secs(8),
            "one that is there is not"
        );
    }
}
