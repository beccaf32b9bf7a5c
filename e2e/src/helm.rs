//! The charts, installed as users do.

use std::path::{Path, PathBuf};
use std::process::Output;
use tokio::process::Command;

use crate::region::{OPERATOR_NAMESPACE, Region};

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts")
}

/// Runs Helm against a region; panics with its words when it fails.
pub async fn helm(region: &Region, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(region, arguments).await;
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "helm {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&stdout).into_owned()
}

async fn run(region: &Region, arguments: &[&str]) -> Output {
    let mut command = Command::new("helm");
    command
        .arg("--kubeconfig")
        .arg(&region.kubeconfig)
        .args(["--namespace", OPERATOR_NAMESPACE])
        .args(arguments);
    command.output().await.unwrap_or_else(|error| panic!("failed to run helm: {error}"))
}

/// Installs or upgrades both charts, with more `--set` values if given, and waits until the operator is available.
pub async fn install(region: &Region, more: &[&str]) {
    let charts = charts();
    let chart = |name: &str| charts.join(name).display().to_string();
    let (crds, operator) = (chart("crds"), chart("operator"));
    helm(region, &["upgrade", "--install", "--create-namespace", "cranewing-crds", &crds]).await;
    let image = |name: &str| {
        let variable = format!("CRANEWING_E2E_{}_IMAGE", name.to_uppercase());
        let reference = std::env::var(&variable).unwrap_or_else(|_| panic!("{variable} is not set"));
        format!("image.{name}={reference}")
    };
    let values = [format!("region.id={}", region.id), image("operator"), image("gameserver")];
    let mut arguments = vec!["upgrade", "--install", "cranewing", &operator, "--wait", "--timeout", "120s"];
    for value in values.iter().map(String::as_str).chain(more.iter().copied()) {
        arguments.extend(["--set", value]);
    }
    helm(region, &arguments).await;
}

/// Uninstalls both charts.
pub async fn uninstall(region: &Region) {
    for release in ["cranewing", "cranewing-crds"] {
        helm(region, &["uninstall", release, "--wait", "--timeout", "120s"]).await;
    }
}
