//! Taking leave of clusters that were there before: those that answer are cleaned, and of those that do not it is said what may remain.

use std::net::{IpAddr, TcpListener, ToSocketAddrs as _};

use anyhow::Result;
use serde::Deserialize;

use crate::checkout::Checkout;
use crate::cluster;
use crate::deploy;
use crate::engine::Surroundings;
use crate::process;
use crate::state::Region;

/// How a cluster was left.
#[derive(Debug)]
pub(super) enum Leave {
    /// Nothing of ours is in it.
    Clean,
    /// It does not answer, and what it may still hold is not on this machine, or went with it.
    Lost(String),
    /// It holds something of ours on this machine, or can be cleaned later: its record stays.
    Kept(String),
}

/// What is known of a cluster that does not answer.
#[derive(Debug, Clone, Copy)]
struct Silence {
    /// Something at its address answers and lets nobody in.
    refuses: bool,
    /// Its address belongs to this machine.
    here: bool,
    /// Whether the engine has a container behind that address, running or not; none if it is no cluster of containers that kind made.
    container: Option<bool>,
}

/// Where something of ours may be left when a cluster does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remains {
    Nowhere,
    Elsewhere,
    Here,
}

fn decide_remains(silence: Silence) -> Remains {
    match silence {
        // it is there, and who renews the right to it can clean it
        Silence { refuses: true, .. } => Remains::Here,
        Silence { here: false, .. } => Remains::Elsewhere,
        Silence { container: Some(false), .. } => Remains::Nowhere,
        // stopped, paused, or of a kind that cannot be looked for
        Silence { .. } => Remains::Here,
    }
}

/// Takes what this instance installed out of a cluster. `forget`: what does not answer is given up wherever it is.
pub(super) fn leave(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    forget: bool,
) -> Leave {
    let Err(error) = answers(surroundings, region) else {
        let context = name(region);
        return match deploy::uninstall(checkout, surroundings, region) {
            Ok(()) => Leave::Clean,
            Err(error) => Leave::Kept(format!("{context} could not be cleaned: {error:#}")),
        };
    };
    let said = last_line(&format!("{error:#}"));
    let server = server(surroundings, region).unwrap_or_default();
    let silence = Silence {
        refuses: ["Unauthorized", "Forbidden", "You must be logged in"]
            .iter()
            .any(|word| said.contains(word)),
        here: is_here(&server),
        container: has_container(surroundings, region, &server),
    };
    let remains = decide_remains(silence);
    words(region, &server, &said, remains, forget)
}

fn words(region: &Region, server: &str, said: &str, remains: Remains, forget: bool) -> Leave {
    let silent = format!("{} ({server}) does not answer ({said})", name(region));
    let namespace = deploy::NAMESPACE;
    let ours = format!(
        "the Helm releases cranewing and cranewing-crds in its namespace {namespace}, and the samples' Fleet and AutoScaler"
    );
    match remains {
        Remains::Nowhere => Leave::Lost(format!("{silent}: it is gone, and all that was in it")),
        Remains::Here if !forget => Leave::Kept(format!(
            "{silent}. It may hold {ours}. Make it answer and run `cargo xtask down` again; if it will never answer: `cargo xtask down --forget`"
        )),
        Remains::Here | Remains::Elsewhere => Leave::Lost(format!(
            "{silent}. If it still exists, it holds {ours}. To take them out: `helm uninstall --namespace {namespace} cranewing`, then \
             `helm uninstall --namespace {namespace} cranewing-crds`"
        )),
    }
}

fn name(region: &Region) -> String {
    format!("{}, context {}", region.id, region.context.as_deref().unwrap_or("unknown"))
}

fn answers(surroundings: &Surroundings, region: &Region) -> Result<()> {
    let ask = ["get", "--raw=/api", "--request-timeout=5s"];
    process::output(cluster::kubectl(surroundings, region).args(ask)).map(drop)
}

fn last_line(text: &str) -> String {
    text.lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or(text)
        .trim_start_matches([' ', '|'])
        .to_owned()
}

/// URL of the API server, by the instance's own copy of the kubeconfig.
fn server(surroundings: &Surroundings, region: &Region) -> Option<String> {
    let view = ["config", "view", "--output=jsonpath={.clusters[0].cluster.server}"];
    process::output(cluster::kubectl(surroundings, region).args(view)).ok()
}

