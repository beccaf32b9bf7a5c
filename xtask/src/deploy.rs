//! The operator and the samples in one region.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::cluster::kubectl;
use crate::engine::Surroundings;
use crate::process;
use crate::state::Region;

/// Namespace of the operator.
pub(crate) const NAMESPACE: &str = "cranewing-system";

/// Helm's label of the releases that an instance made.
const INSTANCE_LABEL: &str = "cranewing-instance";

/// Which images a region shall run.
#[derive(Debug, Clone)]
pub(crate) struct References {
    pub(crate) operator: String,
    pub(crate) gameserver: String,
}

/// Which samples a region gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Samples {
    All,
    /// Not those of the region itself: its RegionCluster comes back from the others.
    OfAllRegions,
}

/// Installs or upgrades CRDs and operator by Helm, then applies the samples.
pub(crate) fn install(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    references: &References,
) -> Result<()> {
    install_with(checkout, surroundings, region, (references, Samples::All))
}

/// The same with these samples.
pub(crate) fn install_with(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    (references, samples): (&References, Samples),
) -> Result<()> {
    let log = checkout.log(&format!("install-{}", region.id));
    ensure_namespace(checkout, surroundings, region)?;
    let charts = checkout.root.join("charts");
    let helm = |release: &str, chart: &str| {
        let mut helm = helm(surroundings, region);
        helm.args(["upgrade", "--install", release]);
        helm.arg(charts.join(chart)).args(["--namespace", NAMESPACE]);
        helm.args(["--labels", &format!("{INSTANCE_LABEL}={}", checkout.instance)]);
        helm
    };
    process::run(&mut helm("cranewing-crds", "crds"), &log)?;
    let mut operator = helm("cranewing", "operator");
    operator.args(["--set", &format!("region.id={}", region.id)]);
    operator.args(["--set", &format!("image.operator={}", references.operator)]);
    operator.args(["--set", &format!("image.gameserver={}", references.gameserver)]);
    operator.args(["--set", "link.service.type=NodePort", "--set", "responder.enabled=true"]);
    process::run(&mut operator, &log)?;
    apply_samples(checkout, surroundings, region, samples)
}

/// Makes the operator's namespace, with the instance's label from its first moment; one that was there before is left as it is.
fn ensure_namespace(checkout: &Checkout, surroundings: &Surroundings, region: &Region) -> Result<()> {
    let present = ["get", "namespace", NAMESPACE, "--ignore-not-found", "--output=name"];
    if !process::output(kubectl(surroundings, region).args(present))?.is_empty() {
        return Ok(());
    }
    let file = checkout.state().join("namespace.yaml");
    fs::write(&file, namespace(&checkout.instance))
        .with_context(|| format!("failed to write {}", file.display()))?;
    let log = checkout.log(&format!("install-{}", region.id));
    process::run(kubectl(surroundings, region).args(["create", "--filename"]).arg(&file), &log)
}

fn namespace(instance: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}, labels: {{{INSTANCE_LABEL}: {instance}}}}}}}\n"
    )
}

/// What `kubectl` deletes: the namespace if this instance made it, and else none.
fn own_namespace(instance: &str) -> [String; 4] {
    [
        "delete".to_owned(),
        "namespace".to_owned(),
        format!("--selector={INSTANCE_LABEL}={instance}"),
        "--timeout=120s".to_owned(),
    ]
}

/// Applies `docs/samples/*.yaml` and `docs/samples/<region>/*.yaml`.
fn apply_samples(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    of: Samples,
) -> Result<()> {
    let log = checkout.log(&format!("install-{}", region.id));
    let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
    process::run(kubectl(surroundings, region).args(established), &log)?;
    let files = samples(checkout, (of == Samples::All).then_some(&*region.id))?;
    let mut apply = kubectl(surroundings, region);
    apply.arg("apply");
    for file in &files {
        apply.arg("--filename").arg(file);
    }
    process::run(&mut apply, &log)
}

