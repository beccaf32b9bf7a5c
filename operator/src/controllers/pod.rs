//! The pod of a game server, and the host ports that it gets.

use super::observe::patience;
use super::probes::add_probes;
use gameserver_contract::{REPORT_AUDIENCE, env};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    KeyToPath, ObjectFieldSelector, Pod, PodSecurityContext, PodSpec, PodTemplateSpec, ProjectedVolumeSource,
    ResourceRequirements, SeccompProfile, SecurityContext, ServiceAccountTokenProjection, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use operator_api::{GameServer, labels};
use operator_core::drain::decide_drain_deadline;
use std::time::Duration;

/// User ids of game servers begin here: memlock is charged per user, so each pod on a node has its own (rules 19).
const FIRST_USER_ID: i64 = 100_000;
/// Where the report credentials are mounted.
const CREDENTIALS_DIR: &str = "/var/run/cranewing";
/// Name of their volume.
const CREDENTIALS_VOLUME: &str = "cranewing-report";
/// Where a game server keeps what it must still know when its container starts again.
const STATE_DIR: &str = "/var/lib/cranewing";
/// Name of that volume.
const STATE_VOLUME: &str = "cranewing-state";
/// Bytes that fit: what a server holds is a few kilobytes.
const STATE_SIZE_MAX: &str = "1Mi";
/// Lifetime of the projected token in seconds; the kubelet renews it at four fifths.
const TOKEN_SECONDS: i64 = 3600;

/// kubectl's own note of what was applied, which says nothing of a pod.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What every pod gets that its template does not say.
pub(crate) struct PodDefaults {
    /// Image of containers that name none.
    pub(crate) image: String,
    /// regionId.
    pub(crate) region_id: String,
    /// `IP:port` of the report Service.
    pub(crate) report_endpoint: String,
    /// Seccomp profile on every node; the runtime's own without it.
    pub(crate) seccomp_profile: Option<String>,
}

/// Host ports of a pod's game server, in the order of its ports.
pub(crate) fn host_ports_of(pod: &Pod) -> Vec<u16> {
    host_ports(game_container_of(pod))
}

/// Host ports that a pod takes on its node, whichever of its containers asks for them.
pub(super) fn taken_ports(pod: &Pod) -> Vec<u16> {
    host_ports(pod.spec.iter().flat_map(|spec| &spec.containers))
}

fn host_ports<'a>(containers: impl IntoIterator<Item = &'a Container>) -> Vec<u16> {
    let ports = containers.into_iter().flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(|port| u16::try_from(port.host_port?).ok()).collect()
}

/// CPU request of a pod's game server in thousandths of a core.
pub(crate) fn cpu_request_millis(pod: &Pod) -> Option<u64> {
    let request = game_container_of(pod)?.resources.as_ref()?.requests.as_ref()?.get("cpu")?;
    parse_cpu_millis(&request.0)
}

/// Reads `100m`, `1`, `0.5`; anything finer than a thousandth is rounded down.
fn parse_cpu_millis(text: &str) -> Option<u64> {
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().ok();
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = format!("{fraction}000").chars().take(3).collect();
    Some(whole.parse::<u64>().ok()? * 1000 + fraction.parse::<u64>().ok()?)
}

