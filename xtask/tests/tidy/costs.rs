//! The table of `docs/costs.md` is what its own formula gives for its own assumptions.

use std::collections::BTreeMap;
use std::path::Path;

/// Values by name out of rows such as `| `mean` | 0.5 | … |`.
fn assumptions(page: &str) -> BTreeMap<&str, f64> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.filter_map(|(name, rest)| Some((name, rest.split(' ').next()?.parse().ok()?))).collect()
}

/// Rows of figures, of the first table.
fn figures(page: &str) -> Vec<Vec<f64>> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.ends_with(" |"));
    let cells = |line: &str| {
        line.trim_matches(['|', ' ']).split(" | ").map(|cell| cell.trim().parse().ok()).collect()
    };
    rows.filter_map(cells).collect()
}

/// The row of so many players in so many regions.
fn row(players: f64, regions: f64, of: &BTreeMap<&str, f64>) -> Vec<f64> {
    let per_node = of["players_per_vcpu"] * of["vcpus_of_node"];
    let nodes = regions * (players / regions * of["headroom"] / per_node).ceil().max(of["nodes_min"]);
    let machines = nodes * (of["node_usd"] + of["address_usd"]);
    let balancers = if regions > 1.0 { 2.0 } else { 1.0 };
    let fixed = regions * (of["control_plane_usd"] + balancers * of["balancer_usd"]);
    let traffic = players * of["mean"] * of["kbit"] * 1000.0 / 8.0 * 730.0 * 3600.0 / 1e9;
    let (cloud, flat) = (traffic * of["gb_usd"], traffic * of["gb_flat_usd"]);
    let all = machines + fixed + cloud;
    vec![
        players,
        regions,
        nodes,
        machines,
        fixed,
        traffic / 1e3,
        cloud,
        all,
        machines + fixed + flat,
        all / players,
    ]
}

/// Whether a page's figures are those, rounded as it has them.
fn faults(page: &str) -> Vec<String> {
    let of = assumptions(page);
    let mut found = Vec::new();
    for said in figures(page) {
        let reckoned = row(said[0], said[1], &of);
        let slack = |at: usize| match at {
            5 => 0.051,
            9 => 0.0051,
            _ => 0.51,
        };
        let differs = |(at, (said, reckoned)): (usize, (&f64, &f64))| (said - reckoned).abs() > slack(at);
        if said.len() != reckoned.len() || said.iter().zip(&reckoned).enumerate().any(differs) {
            found.push(format!("{said:?} and not {reckoned:.2?}"));
        }
    }
    found
}

#[test]
fn the_table_of_costs_follows_from_its_assumptions() {
    let page = crate::text(Path::new("docs/costs.md")).expect("the page is there");
    let players: Vec<f64> = figures(&page).iter().map(|row| row[0]).collect();
    assert_eq!(players, [100.0, 1000.0, 10_000.0, 100_000.0]);
    assert_eq!(faults(&page), Vec::<String>::new());
}

#[test]
fn a_figure_that_does_not_follow_is_found() {
    let page = crate::text(Path::new("docs/costs.md")).expect("the page is there");
    assert_eq!(faults(&page.replace("| `mean` | 0.5 |", "| `mean` | 0.6 |")).len(), 4);
}
