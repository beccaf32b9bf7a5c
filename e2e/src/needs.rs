//! What some tests need of the machine. Where it is not there they are listed as not run, with the reason:
//! `not run: NAME: REASON`, a line of its own that begins at the left.

use std::process::Command;

use crate::wait::say;

/// Something that a cluster given by a kubeconfig alone may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The nodes' containers are on this machine, to be paused and to have their processes killed.
    Engine,
    /// The load client, and nodes that this machine reaches by UDP.
    Bots,
    /// An image of metrics-server.
    MetricsServer,
    /// The images of this working tree.
    Images,
    /// The operator's program, for its commands.
    Program,
    /// OpenTofu, and the providers that `terraform/` needs.
    Terraform,
    /// Three regions, and the operator's program, by which they are joined.
    Regions,
}

impl Need {
    /// Why it is not there: of the variables some are set, and the engine may be at fault.
    fn missing(
        self,
        is_set: impl Fn(&str) -> bool,
        engine_fault: impl Fn() -> Option<String>,
    ) -> Option<String> {
        let variables: &[&str] = match self {
            Self::Engine => &["CRANEWING_E2E_ENGINE"],
            Self::Bots => &["CRANEWING_E2E_BOTS"],
            Self::MetricsServer => &["CRANEWING_E2E_METRICS_SERVER_IMAGE"],
            Self::Program => &["CRANEWING_E2E_OPERATOR"],
            Self::Images => &["CRANEWING_E2E_OPERATOR_IMAGE", "CRANEWING_E2E_GAMESERVER_IMAGE"],
            Self::Terraform => &["CRANEWING_E2E_OPENTOFU", "CRANEWING_E2E_TERRAFORM_CONFIGURATION"],
            Self::Regions => &[
                "CRANEWING_E2E_OPERATOR",
                "CRANEWING_E2E_KUBECONFIG_KR",
                "CRANEWING_E2E_KUBECONFIG_JP",
                "CRANEWING_E2E_KUBECONFIG_SG",
            ],
        };
        let unset = variables.iter().find(|variable| !is_set(variable));
        let why = match self {
            Self::Engine => "it pauses nodes and kills processes on them",
            Self::Bots => "it needs players",
            Self::MetricsServer => "it needs figures of CPU",
            Self::Program => "it runs the operator's commands",
            Self::Images => "it needs an operator",
            Self::Terraform => "it applies terraform/",
            Self::Regions => "it needs three regions that are joined",
        };
        if let Some(variable) = unset {
            return Some(format!("{why}, and {variable} is not set"));
        }
        (self == Self::Engine).then(engine_fault).flatten().map(|fault| format!("{why}, but {fault}"))
    }
}

/// The container engine that runs the nodes.
pub(crate) fn engine() -> String {
    std::env::var("CRANEWING_E2E_ENGINE").expect("CRANEWING_E2E_ENGINE is not set")
}

fn engine_fault() -> Option<String> {
    let engine = engine();
    match Command::new(&engine).args(["ps", "--quiet"]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("{engine} does not answer: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Some(format!("{engine} cannot be run: {error}")),
    }
}

/// Whether all of `needs` are there; says that the test is not run if one is not.
pub(crate) fn are_met(test: &str, needs: &[Need]) -> bool {
    let is_set = |variable: &str| std::env::var_os(variable).is_some();
    let missing = needs.iter().find_map(|need| need.missing(is_set, engine_fault));
    if let Some(reason) = &missing {
        not_run(test, reason);
    }
    missing.is_none()
}

/// Lists a test as not run.
pub(crate) fn not_run(test: &str, reason: &str) {
    say(&format!("not run: {test}: {}", reason.trim().replace('\n', " ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_left_out_with_its_reason_where_something_that_it_needs_is_missing() {
        let images = ["CRANEWING_E2E_OPERATOR_IMAGE", "CRANEWING_E2E_GAMESERVER_IMAGE"];
        let none: Option<&str> = None;
        for (need, set, fault, said) in [
            (Need::Images, &images[..], none, None),
            (Need::Images, &images[..1], none, Some("CRANEWING_E2E_GAMESERVER_IMAGE is not set")),
            (Need::Bots, &[], none, Some("it needs players, and CRANEWING_E2E_BOTS is not set")),
            (Need::Bots, &["CRANEWING_E2E_BOTS"], Some("podman cannot be run"), None),
            (Need::Program, &images, none, Some("CRANEWING_E2E_OPERATOR is not set")),
            (Need::MetricsServer, &images, none, Some("CRANEWING_E2E_METRICS_SERVER_IMAGE is not set")),
            (Need::Terraform, &images, none, Some("CRANEWING_E2E_OPENTOFU is not set")),
            (Need::Engine, &[], none, Some("CRANEWING_E2E_ENGINE is not set")),
            (
                Need::Engine,
                &["CRANEWING_E2E_ENGINE"],
                Some("podman cannot be run"),
                Some("but podman cannot be run"),
            ),
            (Need::Engine, &["CRANEWING_E2E_ENGINE"], none, None),
        ] {
            let missing = need.missing(|variable| set.contains(&variable), || fault.map(str::to_owned));
            match said {
                None => assert_eq!(missing, None, "{need:?} with {set:?}"),
                Some(said) => assert!(missing.is_some_and(|why| why.contains(said)), "{need:?} with {set:?}"),
            }
        }
    }
}
