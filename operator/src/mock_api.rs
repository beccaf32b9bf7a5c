//! An API server for tests: a table of objects behind a client's tower service, with every request on record.
//!
//! It knows what controllers rely on (names are taken once, versions change with each write, a write with an old version
//! is refused, our kinds begin with a status) and nothing else: no validation, no watches. Answers can be replaced to see what a failure does.

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::ByteString;
use kube::Client;
use kube::client::Body;
use operator_api::crds::unobserved;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A request as the API server got it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Seen {
    /// `PATCH fleets/arena/status`: what is written to where, without group, version and namespace.
    pub(crate) fn brief(&self) -> String {
        let path = self.path.split_once("/namespaces/games/").map_or(self.path.as_str(), |(_, rest)| rest);
        format!("{} {path}", self.method)
    }
}

/// Instead of a status code: the request never arrives, and no answer comes.
pub(crate) const NO_ANSWER: u16 = 0;
/// Instead of a status code: what is asked for is done, and no answer comes.
pub(crate) const LOST: u16 = 1;
/// Instead of a status code: what is asked for is done at once, and the answer comes after [`SLOW_ANSWER`].
pub(crate) const SLOW: u16 = 2;
/// Time until a slow answer.
pub(crate) const SLOW_ANSWER: Duration = Duration::from_millis(900);

/// Answers instead of the table if it likes to.
type Fault = Box<dyn FnMut(&Seen) -> Option<u16> + Send>;

#[derive(Default)]
struct Table {
    objects: BTreeMap<String, Value>,
    version: u64,
    seen: Vec<Seen>,
    fault: Option<Fault>,
    /// What is answered as the status of what is posted to a path.
    verdicts: BTreeMap<String, Value>,
}

/// The API server.
#[derive(Clone, Default)]
pub(crate) struct MockApi(Arc<Mutex<Table>>);

impl MockApi {
    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let seen = Seen { method: parts.method, path: parts.uri.path().to_owned(), body };
                let (code, answer) = api.answer(&seen).await;
                let response = Response::builder().status(code).header("content-type", "application/json");
                Ok::<_, Infallible>(response.body(Body::from(answer.to_string().into_bytes())).unwrap())
            }
        });
        Client::new(service, "games")
    }

    /// Asked before each request; a status code from it is the answer.
    pub(crate) fn fail(&self, fault: impl FnMut(&Seen) -> Option<u16> + Send + 'static) {
        self.lock().fault = Some(Box::new(fault));
    }

    /// Answers from the table again.
    pub(crate) fn heal(&self) {
        self.lock().fault = None;
    }

    /// Puts an object there as if somebody else had.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let mut table = self.lock();
        table.store(path, object);
    }

    /// Puts an object there in the version that it is of, as an old copy of all data does.
    pub(crate) fn restore(&self, path: &str, object: Value) {
        self.lock().objects.insert(path.to_owned(), object);
    }

    /// From now on whatever is posted to this path is answered with this status, and not kept.
    pub(crate) fn judge(&self, path: &str, status: Value) {
        self.lock().verdicts.insert(path.to_owned(), status);
    }

    /// Takes an object away as if somebody else had.
    pub(crate) fn remove(&self, path: &str) {
        self.lock().objects.remove(path);
    }

    /// The object at this path.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.lock().objects.get(path).cloned()
    }

    /// Every object of a kind, by its plural.
    pub(crate) fn all<K: DeserializeOwned>(&self, plural: &str) -> Vec<K> {
        let of_kind = |path: &&String| path.rsplit('/').nth(1) == Some(plural);
        let table = self.lock();
        let objects = table.objects.iter().filter(|(path, _)| of_kind(path));
        objects.map(|(_, object)| serde_json::from_value(object.clone()).unwrap()).collect()
    }

    /// Takes the record of requests.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.lock().seen)
    }

    /// Takes the record, in brief, events left out.
    pub(crate) fn take_briefs(&self) -> Vec<String> {
        let seen = self.take_seen();
        seen.iter().filter(|seen| !seen.path.ends_with("/events")).map(Seen::brief).collect()
    }

    async fn answer(&self, seen: &Seen) -> (StatusCode, Value) {
        let (fault, (code, object)) = self.decide(seen);
        match fault {
            Some(NO_ANSWER | LOST) => std::future::pending().await,
            Some(SLOW) => tokio::time::sleep(SLOW_ANSWER).await,
            _ => {}
        }
        let code = StatusCode::from_u16(code).unwrap();
        if code.is_success() { (code, object) } else { (code, failure(code)) }
    }

    fn decide(&self, seen: &Seen) -> (Option<u16>, (u16, Value)) {
        let mut table = self.lock();
        table.seen.push(seen.clone());
        let fault = table.fault.as_mut().and_then(|fault| fault(seen));
        let answer = match fault {
            None | Some(LOST | SLOW) => table.apply(seen),
            Some(code) => (code, Value::Null),
        };
        (fault, answer)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap()
    }
}

