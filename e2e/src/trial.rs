//! One test: a region for itself, a namespace in it, the story of a failure, and nothing left behind whatever happened.

use futures::FutureExt as _;
use futures::future::join_all;
use operator_api::labels;
use std::any::Any;
use std::panic::{AssertUnwindSafe, resume_unwind};

use crate::command::kubectl;
use crate::describe::describe;
use crate::needs::{self, Need};
use crate::pool::{self, Content, Lease};
use crate::region::{OPERATOR_NAMESPACE, Region};
use crate::scratch::{self, Scratch};
use crate::wait::{Watch, say};
use crate::{helm, joint, node, strangers};

/// Runs a test in a namespace of its own, in a region with an operator that is up to date. Where one of `needs` is not
/// there the test is listed as not run.
pub async fn in_namespace(test: &str, needs: &[Need], body: impl AsyncFnOnce(&Scratch)) {
    run(test, needs, (1, Start::Operator), async |places| body(&places[0]).await).await;
}

/// Runs a test in a namespace of its own in each of three regions with operators that are up to date and know nothing of each
/// other, sorted by their ids.
pub async fn in_three_regions(test: &str, needs: &[Need], body: impl AsyncFnOnce(&[Scratch])) {
    let needs = [&[Need::Regions], needs].concat();
    run(test, &needs, (pool::REGIONS.len(), Start::Operator), body).await;
}

/// Runs a test in a namespace of its own in each of three regions that are joined, sorted by their ids, beside other tests that do
/// the same: it touches nothing that is one for a whole region, as are operators, nodes, RegionClusters and their traffic.
pub async fn in_joined_regions(test: &str, needs: &[Need], body: impl AsyncFnOnce(&[Scratch])) {
    let name = full_name(test);
    if !needs::are_met(&name, &[&[Need::Images, Need::Regions], needs].concat()) {
        return;
    }
    let regions = joint::enter().await;
    let watch = Watch::new();
    let outcome = act((&name, test), regions.clone(), body).await;
    joint::leave(&regions, outcome.is_err()).await;
    say(&format!("{name}: beside others in all regions for {:.0} s", watch.seconds()));
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Runs a test that installs by itself, in a namespace of a region where nothing of the product is.
pub async fn in_bare_region(test: &str, needs: &[Need], body: impl AsyncFnOnce(&Scratch)) {
    run(test, needs, (1, Start::Bare), async |places| body(&places[0]).await).await;
}

/// The same in three regions, sorted by their ids.
pub async fn in_three_bare_regions(test: &str, needs: &[Need], body: impl AsyncFnOnce(&[Scratch])) {
    let needs = [&[Need::Regions], needs].concat();
    run(test, &needs, (pool::REGIONS.len(), Start::Bare), body).await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Operator,
    Bare,
}

/// The thread bears the test's full name, except where one thread runs them all.
fn full_name(test: &str) -> String {
    let thread = std::thread::current();
    thread.name().filter(|name| *name != "main").unwrap_or(test).to_owned()
}

async fn run(test: &str, needs: &[Need], (count, start): (usize, Start), body: impl AsyncFnOnce(&[Scratch])) {
    let name = full_name(test);
    if !needs::are_met(&name, &[&[Need::Images], needs].concat()) {
        return;
    }
    let mut leases = pool::take(count).await;
    let watch = Watch::new();
    let regions = open(&mut leases).await;
    if needs.contains(&Need::Engine) {
        for region in &regions {
            if let Some(node) = node::stranger(region).await {
                let reason =
                    format!("it pauses nodes and kills processes on them, and {node} is not on this machine");
                return needs::not_run(&name, &reason);
            }
        }
    }
    let prepared = leases.iter_mut().zip(&regions);
    join_all(prepared.map(|(lease, region)| prepare(lease, region, start == Start::Operator))).await;
    let preparing = watch.seconds();
    let outcome = act((&name, test), regions, body).await;
    let content = match (start, &outcome) {
        (Start::Operator, Ok(())) => Content::Operator,
        (Start::Bare, Err(_)) => Content::Dirty,
        // a test that failed may have left the operator as it should not be
        _ => Content::Unknown,
    };
    for lease in &mut leases {
        lease.slot().content = content;
    }
    let regions = if count == 1 { "a region" } else { "all regions" };
    say(&format!("{name}: {regions} for {:.0} s, of which {preparing:.0} to prepare", watch.seconds()));
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// The regions of these leases. One that nobody has looked at yet is refused if it is a stranger's.
pub(crate) async fn open(leases: &mut [Lease]) -> Vec<Region> {
    let mut regions = Vec::new();
    for slot in leases.iter_mut().map(Lease::slot) {
        let region = Region::open(slot.id, &slot.kubeconfig).await;
        if slot.content == Content::Unseen {
            strangers::refuse(&region).await;
            scratch::clear_leftovers(&region).await;
            slot.content = Content::Unknown;
        }
        regions.push(region);
    }
    regions
}

/// Runs the body in a namespace of its own in each region. If it fails, how things stood is told before all is removed.
async fn act(
    (name, test): (&str, &str),
    regions: Vec<Region>,
    body: impl AsyncFnOnce(&[Scratch]),
) -> Result<(), Box<dyn Any + Send>> {
    // a Fleet that is shared out has the same namespace everywhere
    let namespace = scratch::fresh_name(test);
    let places = regions.into_iter().map(|region| Scratch::create(region, test, &namespace));
    let places = join_all(places).await;
    let outcome = AssertUnwindSafe(body(&places)).catch_unwind().await;
    for place in &places {
        if outcome.is_err() {
            eprintln!("{name} failed in {}; how things stood:\n{}", place.region.id, describe(place).await);
        }
    }
    join_all(places.into_iter().map(Scratch::remove)).await;
    outcome
}

/// Makes the region what the test starts from: with an operator, or bare. Until that is done nothing is known of it.
pub(crate) async fn prepare(lease: &mut Lease, region: &Region, with_operator: bool) {
    let found = std::mem::replace(&mut lease.slot().content, Content::Dirty);
    if found == Content::Dirty || !with_operator {
        region.clear().await;
    }
    if with_operator && found != Content::Operator {
        helm::install(region).await;
        // a run that was cut off may have left the regions joined
        let peers = ["--namespace", OPERATOR_NAMESPACE, "delete", "secrets", "--selector", labels::PEER];
        drop(kubectl(region, &peers).await);
    }
}