/// Host and port of a URL.
fn authority(server: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = server.split_once("://")?;
    let authority = rest.split('/').next()?;
    let default = if scheme == "https" { 443 } else { 80 };
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            Some((host.trim_matches(['[', ']']), port.parse().ok()?))
        }
        _ => Some((authority.trim_matches(['[', ']']), default)),
    }
}

/// Whether an address of this URL's host belongs to this machine: only such an address can be listened at.
fn is_here(server: &str) -> bool {
    let Some((host, _)) = authority(server) else { return false };
    let is_ours = |address: IpAddr| TcpListener::bind((address, 0)).is_ok();
    (host, 0).to_socket_addrs().is_ok_and(|mut addresses| addresses.any(|address| is_ours(address.ip())))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PortBinding {
    #[serde(default)]
    host_port: String,
}

/// Whether a container of the kind cluster that the context names is bound to the API server's port.
fn has_container(surroundings: &Surroundings, region: &Region, server: &str) -> Option<bool> {
    let cluster = region.context.as_deref()?.strip_prefix("kind-")?;
    let (_, port) = authority(server)?;
    let containers = cluster::containers(surroundings, cluster).ok()?;
    let is_bound = |(container, _): &(String, String)| {
        let format = "{{json .HostConfig.PortBindings}}";
        let text =
            process::output(surroundings.engine().args(["inspect", "--format", format, container])).ok()?;
        let bindings: std::collections::BTreeMap<String, Option<Vec<PortBinding>>> =
            serde_json::from_str(&text).ok()?;
        Some(bindings.into_values().flatten().flatten().any(|binding| binding.host_port == port.to_string()))
    };
    // what cannot be looked into may be it
    Some(containers.iter().any(|container| is_bound(container).unwrap_or(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_does_not_answer_is_kept_only_while_it_may_hold_something_here() {
        let silence = |refuses, here, container| Silence { refuses, here, container };
        for (name, silence, remains) in [
            ("kind, its nodes removed", silence(false, true, Some(false)), Remains::Nowhere),
            ("kind, its nodes stopped or paused", silence(false, true, Some(true)), Remains::Here),
            ("on this machine, of another making", silence(false, true, None), Remains::Here),
            ("somewhere else", silence(false, false, None), Remains::Elsewhere),
            ("kind on another machine", silence(false, false, Some(false)), Remains::Elsewhere),
            ("there, with credentials that have ended", silence(true, false, None), Remains::Here),
        ] {
            assert_eq!(decide_remains(silence), remains, "{name}");
        }
    }

    #[test]
    fn the_words_name_the_cluster_and_what_it_may_hold_and_the_way_on() {
        let region = Region {
            id: "eu".to_owned(),
            kubeconfig: "eu.kubeconfig".into(),
            cluster: None,
            context: Some("prod".to_owned()),
        };
        let said = |remains, forget| match words(&region, "https://a:1", "timed out", remains, forget) {
            Leave::Clean => panic!("nobody knows that"),
            Leave::Lost(said) => (true, said),
            Leave::Kept(said) => (false, said),
        };
        for (remains, forget, lost, word) in [
            (Remains::Nowhere, false, true, "it is gone"),
            (Remains::Elsewhere, false, true, "helm uninstall --namespace cranewing-system cranewing"),
            (Remains::Here, false, false, "cargo xtask down --forget"),
            (Remains::Here, true, true, "helm uninstall"),
        ] {
            let (is_lost, said) = said(remains, forget);
            assert_eq!(is_lost, lost, "{remains:?}");
            assert!(said.contains("eu, context prod (https://a:1)") && said.contains("timed out"), "{said}");
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_here() {
        assert!(
            is_here("https://127.0.0.1:6443")
                && is_here("https://[::1]:6443/path") | is_here("https://localhost")
        );
        // reserved for documentation, so nobody has it
        assert!(!is_here("https://192.0.2.1:6443") && !is_here("") && !is_here("no URL"));
        assert_eq!(authority("https://[::1]:6443/x"), Some(("::1", 6443)));
        assert_eq!(authority("https://api.example.org"), Some(("api.example.org", 443)));
    }
}
