//! The regions of this run. A test takes one for itself: tests in different regions run at the same time, those of one
//! region one after the other, so that nobody's writes are counted as another's.

use std::sync::{LazyLock, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// A region with what is known of it.
pub(crate) struct Slot {
    pub(crate) id: &'static str,
    pub(crate) kubeconfig: String,
    pub(crate) content: Content,
}

/// What the last test left in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nobody has looked yet: what is there may be somebody's.
    Unseen,
    /// Nothing is known; an installation by Helm mends what is missing.
    Unknown,
    /// The operator runs as this working tree installs it.
    Operator,
    /// A test that installs by hand was cut off.
    Dirty,
}

/// A region that one test has for itself; it goes back when this is dropped.
pub(crate) struct Lease {
    slot: Option<Slot>,
}

impl Lease {
    /// The region.
    pub(crate) fn slot(&mut self) -> &mut Slot {
        self.slot.as_mut().expect("the slot is there until the lease is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        POOL.free.lock().unwrap_or_else(PoisonError::into_inner).extend(self.slot.take());
        POOL.places.add_permits(1);
    }
}

/// Waits for so many regions that nobody uses; they come sorted by their ids.
pub(crate) async fn take(count: usize) -> Vec<Lease> {
    // all at once, so that two tests that need several never wait for each other's
    let places = POOL.places.acquire_many(u32::try_from(count).expect("a handful"));
    places.await.expect("the pool is never closed").forget();
    let mut free = POOL.free.lock().unwrap_or_else(PoisonError::into_inner);
    let rest = free.len().checked_sub(count).expect("there is a slot for each place");
    let mut taken = free.split_off(rest);
    taken.sort_by_key(|slot| slot.id);
    taken.into_iter().map(|slot| Lease { slot: Some(slot) }).collect()
}

struct Pool {
    free: Mutex<Vec<Slot>>,
    places: Semaphore,
}

/// Every region that there may be.
pub(crate) const REGIONS: [&str; 3] = ["sg", "jp", "kr"];

/// Where the kubeconfig of a region is, if there is one.
fn kubeconfig(id: &str) -> Option<String> {
    std::env::var(format!("CRANEWING_E2E_KUBECONFIG_{}", id.to_uppercase())).ok()
}

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let regions = REGIONS
        .into_iter()
        .filter_map(|id| Some(Slot { id, kubeconfig: kubeconfig(id)?, content: Content::Unseen }));
    let free: Vec<Slot> = regions.collect();
    assert!(
        !free.is_empty(),
        "no CRANEWING_E2E_KUBECONFIG_KR, _JP or _SG is set; `cargo xtask test` makes clusters and sets them"
    );
    let places = Semaphore::new(free.len());
    Pool { free: Mutex::new(free), places }
});
