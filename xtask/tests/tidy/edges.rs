//! Who may use whom. The rooms of the house stay apart only as long as no door is added in passing.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

/// What a package of ours may use.
struct Rule {
    package: &'static str,
    /// Packages of ours.
    uses: &'static [&'static str],
    /// Crates that would bring I/O, clocks or chance into a room without any.
    never: &'static [&'static str],
}

/// Crates that do I/O, read clocks or log.
const OUTSIDE: &[&str] = &[
    "kube",
    "k8s-openapi",
    "tokio",
    "tokio-uring",
    "io-uring",
    "tracing",
    "rand",
    "getrandom",
    "reqwest",
    "hyper",
    "axum",
    "libc",
];

const RULES: &[Rule] = &[
    Rule { package: "operator-core", uses: &["gameserver-contract"], never: OUTSIDE },
    Rule { package: "operator-simulation", uses: &["operator-core"], never: OUTSIDE },
    Rule {
        package: "operator-api",
        uses: &["gameserver-contract"],
        never: &["tokio", "axum", "tracing", "rand"],
    },
    Rule {
        package: "operator",
        // of the protocol only how a server's key is derived, which both sides must do alike
        uses: &["operator-api", "operator-core", "gameserver-contract", "gameserver-protocol"],
        never: &["io-uring", "tokio-uring"],
    },
    // a matchmaker brings nothing of the operator along
    Rule {
        package: "operator-client",
        uses: &[],
        never: &["kube", "k8s-openapi", "rand", "reqwest", "axum"],
    },
    // for tests alone: nobody's release uses it
    Rule { package: "gameserver-allocations", uses: &[], never: OUTSIDE },
    Rule { package: "gameserver-contract", uses: &[], never: OUTSIDE },
    Rule { package: "gameserver-protocol", uses: &[], never: OUTSIDE },
    Rule { package: "gameserver-game", uses: &["gameserver-protocol"], never: OUTSIDE },
    Rule {
        package: "gameserver-core",
        uses: &["gameserver-contract", "gameserver-game", "gameserver-protocol"],
        never: OUTSIDE,
    },
    Rule { package: "gameserver-net", uses: &[], never: &["kube", "tracing", "rand"] },
    Rule { package: "gameserver-sys", uses: &[], never: &["kube", "tokio", "tracing", "rand"] },
    Rule { package: "gameserver-queue", uses: &[], never: OUTSIDE },
    Rule {
        package: "gameserver",
        uses: &[
            "gameserver-contract",
            "gameserver-core",
            "gameserver-game",
            "gameserver-net",
            "gameserver-protocol",
            "gameserver-queue",
            "gameserver-sys",
        ],
        never: &["kube", "k8s-openapi"],
    },
    Rule {
        package: "gameserver-client",
        uses: &["gameserver-contract", "gameserver-game", "gameserver-protocol"],
        never: OUTSIDE,
    },
    Rule {
        package: "gameserver-access",
        uses: &["gameserver-contract", "gameserver-protocol", "operator-api"],
        never: &["io-uring", "tokio-uring", "rand"],
    },
    Rule {
        package: "gameserver-bots",
        uses: &[
            "gameserver-access",
            "gameserver-client",
            "gameserver-game",
            "gameserver-net",
            "gameserver-protocol",
            "gameserver-sys",
        ],
        never: &["kube", "k8s-openapi"],
    },
    Rule {
        package: "gameserver-simulator",
        uses: &["gameserver-client", "gameserver-core", "gameserver-game", "gameserver-protocol"],
        never: OUTSIDE,
    },
    Rule {
        package: "gameserver-terminal",
        uses: &[
            "gameserver-access",
            "gameserver-client",
            "gameserver-game",
            "gameserver-protocol",
            "gameserver-sys",
        ],
        never: &["kube", "k8s-openapi", "io-uring", "tokio-uring", "tracing", "rand"],
    },
    Rule {
        package: "e2e",
        uses: &[
            "gameserver-client",
            "gameserver-contract",
            "gameserver-game",
            "gameserver-protocol",
            "operator-api",
        ],
        never: &[],
    },
    Rule { package: "xtask", uses: &[], never: &["kube", "k8s-openapi", "tokio"] },
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Package to what it uses outside of its tests.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(crate::root())
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    let used = |package: &Package| {
        let released =
            package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        released.map(|dependency| dependency.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.clone(), used(package))).collect()
}

/// What breaks the rules, in words.
fn violations(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (package, used) in edges {
        let Some(rule) = RULES.iter().find(|rule| rule.package == package) else {
            found.push(format!("{package} has no rule: add one and say whom it may use"));
            continue;
        };
        for name in used {
            if edges.contains_key(name) && !rule.uses.contains(&name.as_str()) {
                found.push(format!("{package} may not use {name}"));
            }
            if rule.never.contains(&name.as_str()) {
                found.push(format!("{package} must stay free of {name}"));
            }
        }
    }
    found
}

#[test]
fn packages_use_only_whom_they_may() {
    assert_eq!(violations(&edges()), Vec::<String>::new());
}

#[test]
fn a_forbidden_edge_and_a_package_without_a_rule_are_found() {
    let edge = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let edges = BTreeMap::from([
        ("operator".to_owned(), edge(&["operator-core", "gameserver-core"])),
        ("operator-core".to_owned(), edge(&["tokio"])),
        ("gameserver-core".to_owned(), edge(&[])),
        ("newcomer".to_owned(), edge(&[])),
    ]);
    let found = violations(&edges);
    assert_eq!(
        found,
        [
            "newcomer has no rule: add one and say whom it may use",
            "operator may not use gameserver-core",
            "operator-core must stay free of tokio",
        ]
    );
}
