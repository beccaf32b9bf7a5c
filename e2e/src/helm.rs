//! The charts, installed as users do.

use std::path::{Path, PathBuf};
use tokio::process::Command;

use crate::command;
use crate::region::{OPERATOR_NAMESPACE, Region};
use crate::wait::say;

/// Helm's label of the releases that this suite makes, by which they are known from those of others.
pub(crate) const MARK: &str = "cranewing-e2e=suite";

/// How other regions reach this one.
const OPEN_TO_OTHERS: [&str; 2] = ["link.service.type=NodePort", "responder.enabled=true"];

/// Until all is available.
const WAIT: [&str; 3] = ["--wait", "--timeout", "120s"];

/// A file or directory of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Runs Helm against a region; panics with its words when it fails.
pub async fn helm(region: &Region, arguments: &[&str]) -> String {
    try_helm(region, arguments).await.unwrap_or_else(|error| panic!("helm {}: {error}", arguments.join(" ")))
}

async fn try_helm(region: &Region, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("helm");
    command.arg("--kubeconfig").arg(&region.kubeconfig);
    command.args(["--namespace", OPERATOR_NAMESPACE]).args(arguments);
    command::run(command, "").await
}

/// Installs or upgrades both charts, and waits until the operator is available.
pub async fn install(region: &Region) {
    install_definitions(region, &[]).await;
    install_operator(region, &[]).await;
}

/// Installs or upgrades the definitions by their chart, with `--set` values.
pub async fn install_definitions(region: &Region, values: &[&str]) {
    upgrade(region, ("cranewing-crds", "charts/crds"), values, &WAIT).await;
}

/// Installs or upgrades the operator, with more `--set` values, and waits until it is available.
pub async fn install_operator(region: &Region, more: &[&str]) {
    upgrade_operator(region, more, &WAIT).await;
}

/// Installs the operator and does not wait for it.
pub async fn begin_operator(region: &Region) {
    upgrade_operator(region, &[], &[]).await;
}

async fn upgrade_operator(region: &Region, more: &[&str], flags: &[&str]) {
    let image = |name: &str| {
        let variable = format!("CRANEWING_E2E_{}_IMAGE", name.to_uppercase());
        let reference = std::env::var(&variable).unwrap_or_else(|_| panic!("{variable} is not set"));
        format!("image.{name}={reference}")
    };
    let values = [format!("region.id={}", region.id), image("operator"), image("gameserver")];
    let more = OPEN_TO_OTHERS.iter().chain(more).copied();
    let values: Vec<&str> = values.iter().map(String::as_str).chain(more).collect();
    upgrade(region, ("cranewing", "charts/operator"), &values, flags).await;
}

async fn upgrade(region: &Region, (release, chart): (&str, &str), values: &[&str], flags: &[&str]) {
    let chart = repository(chart).display().to_string();
    let mut arguments = vec!["upgrade", "--install", "--create-namespace", "--labels", MARK, release, &chart];
    arguments.extend(flags);
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    drop(helm(region, &arguments).await);
}

/// Uninstalls a release, if it is there.
pub async fn uninstall(region: &Region, release: &str) {
    let uninstall = ["uninstall", release, "--ignore-not-found", "--wait", "--timeout", "60s"];
    match try_helm(region, &uninstall).await {
        // Helm may miss that something is gone, and wait for it to the end (helm/helm#31766): asked again it looks anew.
        Err(said) if said.contains("context deadline exceeded") => {
            say(&format!("{release} in {}: {said}; asking again", region.id));
            drop(helm(region, &uninstall).await);
        }
        Err(said) => panic!("helm {}: {said}", uninstall.join(" ")),
        Ok(_) => {}
    }
}
