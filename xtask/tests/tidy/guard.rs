//! What speaks against the removal of a region, by what its cluster says: `may_go.sh` of the environments, with a kubectl that answers
//! from a table.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

/// Answers from the files beside it, by kind, and keeps what it was asked; without a file it fails.
const KUBECTL: &str = "#!/bin/sh
printf '%s\\n' \"$*\" >> \"${0%/*}/asked\"
case \"$*\" in
  *' get regionclusters.cranewing.dev kr '*) kind=region ;;
  *' get fleets.cranewing.dev --all-namespaces '*) kind=fleets ;;
  *' get gameservers.cranewing.dev --all-namespaces '*) kind=servers ;;
esac
cat \"${0%/*}/$kind\"
";

/// What a region's cluster says: the condition Drained, Fleets and game servers as rows of the columns that are asked for.
#[derive(Clone, Copy)]
struct Cluster {
    region: Option<&'static str>,
    fleets: Option<&'static str>,
    servers: Option<&'static str>,
}

/// Drained, with an empty share, a copy of another region's Fleet, and a Fleet of its own on which nobody plays.
const EMPTY: Cluster = Cluster {
    region: Some("True\tjp, sg say so; 2 of 3: others take over its share"),
    fleets: Some("games/arena\t\tjp\t9\t9\ngames/arena-kr\tarena\t\t0\t0\ngames/duel\t\t\t2\t2\n"),
    servers: Some("games/duel-0\t0\ngames/duel-1\t\n"),
};

/// A directory that goes when the test ends.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Asks whether kr may go: what speaks against it, a line each, and how kubectl was called.
fn ask(name: &str, cluster: Cluster, more: &[(&str, &str)]) -> (Result<(), Vec<String>>, String) {
    let scratch =
        Scratch(std::env::temp_dir().join(format!("cranewing-guard-{name}-{}", std::process::id())));
    fs::create_dir_all(&scratch.0).unwrap();
    let kubectl = scratch.0.join("kubectl");
    fs::write(&kubectl, KUBECTL).unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    for (kind, said) in [("region", cluster.region), ("fleets", cluster.fleets), ("servers", cluster.servers)]
    {
        if let Some(said) = said {
            fs::write(scratch.0.join(kind), said).unwrap();
        }
    }
    let mut path = vec![scratch.0.clone()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut script = Command::new("sh");
    script.arg(crate::root().join("terraform/environments/production/may_go.sh"));
    script.env("PATH", std::env::join_paths(path).unwrap()).env("HOME", "/somewhere");
    script.env_remove("TF_VAR_kubeconfig").env_remove("TF_VAR_context");
    script.env("REGION", "kr").env("KUBECONFIG_PATH", "~/.kube/config").env("CONTEXT", "seoul");
    let output = script.envs(more.iter().copied()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let said = said.lines().filter(|line| line.starts_with("kr ")).map(str::to_owned).collect();
    let asked = fs::read_to_string(scratch.0.join("asked")).unwrap_or_default();
    (if output.status.success() { Ok(()) } else { Err(said) }, asked)
}

#[test]
fn a_region_goes_when_its_cluster_says_that_it_is_drained_and_empty() {
    let share = "games/arena-kr\tarena\t\t0\t3\n";
    let asks = "games/arena-kr\tarena\t\t3\t0\n";
    let home = "games/arena\t\tkr\t9\t0\n";
    let cases: &[(&str, Cluster, &[&str])] = &[
        ("drained and empty", EMPTY, &[]),
        ("no Fleet and no server at all", Cluster { fleets: Some(""), servers: Some(""), ..EMPTY }, &[]),
        ("nobody says so", Cluster { region: Some("\t"), ..EMPTY }, &["is not drained: no region says so"]),
        (
            "a minority",
            Cluster { region: Some("False\tjp says so; 1 of 3: no majority"), ..EMPTY },
            &["is not drained: too few regions say so (jp says so; 1 of 3: no majority)"],
        ),
        (
            "unknown",
            Cluster { region: Some("Unknown\tx"), ..EMPTY },
            &["is not drained: too few regions say so (x)"],
        ),
        (
            "a share with servers",
            Cluster { fleets: Some(share), ..EMPTY },
            &["is not drained: Fleet games/arena-kr has 3 game servers and asks for 0"],
        ),
        (
            "a share that asks for some",
            Cluster { fleets: Some(asks), ..EMPTY },
            &["is not drained: Fleet games/arena-kr has 0 game servers and asks for 3"],
        ),
        (
            "a home",
            Cluster { fleets: Some(home), ..EMPTY },
            &["is the home of Fleet games/arena, which would be deleted in all regions"],
        ),
        (
            "players",
            Cluster { servers: Some("games/a\t0\ngames/b\t8\ngames/c\t4\n"), ..EMPTY },
            &["has 12 players on 2 game servers, such as games/b"],
        ),
        (
            "all of it",
            Cluster { region: Some("\t"), fleets: Some(share), servers: Some("games/b\t1\n") },
            &["is not drained: no region", "is not drained: Fleet", "has 1 players"],
        ),
    ];
    for (name, cluster, against) in cases {
        let (answer, _) = ask(&name.replace(' ', "-"), *cluster, &[]);
        let said = answer.err().unwrap_or_default();
        assert_eq!(said.len(), against.len(), "{name}: {said:?}");
        for (said, expected) in said.iter().zip(*against) {
            assert!(said.starts_with(&format!("kr {expected}")), "{name}: {said}");
        }
    }
}

#[test]
fn a_region_that_cannot_be_asked_stays() {
    for (name, cluster) in [
        ("no-region", Cluster { region: None, ..EMPTY }),
        ("no-fleets", Cluster { fleets: None, ..EMPTY }),
        ("no-servers", Cluster { servers: None, ..EMPTY }),
    ] {
        let said = ask(name, cluster, &[]).0.unwrap_err();
        assert!(said[0].starts_with("kr cannot be asked whether it is drained"), "{name}: {said:?}");
    }
}

#[test]
fn the_cluster_is_that_of_the_last_apply_unless_the_environment_names_another() {
    let (_, asked) = ask("last", EMPTY, &[]);
    assert_eq!(asked.lines().count(), 3, "{asked}");
    let last = "--kubeconfig /somewhere/.kube/config --context seoul --request-timeout 30s get ";
    assert!(asked.lines().all(|line| line.starts_with(last)), "{asked}");
    let (_, asked) = ask("another", EMPTY, &[("TF_VAR_kubeconfig", "/a b"), ("TF_VAR_context", "c")]);
    assert!(asked.lines().all(|line| line.starts_with("--kubeconfig /a b --context c ")), "{asked}");
}
