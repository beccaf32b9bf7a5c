//! What `up` makes in other shapes than the usual, and what `down` leaves whatever became of `up`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must panic")]
#![expect(clippy::disallowed_methods, reason = "a test measures")]

mod fresh;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use fresh::{Clone, holds_within};
use serde_json::Value;

/// Seconds after which `up` is killed: while clusters are made, while the operator is installed, while players join, and when all runs.
const MOMENTS: [u64; 8] = [2, 8, 15, 22, 29, 34, 38, 60];

/// What an instance may leave on this machine.
fn leftovers(clone: &Clone, instance: &str) -> Vec<String> {
    let engine = ["docker", "podman"].into_iter().find(|engine| {
        clone
            .command(engine)
            .arg("info")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    });
    let engine = engine.expect("an engine answers");
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
    let mark = format!("CRANEWING_INSTANCE={instance}");
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&line).replace('\0', " "));
        }
    }
    found
}

fn network_namespaces() -> usize {
    fs::read_dir("/run/netns").map_or(0, Iterator::count)
}

fn status(clone: &Clone) -> Value {
    serde_json::from_str(&clone.succeed("cargo xtask status --output json")).unwrap()
}

fn instance(clone: &Clone) -> String {
    status(clone)["instance"].as_str().unwrap().to_owned()
}

/// Where the kubeconfigs of an instance are.
fn kubeconfig(clone: &Clone, region: &str) -> PathBuf {
    fresh::cache().join("instances").join(instance(clone)).join(format!("{region}.kubeconfig"))
}

/// Takes the operator and its definitions out of a cluster, as its owner would.
fn uninstall(clone: &Clone, kubeconfig: &Path) {
    let tools = fs::read_dir(fresh::cache().join("tools")).unwrap().flatten().map(|entry| entry.path());
    let helm = tools.map(|tool| tool.join("helm")).find(|program| program.is_file()).unwrap();
    for release in ["cranewing", "cranewing-crds"] {
        let arguments = ["uninstall", release, "--namespace", "cranewing-system", "--wait", "--kubeconfig"];
        let status = clone.command(helm.to_str().unwrap()).args(arguments).arg(kubeconfig).status();
        assert!(status.unwrap().success(), "helm uninstall {release}");
    }
}

/// Three nodes a region, and then a second checkout that uses one of these clusters instead of making its own.
#[test]
fn each_zone_can_have_a_node_and_clusters_that_exist_are_used_and_left() {
    let clone = Clone::fresh("home");
    let namespaces = network_namespaces();
    clone.succeed("cargo xtask up --once --nodes 3");
    let home = instance(&clone);
    for (id, region) in status(&clone)["regions"].as_object().unwrap() {
        assert_eq!(region["zones"], "3/3", "{id}: {region}");
    }
    let kubeconfig = kubeconfig(&clone, "kr");
    let context = format!("kind-{home}-kr");

    let guest = Clone::fresh("guest");
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

#[test]
fn down_removes_everything_whenever_up_was_killed() {
    let clone = Clone::fresh("home");
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

/// A cache with every tool, as links, and no node image.
fn cache_without_node_image() -> PathBuf {
    let cache = fresh::cache().join("without-node-image");
    if cache.exists() {
        fs::remove_dir_all(&cache).unwrap();
    }
    fs::create_dir_all(cache.join("tools")).unwrap();
    for tool in fs::read_dir(fresh::cache().join("tools")).unwrap().flatten() {
        std::os::unix::fs::symlink(tool.path(), cache.join("tools").join(tool.file_name())).unwrap();
    }
    cache
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
    let clone = Clone::fresh("home");
    let packages = clone.root.join("e2e/cluster/node-image/packages");
    // another recipe, so that the engine has no image of it either
    fs::write(&packages, fs::read_to_string(&packages).unwrap() + "# built by a test\n").unwrap();
    let cache = cache_without_node_image();
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
        let instance = fs::read_dir(cache.join("instances")).unwrap().flatten().next().unwrap().file_name();
        assert_eq!(leftovers(&clone, instance.to_str().unwrap()), Vec::<String>::new(), "at {words}");
    }
    fs::remove_dir_all(cache).unwrap();
}
