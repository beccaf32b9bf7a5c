//! The container engine that runs the nodes: docker where its daemon answers, else podman.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::checkout::Checkout;
use crate::process;
use crate::state::Region;
use crate::tools::Tools;

/// Marks every process that this instance starts, so that `down` finds them.
pub(crate) const INSTANCE_VARIABLE: &str = "CRANEWING_INSTANCE";

/// How long an ordinary command of the engine may take on a machine that is busy.
const ENGINE_LIMIT: Duration = Duration::from_secs(120);

/// What runs the nodes' containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    Docker,
    Podman,
}

impl Engine {
    /// `CRANEWING_ENGINE` if set; else docker if a daemon answers; else podman.
    pub(crate) fn choose() -> Result<Self> {
        match std::env::var("CRANEWING_ENGINE").as_deref() {
            Ok("docker") => Ok(Self::Docker),
            Ok("podman") => Ok(Self::Podman),
            Ok(other) if !other.is_empty() => {
                bail!("CRANEWING_ENGINE is {other}: docker and podman are known")
            }
            _ if process::succeeds(Command::new("timeout").args(["5", "docker", "info"])) => Ok(Self::Docker),
            _ => Ok(Self::Podman),
        }
    }

    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// How programs of one instance are called: which engine, which tools, which network, whose instance.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) engine: Engine,
    variables: Vec<(&'static str, std::ffi::OsString)>,
    /// Directories in which a shell finds them, and our own program.
    shell_path: Vec<PathBuf>,
}

impl Surroundings {
    pub(crate) fn new(checkout: &Checkout, engine: Engine, tools: &Tools) -> Result<Self> {
        let network = match engine {
            Engine::Docker => "KIND_EXPERIMENTAL_DOCKER_NETWORK",
            Engine::Podman => "KIND_EXPERIMENTAL_PODMAN_NETWORK",
        };
        let variables = vec![
            ("PATH", tools.path()?),
            (INSTANCE_VARIABLE, checkout.instance.clone().into()),
            ("KIND_EXPERIMENTAL_PROVIDER", engine.program().into()),
            (network, checkout.instance.clone().into()),
            ("CONTAINERS_CONF", checkout.root.join("e2e/cluster/containers.conf").into()),
            // nobody's own configuration is read or written
            ("KUBECONFIG", checkout.state().join("none.kubeconfig").into()),
            ("HELM_CACHE_HOME", checkout.state().join("helm").into()),
            ("HELM_CONFIG_HOME", checkout.state().join("helm").into()),
            ("HELM_DATA_HOME", checkout.state().join("helm").into()),
        ];
        let shell_path = [&[checkout.programs()], tools.directories()].concat();
        Ok(Self { engine, variables, shell_path })
    }

    /// A program with these surroundings.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.find(program).unwrap_or_else(|| PathBuf::from(program));
        let mut command = Command::new(program);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The engine itself, for what takes seconds.
    pub(crate) fn engine(&self) -> Command {
        self.engine_within(ENGINE_LIMIT)
    }

    /// The engine itself, told to stop when `limit` has passed and killed ten seconds later.
    pub(crate) fn engine_within(&self, limit: Duration) -> Command {
        let mut command = self.command("timeout");
        command.args(["--kill-after=10", &limit.as_secs().to_string(), self.engine.program()]);
        command
    }

    /// How people reach the regions with kubectl, Helm and our own program from their own shell.
    pub(crate) fn way_in(&self, regions: &[Region]) -> String {
        let directories: Vec<_> =
            self.shell_path.iter().map(|directory| directory.display().to_string()).collect();
        let files: Vec<_> = regions.iter().map(|region| region.kubeconfig.display().to_string()).collect();
        let contexts: Vec<_> =
            regions.iter().map(|region| region.context.as_ref().unwrap_or(&region.id)).collect();
        let contexts = contexts.into_iter().map(|context| format!("--context {context}")).collect::<Vec<_>>();
        format!(
            "To use kubectl, helm, kind, operator and bots there yourself, with {}:\n  export PATH=\"{}:$PATH\"\n  export \
             KUBECONFIG=\"{}\" KIND_EXPERIMENTAL_PROVIDER={}\n",
            contexts.join(", "),
            directories.join(":"),
            files.join(":"),
            self.engine.program()
        )
    }

    /// For programs that this one starts by other means.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &std::ffi::OsStr)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_os_str()))
    }

    /// `Command` looks a program up in the parent's `PATH`, not in the child's.
    fn find(&self, program: &str) -> Option<PathBuf> {
        let (_, path) = self.variables.iter().find(|(name, _)| *name == "PATH")?;
        std::env::split_paths(path).map(|directory| directory.join(program)).find(|file| file.is_file())
    }
}

/// Kernel limits that the clusters of `up` and those of the tests need together; all count for one user.
const LIMITS: [(&str, u64); 2] =
    [("/proc/sys/fs/inotify/max_user_instances", 1024), ("/proc/sys/fs/inotify/max_user_watches", 524_288)];

/// What every node needs of the machine: the modules' directory, which it mounts even where it is empty, and enough inotify
/// instances, without which kube-proxy and kubelet stop with "too many open files".
pub(crate) fn prepare_host() -> Result<()> {
    fs::create_dir_all("/lib/modules").context("failed to create /lib/modules, which every node mounts")?;
    for (file, needed) in LIMITS {
        let text = fs::read_to_string(file).with_context(|| format!("failed to read {file}"))?;
        let present: u64 = text.trim().parse().with_context(|| format!("{file} is no number"))?;
        if present < needed {
            fs::write(file, needed.to_string()).with_context(|| {
                format!("failed to raise {file} from {present} to {needed}, without which nodes stop with \"too many open files\"")
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_for_a_shell_lead_to_the_tools_and_to_every_region() {
        let region = |id: &str| Region {
            id: id.to_owned(),
            kubeconfig: PathBuf::from(format!("/c d/{id}.kubeconfig")),
            cluster: None,
            context: (id == "sg").then(|| "kind-sg".to_owned()),
        };
        let surroundings = Surroundings {
            engine: Engine::Podman,
            variables: Vec::new(),
            shell_path: vec!["/a b/kubectl".into(), "/helm".into()],
        };
        let way_in = surroundings.way_in(&["kr", "jp", "sg"].map(region));
        let (head, exports) = way_in.split_once('\n').unwrap();
        assert!(head.ends_with("with --context kr, --context jp, --context kind-sg:"), "{way_in}");
        let said = process::output(
            Command::new("/bin/sh")
                .env("PATH", "/bin")
                .args(["-c", &format!("{exports}\necho $PATH $KUBECONFIG")]),
        );
        let expected = "/a b/kubectl:/helm:/bin /c d/kr.kubeconfig:/c d/jp.kubeconfig:/c d/sg.kubeconfig\n";
        assert_eq!(said.unwrap(), expected);
    }
}
