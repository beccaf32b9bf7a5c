//! What `up` makes in other shapes than the usual, and what `down` leaves whatever became of `up`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must panic")]
#![expect(clippy::disallowed_methods, reason = "a test measures")]

mod fresh;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use fresh::{FreshClone, holds_within};
use serde_json::Value;

/// Seconds after which `up` is killed: while clusters are made, while the operator is installed, while players join, and when all runs.
const MOMENTS: [u64; 8] = [2, 8, 15, 22, 29, 34, 38, 60];

/// The engine that answers.
fn engine(clone: &FreshClone) -> &'static str {
    let engine = ["docker", "podman"].into_iter().find(|engine| {
        clone
            .command(engine)
            .arg("info")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    });
    engine.expect("an engine answers")
}

/// What an instance may leave on this machine.
fn leftovers(clone: &FreshClone, instance: &str) -> Vec<String> {
    let engine = engine(clone);
    let mut found = Vec::new();
    for list in [
        ["ps", "--all", "--format={{.Names}}"].as_slice(),
        &["network", "ls", "--format={{.Name}}"],
        &["volume", "ls", "--format={{.Labels}}"],
    ] {
        let output = clone.command(engine).args(list).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        found.extend(text.lines().filter(|line| line.contains(instance)).map(str::to_owned));
    }
    let marks = ["CRANEWING_INSTANCE", "CRANEWING_BUILD"].map(|mark| format!("{mark}={instance}"));
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let is_ours = |variable: &[u8]| marks.iter().any(|mark| mark.as_bytes() == variable);
        if environment.split(|byte| *byte == 0).any(is_ours) {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

fn network_namespaces() -> usize {
    fs::read_dir("/run/netns").map_or(0, Iterator::count)
}

fn status(clone: &FreshClone) -> Value {
    serde_json::from_str(&clone.succeed("cargo xtask status --output json")).unwrap()
}

fn instance(clone: &FreshClone) -> String {
    status(clone)["instance"].as_str().unwrap().to_owned()
}

/// Where the kubeconfigs of an instance are.
fn kubeconfig(clone: &FreshClone, region: &str) -> PathBuf {
    fresh::cache().join("instances").join(instance(clone)).join(format!("{region}.kubeconfig"))
}

/// A program that `up` built.
fn tool(name: &str) -> PathBuf {
    let tools = fs::read_dir(fresh::cache().join("tools")).unwrap().flatten().map(|entry| entry.path());
    tools.map(|tool| tool.join(name)).find(|program| program.is_file()).unwrap()
}

/// Takes the operator and its definitions out of a cluster, as its owner would.
fn uninstall(clone: &FreshClone, kubeconfig: &Path) {
    let helm = tool("helm");
    for release in ["cranewing", "cranewing-crds"] {
        let arguments = ["uninstall", release, "--namespace", "cranewing-system", "--wait", "--kubeconfig"];
        let status = clone.command(helm.to_str().unwrap()).args(arguments).arg(kubeconfig).status();
        assert!(status.unwrap().success(), "helm uninstall {release}");
    }
}

/// Three nodes a region, and then a second checkout that uses one of these clusters instead of making its own.
#[test]
fn each_zone_can_have_a_node_and_clusters_that_exist_are_used_and_left() {
    let clone = FreshClone::fresh("home");
    let namespaces = network_namespaces();
    clone.succeed("cargo xtask up --once --nodes 3");
    let home = instance(&clone);
    for (id, region) in status(&clone)["regions"].as_object().unwrap() {
        assert_eq!(region["zones"], "3/3", "{id}: {region}");
    }
    let kubeconfig = kubeconfig(&clone, "kr");
    let context = format!("kind-{home}-kr");

    let guest = FreshClone::fresh("guest");
    let up = || {
        let mut up = guest.command("cargo");
        up.args(["xtask", "up", "--once", "--output", "json", "--players", "30"]);
        up.arg("--context").arg(format!("kr={context}"));
        let output = up.env("KUBECONFIG", &kubeconfig).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output, said)
    };
    let (refused, said) = up();
    assert!(!refused.status.success() && said.contains("which this checkout did not install"), "{said}");
    uninstall(&clone, &kubeconfig);
    let (output, said) = up();
    assert!(output.status.success(), "{said}");
    let overview: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(overview["regions"].as_object().unwrap().len(), 1, "{overview}");
    assert!(overview["regions"]["kr"]["players"].as_u64() > Some(0), "{overview}");
    assert_eq!(
        leftovers(&guest, &format!("{}-", instance(&guest))),
        Vec::<String>::new(),
        "it made no cluster"
    );
    guest.succeed("cargo xtask down");
    // `home` made the namespace, so the guest leaves it
    let namespace = ["get", "namespace", "cranewing-system", "--kubeconfig"];
    let kubectl = clone.command(tool("kubectl").to_str().unwrap()).args(namespace).arg(&kubeconfig).status();
    assert!(kubectl.unwrap().success(), "the namespace that was there before is still there");

    // the cluster is still there, and nothing of ours is in it
    let regions = status(&clone)["regions"].clone();
    assert!(regions["kr"]["unreadable"].is_string(), "its definitions are gone: {regions}");
    assert!(regions["jp"]["ready"].as_u64() > Some(0), "{regions}");
    let again: Value =
        serde_json::from_str(&clone.succeed("cargo xtask up --once --nodes 3 --output json")).unwrap();
    assert!(again["regions"]["kr"]["players"].as_u64() > Some(0), "the cluster works: {again}");

    // its owner removes it while a guest plays in it
    uninstall(&clone, &kubeconfig);
    let (output, said) = up();
    assert!(output.status.success(), "{said}");
    let guests = instance(&guest);
    clone.succeed("cargo xtask down");
    let down = guest.run("cargo xtask down");
    let said = String::from_utf8_lossy(&down.stderr).into_owned();
    assert!(down.status.success() && said.contains(&context) && said.contains("it is gone"), "{said}");
    for instance in [home, guests] {
        assert_eq!(leftovers(&clone, &instance), Vec::<String>::new());
    }
    assert_eq!(network_namespaces(), namespaces, "network namespaces");
}

/// Two placed Fleets of kr, of which each region has its share; one has an AutoScaler.
const PLACED: &str = r"
apiVersion: cranewing.dev/v1alpha1
kind: Fleet
metadata: { name: wide, namespace: default }
spec:
  home: kr
  replicas: 9
  placement: {}
  template: { spec: { capacity: 20 } }
---
apiVersion: cranewing.dev/v1alpha1
kind: AutoScaler
metadata: { name: tide, namespace: default }
spec:
  fleet: scaled
  min: 3
  max: 6
  policies: [{ metric: player_count, upThreshold: 15, downThreshold: 5, cooldownSeconds: 30 }]
---
apiVersion: cranewing.dev/v1alpha1
kind: Fleet
metadata: { name: scaled, namespace: default }
spec:
  home: kr
  placement: {}
  template: { spec: { capacity: 20 } }
";

/// What kubectl gets, as JSON; nothing if it fails.
fn get(clone: &FreshClone, kubeconfig: &Path, what: &[&str]) -> Value {
    let get = ["get", "--output=json", "--request-timeout=5s", "--kubeconfig"];
    let mut kubectl = clone.command(tool("kubectl").to_str().unwrap());
    let output = kubectl.args(get).arg(kubeconfig).args(what).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// What people wrote, as its home has it.
fn specs(clone: &FreshClone, home: &Path) -> Vec<Value> {
    [["fleet", "wide"], ["fleet", "scaled"], ["autoscaler", "tide"], ["regioncluster", "kr"]]
        .map(|what| get(clone, home, &what)["spec"].clone())
        .into()
}

/// Uids of what another region has of it.
fn uids(clone: &FreshClone, other: &Path) -> Vec<String> {
    let servers = get(clone, other, &["gameservers", "--selector=cranewing.dev/fleet=wide-jp"]);
    let child = get(clone, other, &["autoscaler", "scaled-jp"]);
    let all = servers["items"].as_array().into_iter().flatten().chain([&child]);
    let mut uids: Vec<_> = all.filter_map(|one| one["metadata"]["uid"].as_str().map(str::to_owned)).collect();
    uids.sort();
    uids
}

/// Share and Ready of each region, as the region says of the placed Fleet.
fn shares(clone: &FreshClone, kubeconfig: &Path) -> Value {
    let fleet = get(clone, kubeconfig, &["fleet", "wide"]);
    let parts = fleet["status"]["regions"].as_array().cloned().unwrap_or_default();
    let part = |part: &Value| {
        (part["regionId"].as_str().unwrap().to_owned(), part["share"].clone(), part["ready"].clone())
    };
    serde_json::to_value(parts.iter().map(part).collect::<Vec<_>>()).unwrap()
}

/// What `status` says that does not change from second to second.
fn steady(status: &Value) -> Value {
    let regions = status["regions"].as_object().unwrap().iter();
    let steady = |region: &Value| {
        serde_json::json!([region["standing"], region["zones"], region["players"].as_u64() > Some(0)])
    };
    regions.map(|(id, region)| (id.clone(), steady(region))).collect::<serde_json::Map<_, _>>().into()
}

/// With everything that was in it.
#[test]
fn a_region_whose_cluster_is_deleted_is_back_within_five_minutes() {
    let clone = FreshClone::fresh("home");
    clone.succeed("cargo xtask up --once");
    let home = instance(&clone);
    let kubeconfigs = ["kr", "jp", "sg"].map(|region| kubeconfig(&clone, region));
    let kubectl = |arguments: &[&str], kubeconfig: &Path| {
        let kubectl = tool("kubectl");
        let status = clone
            .command(kubectl.to_str().unwrap())
            .args(arguments)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .status();
        assert!(status.unwrap().success(), "kubectl {arguments:?}");
    };
    for kubeconfig in &kubeconfigs {
        kubectl(&["annotate", "namespace", "default", "cranewing.dev/takes-fleets-from=*"], kubeconfig);
    }
    let file = clone.root.join("wide.yaml");
    fs::write(&file, PLACED).unwrap();
    kubectl(&["apply", "--filename", file.to_str().unwrap()], &kubeconfigs[0]);
    let everywhere = serde_json::json!([["jp", 3, 3], ["kr", 3, 3], ["sg", 3, 3]]);
    let is_shared_out = || {
        kubeconfigs.iter().all(|kubeconfig| shares(&clone, kubeconfig) == everywhere)
            // three servers and the child of the AutoScaler
            && uids(&clone, &kubeconfigs[1]).len() == 4
    };
    assert!(
        holds_within(Duration::from_secs(120), Duration::from_secs(1), is_shared_out),
        "it is not shared out"
    );
    let (before, asked_for, theirs) =
        (status(&clone), specs(&clone, &kubeconfigs[0]), uids(&clone, &kubeconfigs[1]));
    assert!(asked_for.iter().all(Value::is_object), "{asked_for:?}");

    let refused = clone.run("cargo xtask region restore kr");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("is still there"), "{said}");
    let kind = tool("kind");
    let delete = ["delete", "cluster", "--name", &format!("{home}-kr"), "--kubeconfig", "/dev/null"];
    let deleted = clone
        .command(kind.to_str().unwrap())
        .args(delete)
        .env("KIND_EXPERIMENTAL_PROVIDER", engine(&clone))
        .status();
    assert!(deleted.unwrap().success(), "kind delete cluster");

    let start = Instant::now();
    let restore = clone.run("cargo xtask region restore kr");
    let (text, told) = (String::from_utf8_lossy(&restore.stdout), String::from_utf8_lossy(&restore.stderr));
    assert!(restore.status.success(), "{told}");
    assert!(told.contains("lost for good: the sessions of"), "how much is lost: {told}");
    let restored: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let is_back = || kubeconfigs.iter().all(|kubeconfig| shares(&clone, kubeconfig) == everywhere);
    assert!(holds_within(Duration::from_secs(60), Duration::from_secs(1), is_back), "shares: {restored}");
    let took = start.elapsed();
    println!("kr was back after {:.0} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(300), "{took:?}");
    assert_eq!(steady(&restored), steady(&before));
    assert_eq!(specs(&clone, &kubeconfigs[0]), asked_for);
    // servers that jp made for kr may still be there
    let now = uids(&clone, &kubeconfigs[1]);
    assert!(
        theirs.iter().all(|uid| now.contains(uid)),
        "nothing of jp's was replaced: {theirs:?}, now {now:?}"
    );
    clone.succeed("cargo xtask down");
    assert_eq!(leftovers(&clone, &home), Vec::<String>::new());
}

#[test]
fn down_removes_everything_whenever_up_was_killed() {
    let clone = FreshClone::fresh("home");
    // so that the moments fall into the making of clusters and not into the compiling
    clone.succeed("cargo xtask up --once");
    let instance = instance(&clone);
    clone.succeed("cargo xtask down");
    assert_eq!(leftovers(&clone, &instance), Vec::<String>::new());
    let namespaces = network_namespaces();
    for moment in MOMENTS {
        let mut up =
            clone.command("cargo").args(["xtask", "up", "--once"]).stdout(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        // it may be done before that
        holds_within(Duration::from_secs(moment), Duration::from_millis(50), || {
            up.try_wait().unwrap().is_some()
        });
        up.kill().unwrap();
        let _killed = up.wait().unwrap();
        clone.succeed("cargo xtask down");
        println!("killed after {moment} s: down took {:.1} s in all", start.elapsed().as_secs_f64());
        assert_eq!(leftovers(&clone, &instance), Vec::<String>::new(), "killed after {moment} s");
        assert_eq!(network_namespaces(), namespaces, "network namespaces, killed after {moment} s");
    }
}

/// How far the building of a node image is: a log of it and words that it holds by then. Packages are unpacked, packages are set up with
/// `/proc` mounted for them, containerd runs.
const BUILDING: [(&str, &str); 3] = [
    ("debootstrap.log", "I: Unpacking"),
    ("debootstrap.log", "I: Configuring"),
    ("containerd.log", "containerd successfully booted"),
];

/// A cache with links to what the usual one has in `directories`, but for what begins with `missing`.
fn cache_with(name: &str, directories: &[&str], missing: &str) -> PathBuf {
    let cache = fresh::cache().join(name);
    if cache.exists() {
        fs::remove_dir_all(&cache).unwrap();
    }
    for directory in directories {
        fs::create_dir_all(cache.join(directory)).unwrap();
        for entry in fs::read_dir(fresh::cache().join(directory)).unwrap().flatten() {
            if !entry.file_name().to_string_lossy().starts_with(missing) {
                std::os::unix::fs::symlink(entry.path(), cache.join(directory).join(entry.file_name()))
                    .unwrap();
            }
        }
    }
    cache
}

/// The name under which a clone stands in a cache of its own.
fn instance_in(cache: &Path) -> String {
    let instances = fs::read_dir(cache.join("instances")).unwrap().flatten();
    instances.map(|entry| entry.file_name().into_string().unwrap()).next().unwrap()
}

/// Lines of the commands that compile for a clone, by their mark.
fn compilers(instance: &str) -> Vec<String> {
    let mark = format!("CRANEWING_BUILD={instance}");
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    });
    let line = |path: PathBuf| fs::read(path.join("cmdline")).unwrap_or_default();
    processes.map(|process| String::from_utf8_lossy(&line(process.path())).replace('\0', " ")).collect()
}

/// What is missing in the cache so that `up` compiles it first, what it has, and a word of what compiles then: tools by Go, and our own
/// programs, for which there is no target directory yet.
const COMPILING: [(&str, &[&str], &str); 2] =
    [("helm-", &["tools", "node-images"], "/compile "), ("nothing", &["tools", "node-images"], "rustc ")];

#[test]
fn down_leaves_nothing_that_compiles_when_up_was_killed() {
    let clone = FreshClone::fresh("home");
    for (missing, directories, compiler) in COMPILING {
        let cache = cache_with("compiling", directories, missing);
        let xtask = |command: &str| {
            let mut xtask = clone.command("cargo");
            xtask.args(["xtask", command]).env("CRANEWING_CACHE", &cache).stdin(Stdio::null());
            // so that Go has something to compile
            xtask.env("GOCACHE", cache.join("go-build"));
            xtask
        };
        let mut up = xtask("up").arg("--once").spawn().unwrap();
        let compiles = holds_within(Duration::from_secs(600), Duration::from_millis(50), || {
            assert!(up.try_wait().unwrap().is_none(), "`up` ended before {compiler} ran");
            cache.join("instances").is_dir()
                && compilers(&instance_in(&cache)).iter().any(|line| line.contains(compiler))
        });
        // cargo replaces itself by the program that it runs
        up.kill().unwrap();
        let _killed = up.wait().unwrap();
        assert!(compiles, "{compiler} never ran");
        assert!(xtask("down").status().unwrap().success());
        assert_eq!(leftovers(&clone, &instance_in(&cache)), Vec::<String>::new(), "at {compiler}");
        let unfinished = fs::read_dir(cache.join("tools")).unwrap().flatten();
        let unfinished = unfinished.filter(|tool| tool.file_name().to_string_lossy().contains("unfinished"));
        assert_eq!(unfinished.count(), 0, "at {compiler}");
        assert_eq!(users(&cache), Vec::<String>::new(), "at {compiler}");
        fs::remove_dir_all(cache).unwrap();
    }
}

/// Processes that are at work in a directory, and mounts in it.
fn users(directory: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|process| {
        ["cwd", "root"].iter().any(|link| {
            fs::read_link(process.path().join(link)).is_ok_and(|place| place.starts_with(directory))
        })
    });
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(directory.to_str().unwrap()));
    processes.map(|process| process.path().display().to_string()).chain(mounts.map(str::to_owned)).collect()
}

