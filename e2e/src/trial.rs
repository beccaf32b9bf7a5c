//! One test: a region for itself, a namespace in it, the story of a failure, and nothing left behind whatever happened.

use futures::FutureExt as _;
use futures::future::join_all;
use operator_api::labels;
use std::panic::{AssertUnwindSafe, resume_unwind};

use crate::command::kubectl;
use crate::describe::describe;
use crate::needs::{self, Need};
use crate::pool::{self, Content, Lease};
use crate::region::{OPERATOR_NAMESPACE, Region};
use crate::scratch::{self, Scratch};
use crate::wait::{Watch, say};
use crate::{helm, node, strangers};

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

/// Runs a test that installs by itself, in a namespace of a region where nothing of the product is.
pub async fn in_bare_region(test: &str, body: impl AsyncFnOnce(&Scratch)) {
    run(test, &[], (1, Start::Bare), async |places| body(&places[0]).await).await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Operator,
    Bare,
}

async fn run(test: &str, needs: &[Need], (count, start): (usize, Start), body: impl AsyncFnOnce(&[Scratch])) {
    // the thread bears the test's full name, except where one thread runs them all
    let thread = std::thread::current();
    let name = thread.name().filter(|name| *name != "main").unwrap_or(test);
    if !needs::are_met(name, &[&[Need::Images], needs].concat()) {
        return;
    }
    let mut leases = pool::take(count).await;
    let watch = Watch::new();
    let mut regions = Vec::new();
    for slot in leases.iter_mut().map(Lease::slot) {
        let region = Region::open(slot.id, &slot.kubeconfig).await;
        if needs.contains(&Need::Engine)
            && let Some(node) = node::stranger(&region).await
        {
            let reason =
                format!("it pauses nodes and kills processes on them, and {node} is not on this machine");
            return needs::not_run(name, &reason);
        }
        if slot.content == Content::Unseen {
            strangers::refuse(&region).await;
            slot.content = Content::Unknown;
        }
        regions.push(region);
    }
    join_all(leases.iter_mut().zip(&regions).map(|(lease, region)| prepare(lease, region, start))).await;
    // a Fleet that is shared out has the same namespace everywhere
    let namespace = scratch::fresh_name(test);
    let places = regions.into_iter().map(|region| Scratch::create(region, test, &namespace));
    let places = join_all(places).await;
    let prepared = watch.seconds();
    let outcome = AssertUnwindSafe(body(&places)).catch_unwind().await;
    let ran = watch.seconds() - prepared;
    let content = match (start, &outcome) {
        (Start::Operator, Ok(())) => Content::Operator,
        (Start::Bare, Err(_)) => Content::Dirty,
        // a test that failed may have left the operator as it should not be
        _ => Content::Unknown,
    };
    for place in places {
        if outcome.is_err() {
            eprintln!("{name} failed in {}; how things stood:\n{}", place.region.id, describe(&place).await);
        }
        place.remove().await;
    }
    for lease in &mut leases {
        lease.slot().content = content;
    }
    let regions = if count == 1 { "a region" } else { "all regions" };
    let total = watch.seconds();
    say(&format!(
        "{name}: {regions} for {total:.0} s, of which it ran {ran:.0} and was prepared {prepared:.0}"
    ));
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Makes the region what the test starts from. Until that is done nothing is known of it.
async fn prepare(lease: &mut Lease, region: &Region, start: Start) {
    let found = std::mem::replace(&mut lease.slot().content, Content::Dirty);
    if found == Content::Dirty || start == Start::Bare {
        region.clear().await;
    }
    if start == Start::Operator && found != Content::Operator {
        helm::install(region).await;
        // a run that was cut off may have left the regions joined
        let peers = ["--namespace", OPERATOR_NAMESPACE, "delete", "secrets", "--selector", labels::PEER];
        drop(kubectl(region, &peers).await);
    }
}
