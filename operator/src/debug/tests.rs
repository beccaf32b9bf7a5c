//! A bundle of an API server that has two pages of servers, keeps some things to itself, and is asked for no Secret.

use super::*;
use crate::args::{Args, Command, DebugArgs};
use clap::Parser as _;
use flate2::read::GzDecoder;
use http::{Request, Response};
use k8s_openapi::jiff::Timestamp;
use kube::client::Body;
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

const SECRET: &str = "hunter2";

/// What was asked for.
type Asked = Arc<Mutex<Vec<String>>>;

fn pod(name: &str, app: Option<&str>, restarts: u64) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "games", "labels": { "app.kubernetes.io/name": app.unwrap_or("none") } },
        "spec": { "containers": [{ "name": "main", "env": [{ "name": "DB", "value": SECRET }] }] },
        "status": { "containerStatuses": [{ "name": "main", "restartCount": restarts }] },
    })
}

fn server(name: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": "games", "managedFields": [] }, "spec": {} })
}

/// Status and answer to a path with its query.
fn answer(path: &str, query: &str) -> (u16, String) {
    let list = |items: &[Value], next: &str| {
        (200, json!({ "metadata": { "continue": next }, "items": items }).to_string())
    };
    match path {
        "/version" => {
            let version = json!({
                "major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "",
                "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
            });
            (200, version.to_string())
        }
        "/apis/cranewing.dev/v1alpha1/gameservers" if query.contains("continue=") => list(&[server("duel-1")], ""),
        "/apis/cranewing.dev/v1alpha1/gameservers" => list(&[server("duel-0")], "more"),
        "/api/v1/pods" => list(&[pod("duel-0", None, 1), pod("duel-1", None, 0)], ""),
        "/api/v1/namespaces/cranewing-system/pods" => list(&[pod("operator-a", Some("cranewing"), 0)], ""),
        "/api/v1/namespaces/games/pods/duel-0/log" if query.contains("previous=true") => (200, "it crashed\n".to_owned()),
        path if path.ends_with("/log") => (200, format!("it runs, password={SECRET}\n")),
        "/api/v1/nodes" => (403, json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "nodes is forbidden",
        }).to_string()),
        path if path.starts_with("/api/v1/namespaces/") && path.matches('/').count() != 5 => (404, json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound", "message": "",
        }).to_string()),
        _ => list(&[], ""),
    }
}

fn client(asked: &Asked) -> Client {
    let asked = Arc::clone(asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri();
        asked.lock().unwrap().push(uri.path().to_owned());
        let (status, body) = answer(uri.path(), uri.query().unwrap_or_default());
        async move {
            Ok::<_, Infallible>(
                Response::builder().status(status).body(Body::from(body.into_bytes())).unwrap(),
            )
        }
    });
    Client::new(service, "default")
}

/// Files of a bundle by their paths below its directory.
fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(path).unwrap()));
    let entries = tar.entries().unwrap().map(Result::unwrap);
    let files = entries.map(|mut entry| {
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let path = entry.path().unwrap().display().to_string();
        (path.split_once('/').unwrap().1.to_owned(), text)
    });
    files.collect()
}

/// A bundle made with these arguments; what was asked for meanwhile.
async fn made(test: &str, arguments: &[&str]) -> (BTreeMap<String, String>, Vec<String>, String) {
    let file = std::env::temp_dir().join(format!("cranewing-bundle-{test}-{}.tar.gz", std::process::id()));
    let output = file.display().to_string();
    let line = ["operator", "debug", "bundle", "--output", &output];
    let args = Args::try_parse_from(line.iter().chain(arguments)).unwrap();
    let Command::Debug(DebugArgs { command: DebugCommand::Bundle(args) }) = args.command else {
        panic!("it is `debug bundle`")
    };
    let (asked, mut notes) = (Asked::default(), Vec::new());
    let written = bundle(&client(&asked), &args, &Time(Timestamp::UNIX_EPOCH), &mut notes).await.unwrap();
    let files = unpacked(&written);
    fs::remove_file(written).unwrap();
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    (files, asked, String::from_utf8(notes).unwrap())
}

