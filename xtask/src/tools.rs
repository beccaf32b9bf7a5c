//! The programs that make and drive a cluster, built from their Go modules into the cache.
//!
//! A directory's name carries the version and a hash of everything that decides its content, so a change builds anew beside the old one and never over it.
//! A directory appears by rename: what is there is whole.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::checkout::{Checkout, digest, unfinished};
use crate::lock::Lock;
use crate::process;
use crate::progress::Progress;

/// Kubernetes version of the nodes that this repository builds itself.
pub(crate) const KUBERNETES: &str = "v1.36.3";

/// One Go module under `e2e/cluster/tools` and the programs that it gives.
struct Module {
    /// Its directory.
    name: &'static str,
    version: &'static str,
    /// (file name, package)
    programs: &'static [(&'static str, &'static str)],
    tags: &'static str,
    /// `-X` pairs that tell the programs their version.
    variables: &'static [(&'static str, &'static str)],
}

const KIND: Module = Module {
    name: "kind",
    version: "v0.33.0",
    programs: &[("kind", "sigs.k8s.io/kind")],
    tags: "",
    variables: &[],
};

const HELM: Module = Module {
    name: "helm",
    version: "v3.22.0",
    programs: &[("helm", "helm.sh/helm/v3/cmd/helm")],
    tags: "",
    variables: &[("helm.sh/helm/v3/internal/version.version", "v3.22.0")],
};

const KUBERNETES_PROGRAMS: Module = Module {
    name: "kubernetes",
    version: KUBERNETES,
    programs: &[
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kubeadm", "k8s.io/kubernetes/cmd/kubeadm"),
        ("etcd", "go.etcd.io/etcd/server/v3"),
    ],
    tags: "",
    variables: &[
        ("k8s.io/component-base/version.gitVersion", KUBERNETES),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "36"),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
    ],
};

