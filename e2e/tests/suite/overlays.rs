//! `kubernetes/`: overlays give what the charts give and no more, and a region comes up from one.

use e2e::command::{kubectl, kubectl_with, try_kubectl};
use e2e::helm::{helm, repository};
use e2e::region::OPERATOR_NAMESPACE;
use e2e::{PATIENCE, Region, eventually, in_bare_region};
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeMap;

/// All regions that have an overlay.
const REGIONS: [&str; 3] = ["jp", "kr", "sg"];

/// Manifests by kind, namespace and name.
type Manifests = BTreeMap<String, Value>;

#[tokio::test]
async fn an_overlay_gives_what_the_charts_give_and_a_region_comes_up_from_it() {
    in_bare_region("overlays", &[], async |scratch| {
        let region = &scratch.region;
        let overlays = std::fs::read_dir(repository("kubernetes/overlays")).unwrap();
        let mut overlays: Vec<_> =
            overlays.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        overlays.sort();
        assert_eq!(overlays, REGIONS);
        for id in REGIONS {
            let (built, expected) = (manifests(&build(region, id).await), from_sources(region, id).await);
            assert!(expected.len() > 20, "the charts are understood");
            assert_eq!(built.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{id}");
            for (key, manifest) in &expected {
                assert_eq!(&built[key], manifest, "{id}: {key}");
            }
        }
        comes_up(region).await;
    })
    .await;
}

/// What an overlay gives.
async fn build(region: &Region, id: &str) -> String {
    let directory = repository("kubernetes/overlays").join(id).display().to_string();
    let kustomize = ["kustomize", "--enable-helm", "--load-restrictor=LoadRestrictionsNone", &directory];
    kubectl(region, &kustomize).await
}

/// What Helm gives of both charts, the namespaces of the base, and the sample of the region.
async fn from_sources(region: &Region, id: &str) -> Manifests {
    let path = |path: &str| repository(path).display().to_string();
    let (crds, operator) = (path("charts/crds"), path("charts/operator"));
    let (values, id_value) = (path("kubernetes/base/values.yaml"), format!("region.id={id}"));
    let version = ["--kube-version", "1.33.0"];
    let crds = [&["template", "cranewing-crds", &crds][..], &version].concat();
    let operator =
        [&["template", "cranewing", &operator, "--values", &values, "--set", &id_value][..], &version]
            .concat();
    let files = ["kubernetes/base/namespaces.yaml".to_owned(), format!("docs/samples/{id}/region.yaml")];
    let mut all = manifests(&helm(region, &crds).await);
    all.extend(manifests(&helm(region, &operator).await));
    all.extend(files.iter().flat_map(|file| manifests(&std::fs::read_to_string(repository(file)).unwrap())));
    all
}

fn manifests(text: &str) -> Manifests {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|manifest| !manifest.is_null())
        .map(|manifest| {
            let metadata = &manifest["metadata"];
            (format!("{} {} {}", manifest["kind"], metadata["namespace"], metadata["name"]), manifest)
        })
        .collect()
}

/// As the page says, with the images of this working tree.
async fn comes_up(region: &Region) {
    let mut overlay = build(region, region.id).await;
    for name in ["operator", "gameserver"] {
        let image = std::env::var(format!("CRANEWING_E2E_{}_IMAGE", name.to_uppercase())).unwrap();
        let example = format!("registry.example/cranewing/{name}:0.1.0");
        assert!(overlay.contains(&example), "{example} is in the overlay");
        overlay = overlay.replace(&example, &image);
    }
    let apply = ["apply", "--server-side", "--filename=-"];
    eventually("the overlay is applied", PATIENCE, || try_kubectl(region, &apply, &overlay)).await;
    let of_operator = ["--namespace", OPERATOR_NAMESPACE, "--for=condition=Available"];
    let operator = [&["wait", "--timeout=120s", "deployment/cranewing-operator"][..], &of_operator].concat();
    drop(kubectl(region, &operator).await);
    let cluster = format!("regioncluster/{}", region.id);
    drop(kubectl(region, &["wait", "--timeout=60s", "--for=condition=Ready", &cluster]).await);
    let delete = ["delete", "--ignore-not-found", "--timeout=120s", "--filename=-"];
    drop(kubectl_with(region, &delete, &overlay).await);
    let left = kubectl(region, &["get", "customresourcedefinitions,namespaces", "--output=name"]).await;
    let left = left.lines().filter(|name| name.contains("cranewing") || name.ends_with("/games"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<&str>::new(), "it leaves nothing");
}