fn samples(checkout: &Checkout, region: Option<&str>) -> Result<Vec<PathBuf>> {
    let samples = checkout.root.join("docs/samples");
    let mut files = Vec::new();
    let of_region = region.map(|region| samples.join(region)).filter(|directory| directory.is_dir());
    for directory in [samples.clone()].into_iter().chain(of_region) {
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

/// Makes the regions known to each other. `program` is the operator's own, whose replicas have made their keys by now.
pub(crate) fn join(checkout: &Checkout, regions: &[Region], program: &Path) -> Result<()> {
    let mut join = Command::new(program);
    join.args(["region", "join", "--namespace", NAMESPACE]);
    for region in regions {
        join.arg("--kubeconfig").arg(format!("{}={}", region.id, region.kubeconfig.display()));
    }
    process::run(&mut join, &checkout.log("join"))
}

/// Takes the samples and the operator out of a cluster that stays; what this instance did not install is left.
pub(crate) fn uninstall(checkout: &Checkout, surroundings: &Surroundings, region: &Region) -> Result<()> {
    let log = checkout.log(&format!("uninstall-{}", region.id));
    let own = releases(surroundings, region, Some(&checkout.instance))?;
    if !own.is_empty() {
        uninstall_releases(checkout, surroundings, region, &own, &log)?;
    }
    // also when `up` was cut off before it installed anything there
    process::run(kubectl(surroundings, region).args(own_namespace(&checkout.instance)), &log)
}

/// The samples and those releases that are `own`.
fn uninstall_releases(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    own: &[String],
    log: &Path,
) -> Result<()> {
    let defined = ["get", "crd", "fleets.cranewing.dev", "--ignore-not-found", "--output=name"];
    if !process::output(kubectl(surroundings, region).args(defined))?.is_empty() {
        let mut delete = kubectl(surroundings, region);
        delete.args(["delete", "--ignore-not-found", "--timeout=120s"]);
        for file in samples(checkout, Some(&region.id))? {
            delete.arg("--filename").arg(file);
        }
        process::run(&mut delete, log)?;
    }
    // the operator first: its definitions take its objects along
    for release in
        ["cranewing", "cranewing-crds"].iter().filter(|release| own.iter().any(|own| own == *release))
    {
        let mut helm = helm(surroundings, region);
        helm.args(["uninstall", release, "--namespace", NAMESPACE, "--ignore-not-found", "--wait"]);
        process::run(&mut helm, log)?;
    }
    Ok(())
}

/// Refuses a cluster with an installation that this instance did not make: `down` would take it away.
pub(crate) fn refuse_strangers(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
) -> Result<()> {
    let own = releases(surroundings, region, Some(&checkout.instance))?;
    let strangers: Vec<String> = releases(surroundings, region, None)?
        .into_iter()
        .filter(|release| {
            ["cranewing", "cranewing-crds"].contains(&release.as_str()) && !own.contains(release)
        })
        .collect();
    if !strangers.is_empty() {
        bail!(
            "{} already has Cranewing in namespace {NAMESPACE} (Helm releases {}), which this checkout did not install: use another cluster, or \
             `helm uninstall` it first",
            region.context.as_deref().unwrap_or(&region.id),
            strangers.join(", ")
        );
    }
    Ok(())
}

/// Names of Helm releases in the operator's namespace; of one instance, or all.
fn releases(surroundings: &Surroundings, region: &Region, instance: Option<&str>) -> Result<Vec<String>> {
    let mut list = helm(surroundings, region);
    list.args(["list", "--namespace", NAMESPACE, "--all", "--short"]);
    if let Some(instance) = instance {
        list.arg(format!("--selector={INSTANCE_LABEL}={instance}"));
    }
    Ok(process::output(&mut list)?.lines().map(str::to_owned).collect())
}

fn helm(surroundings: &Surroundings, region: &Region) -> Command {
    let mut helm = surroundings.command("helm");
    helm.arg("--kubeconfig").arg(&region.kubeconfig);
    helm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_deleted_only_by_the_label_that_it_got_when_it_was_made() {
        let made: serde_json::Value = serde_yaml::from_str(&namespace("cranewing-0000")).unwrap();
        assert_eq!(made["metadata"]["name"], NAMESPACE);
        let [.., selector, _] = own_namespace("cranewing-0000");
        let (label, value) = selector.strip_prefix("--selector=").unwrap().split_once('=').unwrap();
        assert_eq!(made["metadata"]["labels"][label], value);
        assert!(
            !own_namespace("cranewing-0000").contains(&NAMESPACE.to_owned()),
            "by name it could be anybody's"
        );
    }
}
