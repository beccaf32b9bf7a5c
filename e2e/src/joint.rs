//! Regions that are joined for several tests at once, each of which has a namespace of its own in all of them.

use futures::future::join_all;
use tokio::sync::Mutex;

use crate::command::{kubectl, try_kubectl};
use crate::pool::{self, Content, Lease};
use crate::region::Region;
use crate::regions::{Joined, own_region};
use crate::trial::{open, prepare};

/// The regions while a test is in them.
struct Joint {
    leases: Vec<Lease>,
    tests: usize,
    has_failed: bool,
}

static JOINT: Mutex<Option<Joint>> = Mutex::const_new(None);

/// The regions, as this test's own runtime reaches them. The first test that comes joins them.
pub(crate) async fn enter() -> Vec<Region> {
    let mut joint = JOINT.lock().await;
    if let Some(joint) = &mut *joint {
        joint.tests += 1;
        return join_all(
            joint.leases.iter_mut().map(Lease::slot).map(|slot| Region::open(slot.id, &slot.kubeconfig)),
        )
        .await;
    }
    let mut leases = pool::take(pool::REGIONS.len()).await;
    let regions = open(&mut leases).await;
    join_all(leases.iter_mut().zip(&regions).map(|(lease, region)| prepare(lease, region, true))).await;
    for (number, region) in regions.iter().enumerate() {
        drop(try_kubectl(region, &["apply", "--filename=-"], &own_region(region, number)).await.unwrap());
    }
    Joined::of(regions.iter().collect()).await.keep();
    *joint = Some(Joint { leases, tests: 1, has_failed: false });
    regions
}

/// The last test that leaves takes them apart again.
pub(crate) async fn leave(regions: &[Region], has_failed: bool) {
    let mut joint = JOINT.lock().await;
    let Some(left) = &mut *joint else { return };
    left.has_failed |= has_failed;
    left.tests -= 1;
    if left.tests > 0 {
        return;
    }
    let Some(mut left) = joint.take() else { return };
    Joined::again(regions).part().await;
    for region in regions {
        let delete = ["delete", "regioncluster", region.id, "--ignore-not-found", "--timeout=60s"];
        drop(kubectl(region, &delete).await);
    }
    let content = if left.has_failed { Content::Unknown } else { Content::Operator };
    left.leases.iter_mut().for_each(|lease| lease.slot().content = content);
}
