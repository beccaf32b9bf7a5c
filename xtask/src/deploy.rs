//! The operator and the samples in one region.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::cluster::kubectl;
use crate::engine::Surroundings;
use crate::process;
use crate::state::Region;

/// Namespace of the operator.
pub(crate) const NAMESPACE: &str = "cranewing-system";

/// Which images a region shall run.
#[derive(Debug, Clone)]
pub(crate) struct References {
    pub(crate) operator: String,
    pub(crate) gameserver: String,
}

/// Installs or upgrades CRDs and operator by Helm, then applies the samples.
pub(crate) fn install(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    references: &References,
) -> Result<()> {
    let log = checkout.log(&format!("install-{}", region.id));
    let charts = checkout.root.join("charts");
    let helm = |release: &str, chart: &str| {
        let mut helm = surroundings.command("helm");
        helm.arg("--kubeconfig").arg(&region.kubeconfig).args(["upgrade", "--install", release]);
        helm.arg(charts.join(chart)).args(["--namespace", NAMESPACE, "--create-namespace"]);
        helm
    };
    process::run(&mut helm("cranewing-crds", "crds"), &log)?;
    let mut operator = helm("cranewing", "operator");
    operator.args(["--set", &format!("region.id={}", region.id)]);
    operator.args(["--set", &format!("image.operator={}", references.operator)]);
    operator.args(["--set", &format!("image.gameserver={}", references.gameserver)]);
    process::run(&mut operator, &log)?;
    apply_samples(checkout, surroundings, region)
}

/// Applies `docs/samples/*.yaml` and `docs/samples/<region>/*.yaml`.
fn apply_samples(checkout: &Checkout, surroundings: &Surroundings, region: &Region) -> Result<()> {
    let log = checkout.log(&format!("install-{}", region.id));
    let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
    process::run(kubectl(surroundings, region).args(established), &log)?;
    let files = samples(checkout, &region.id)?;
    let mut apply = kubectl(surroundings, region);
    apply.arg("apply");
    for file in &files {
        apply.arg("--filename").arg(file);
    }
    process::run(&mut apply, &log)
}

fn samples(checkout: &Checkout, region: &str) -> Result<Vec<PathBuf>> {
    let samples = checkout.root.join("docs/samples");
    let mut files = Vec::new();
    for directory in [samples.clone(), samples.join(region)].iter().filter(|directory| directory.is_dir()) {
        for entry in
            directory.read_dir().with_context(|| format!("failed to read {}", directory.display()))?
        {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        bail!("there are no samples in {}", samples.display());
    }
    Ok(files)
}

/// Waits until the operator answers; its log is the reason if it does not.
pub(crate) fn await_operator(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
) -> Result<()> {
    let log = checkout.log(&format!("install-{}", region.id));
    let limit = format!("--timeout={}s", Duration::from_secs(120).as_secs());
    let rollout = ["--namespace", NAMESPACE, "rollout", "status", "deployment/cranewing-operator"];
    process::run(kubectl(surroundings, region).args(rollout).arg(&limit), &log).map_err(|error| {
        let logs = [
            "--namespace",
            NAMESPACE,
            "logs",
            "--selector=app.kubernetes.io/name=cranewing",
            "--prefix",
            "--tail=15",
        ];
        let said = process::output(kubectl(surroundings, region).args(logs)).unwrap_or_default();
        error.context(format!(
            "the operator of {} is not available; it said:\n{}",
            region.id,
            process::tail(&said)
        ))
    })
}

/// Takes the samples and the operator out of a cluster that stays.
pub(crate) fn uninstall(checkout: &Checkout, surroundings: &Surroundings, region: &Region) -> Result<()> {
    let log = checkout.log(&format!("uninstall-{}", region.id));
    let mut delete = kubectl(surroundings, region);
    delete.args(["delete", "--ignore-not-found", "--timeout=120s"]);
    for file in samples(checkout, &region.id)? {
        delete.arg("--filename").arg(file);
    }
    process::run(&mut delete, &log)?;
    for release in ["cranewing", "cranewing-crds"] {
        let mut helm = surroundings.command("helm");
        helm.arg("--kubeconfig").arg(&region.kubeconfig);
        helm.args(["uninstall", release, "--namespace", NAMESPACE, "--ignore-not-found", "--wait"]);
        process::run(&mut helm, &log)?;
    }
    let namespace = ["delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s"];
    process::run(kubectl(surroundings, region).args(namespace), &log)
}
