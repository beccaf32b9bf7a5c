//! How long a region takes to come back whose cluster was deleted, step by step.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::page::{Page, Spread, table};
use crate::checkout::Checkout;
use crate::clock;
use crate::cluster::{self, kubectl};
use crate::engine::Surroundings;
use crate::process;
use crate::progress::{Finished, Progress};
use crate::region;
use crate::state::{Region, State};
use crate::up;

/// The region that is lost. The placed Fleet has its home there.
const LOST: &str = "kr";

const PLACED: &str = r#"{"apiVersion": "cranewing.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "wide", "namespace": "default"},
"spec": {"home": "kr", "replicas": 9, "placement": {}, "template": {"spec": {"capacity": 20}}}}"#;

/// Longest time for a Fleet of nine to be shared out.
const SHARED_OUT_LIMIT: Duration = Duration::from_secs(120);

const METHOD: &str = "`up` as it is, with players in all regions, and a placed Fleet of nine whose home is kr. kr's cluster is deleted, etcd and all, and \
`cargo xtask region restore kr` makes it again: images and tools are there, nothing has to be compiled. The last step is over when every region says of \
the Fleet that it has its three servers Ready again. The limit is 300 s. Players of kr's own servers lose their matches; those of jp and sg notice nothing.
";

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let progress = Progress::new();
    let (surroundings, state, _) = up::bring_up(checkout, &up::Args::default(), &progress)?;
    let home = state.regions.iter().find(|region| region.id == LOST).context("kr is among the regions")?;
    progress.step("share a Fleet out", |_| {
        for region in &state.regions {
            let annotate = ["annotate", "namespace", "default", "cranewing.dev/takes-fleets-from=*"];
            process::output(kubectl(&surroundings, region).args(annotate))?;
        }
        let file = checkout.state().join("wide.json");
        fs::write(&file, PLACED).with_context(|| format!("failed to write {}", file.display()))?;
        process::output(kubectl(&surroundings, home).args(["apply", "--filename"]).arg(&file))?;
        await_shared_out(&surroundings, &state)
    })?;
    drop(progress);
    let mut all: Vec<Vec<Finished>> = Vec::new();
    for _ in 0..runs {
        cluster::delete(checkout, &surroundings, home)?;
        let progress = Progress::new();
        drop(region::restore(checkout, &state, LOST, &region::RestoreArgs::default(), &progress)?);
        progress.step("the Fleet is shared out as before", |_| await_shared_out(&surroundings, &state))?;
        all.push(progress.finished());
    }
    let row = |name: &str| {
        let steps = all.iter().flatten().filter(|step| step.name == name);
        (name.to_owned(), Spread::seconds(steps.map(|step| step.took)))
    };
    let mut rows: Vec<_> = all.first().into_iter().flatten().map(|step| row(&step.name)).collect();
    let total = Spread::seconds(all.iter().filter_map(|run| Some(run.last()?.ended)));
    rows.push(("**all as before**".to_owned(), total));
    Ok(Page {
        name: "restore",
        title: "A region whose cluster is deleted",
        arguments: format!("restore --runs {runs}"),
        body: format!("{METHOD}\n{runs} runs; steps overlap.\n\n{}", table("step, s", 1, &rows)),
        panels: Vec::new(),
    })
}

fn await_shared_out(surroundings: &Surroundings, state: &State) -> Result<()> {
    let mut last = String::new();
    let found = clock::poll(SHARED_OUT_LIMIT, Duration::from_millis(500), || {
        let said = state.regions.iter().map(|region| parts(surroundings, region));
        let said: Vec<Result<Vec<[i64; 2]>>> = said.collect();
        last = format!("{said:?}");
        said.iter().all(|parts| parts.as_ref().is_ok_and(|parts| parts == &[[3, 3]; 3])).then_some(())
    });
    if found.is_none() {
        bail!("it is not shared out after {} s: {last}", SHARED_OUT_LIMIT.as_secs());
    }
    Ok(())
}

/// Share and Ready of each region, as this one says.
fn parts(surroundings: &Surroundings, region: &Region) -> Result<Vec<[i64; 2]>> {
    let get = ["get", "fleet", "wide", "--namespace=default", "--output=json", "--request-timeout=5s"];
    let said = process::output(kubectl(surroundings, region).args(get))?;
    let fleet: Value =
        serde_json::from_str(&said).context("kubectl answered with something else than a Fleet")?;
    let parts = fleet["status"]["regions"].as_array().into_iter().flatten();
    Ok(parts.map(|part| [&part["share"], &part["ready"]].map(|count| count.as_i64().unwrap_or(-1))).collect())
}
