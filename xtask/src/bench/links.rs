//! What it costs regions to read each other, at three regions and at twenty.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::page::{Page, Spread, table};
use crate::checkout::Checkout;
use crate::process;
use crate::progress::Progress;
use crate::target::cargo;

/// Of one replica of one region, on average over all.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Cost {
    regions: f64,
    cpu_percent: f64,
    bytes_per_second: f64,
}

const METHOD: &str = "One replica a region, all in one process, whose links are what they are in a cluster: TLS 1.3 over sockets, a digest of every peer each \
second, and in it what the region holds of thirty placed Fleets. Measured for 10 s before they know each other and for 10 s when all read all; the difference, divided by the regions, is what \
one replica's links cost it, those that it answers and those that it asks by. Bytes are those of a loopback of its own, with all headers. A region has \
two replicas, so twice as many readers of it elsewhere.
";

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let progress = Progress::new();
    let test = ["test", "--locked", "--release", "--package=operator", "--lib"];
    progress.step("compile", |_| {
        let mut compile = cargo(checkout)?;
        process::run(compile.args(test).arg("--no-run"), &checkout.log("bench-links"))
    })?;
    let mut costs = Vec::new();
    for run in 1..=runs {
        progress.step(&format!("run {run} of {runs}"), |_| {
            // a network of its own, so that nobody else's bytes are counted
            let mut alone = Command::new("unshare");
            alone.args(["--net", "sh", "-ec", "ip link set lo up; exec \"$@\"", "sh"]);
            let cargo = cargo(checkout)?;
            alone.arg(cargo.get_program()).args(cargo.get_args()).current_dir(&checkout.root);
            alone.envs(cargo.get_envs().filter_map(|(name, value)| Some((name, value?))));
            alone.args(test).args(["links::cost", "--", "--ignored", "--nocapture"]);
            costs.extend(read(&process::output(&mut alone)?)?);
            Ok(())
        })?;
    }
    let spread = |regions: f64, figure: fn(&Cost) -> f64| {
        Spread::of(costs.iter().filter(|cost| (cost.regions - regions).abs() < 0.5).map(figure))
    };
    let rows = [3.0, 20.0].map(|regions| {
        let cpu =
            (format!("{regions} regions: CPU, percent of a core"), spread(regions, |cost| cost.cpu_percent));
        let bytes = (format!("{regions} regions: kB/s"), spread(regions, |cost| cost.bytes_per_second / 1e3));
        [cpu, bytes]
    });
    let body = format!("{METHOD}\n{}", table("a replica", 2, &rows.concat()));
    Ok(Page {
        name: "links",
        title: "What links between regions cost",
        arguments: format!("links --runs {runs}"),
        body,
        panels: Vec::new(),
    })
}

fn read(said: &str) -> Result<Vec<Cost>> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("links: "));
    let costs: Vec<Cost> = lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("`{line}` is no cost")))
        .collect::<Result<_>>()?;
    if costs.is_empty() {
        bail!("the test measured nothing:\n{said}");
    }
    Ok(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_off_the_lines_of_the_test() {
        let line = "links: {\"regions\": 3.0, \"cpu_percent\": 0.5, \"bytes_per_second\": 1200.0}";
        let cost = Cost { regions: 3.0, cpu_percent: 0.5, bytes_per_second: 1200.0 };
        assert_eq!(read(&format!("running 1 test\n\n{line}\ntest x ... ok")).unwrap(), [cost]);
        assert!(read("test result: ok. 0 passed").is_err());
    }
}
