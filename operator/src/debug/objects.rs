//! Objects of a bundle: which there are, and how they are read, page by page.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use operator_api::labels;
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::pods::Brief;
use super::redact::redact;
use super::{Bundle, words};

/// Objects that are in memory at once.
const PAGE: u32 = 250;
/// Namespaces whose events are read at most.
const NAMESPACES_MAX: usize = 100;

/// Where objects of a kind are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In every namespace, or those that are named.
    Games,
    /// In the operator's namespace.
    Operator,
    /// They are in none.
    Cluster,
}

/// A kind of objects.
#[derive(Clone, Copy)]
struct Source {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    place: Place,
    selector: Option<&'static str>,
}

const fn source(
    (group, version): (&'static str, &'static str),
    (kind, plural): (&'static str, &'static str),
    place: Place,
) -> Source {
    Source { group, version, kind, plural, place, selector: None }
}

const OURS: (&str, &str) = (operator_api::GROUP, "v1alpha1");
const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const PODS: (&str, &str) = ("Pod", "pods");
const EVENTS: Source = source(("events.k8s.io", "v1"), ("Event", "events"), Place::Games);
const CONFIG_MAPS: Source = source(CORE, ("ConfigMap", "configmaps"), Place::Games);
const NAMESPACES: Source = source(CORE, ("Namespace", "namespaces"), Place::Cluster);
/// ConfigMaps of the operator's own, of which none has a secret.
const OPERATOR_CONFIG_MAPS: [&str; 3] = [labels::BALLOT, labels::ALLOCATION, labels::CA_BUNDLE_CONFIG_MAP];
const SOURCES: [Source; 17] = [
    source(OURS, ("Fleet", "fleets"), Place::Games),
    source(OURS, ("GameServer", "gameservers"), Place::Games),
    source(OURS, ("AutoScaler", "autoscalers"), Place::Games),
    source(OURS, ("GameServerAllocation", "gameserverallocations"), Place::Games),
    source(OURS, ("RegionCluster", "regionclusters"), Place::Cluster),
    Source { selector: Some(labels::GAME_SERVER), ..source(CORE, PODS, Place::Games) },
    Source {
        selector: Some(labels::FLEET),
        ..source(APPS, ("ControllerRevision", "controllerrevisions"), Place::Games)
    },
    source(("autoscaling", "v2"), ("HorizontalPodAutoscaler", "horizontalpodautoscalers"), Place::Games),
    source(CORE, PODS, Place::Operator),
    source(APPS, ("Deployment", "deployments"), Place::Operator),
    source(APPS, ("DaemonSet", "daemonsets"), Place::Operator),
    source(CORE, ("Service", "services"), Place::Operator),
    source(("discovery.k8s.io", "v1"), ("EndpointSlice", "endpointslices"), Place::Operator),
    source(("coordination.k8s.io", "v1"), ("Lease", "leases"), Place::Operator),
    source(("policy", "v1"), ("PodDisruptionBudget", "poddisruptionbudgets"), Place::Operator),
    source(("networking.k8s.io", "v1"), ("NetworkPolicy", "networkpolicies"), Place::Operator),
    source(CORE, ("Node", "nodes"), Place::Cluster),
];

impl Source {
    fn resource(&self) -> ApiResource {
        let Self { group, version, kind, plural, .. } = *self;
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// As kubectl names the kind.
    fn name(&self) -> String {
        let Self { group, plural, .. } = self;
        if group.is_empty() { (*plural).to_owned() } else { format!("{plural}.{group}") }
    }
}

/// Pods that were found.
#[derive(Default)]
pub(super) struct Found {
    /// Of the operator.
    pub(super) operators: Vec<Brief>,
    pub(super) game_servers: Vec<Brief>,
    /// Where objects of ours are.
    namespaces: BTreeSet<String>,
}

/// Packs all objects; the pods whose words are to be read.
pub(super) async fn collect(bundle: &mut Bundle<'_>) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for source in SOURCES {
        let namespaces: Vec<Option<&str>> = match source.place {
            Place::Cluster => vec![None],
            Place::Operator => vec![Some(&bundle.args.cluster.namespace)],
            Place::Games if bundle.args.games.is_empty() => vec![None],
            Place::Games => bundle.args.games.iter().map(|name| Some(name.as_str())).collect(),
        };
        let mut pages = Pages { source, number: 0, objects: 0 };
        for namespace in namespaces {
            pages.read(bundle, namespace, &mut found).await?;
        }
        pages.say(bundle);
    }
    let surplus = found.namespaces.len().saturating_sub(NAMESPACES_MAX);
    if surplus > 0 {
        bundle
            .archive
            .fault("events", &format!("those of {surplus} namespaces are not in it; name some by --games"));
    }
    let games: Vec<String> = found.namespaces.iter().take(NAMESPACES_MAX).cloned().collect();
    let operators = bundle.args.cluster.namespace.clone();
    let mut events = Pages { source: EVENTS, number: 0, objects: 0 };
    for namespace in games.iter().chain([&operators]) {
        events.read(bundle, Some(namespace), &mut found).await?;
        one(bundle, NAMESPACES, None, namespace).await?;
    }
    events.say(bundle);
    for name in OPERATOR_CONFIG_MAPS {
        one(bundle, CONFIG_MAPS, Some(&operators), name).await?;
    }
    for namespace in &games {
        one(bundle, CONFIG_MAPS, Some(namespace), labels::CA_BUNDLE_CONFIG_MAP).await?;
    }
    Ok(found)
}

