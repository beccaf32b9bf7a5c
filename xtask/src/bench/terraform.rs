//! Three regions by `terraform/`, from nothing to players and back to nothing: the end-to-end test that does so, and the lines that it prints.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::page::{Page, Spread, table};
use crate::checkout::Checkout;
use crate::test;

const METHOD: &str = "Three kind clusters (kr, jp, sg) on this machine with nothing of ours in them, and the environment production of `terraform/` \
with their addresses: a placed Fleet of nine servers, dashboard, roles. OpenTofu applies all three at the same time, a process a region; then \
all conditions of the output `wait_for` hold in each region; then eight players play in each. Times are from the beginning of the applies. A plan is of a region that is \
settled, one after the other, the slowest. Requests are those that the API server of one region answered to OpenTofu, discovery included, counted by a FlowSchema. `destroy` \
is of all three at the same time, and ends when nothing is left. The machine runs the clusters as well as OpenTofu, so a region alone is faster.
";

/// What is shown, in this order.
const ROWS: [&str; 8] = [
    "apply, s",
    "all that `wait_for` names, s",
    "players in all regions, s",
    "plan of a settled region, s",
    "destroy, s",
    "objects a region",
    "requests of an apply, a region",
    "requests of a plan, a region",
];

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let lines = test::measure(checkout, "three_regions_from_nothing", runs, "terraform: ")?;
    let found: Vec<BTreeMap<String, f64>> = lines
        .iter()
        .map(|line| serde_json::from_str(line).with_context(|| format!("`{line}` are no figures")))
        .collect::<Result<_>>()?;
    Ok(Page {
        name: "terraform",
        title: "Three regions by Terraform",
        arguments: format!("terraform --runs {runs}"),
        body: format!("{METHOD}\n{}", rows(&found)),
        panels: Vec::new(),
    })
}

fn rows(found: &[BTreeMap<String, f64>]) -> String {
    let row = |name: &str| {
        (name.to_owned(), Spread::of(found.iter().filter_map(|figures| figures.get(name)).copied()))
    };
    table(&format!("{} runs", found.len()), 1, &ROWS.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_row_and_one_that_is_missing_a_dash() {
        let figures = |seconds| BTreeMap::from([(ROWS[0].to_owned(), seconds)]);
        let text = rows(&[figures(20.0), figures(30.0)]);
        assert!(text.contains("| apply, s | 20.0 | 25.0 | 30.0 |"), "{text}");
        assert!(text.contains("| destroy, s | - | - | - |"), "{text}");
    }
}
