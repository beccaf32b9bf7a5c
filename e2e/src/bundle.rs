//! `operator debug bundle` as somebody runs it who has no more rights than its page says.

use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::command::{operator, words};
use crate::helm::repository;
use crate::scratch::Scratch;

/// Who runs it: nobody whom the cluster knows otherwise.
const USER: &str = "cranewing-e2e-debugger";

/// Somebody who makes bundles of a region.
pub struct Debugger<'a> {
    scratch: &'a Scratch,
    kubeconfig: PathBuf,
}

/// Files of a bundle by their paths below its directory.
pub type Files = BTreeMap<String, String>;

impl<'a> Debugger<'a> {
    /// Somebody with the rights that the page gives, and no others.
    pub async fn new(scratch: &'a Scratch) -> Self {
        let page = fs::read_to_string(repository("docs/debug-bundle.md")).unwrap();
        let (_, rest) = page.split_once("```yaml\n").unwrap();
        let (roles, _) = rest.split_once("```").unwrap();
        scratch.apply_everywhere(roles).await;
        let subject =
            format!("subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {USER}}}]");
        let binding = |kind: &str, metadata: &str| {
            format!(
                "{{apiVersion: rbac.authorization.k8s.io/v1, kind: {kind}Binding, metadata: {metadata}, roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: cranewing-debug}}, {subject}}}"
            )
        };
        scratch.apply_everywhere(&binding("ClusterRole", "{name: cranewing-debug}")).await;
        let system = "{name: cranewing-debug, namespace: cranewing-system}";
        scratch.apply_everywhere(&binding("Role", system)).await;
        Self { scratch, kubeconfig: impersonating(scratch) }
    }

    /// Takes away what lets a port be forwarded to a replica.
    pub async fn loses_the_way_to_replicas(&self) {
        let delete = ["--namespace", "cranewing-system", "delete", "rolebinding", "cranewing-debug"];
        drop(crate::command::kubectl(&self.scratch.region, &delete).await);
    }

    /// Makes a bundle; what is in it, or what was said.
    pub fn bundle(&self, arguments: &[&str]) -> Result<Files, String> {
        let output = self.kubeconfig.with_extension("tar.gz");
        let mut bundle = operator();
        bundle.args(["debug", "bundle", "--kubeconfig"]).arg(&self.kubeconfig);
        bundle.arg("--output").arg(&output).args(arguments);
        drop(words(bundle)?);
        let files = unpacked(&output);
        fs::remove_file(output).map_err(|error| error.to_string())?;
        Ok(files)
    }
}

impl Drop for Debugger<'_> {
    fn drop(&mut self) {
        // there is nothing else to do about it
        drop(fs::remove_file(&self.kubeconfig));
    }
}

/// A kubeconfig by which an administrator passes for that user.
fn impersonating(scratch: &Scratch) -> PathBuf {
    let text = fs::read_to_string(&scratch.region.kubeconfig).unwrap();
    let mut config: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    for user in config["users"].as_sequence_mut().unwrap() {
        user["user"]["as"] = USER.into();
    }
    let path = std::env::temp_dir().join(format!("cranewing-{}.kubeconfig", scratch.namespace));
    // it is an administrator's, and nobody else's to read
    drop(fs::remove_file(&path));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(serde_yaml::to_string(&config).unwrap().as_bytes()).unwrap();
    path
}

fn unpacked(path: &PathBuf) -> Files {
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(path).unwrap()));
    let mut files = Files::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let path = entry.path().unwrap().display().to_string();
        let (_, below) = path.split_once('/').unwrap();
        drop(files.insert(below.to_owned(), text));
    }
    files
}