/// The pod of `server` with these host ports, one for each of `spec.ports`.
pub(crate) fn build_pod(server: &GameServer, host_ports: &[u16], defaults: &PodDefaults) -> Pod {
    let template = server.spec.template.clone().unwrap_or_default();
    let PodTemplateSpec { metadata, spec } = template;
    let metadata = metadata.unwrap_or_default();
    let mut spec = spec.unwrap_or_default();
    let user = FIRST_USER_ID + host_ports.first().map_or(0, |&port| i64::from(port));

    let at = game_container(&spec);
    if at.is_none() {
        spec.containers.insert(0, Container { name: labels::CONTAINER.to_owned(), ..Container::default() });
    }
    let container = &mut spec.containers[at.unwrap_or(0)];
    complete_container(container, server, host_ports, defaults);
    let others = spec.init_containers.iter_mut().flatten();
    spec.containers.iter_mut().chain(others).for_each(secure_container);

    spec.automount_service_account_token = Some(false);
    spec.enable_service_links = Some(false);
    spec.termination_grace_period_seconds = Some(server.spec.drain.deadline_seconds);
    spec.security_context = Some(pod_security(spec.security_context.take(), user, defaults));
    spec.volumes.get_or_insert_default().extend([credentials_volume(), state_volume()]);

    // The Fleet's template may name labels and annotations for both; the pod's own template has the last word.
    let mut pod_labels = server.labels().clone();
    pod_labels.extend(metadata.labels.unwrap_or_default());
    let mut annotations = server.annotations().clone();
    annotations.remove(LAST_APPLIED);
    annotations.extend(metadata.annotations.unwrap_or_default());
    for label in [labels::FLEET, labels::REVISION] {
        if let Some(value) = server.labels().get(label) {
            pod_labels.insert(label.to_owned(), value.clone());
        }
    }
    pod_labels.insert(labels::GAME_SERVER.to_owned(), server.name_any());
    pod_labels.insert(labels::ROLE.to_owned(), labels::ROLE_GAME_SERVER.to_owned());
    pod_labels.insert(labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_OPERATOR.to_owned());
    Pod {
        metadata: ObjectMeta {
            name: Some(server.name_any()),
            namespace: server.namespace(),
            labels: Some(pod_labels),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            owner_references: server.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

fn game_container_of(pod: &Pod) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers.get(game_container(spec)?)
}

/// The container named `gameserver`, or the first.
fn game_container(spec: &PodSpec) -> Option<usize> {
    let named = spec.containers.iter().position(|container| container.name == labels::CONTAINER);
    named.or_else(|| (!spec.containers.is_empty()).then_some(0))
}

fn complete_container(
    container: &mut Container,
    server: &GameServer,
    host_ports: &[u16],
    defaults: &PodDefaults,
) {
    if container.image.is_none() {
        container.image = Some(defaults.image.clone());
        // Only our own server is known to answer them.
        add_probes(container, patience(server));
    }
    let ports = server.spec.ports.iter().zip(host_ports).map(|(port, &host_port)| ContainerPort {
        name: Some(port.name.clone()),
        container_port: port.container_port,
        host_port: Some(i32::from(host_port)),
        protocol: Some(port.protocol.as_str().to_owned()),
        ..ContainerPort::default()
    });
    container.ports = Some(ports.collect());
    container.env.get_or_insert_default().extend(environment(server, host_ports, defaults));
    container.resources.get_or_insert_with(default_resources);
    let mount = |name: &str, path: &str, is_read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(is_read_only),
        ..VolumeMount::default()
    };
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.push(mount(CREDENTIALS_VOLUME, CREDENTIALS_DIR, true));
    mounts.push(mount(STATE_VOLUME, STATE_DIR, false));
}

/// What its template leaves open of what a container may do, whichever of them it is.
fn secure_container(container: &mut Container) {
    let security = container.security_context.get_or_insert_with(SecurityContext::default);
    security.allow_privilege_escalation.get_or_insert(false);
    security.read_only_root_filesystem.get_or_insert(true);
    let capabilities = security.capabilities.get_or_insert_with(Capabilities::default);
    let dropped = capabilities.drop.get_or_insert_default();
    // whoever asks for one is refused by the policy, or may have it where that lets it
    if capabilities.add.as_ref().is_none_or(Vec::is_empty) && !dropped.iter().any(|name| name == "ALL") {
        dropped.push("ALL".to_owned());
    }
}

fn environment(server: &GameServer, host_ports: &[u16], defaults: &PodDefaults) -> Vec<EnvVar> {
    let value =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    let field = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
    };
    let container_port = server.spec.ports.first().map_or(0, |port| port.container_port);
    vec![
        value(env::REPORT_ENDPOINT, defaults.report_endpoint.clone()),
        value(env::REPORT_CA_FILE, format!("{CREDENTIALS_DIR}/{}", labels::CA_BUNDLE_KEY)),
        value(env::REPORT_TOKEN_FILE, format!("{CREDENTIALS_DIR}/token")),
        value(env::NAMESPACE, server.namespace().unwrap_or_default()),
        value(env::GAME_SERVER, server.name_any()),
        value(env::GAME_SERVER_UID, server.uid().unwrap_or_default()),
        value(env::FLEET, server.labels().get(labels::FLEET).cloned().unwrap_or_default()),
        value(env::REGION_ID, defaults.region_id.clone()),
        value(env::PORT, container_port.to_string()),
        value(env::HOST_PORT, host_ports.first().copied().unwrap_or(0).to_string()),
        value(env::DRAIN_DEADLINE, drain_deadline(server).as_secs_f64().to_string()),
        value(env::CAPACITY, server.spec.capacity.to_string()),
        value(env::STATE_DIR, STATE_DIR.to_owned()),
        field(env::HOST_IP, "status.hostIP"),
        field(env::POD_UID, "metadata.uid"),
    ]
}