/// What only a node that we build ourselves needs.
const NODE_MODULES: &[Module] = &[
    Module {
        name: "containerd",
        version: "v2.3.7",
        programs: &[
            ("containerd", "github.com/containerd/containerd/v2/cmd/containerd"),
            ("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
            ("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
        ],
        tags: "no_btrfs,no_devmapper,no_zfs",
        variables: &[("github.com/containerd/containerd/v2/version.Version", "v2.3.7")],
    },
    Module {
        name: "crictl",
        version: "v1.36.0",
        programs: &[("crictl", "sigs.k8s.io/cri-tools/cmd/crictl")],
        tags: "",
        variables: &[("sigs.k8s.io/cri-tools/pkg/version.Version", "v1.36.0")],
    },
    Module {
        name: "coredns",
        version: "v1.14.2",
        programs: &[("coredns", "github.com/coredns/coredns")],
        tags: "",
        variables: &[],
    },
    Module {
        name: "pause",
        version: "v3.10.2",
        programs: &[("pause", "cranewing.dev/e2e/cluster/pause")],
        tags: "",
        variables: &[],
    },
];

const METRICS_SERVER: Module = Module {
    name: "metrics-server",
    version: "v0.9.0",
    programs: &[("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server")],
    tags: "",
    variables: &[],
};

/// Without its ways to find what it scrapes: rules need none.
const PROMTOOL: Module = Module {
    name: "promtool",
    version: "v0.313.0",
    programs: &[("promtool", "github.com/prometheus/prometheus/cmd/promtool")],
    tags: "remove_all_sd",
    variables: &[],
};

const OPENTOFU: Module = Module {
    name: "opentofu",
    version: "v1.12.6",
    programs: &[("tofu", "github.com/opentofu/opentofu/cmd/tofu")],
    tags: "",
    // its version stands in its own sources; without this it calls itself one in development
    variables: &[("github.com/opentofu/opentofu/version.dev", "no")],
};

const KUBECTL_PROVIDER: Module = Module {
    name: "terraform-kubectl",
    version: "v1.19.0",
    programs: &[("terraform-provider-kubectl_v1.19.0", "github.com/gavinbunney/terraform-provider-kubectl")],
    tags: "",
    variables: &[],
};

const KUSTOMIZATION_PROVIDER: Module = Module {
    name: "terraform-kustomization",
    version: "v0.9.8",
    programs: &[("terraform-provider-kustomization_v0.9.8", "github.com/kbst/terraform-provider-kustomize")],
    tags: "",
    variables: &[],
};

/// A provider of Terraform and OpenTofu, as both look for it.
pub(crate) struct Provider {
    /// Such as `kbst/kustomization`.
    pub(crate) source: &'static str,
    /// Without a `v`.
    pub(crate) version: &'static str,
    pub(crate) program: PathBuf,
}

/// The built programs.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Directories that hold kubectl, helm and kind.
    directories: Vec<PathBuf>,
}

impl Tools {
    /// Builds kubectl, helm and kind where the cache lacks them.
    pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> Result<Self> {
        let modules = [&KIND, &KUBERNETES_PROGRAMS, &HELM];
        Ok(Self { directories: build_all(checkout, progress, &modules)? })
    }

    /// Those that a run before this one built, for commands that build nothing.
    pub(crate) fn built(checkout: &Checkout) -> Result<Self> {
        let modules = [&KIND, &KUBERNETES_PROGRAMS, &HELM];
        let directories =
            modules.iter().map(|module| module.directory(checkout)).collect::<Result<Vec<_>>>()?;
        Ok(Self { directories })
    }

    /// Directories that hold kubectl, helm and kind.
    pub(crate) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// `PATH` with the tools before everything else.
    pub(crate) fn path(&self) -> Result<OsString> {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let all = self.directories.iter().cloned().chain(std::env::split_paths(&inherited));
        std::env::join_paths(all).context("failed to put the tools before PATH")
    }
}

/// Builds everything that goes into a node and gives the directories.
pub(crate) fn build_node_programs(checkout: &Checkout, progress: &Progress) -> Result<Vec<PathBuf>> {
    let modules: Vec<&Module> = std::iter::once(&KUBERNETES_PROGRAMS).chain(NODE_MODULES).collect();
    build_all(checkout, progress, &modules)
}

/// Hash of everything that decides the node's programs.
pub(crate) fn node_programs_recipe(checkout: &Checkout) -> Result<String> {
    let recipes = std::iter::once(&KUBERNETES_PROGRAMS)
        .chain(NODE_MODULES)
        .chain([&KIND])
        .map(|module| module.recipe(checkout))
        .collect::<Result<Vec<_>>>()?;
    Ok(digest(recipes.iter().map(String::as_bytes)))
}

/// Tag of the pause image.
pub(crate) fn pause_version() -> &'static str {
    NODE_MODULES.iter().find(|module| module.name == "pause").map_or("", |module| &module.version[1..])
}

/// The metrics-server program and its version, for tests with a HorizontalPodAutoscaler.
pub(crate) fn build_metrics_server(
    checkout: &Checkout,
    progress: &Progress,
) -> Result<(PathBuf, &'static str)> {
    let directories = build_all(checkout, progress, &[&METRICS_SERVER])?;
    Ok((directories[0].join("metrics-server"), METRICS_SERVER.version))
}

/// Helm and promtool, which check charts and alerts without a cluster.
pub(crate) fn build_checkers(checkout: &Checkout, progress: &Progress) -> Result<(PathBuf, PathBuf)> {
    let directories = build_all(checkout, progress, &[&HELM, &PROMTOOL])?;
    Ok((directories[0].join("helm"), directories[1].join("promtool")))
}

/// OpenTofu, and the providers that `terraform/` needs of it and of Terraform.
pub(crate) fn build_terraform(checkout: &Checkout, progress: &Progress) -> Result<(PathBuf, Vec<Provider>)> {
    let providers =
        [("gavinbunney/kubectl", &KUBECTL_PROVIDER), ("kbst/kustomization", &KUSTOMIZATION_PROVIDER)];
    let directories = build_all(checkout, progress, &[&OPENTOFU, providers[0].1, providers[1].1])?;
    let built = providers.iter().zip(&directories[1..]).map(|((source, module), directory)| Provider {
        source,
        version: &module.version[1..],
        program: directory.join(module.programs[0].0),
    });
    Ok((directories[0].join("tofu"), built.collect()))
}