impl Table {
    fn apply(&mut self, seen: &Seen) -> (u16, Value) {
        let Seen { method, path, body } = seen;
        let found = self.objects.get(path);
        match method.as_str() {
            "GET" => found.map_or_else(|| self.list(path), |found| (200, found.clone())),
            "POST" if self.verdicts.contains_key(path) => {
                let mut object = body.clone();
                object["status"] = self.verdicts[path].clone();
                (201, object)
            }
            "POST" => {
                let name = body["metadata"]["name"].as_str().unwrap_or("generated");
                let path = format!("{path}/{name}");
                if self.objects.contains_key(&path) {
                    return (409, Value::Null);
                }
                let mut object = body.clone();
                // As the definitions say; other kinds have no such default.
                if path.contains(operator_api::GROUP) && object["status"].is_null() {
                    object["status"] = unobserved(object["kind"].as_str().unwrap_or_default());
                }
                (201, self.store(&path, object))
            }
            "PUT" => match found {
                None => (404, Value::Null),
                Some(found)
                    if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] =>
                {
                    (409, Value::Null)
                }
                Some(_) => (200, self.store(path, body.clone())),
            },
            "PATCH" => self.patch(path, body),
            "DELETE" => {
                let differs = |found: &Value, field: &str| {
                    let given = &body["preconditions"][field];
                    !given.is_null() && *given != found["metadata"][field]
                };
                if found.is_some_and(|found| differs(found, "uid") || differs(found, "resourceVersion")) {
                    return (409, Value::Null);
                }
                self.objects.remove(path).map_or((404, Value::Null), |gone| (200, gone))
            }
            _ => (405, Value::Null),
        }
    }

    /// What lies below this path; nothing is no list, but a path that is not known.
    fn list(&self, path: &str) -> (u16, Value) {
        let below = |of: &String| of.rsplit_once('/').is_some_and(|(parent, _)| parent == path);
        let items: Vec<&Value> =
            self.objects.iter().filter(|(of, _)| below(of)).map(|(_, object)| object).collect();
        if items.is_empty() { (404, Value::Null) } else { (200, json!({ "metadata": {}, "items": items })) }
    }

    /// A status is replaced, as its only manager's apply does; anything else is merged.
    fn patch(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let part = ["/status", "/scale"].into_iter().find(|part| path.ends_with(part));
        let of = part.map_or(path, |part| &path[..path.len() - part.len()]);
        let mut object = match self.objects.get(of) {
            Some(found) => found.clone(),
            None if part.is_some() => return (404, Value::Null),
            None => json!({}),
        };
        let version = &body["metadata"]["resourceVersion"];
        let uid = &body["metadata"]["uid"];
        let differs = |given: &Value, field| !given.is_null() && *given != object["metadata"][field];
        if differs(version, "resourceVersion") || differs(uid, "uid") {
            return (409, Value::Null);
        }
        if part == Some("/status") {
            object["status"] = body["status"].clone();
        } else {
            merge(&mut object, body);
        }
        let mut answer = self.store(of, object);
        if part == Some("/scale") {
            (answer["apiVersion"], answer["kind"]) = (json!("autoscaling/v1"), json!("Scale"));
        }
        (200, answer)
    }

    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        match into.as_object_mut() {
            Some(into) if value.is_null() => drop(into.remove(key)),
            Some(into) => merge(into.entry(key).or_insert(Value::Null), value),
            None => {}
        }
    }
}

fn failure(code: StatusCode) -> Value {
    let reason = match code.as_u16() {
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code.as_u16(),
        "message": format!("the API server answered {code}"),
    })
}

/// Text of an entry of a Secret.
pub(crate) fn secret_entry(secret: &Value, entry: &str) -> String {
    let bytes: ByteString = serde_json::from_value(secret["data"][entry].clone()).unwrap();
    String::from_utf8(bytes.0).unwrap()
}