/// How long the server waits for its players, of the pod's whole grace period.
fn drain_deadline(server: &GameServer) -> Duration {
    let grace = u64::try_from(server.spec.drain.deadline_seconds).unwrap_or(0);
    decide_drain_deadline(Duration::from_secs(grace))
}

fn default_resources() -> ResourceRequirements {
    let quantities = |cpu: Option<&str>, memory: &str| {
        let cpu = cpu.map(|cpu| ("cpu".to_owned(), Quantity(cpu.to_owned())));
        cpu.into_iter().chain([("memory".to_owned(), Quantity(memory.to_owned()))]).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(Some("100m"), "64Mi")),
        // No CPU limit: throttling a tick loop is worse for players than a noisy neighbour.
        limits: Some(quantities(None, "512Mi")),
        ..ResourceRequirements::default()
    }
}

fn pod_security(given: Option<PodSecurityContext>, user: i64, defaults: &PodDefaults) -> PodSecurityContext {
    let given = given.unwrap_or_default();
    PodSecurityContext {
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: Some(user),
        run_as_non_root: Some(true),
        seccomp_profile: given.seccomp_profile.clone().or_else(|| Some(default_seccomp_profile(defaults))),
        ..given
    }
}

fn default_seccomp_profile(defaults: &PodDefaults) -> SeccompProfile {
    let type_ = if defaults.seccomp_profile.is_some() { "Localhost" } else { "RuntimeDefault" };
    SeccompProfile { type_: type_.to_owned(), localhost_profile: defaults.seccomp_profile.clone() }
}

fn credentials_volume() -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some(REPORT_AUDIENCE.to_owned()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
    };
    let bundle = ConfigMapProjection {
        name: labels::CA_BUNDLE_CONFIG_MAP.to_owned(),
        items: Some(vec![KeyToPath {
            key: labels::CA_BUNDLE_KEY.to_owned(),
            path: labels::CA_BUNDLE_KEY.to_owned(),
            mode: None,
        }]),
        optional: Some(false),
    };
    Volume {
        name: CREDENTIALS_VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![
                VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
                VolumeProjection { config_map: Some(bundle), ..VolumeProjection::default() },
            ]),
        }),
        ..Volume::default()
    }
}

