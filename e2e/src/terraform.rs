//! The roots of `terraform/`, applied as users do: a copy of the tree, a workspace a region, values for clusters of this machine.

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::process::{Child, Command};

use crate::command::try_kubectl;
use crate::helm::repository;
use crate::region::{PATIENCE, Region};
use crate::wait::{Watch, eventually, say};

/// Namespace of game servers in every environment.
pub const GAMES: &str = "games";

/// Link keys that are good for tests alone, private and public: of the seeds that are nothing but ones, twos and threes.
const KEYS: [(&str, &str); 3] = [
    (
        "MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
        "MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=",
    ),
    (
        "MC4CAQAwBQYDK2VwBCIEIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC",
        "MCowBQYDK2VwAyEAgTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=",
    ),
    (
        "MC4CAQAwBQYDK2VwBCIEIAMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD",
        "MCowBQYDK2VwAyEA7UkoxijRwsbq6QM4kFmVYSlZJzpcY/k2NsFGFKyHN9E=",
    ),
];

/// Port on the nodes by which links are reached.
const LINK_PORT: u16 = 30_844;

/// An environment of `terraform/` for some regions, in a directory of its own that goes when this is dropped.
pub struct Environment {
    beside: PathBuf,
    root: PathBuf,
    program: PathBuf,
    /// What overrides the environment's own `terraform.tfvars`.
    values: Value,
    /// Whether it acts as [`USER`].
    counted: bool,
}

/// Whom the API servers count the requests of.
const USER: &str = "terraform-e2e";