#[test]
fn down_leaves_nothing_of_a_node_image_whose_building_was_killed() {
    let clone = FreshClone::fresh("home");
    let packages = clone.root.join("e2e/cluster/node-image/packages");
    // another recipe, so that the engine has no image of it either
    fs::write(&packages, fs::read_to_string(&packages).unwrap() + "# built by a test\n").unwrap();
    let cache = cache_with("without-node-image", &["tools"], "nothing");
    let images = cache.join("node-images");
    let xtask = |command: &str| {
        let mut xtask = clone.command("cargo");
        xtask.args(["xtask", command]).env("CRANEWING_CACHE", &cache).stdin(Stdio::null());
        xtask
    };
    for (log, words) in BUILDING {
        let mut up = xtask("up").arg("--once").spawn().unwrap();
        let start = Instant::now();
        let is_there = holds_within(Duration::from_secs(600), Duration::from_millis(50), || {
            assert!(up.try_wait().unwrap().is_none(), "`up` ended before {words}");
            let mut works = fs::read_dir(&images).into_iter().flatten().flatten();
            works.any(|work| fs::read_to_string(work.path().join(log)).is_ok_and(|text| text.contains(words)))
        });
        up.kill().unwrap();
        let _killed = up.wait().unwrap();
        assert!(is_there, "{words}: never came");
        println!("killed after {:.1} s, at {words}", start.elapsed().as_secs_f64());
        assert!(xtask("down").status().unwrap().success());
        assert_eq!(fs::read_dir(&images).unwrap().count(), 0, "at {words}");
        assert_eq!(users(&cache), Vec::<String>::new(), "at {words}");
        assert_eq!(leftovers(&clone, &instance_in(&cache)), Vec::<String>::new(), "at {words}");
    }
    fs::remove_dir_all(cache).unwrap();
}