fn state_volume() -> Volume {
    let empty_dir =
        EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity(STATE_SIZE_MAX.to_owned())) };
    Volume { name: STATE_VOLUME.to_owned(), empty_dir: Some(empty_dir), ..Volume::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(yaml: &str) -> GameServer {
        let mut server: GameServer = serde_yaml::from_str(&format!(
            "apiVersion: cranewing.dev/v1alpha1\nkind: GameServer\nmetadata: {{name: arena-3, namespace: games, uid: u-3, labels: {{cranewing.dev/fleet: arena}}}}\n{yaml}"
        ))
        .unwrap();
        server.metadata.generation = Some(1);
        server
    }

    fn defaults() -> PodDefaults {
        PodDefaults {
            image: "cranewing/gameserver:1".to_owned(),
            region_id: "kr".to_owned(),
            report_endpoint: "10.0.0.1:8443".to_owned(),
            seccomp_profile: None,
        }
    }

    fn container(pod: &Pod) -> &Container {
        &pod.spec.as_ref().unwrap().containers[0]
    }

    #[test]
    fn a_server_without_a_template_gets_a_whole_pod() {
        let pod = build_pod(&server("spec: {}"), &[7005], &defaults());
        let game = container(&pod);
        assert_eq!(game.image.as_deref(), Some("cranewing/gameserver:1"));
        assert_eq!(host_ports_of(&pod), [7005]);
        let security = game.security_context.as_ref().unwrap();
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(pod.spec.as_ref().unwrap().automount_service_account_token, Some(false));
        assert_eq!(pod.spec.as_ref().unwrap().termination_grace_period_seconds, Some(300));
        assert_eq!(pod.labels()[labels::FLEET], "arena");
        assert!(is_owned(&pod, "u-3"));
    }

    #[test]
    fn every_container_gets_no_more_than_it_asks_for_and_nothing_that_it_does_not() {
        let yaml = "spec: {template: {spec: {containers: [{name: gameserver}, {name: tail, securityContext: {readOnlyRootFilesystem: false}}], initContainers: [{name: maps}]}}}";
        let spec = build_pod(&server(yaml), &[7005], &defaults()).spec.unwrap();
        let init = spec.init_containers.unwrap();
        for container in spec.containers.iter().chain(&init) {
            let security = container.security_context.as_ref().unwrap();
            assert_eq!(security.allow_privilege_escalation, Some(false), "{}", container.name);
            assert_eq!(
                security.read_only_root_filesystem,
                Some(container.name != "tail"),
                "{}",
                container.name
            );
            let dropped = security.capabilities.as_ref().and_then(|all| all.drop.as_deref());
            assert_eq!(dropped, Some(&["ALL".to_owned()][..]), "{}", container.name);
        }
    }

    #[test]
    fn capabilities_that_a_template_names_are_dropped_with_all_others_unless_it_asks_for_one() {
        for (capabilities, dropped) in [
            ("{}", &["ALL"][..]),
            ("{drop: [NET_RAW]}", &["NET_RAW", "ALL"]),
            ("{drop: [ALL]}", &["ALL"]),
            ("{add: [], drop: []}", &["ALL"]),
            ("{add: [NET_ADMIN]}", &[]),
            ("{add: [NET_ADMIN], drop: [NET_RAW]}", &["NET_RAW"]),
        ] {
            let yaml = format!(
                "spec: {{template: {{spec: {{containers: [{{name: gameserver, securityContext: {{capabilities: {capabilities}}}}}]}}}}}}"
            );
            let spec = build_pod(&server(&yaml), &[7005], &defaults()).spec.unwrap();
            let security = spec.containers[0].security_context.as_ref().unwrap();
            let found = security.capabilities.as_ref().and_then(|all| all.drop.clone()).unwrap();
            assert_eq!(found, dropped, "{capabilities}");
        }
    }

    /// Its key comes over the report stream (rules 16).
    #[test]
    fn a_pod_mounts_no_secret() {
        let pod = build_pod(&server("spec: {}"), &[7005], &defaults());
        let volumes = pod.spec.as_ref().unwrap().volumes.as_ref().unwrap();
        assert!(!volumes.is_empty());
        for volume in volumes {
            let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
            let is_secret =
                volume.secret.is_some() || projected.clone().any(|source| source.secret.is_some());
            assert!(!is_secret, "{volume:?}");
        }
        let environment = container(&pod).env.iter().flatten();
        let from = environment.filter_map(|variable| variable.value_from.as_ref());
        assert!(from.clone().all(|from| from.secret_key_ref.is_none()));
        assert!(container(&pod).env_from.is_none());
    }

    fn is_owned(pod: &Pod, uid: &str) -> bool {
        pod.owner_references().iter().any(|owner| owner.uid == uid && owner.controller == Some(true))
    }

    #[test]
    fn a_server_is_told_a_deadline_before_its_pods_grace_period_ends() {
        for (deadline, told) in [(1, "0.5"), (30, "27"), (300, "290"), (86_400, "86390")] {
            let pod = build_pod(
                &server(&format!("spec: {{drain: {{deadlineSeconds: {deadline}}}}}")),
                &[7000],
                &defaults(),
            );
            assert_eq!(pod.spec.as_ref().unwrap().termination_grace_period_seconds, Some(deadline));
            assert_eq!(env_of(&pod, env::DRAIN_DEADLINE).as_deref(), Some(told), "{deadline}");
        }
    }

    /// The last one of a name counts, as for the kubelet.
    fn env_of(pod: &Pod, name: &str) -> Option<String> {
        let mut variables = container(pod).env.iter().flatten();
        variables.rfind(|variable| variable.name == name)?.value.clone()
    }

    #[test]
    fn only_our_own_image_gets_probes() {
        let probed =
            |spec: &str| container(&build_pod(&server(spec), &[7000], &defaults())).liveness_probe.is_some();
        assert!(probed("spec: {}"));
        assert!(probed("spec: {template: {spec: {containers: [{name: gameserver}]}}}"));
        assert!(!probed("spec: {template: {spec: {containers: [{name: gameserver, image: 'mine:2'}]}}}"));
    }

    #[test]
    fn each_pod_on_a_node_has_its_own_user() {
        let user = |port| {
            build_pod(&server("spec: {}"), &[port], &defaults())
                .spec
                .unwrap()
                .security_context
                .unwrap()
                .run_as_user
        };
        assert_eq!(user(7005), Some(107_005));
        assert_ne!(user(7005), user(7006));
    }

    #[test]
    fn a_template_keeps_what_it_says() {
        let pod = build_pod(
            &server(
                "spec: {template: {metadata: {labels: {tier: gold}}, spec: {nodeSelector: {disk: fast}, containers: [{name: log, image: log:1}, {name: gameserver, image: mine:2, env: [{name: MODE, value: duel}], resources: {requests: {cpu: '2'}}}]}}}",
            ),
            &[7000],
            &defaults(),
        );
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(pod.labels()["tier"], "gold");
        assert_eq!(spec.node_selector.as_ref().unwrap()["disk"], "fast");
        assert_eq!(spec.containers[0].ports, None, "only the game container gets ports");
        assert_eq!(spec.containers[1].image.as_deref(), Some("mine:2"));
        assert!(spec.containers[1].env.as_ref().unwrap().iter().any(|var| var.name == "MODE"));
    }

    #[test]
    fn a_container_beside_the_game_server_is_not_taken_for_it() {
        let pod = build_pod(
            &server(
                "spec: {template: {spec: {containers: [{name: log, image: log:1, resources: {requests: {cpu: 50m}}, ports: [{containerPort: 80, hostPort: 8080}]}, {name: gameserver, resources: {requests: {cpu: '2'}}}]}}}",
            ),
            &[7005],
            &defaults(),
        );
        assert_eq!((cpu_request_millis(&pod), host_ports_of(&pod)), (Some(2000), vec![7005]));
        assert_eq!(taken_ports(&pod), [8080, 7005], "but what it takes of the node is taken");
    }

    #[test]
    fn labels_and_annotations_of_a_server_are_its_pods_too() {
        let mut server =
            server("spec: {template: {metadata: {labels: {tier: gold}, annotations: {a: pod}}}}");
        server
            .labels_mut()
            .extend([("tier", "any"), ("team", "red")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        server.annotations_mut().extend(
            [("a", "server"), ("b", "server"), (LAST_APPLIED, "{}")]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let pod = build_pod(&server, &[7000], &defaults());
        assert_eq!((pod.labels()["tier"].as_str(), pod.labels()["team"].as_str()), ("gold", "red"));
        assert_eq!(pod.labels()[labels::FLEET], "arena");
        let annotations: Vec<_> = pod.annotations().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(annotations, [("a", "pod"), ("b", "server")]);
    }

    #[test]
    fn the_configured_seccomp_profile_is_for_pods_that_name_none() {
        let profile_of = |spec: &str, configured: Option<&str>| {
            let seccomp_profile = configured.map(str::to_owned);
            let pod = build_pod(&server(spec), &[7000], &PodDefaults { seccomp_profile, ..defaults() });
            let profile = pod.spec.unwrap().security_context.unwrap().seccomp_profile.unwrap();
            (profile.type_, profile.localhost_profile)
        };
        let named = |type_: &str, file: Option<&str>| (type_.to_owned(), file.map(str::to_owned));
        let ours = Some("cranewing/gameserver.json");
        assert_eq!(profile_of("spec: {}", None), named("RuntimeDefault", None));
        assert_eq!(profile_of("spec: {}", ours), named("Localhost", ours));
        let own = "spec: {template: {spec: {securityContext: {seccompProfile: {type: RuntimeDefault}}}}}";
        assert_eq!(profile_of(own, ours), named("RuntimeDefault", None));
    }

    #[test]
    fn cpu_quantities_are_read() {
        for (text, millis) in
            [("100m", Some(100)), ("1", Some(1000)), ("0.5", Some(500)), ("1.25", Some(1250)), ("x", None)]
        {
            assert_eq!(parse_cpu_millis(text), millis, "{text}");
        }
    }
}