/// What it takes that an environment that is [counted](Environment::count) may do everything, and that its requests are counted apart.
pub const COUNTED: &str = "
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: terraform-e2e}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: terraform-e2e}]}
---
{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: terraform-e2e}, spec: {matchingPrecedence: 50, priorityLevelConfiguration: {name: workload-high}, rules: [{subjects: [{kind: User, user: {name: terraform-e2e}}], resourceRules: [{verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*']}], nonResourceRules: [{verbs: ['*'], nonResourceURLs: ['*']}]}]}}
";

/// Requests of environments that are [counted](Environment::count) that a region's API server has answered so far.
pub async fn requests(region: &Region) -> f64 {
    let said = crate::command::kubectl(region, &["get", "--raw", "/metrics"]).await;
    let of_user = |line: &&str| {
        line.starts_with("apiserver_flowcontrol_dispatched_requests_total{")
            && line.contains("flow_schema=\"terraform-e2e\"")
    };
    said.lines().filter(of_user).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// What a plan would do: addresses of objects and what becomes of each.
pub type Changes = BTreeSet<(String, String)>;

impl Environment {
    /// Copies an environment, and gives it these regions with their nodes' addresses. `variable` names the program, such as
    /// `CRANEWING_E2E_OPENTOFU`.
    pub async fn new(name: &str, variable: &str, regions: &[&Region]) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let beside =
            std::env::temp_dir().join(format!("cranewing-terraform-{}-{number}", std::process::id()));
        drop(std::fs::remove_dir_all(&beside));
        std::fs::create_dir_all(&beside).unwrap();
        let copied =
            std::process::Command::new("cp").arg("-r").arg(repository("terraform")).arg(&beside).status();
        assert!(copied.unwrap().success(), "terraform/ is copied");
        for directory in ["charts", "crds"] {
            std::os::unix::fs::symlink(repository(directory), beside.join(directory)).unwrap();
        }
        let root = beside.join("terraform/environments").join(name);
        let image = |name: &str| std::env::var(format!("CRANEWING_E2E_{name}_IMAGE")).unwrap();
        let values = json!({
            "regions": entries(regions).await,
            "placed_fleets": {},
            "images": { "operator": image("OPERATOR"), "gameserver": image("GAMESERVER") },
            "alerting": { "dashboards": true },
            "access": { "viewers": { "groups": ["everybody"] }, "on_call": { "groups": ["on-call"] } },
        });
        let program =
            PathBuf::from(std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set")));
        let environment = Self { beside, root, program, values, counted: false };
        environment.write();
        environment.says(&mut environment.command(None, &["init", "-input=false"])).await;
        for region in regions {
            environment.says(&mut environment.command(None, &["workspace", "new", region.id])).await;
        }
        environment
    }

    /// From here on its requests are counted ([`COUNTED`]).
    pub fn count(&mut self, regions: &[&Region]) {
        for region in regions {
            let mut read = kube::config::Kubeconfig::read_from(&region.kubeconfig).unwrap();
            for named in &mut read.auth_infos {
                named.auth_info.get_or_insert_default().impersonate = Some(USER.to_owned());
            }
            std::fs::write(self.counted_kubeconfig(region), serde_json::to_string(&read).unwrap()).unwrap();
        }
        self.counted = true;
    }

    fn counted_kubeconfig(&self, region: &Region) -> PathBuf {
        self.beside.join(format!("{}.kubeconfig", region.id))
    }

    /// Changes values; what is applied next goes by them.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.values);
        self.write();
    }

    fn write(&self) {
        std::fs::write(self.root.join("e2e.auto.tfvars.json"), self.values.to_string()).unwrap();
    }

    /// The program in the root, in the workspace of this region.
    fn command(&self, region: Option<&Region>, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.root).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let configuration = std::env::var("CRANEWING_E2E_TERRAFORM_CONFIGURATION").unwrap();
        command.env("TF_CLI_CONFIG_FILE", configuration).env("TF_IN_AUTOMATION", "1");
        // what providers keep of clusters goes with the directory
        command.env("HOME", &self.beside).env_remove("KUBECONFIG");
        if let Some(region) = region {
            let context = context(region);
            let given =
                if self.counted { self.counted_kubeconfig(region) } else { region.kubeconfig.clone().into() };
            command.env("TF_WORKSPACE", region.id).env("TF_VAR_kubeconfig", given);
            command.env("TF_VAR_context", context).env("TF_VAR_link_key", private_key(region));
        }
        command
    }

    async fn says(&self, command: &mut Command) -> String {
        let output = command.output().await.unwrap();
        let said = words(&output);
        // what a state or a plan has is asked for by `show -json`, and nothing else may print a key
        let whole = command.as_std().get_args().any(|argument| argument == "show");
        assert!(whole || !has_key(&said), "{command:?} prints a link key");
        assert!(output.status.success(), "{command:?}:\n{said}");
        said
    }

    /// `apply` in a region, and how long it took.
    pub async fn apply(&self, region: &Region) -> f64 {
        let watch = Watch::new();
        self.says(&mut self.command(Some(region), &["apply", "-auto-approve", "-input=false", "-no-color"]))
            .await;
        watch.seconds()
    }

    /// What `apply` says, which is an error if it fails.
    pub async fn try_apply(&self, region: &Region) -> Result<String, String> {
        self.outcome(region, &["apply", "-auto-approve", "-input=false", "-no-color"]).await
    }

    /// What `destroy` says, which is an error if it fails.
    pub async fn try_destroy(&self, region: &Region) -> Result<String, String> {
        self.outcome(region, &["destroy", "-auto-approve", "-input=false", "-no-color"]).await
    }

    async fn outcome(&self, region: &Region, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(Some(region), arguments).output().await.unwrap();
        assert!(!has_key(&words(&output)), "{arguments:?} prints a link key");
        if output.status.success() { Ok(words(&output)) } else { Err(words(&output)) }
    }

    /// Begins to apply, in a process group of its own: all of it can be killed at once.
    pub fn begin(&self, region: &Region) -> Child {
        let mut command =
            self.command(Some(region), &["apply", "-auto-approve", "-input=false", "-no-color"]);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What an apply would change now, and how long the plan took.
    pub async fn plan(&self, region: &Region) -> (Changes, f64) {
        let watch = Watch::new();
        let file = format!("{}.tfplan", region.id);
        self.says(&mut self.command(Some(region), &["plan", "-input=false", "-no-color", "-out", &file]))
            .await;
        let seconds = watch.seconds();
        let shown = self.says(&mut self.command(Some(region), &["show", "-json", &file])).await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let changes = shown["resource_changes"].as_array().into_iter().flatten().filter_map(|change| {
            let actions = change["change"]["actions"].as_array()?;
            let actions: Vec<&str> = actions.iter().filter_map(Value::as_str).collect();
            let address = change["address"].as_str()?.to_owned();
            (!["no-op", "read"].contains(&actions.join(" ").as_str())).then(|| (address, actions.join(" ")))
        });
        (changes.collect(), seconds)
    }

    /// What the state has: addresses of objects with their manifests as they are applied.
    pub async fn objects(&self, region: &Region) -> Vec<(String, Value)> {
        let shown = self.says(&mut self.command(Some(region), &["show", "-json"])).await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let modules = shown["values"]["root_module"]["child_modules"].as_array().cloned().unwrap_or_default();
        let resources =
            modules.iter().flat_map(|module| module["resources"].as_array().into_iter().flatten());
        let manifests = resources.filter(|resource| resource["type"] == "kubectl_manifest");
        manifests
            .map(|resource| {
                let body = resource["values"]["yaml_body"].as_str().unwrap();
                (resource["address"].as_str().unwrap().to_owned(), serde_yaml::from_str(body).unwrap())
            })
            .collect()
    }

    /// An output of the root.
    pub async fn output(&self, region: &Region, name: &str) -> Value {
        let said = self.says(&mut self.command(Some(region), &["output", "-json", name])).await;
        serde_json::from_str(&said).unwrap()
    }

    /// Waits for every condition of the root's output `wait_for`, as its page says.
    pub async fn wait(&self, region: &Region) {
        for condition in self.output(region, "wait_for").await.as_array().unwrap() {
            let condition = condition.as_str().unwrap();
            let arguments: Vec<&str> =
                ["wait", "--timeout=10s"].into_iter().chain(condition.split(' ')).collect();
            // kubectl does not wait for what is not there yet
            eventually(condition, PATIENCE, || try_kubectl(region, &arguments, "")).await;
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("what was applied stays in {}", self.beside.display()));
        } else {
            drop(std::fs::remove_dir_all(&self.beside));
        }
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Whether a private key is in it, as PEM has it or as a Secret has the PEM.
fn has_key(said: &str) -> bool {
    // the first line of a PEM in base64, and what every Ed25519 key begins with
    let (secret, plain) = ("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", "MC4CAQAwBQYDK2VwBCIEI");
    said.contains(secret) || said.contains(plain)
}

/// Which region is the how-manieth.
fn number(region: &Region) -> usize {
    crate::pool::REGIONS.iter().position(|id| *id == region.id).unwrap()
}

fn private_key(region: &Region) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", KEYS[number(region)].0)
}

/// The only context of a kubeconfig.
fn context(region: &Region) -> String {
    let read = kube::config::Kubeconfig::read_from(Path::new(&region.kubeconfig)).unwrap();
    read.current_context.unwrap()
}

/// The regions as entries of the map.
async fn entries(regions: &[&Region]) -> Value {
    let mut entries = serde_json::Map::new();
    for region in regions {
        let (id, number) = (region.id, number(region));
        let nodes = region.all::<Node>().list(&ListParams::default()).await.unwrap().items;
        let addresses = nodes.iter().filter_map(|node| node.status.as_ref()?.addresses.as_ref());
        let own = addresses.flatten().filter(|address| address.type_ == "InternalIP");
        let own: Vec<String> = own.map(|address| format!("{}:{LINK_PORT}", address.address)).collect();
        let entry = json!({
            "zones": [format!("{id}-a"), format!("{id}-b"), format!("{id}-c")],
            "cidr": format!("10.{}.0.0/16", 10 + number),
            "link": { "addresses": own, "public_keys": [KEYS[number].1] },
            "link_service": { "type": "NodePort", "node_port": LINK_PORT },
        });
        drop(entries.insert(id.to_owned(), entry));
    }
    Value::Object(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_as_it_is_and_in_a_secret() {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", KEYS[0].0);
        assert!(has_key(&pem) && has_key(&format!("link_key = {}", KEYS[1].0)));
        let secret = k8s_openapi::ByteString(pem.into_bytes());
        assert!(has_key(&serde_json::to_string(&secret).unwrap()));
        assert!(!has_key(&format!("link_key = (sensitive value), {}", KEYS[0].1)));
    }
}