#[tokio::test]
async fn a_bundle_has_every_page_and_log_without_secrets_and_says_what_could_not_be_read() {
    let (files, asked, notes) = made("whole", &[]).await;
    let json = |path: &str| serde_json::from_str::<Value>(&files[path]).unwrap();
    assert_eq!(json("about.json")["kubernetes"], "v1.36.3");
    for (page, name) in [("0001", "duel-0"), ("0002", "duel-1")] {
        let list = json(&format!("objects/gameservers.cranewing.dev/{page}.json"));
        assert_eq!(
            (&list["items"][0]["kind"], &list["items"][0]["metadata"]["name"]),
            (&"GameServer".into(), &name.into())
        );
    }
    assert_eq!(json("objects/pods/0001.json")["items"].as_array().unwrap().len(), 2);
    assert_eq!(json("objects/operator/pods/0001.json")["items"][0]["metadata"]["name"], "operator-a");
    assert_eq!(files["logs/games/duel-0/main.log"], "it runs, password=<redacted>\n");
    assert_eq!(files["logs/games/duel-0/main.previous.log"], "it crashed\n");
    assert!(files.contains_key("logs/games/operator-a/main.log"), "{:?}", files.keys());
    assert!(!files.contains_key("logs/games/duel-1/main.previous.log"), "it never ended");
    let leaks = files.iter().filter(|(_, text)| text.contains(SECRET)).map(|(path, _)| path);
    assert_eq!(leaks.collect::<Vec<_>>(), Vec::<&String>::new());

    let errors: Vec<&str> = files["errors.txt"].lines().collect();
    let told = |what: &str| errors.iter().any(|line| line.contains(what));
    assert!(
        told("nodes in the cluster: nodes is forbidden") && told("the right to list nodes"),
        "{errors:?}"
    );
    // this API server forwards no port
    for file in ["decisions.json", "streams.json", "metrics.txt"] {
        assert!(told(&format!("operator/operator-a/{file}")), "{errors:?}");
    }
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(
        notes.contains("2 gameservers.cranewing.dev") && notes.contains("4 things are not in it"),
        "{notes}"
    );
    assert!(!asked.iter().any(|path| path.contains("secrets")), "{asked:?}");
}

#[tokio::test]
async fn a_bundle_of_named_namespaces_asks_for_nothing_of_ours_elsewhere() {
    let (_, asked, _) = made("named", &["--games", "games", "--games", "ranked"]).await;
    for path in ["games/fleets", "ranked/fleets", "games/gameservers"] {
        let path = format!("/apis/cranewing.dev/v1alpha1/namespaces/{path}");
        assert!(asked.contains(&path), "{path} is not in {asked:?}");
    }
    let everywhere = ["/apis/cranewing.dev/v1alpha1/fleets", "/api/v1/pods"];
    assert!(!asked.iter().any(|path| everywhere.contains(&path.as_str())), "{asked:?}");
}

#[tokio::test]
async fn a_bundle_is_bounded_and_tells_what_had_no_room_and_which_servers_were_not_heard() {
    let (files, _, _) = made("bounded", &["--max-bytes", "400", "--server-logs", "1"]).await;
    let size: usize =
        files.iter().filter(|(path, _)| *path != "errors.txt").map(|(_, text)| text.len()).sum();
    assert!(size <= 400, "{size}");
    assert!(
        files["errors.txt"].contains("have no room; allow more by --max-bytes"),
        "{}",
        files["errors.txt"]
    );
    assert!(files["errors.txt"].contains("1 of 2 are in it; ask for more by --server-logs"));
}

#[tokio::test]
async fn of_a_cluster_that_does_not_answer_there_is_no_bundle() {
    let silent = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Response::builder().status(503).body(Body::empty()).unwrap())
    });
    let file = std::env::temp_dir().join(format!("cranewing-bundle-none-{}.tar.gz", std::process::id()));
    let line = ["operator", "debug", "bundle", "--output", file.to_str().unwrap()];
    let Command::Debug(DebugArgs { command: DebugCommand::Bundle(args) }) =
        Args::try_parse_from(line).unwrap().command
    else {
        panic!("it is `debug bundle`")
    };
    let made =
        bundle(&Client::new(silent, "default"), &args, &Time(Timestamp::UNIX_EPOCH), &mut Vec::new()).await;
    let said = format!("{:#}", made.unwrap_err());
    assert!(said.contains("failed to ask the API server for its version"), "{said}");
    assert!(!file.exists());
}