/// Where kind's Go module lies; its `images/base/files` make a node of a root file system.
pub(crate) fn kind_source(checkout: &Checkout) -> Result<PathBuf> {
    let source = KIND.source(checkout);
    process::output(&mut process::bound(go(&source).args(["mod", "download"]), &checkout.instance))?;
    let found = process::output(go(&source).args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind"]))?;
    Ok(PathBuf::from(found.trim()))
}

/// What `go version` says where the tools are built: there an older Go may fetch a newer one. None if there is no Go.
pub(crate) fn go_version(checkout: &Checkout) -> Option<String> {
    process::output(go(&KUBERNETES_PROGRAMS.source(checkout)).arg("version")).ok()
}

fn build_all(checkout: &Checkout, progress: &Progress, modules: &[&Module]) -> Result<Vec<PathBuf>> {
    let directories = modules.iter().map(|module| module.directory(checkout)).collect::<Result<Vec<_>>>()?;
    if directories.iter().all(|directory| directory.is_dir()) {
        return Ok(directories);
    }
    let lock = checkout.cache.join("build.lock");
    let _lock = Lock::wait(&lock, "building tools", |owner| progress.say(&format!("waiting for {owner}")))?;
    for (module, directory) in modules.iter().zip(&directories).filter(|(_, directory)| !directory.is_dir()) {
        let name = format!("build {} {}", module.name, module.version);
        progress.step(&name, |step| {
            module.build(checkout, directory, |program, at| {
                step.note(&format!("{program}, {at} of {}", module.programs.len()));
            })
        })?;
    }
    Ok(directories)
}

impl Module {
    fn source(&self, checkout: &Checkout) -> PathBuf {
        checkout.root.join("e2e/cluster/tools").join(self.name)
    }

    fn directory(&self, checkout: &Checkout) -> Result<PathBuf> {
        let key = format!("{}-{}-{}", self.name, self.version, &self.recipe(checkout)?[..12]);
        Ok(checkout.cache.join("tools").join(key))
    }

    /// Hash of everything that decides the programs: the files of the module, packages, tags and variables.
    fn recipe(&self, checkout: &Checkout) -> Result<String> {
        let source = self.source(checkout);
        let mut parts = vec![self.tags.as_bytes().to_vec(), self.linker_flags().into_bytes()];
        parts.extend(self.programs.iter().map(|(name, package)| format!("{name} {package}").into_bytes()));
        for file in
            ["go.mod", "go.sum", "main.go"].map(|name| source.join(name)).iter().filter(|file| file.exists())
        {
            parts.push(fs::read(file).with_context(|| format!("failed to read {}", file.display()))?);
        }
        Ok(digest(parts.iter().map(Vec::as_slice)))
    }

    fn linker_flags(&self) -> String {
        self.variables
            .iter()
            .fold("-s -w".to_owned(), |flags, (name, value)| format!("{flags} -X {name}={value}"))
    }

    fn build(&self, checkout: &Checkout, directory: &Path, tell: impl Fn(&str, usize)) -> Result<()> {
        let unfinished = unfinished(directory);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)
                .with_context(|| format!("failed to remove {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished)
            .with_context(|| format!("failed to create {}", unfinished.display()))?;
        let log = checkout.log(&format!("build-{}", self.name));
        for (at, (program, package)) in self.programs.iter().enumerate() {
            tell(program, at + 1);
            let mut go = go(&self.source(checkout));
            go.args(["build", "-trimpath", "-tags", self.tags, "-ldflags", &self.linker_flags(), "-o"]);
            go.arg(unfinished.join(program)).arg(package);
            process::run(&mut process::bound(&go, &checkout.instance), &log)?;
        }
        fs::rename(&unfinished, directory)
            .with_context(|| format!("failed to complete {}", directory.display()))
    }
}

/// Go in this directory, whatever the caller has set.
pub(crate) fn go(directory: &Path) -> Command {
    let mut go = Command::new("go");
    // neither a workspace nor flags of the person who calls may change what is built
    go.current_dir(directory).env("CGO_ENABLED", "0").env("GOWORK", "off").env("GOFLAGS", "-buildvcs=false");
    go
}