/// A kind whose pages are being read.
struct Pages {
    source: Source,
    number: u32,
    objects: usize,
}

impl Pages {
    /// Packs the objects of a namespace, or of all. What cannot be read is a fault, and what was read before stays.
    async fn read(
        &mut self,
        bundle: &mut Bundle<'_>,
        namespace: Option<&str>,
        found: &mut Found,
    ) -> anyhow::Result<()> {
        let api = api(bundle, self.source, namespace);
        let mut page = ListParams { limit: Some(PAGE), ..ListParams::default() };
        page.label_selector = self.source.selector.map(str::to_owned);
        loop {
            let list = match api.list(&page).await {
                Ok(list) => list,
                Err(error) => {
                    let place = namespace.unwrap_or("the cluster");
                    let what = format!("{} in {place}", self.source.name());
                    let why = words(&error, &format!("list {}", self.source.name()));
                    bundle.archive.fault(&what, &why);
                    return Ok(());
                }
            };
            self.pack(bundle, list.items, found)?;
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => return Ok(()),
            }
        }
    }

    fn pack(
        &mut self,
        bundle: &mut Bundle<'_>,
        items: Vec<DynamicObject>,
        found: &mut Found,
    ) -> anyhow::Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        self.objects += items.len();
        self.number += 1;
        let objects: Vec<Value> = items.into_iter().filter_map(|object| whole(self.source, object)).collect();
        for object in &objects {
            found.take(self.source, object);
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": cleaned(objects) });
        let path = format!("objects/{}/{:04}.json", self.place(), self.number);
        bundle.archive.add(&path, format!("{list:#}\n").as_bytes())
    }

    /// Pods of the operator are of another source than those of game servers.
    fn place(&self) -> String {
        let name = self.source.name();
        if self.source.place == Place::Operator { format!("operator/{name}") } else { name }
    }

    fn say(&self, bundle: &mut Bundle<'_>) {
        bundle.say(&format!("{} {}", self.objects, self.place()));
    }
}

impl Found {
    fn take(&mut self, source: Source, object: &Value) {
        let namespace = object["metadata"]["namespace"].as_str();
        if source.place == Place::Games && source.group == operator_api::GROUP {
            self.namespaces.extend(namespace.map(str::to_owned));
        }
        if source.kind != PODS.0 {
            return;
        }
        let brief = Brief::of(object);
        match source.place {
            Place::Operator if brief.is_ours => self.operators.push(brief),
            Place::Games => self.game_servers.push(brief),
            Place::Operator | Place::Cluster => {}
        }
    }
}

fn api(bundle: &Bundle<'_>, source: Source, namespace: Option<&str>) -> Api<DynamicObject> {
    let (client, resource) = (bundle.client.clone(), source.resource());
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    }
}

/// Packs one object by its name; that it is not there is no fault.
async fn one(
    bundle: &mut Bundle<'_>,
    source: Source,
    namespace: Option<&str>,
    name: &str,
) -> anyhow::Result<()> {
    let path =
        [Some(source.plural), namespace, Some(name)].into_iter().flatten().collect::<Vec<_>>().join("/");
    match api(bundle, source, namespace).get_opt(name).await {
        Ok(Some(object)) => {
            let objects = cleaned(whole(source, object).into_iter().collect());
            let text = objects.first().map(|object| format!("{object:#}\n")).unwrap_or_default();
            bundle.archive.add(&format!("objects/{path}.json"), text.as_bytes())
        }
        Ok(None) => Ok(()),
        Err(error) => {
            bundle.archive.fault(&path, &words(&error, &format!("get {}", source.name())));
            Ok(())
        }
    }
}

/// An object of a list does not say itself what it is.
fn whole(source: Source, object: DynamicObject) -> Option<Value> {
    let mut object = serde_json::to_value(object).ok()?;
    object["apiVersion"] = source.resource().api_version.into();
    object["kind"] = source.kind.into();
    Some(object)
}

fn cleaned(mut objects: Vec<Value>) -> Vec<Value> {
    objects.iter_mut().for_each(redact);
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is never read needs not be taken out.
    #[test]
    fn no_secret_is_read() {
        let kinds = SOURCES.iter().chain([&EVENTS, &CONFIG_MAPS, &NAMESPACES]).map(|source| source.kind);
        assert!(kinds.into_iter().all(|kind| kind != "Secret"));
    }

    #[test]
    fn every_kind_of_ours_is_read() {
        for definition in operator_api::crds::all() {
            let names = definition.spec.names;
            let is_its =
                |source: &&Source| source.plural == names.plural && source.group == operator_api::GROUP;
            let source = SOURCES.iter().find(is_its).unwrap_or_else(|| panic!("{} is left out", names.kind));
            assert_eq!(source.kind, names.kind);
            let is_in_none = definition.spec.scope == "Cluster";
            assert_eq!(source.place == Place::Cluster, is_in_none, "{}", names.kind);
        }
    }
}
