//! What must not leave a cluster in a file, taken out of objects and texts. Pure.
//!
//! Rules:
//! - Of an environment variable the value stays only where its name begins as the operator's own do and tells of no secret. Anybody may
//!   have put anything into the others.
//! - Arguments, headers and annotations whose names tell of a secret lose their values. What was applied is a copy of all that, and goes.
//! - Wherever a text has a private key, a token, a password by its name, or one in an address, that goes.
//! - It is better to lose a word that was harmless than to keep one that was not.

use serde_json::{Map, Value};

/// What stands where something was.
pub(super) const REDACTED: &str = "<redacted>";
/// Names of the operator's own variables begin so.
const OURS: &str = "CRANEWING_";
/// Words by which a name tells that its value is a secret, without what joins them.
const SECRETIVE: [&str; 21] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "credential",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "clientkey",
    "sessionkey",
    "masterkey",
    "hmackey",
    "signature",
    "authorization",
    "authkey",
    "dsn",
    "cookie",
];
/// Words that tell of a secret where they are the whole name, or its last part: as a part of any other they tell of nothing.
const SECRETIVE_ENDS: [&str; 4] = ["pass", "auth", "sig", "requirepass"];
/// Of these the whole rest of a line is the value: a scheme and a word, or a list.
const LONG_VALUES: [&str; 2] = ["authorization", "cookie"];
/// A private key with its marks has fewer bytes than this, in text.
const KEY_BYTES_MAX: usize = 16 * 1024;
/// Where a variable says only where something is.
const PLACES: [&str; 3] = ["_FILE", "_PATH", "_DIR"];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How a token of JSON Web Token begins: `{"` in base64.
const JWT: &str = "eyJ";
/// How a connect token begins: `NETCODE 1.02` in base64.
const CONNECT_TOKEN: &str = "TkVUQ09ERSAxLjAy";
/// How a key or a certificate of text begins when it is packed once more: `-----BEGIN` in base64.
const PACKED_PEM: &str = "LS0tLS1CRUdJTi";
/// Characters of a word after `Bearer` from which on it is no word of a sentence.
const BEARER_MIN: usize = 8;

/// Takes out of an object what must not leave the cluster, and what only fills the file.
pub(super) fn redact(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if object["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            if let Some(entries) = object.get_mut(field) {
                *entries = REDACTED.into();
            }
        }
    }
    walk(object);
}

fn walk(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match name.as_str() {
                    "env" => each_map(field, redact_variable),
                    "httpHeaders" => each_map(field, |header| hide(header, "value")),
                    "args" | "command" => redact_arguments(field),
                    "annotations" => redact_annotations(field),
                    // what names a secret is where it is and not what it is
                    _ if field.is_string() && is_secretive(name) && !is_reference(name) => {
                        *field = REDACTED.into();
                    }
                    _ => {}
                }
                walk(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::String(text) => *text = scrub(text),
        _ => {}
    }
}

fn each_map(list: &mut Value, change: impl Fn(&mut Map<String, Value>)) {
    list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
}

fn hide(fields: &mut Map<String, Value>, name: &str) {
    if let Some(value) = fields.get_mut(name) {
        *value = REDACTED.into();
    }
}

fn redact_variable(variable: &mut Map<String, Value>) {
    let name = variable.get("name").and_then(Value::as_str).unwrap_or_default();
    let is_place = PLACES.iter().any(|end| name.ends_with(end));
    if !name.starts_with(OURS) || (is_secretive(name) && !is_place) {
        hide(variable, "value");
    }
}

/// `--password=x` and `--password x`.
fn redact_arguments(list: &mut Value) {
    let mut is_named = false;
    for argument in list.as_array_mut().into_iter().flatten() {
        let Value::String(text) = argument else { continue };
        let is_flag = text.starts_with('-');
        let name = text.split_once('=').map(|(name, _)| name.to_owned());
        if let Some(name) = name.as_deref().filter(|name| is_flag && is_secretive(name)) {
            *text = format!("{name}={REDACTED}");
        } else if is_named && !is_flag {
            REDACTED.clone_into(text);
        }
        is_named = is_flag && name.is_none() && is_secretive(text);
    }
}

fn redact_annotations(annotations: &mut Value) {
    let Some(annotations) = annotations.as_object_mut() else { return };
    annotations.remove(LAST_APPLIED);
    annotations
        .iter_mut()
        .filter(|(name, _)| is_secretive(name))
        .for_each(|(_, value)| *value = REDACTED.into());
}

/// Whether whatever has this name is a secret, however its words are joined.
fn is_secretive(name: &str) -> bool {
    let bare = bare(name);
    SECRETIVE.iter().any(|word| bare.contains(word))
        || SECRETIVE_ENDS.iter().any(|word| ends_with(name, word))
}

/// Whether this is the last word of a name: what is before it is none of its letters.
fn ends_with(name: &str, word: &str) -> bool {
    let Some((before, last)) = name.len().checked_sub(word.len()).and_then(|at| name.split_at_checked(at))
    else {
        return false;
    };
    let begins = last.starts_with(|letter: char| letter.is_ascii_uppercase())
        && before.ends_with(|letter: char| letter.is_ascii_lowercase());
    last.eq_ignore_ascii_case(word)
        && (begins || !before.ends_with(|letter: char| letter.is_ascii_alphanumeric()))
}

fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// `secretName`, `tokenPath`: where something is, and not what it is.
fn is_reference(field: &str) -> bool {
    ["Name", "Path", "Ref", "Namespace"].iter().any(|end| field.ends_with(end))
}

/// A text without what must not leave the cluster.
pub(super) fn scrub(text: &str) -> String {
    without_named(&without_tokens(&without_pairs(&without_user_info(&without_private_keys(text)))))
}

/// Whole blocks; of one of which an end is missing, as much as a key can have.
fn without_private_keys(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    const KEY: &str = "PRIVATE KEY-----";
    const END: &str = "-----END ";
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(KEY) {
        let (before, after) = (&rest[..at], &rest[at + KEY.len()..]);
        if let Some(begun) = before.rfind(BEGIN).filter(|begun| !before[*begun..].contains(END)) {
            out.push_str(&before[..begun]);
            let next = after.find(KEY);
            let ends = next.filter(|next| after[..*next].rfind(END) > after[..*next].rfind(BEGIN));
            rest = match (ends, next) {
                (Some(end), _) if end <= KEY_BYTES_MAX => &after[end + KEY.len()..],
                // the next one begins, so this one has no end
                (None, Some(next)) => {
                    let begins = after[..next].rfind(BEGIN).unwrap_or(next);
                    &after[after.floor_char_boundary(begins.min(KEY_BYTES_MAX))..]
                }
                _ => &after[after.floor_char_boundary(KEY_BYTES_MAX)..],
            };
        } else {
            // an end whose beginning was cut off
            out.push_str(&before[..before.floor_char_boundary(before.len().saturating_sub(KEY_BYTES_MAX))]);
            rest = after;
        }
        out.push_str(REDACTED);
    }
    out + rest
}

/// `scheme://user:password@host` without the user and the password, whatever letters it has.
fn without_user_info(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        out.push_str(before);
        let ends = |letter: char| letter.is_whitespace() || "\"'<>".contains(letter);
        let address = &after[..after.find(ends).unwrap_or(after.len())];
        rest = match address.rfind('@').filter(|at| !is_digest(&after[*at..])) {
            Some(host) => {
                out.push_str(REDACTED);
                &after[host..]
            }
            None => after,
        };
    }
    out + rest
}

/// `user:password@host` of an address without a scheme.
fn without_pairs(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        let ends = |letter: char| letter.is_whitespace() || "\"'<>=,(".contains(letter);
        let begin = before.rfind(ends).map_or(0, |end| end + 1);
        let is_pair = before[begin..].split_once(':').is_some_and(|(user, password)| {
            !user.is_empty() && !password.is_empty() && !password.ends_with(REDACTED)
        });
        out.push_str(if is_pair && !is_digest(after) { &before[..begin] } else { before });
        out.push_str(if is_pair && !is_digest(after) { REDACTED } else { "" });
        out.push('@');
        rest = &after[1..];
    }
    out + rest
}

/// What follows the name of an image.
fn is_digest(at: &str) -> bool {
    at.starts_with("@sha256:")
}

/// `password=x`, `token: x`, `"secret": "x"`, without the values.
fn without_named(text: &str) -> String {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        rest = after;
        let named = before[..at].trim_end_matches(['"', '\'', '\\']).trim_end();
        let (lead, name) = named.split_at(
            named
                .rfind(|letter| !is_of_name(letter))
                .map_or(0, |end| end + named[end..].chars().next().map_or(0, char::len_utf8)),
        );
        // of an address: `?key=x`. Anywhere else a key is one by which something is found
        let is_key = name == "key" && lead.ends_with(['?', '&']);
        if !is_key && !is_secretive(name) {
            continue;
        }
        let begin = after.len() - after.trim_start_matches(' ').len();
        let (open, len) = value(&after[begin..], LONG_VALUES.iter().any(|long| bare(name).ends_with(long)));
        if len > 0 {
            out.push_str(&after[..begin + open]);
            out.push_str(REDACTED);
            rest = &after[begin + open + len..];
        }
    }
    out + rest
}

/// How long what opens a value is, and the value: to the end of its quotes, or of its word, or of its line if it is a long one.
fn value(text: &str, is_long: bool) -> (usize, usize) {
    let quote = ["\\\"", "\"", "'"].into_iter().find(|quote| text.starts_with(quote));
    let Some(quote) = quote else {
        let ends = |letter: char| {
            "\n\r\"'\\".contains(letter)
                || (!is_long && (letter.is_whitespace() || ",;&}])".contains(letter)))
        };
        return (0, text.find(ends).unwrap_or(text.len()));
    };
    let inside = &text[quote.len()..];
    let mut from = 0;
    while let Some(at) = inside[from..].find(quote).map(|at| from + at) {
        if quote.len() > 1 || !inside[..at].ends_with('\\') {
            return (quote.len(), at);
        }
        from = at + quote.len();
    }
    (quote.len(), inside.find('\n').unwrap_or(inside.len()))
}

/// Words that are tokens by how they look, or by the word before them.
fn without_tokens(text: &str) -> String {
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "-._~+/=".contains(letter);
    // letters that a word has at least to be what the one before it announces
    let (mut out, mut rest, mut announced) = (String::new(), text, None);
    while let Some(begin) = rest.find(is_of_word) {
        let (between, after) = rest.split_at(begin);
        out.push_str(between);
        let (word, next) = after.split_at(after.find(|letter| !is_of_word(letter)).unwrap_or(after.len()));
        let is_token = word.contains(CONNECT_TOKEN)
            || word.contains(PACKED_PEM)
            || (word.contains(JWT) && word.matches('.').count() >= 2)
            || announced.is_some_and(|least| word.len() >= least && !word.starts_with('-'));
        out.push_str(if is_token { REDACTED } else { word });
        let is_flag = word.starts_with('-') && !word.contains('=') && is_secretive(word);
        announced = if is_flag { Some(1) } else { word.eq_ignore_ascii_case("bearer").then_some(BEARER_MIN) };
        rest = next;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtYXRjaG1ha2VyIn0.c2lnbmF0dXJl";

    /// What is harmless stays as it is: what takes out everything would pass the other tests too.
    #[test]
    fn what_tells_of_no_secret_stays_as_it_is() {
        for text in [
            "",
            "2026-11-28T02:15:00Z INFO state changed state=\"Ready\" uid=6f0c why=reported as ready",
            "{\"level\":\"INFO\",\"kind\":\"Fleet\",\"object\":\"duel\",\"key\":\"match-4711\"}",
            "https://10.0.0.1:8443/v1 answered 403; it takes the right to list pods",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
            "the bearer of bad news; a template: {replicas: 3}; sha256:0123456789abcdef",
            "cranewing/gameserver@sha256:ab eyJust a word",
            "pulled registry.example:5000/cranewing/gameserver:1@sha256:ab, key=match-4711, author: ann, bypass=on",
        ] {
            assert_eq!(scrub(text), text);
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "duel-0", "annotations": { "cranewing.dev/verdict": "Proven" } },
            "spec": { "containers": [{
                "name": "gameserver", "image": "cranewing/gameserver:1", "args": ["--map", "ice", "--rules=ranked"],
                "envFrom": [{ "secretRef": { "name": "db" } }],
                "env": [
                    { "name": "CRANEWING_REGION_ID", "value": "kr" },
                    { "name": "CRANEWING_REPORT_TOKEN_FILE", "value": "/var/run/cranewing/token" },
                    { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": "db", "key": "password" } } },
                ],
            }], "volumes": [{ "name": "db", "secret": { "secretName": "db" } }] },
        });
        let mut redacted = pod.clone();
        redact(&mut redacted);
        assert_eq!(redacted, pod);
    }

    #[test]
    fn values_that_could_be_secrets_are_taken_out_of_objects() {
        let mut fleet = json!({
            "kind": "Fleet",
            "metadata": {
                "managedFields": [{}],
                "annotations": { "game.example/api-token": "hunter2", LAST_APPLIED: "{\"env\":\"hunter2\"}" },
            },
            "spec": { "template": { "spec": { "template": { "spec": { "containers": [{
                "args": ["--password=hunter2", "--session-secret", "hunter2", "--map", "ice", "--api-key", "--quiet"],
                "command": ["server", "--db-dsn=hunter2"],
                "env": [
                    { "name": "DATABASE", "value": "hunter2" },
                    { "name": "CRANEWING_TOKEN", "value": "hunter2" },
                    { "name": "MY_TOKEN_FILE", "value": "hunter2" },
                ],
                "livenessProbe": { "httpGet": { "httpHeaders": [{ "name": "X-A", "value": "hunter2" }] } },
            }] } } } } },
        });
        redact(&mut fleet);
        let text = fleet.to_string();
        assert!(!text.contains("hunter2") && !text.contains("managedFields"), "{fleet:#}");
        let container = &fleet["spec"]["template"]["spec"]["template"]["spec"]["containers"][0];
        let expected =
            ["--password=<redacted>", "--session-secret", REDACTED, "--map", "ice", "--api-key", "--quiet"];
        assert_eq!(container["args"], json!(expected));
        assert_eq!(
            container["env"][0],
            json!({ "name": "DATABASE", "value": REDACTED }),
            "and its name stays"
        );
    }

    #[test]
    fn a_field_whose_name_tells_of_a_secret_has_no_value() {
        let mut pod = json!({
            "metadata": { "labels": { "join-token": "hunter2", "tokenless": "hunter2", "app": "duel" } },
            "spec": { "volumes": [{ "csi": { "volumeAttributes": { "clientSecret": "hunter2", "share": "maps" } } }] },
        });
        redact(&mut pod);
        assert!(!pod.to_string().contains("hunter2"), "{pod:#}");
        assert_eq!(pod["metadata"]["labels"]["app"], "duel");
        assert_eq!(pod["spec"]["volumes"][0]["csi"]["volumeAttributes"]["share"], "maps");
    }

    #[test]
    fn a_line_about_keys_takes_no_more_with_it_than_a_key_has() {
        let much = "an ordinary line\n".repeat(4 * KEY_BYTES_MAX / 17);
        let begun = scrub(&format!("expected -----BEGIN PRIVATE KEY-----\n{much}"));
        let ended = scrub(&format!("{much}unexpected -----END PRIVATE KEY-----\n"));
        for said in [&begun, &ended] {
            assert!(said.len() > much.len() - 2 * KEY_BYTES_MAX && said.len() < much.len(), "{}", said.len());
        }
        let twice = "expected -----BEGIN PRIVATE KEY-----\nand again -----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\nwell";
        assert_eq!(scrub(twice), "expected <redacted><redacted>\nwell");
    }

    #[test]
    fn a_secret_that_came_by_whatever_way_has_no_data() {
        let mut secret = json!({ "kind": "Secret", "metadata": { "name": "s" }, "data": { "a": "aHVudGVyMg==" }, "stringData": {} });
        redact(&mut secret);
        assert_eq!(
            secret,
            json!({ "kind": "Secret", "metadata": { "name": "s" }, "data": REDACTED, "stringData": REDACTED })
        );
    }

    #[test]
    fn what_is_a_secret_in_a_text_goes_and_what_is_around_it_stays() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----";
        let connect = format!("{CONNECT_TOKEN}AGh1bnRlcjI=");
        for (text, expected) in [
            (format!("a {key} b {key} c"), "a <redacted> b <redacted> c".to_owned()),
            (format!("a {}", key.replace('\n', "\\n")), "a <redacted>".to_owned()),
            ("a -----BEGIN PRIVATE KEY-----\nhunter2".to_owned(), "a <redacted>".to_owned()),
            ("hunter2\n-----END PRIVATE KEY----- b".to_owned(), "<redacted> b".to_owned()),
            (format!("sent {TOKEN}, refused"), "sent <redacted>, refused".to_owned()),
            (format!("token \"{connect}\" of 17"), "token \"<redacted>\" of 17".to_owned()),
            ("authorization: bearer hunter2hunter2".to_owned(), format!("authorization: {REDACTED}")),
            (
                "sent Authorization: Basic dXNlcjpodW50ZXIy\nand more".to_owned(),
                "sent Authorization: <redacted>\nand more".to_owned(),
            ),
            ("Cookie: a=b; session=hunter2".to_owned(), "Cookie: <redacted>".to_owned()),
            (
                "curl --header \"Authorization: Token hunter2\" -v".to_owned(),
                "curl --header \"Authorization: <redacted>\" -v".to_owned(),
            ),
            (
                "{\"passphrase\": \"correct hunter2 battery\", \"a\": 1}".to_owned(),
                "{\"passphrase\": \"<redacted>\", \"a\": 1}".to_owned(),
            ),
            ("\"password\":\"ab&c}hunter2\" b".to_owned(), "\"password\":\"<redacted>\" b".to_owned()),
            ("\"password\":\"a\\\"hunter2\" b".to_owned(), "\"password\":\"<redacted>\" b".to_owned()),
            ("password=\"hunter2 and\nmore".to_owned(), "password=\"<redacted>\nmore".to_owned()),
            ("DB_PASS=hunter2 ./server".to_owned(), "DB_PASS=<redacted> ./server".to_owned()),
            ("requirepass: hunter2".to_owned(), "requirepass: <redacted>".to_owned()),
            ("dbPass=hunter2 bypass=on".to_owned(), "dbPass=<redacted> bypass=on".to_owned()),
            ("AccountKey=hunter2;Name=a".to_owned(), "AccountKey=<redacted>;Name=a".to_owned()),
            ("client-key-data: hunter2".to_owned(), "client-key-data: <redacted>".to_owned()),
            (
                "https://maps.example/v1?key=hunter2&zoom=3&sig=hunter2".to_owned(),
                "https://maps.example/v1?key=<redacted>&zoom=3&sig=<redacted>".to_owned(),
            ),
            (
                "server -password hunter2 -map ice".to_owned(),
                "server -password <redacted> -map ice".to_owned(),
            ),
            (
                "postgres://app:p/hunter2@db/game is away".to_owned(),
                "postgres://<redacted>@db/game is away".to_owned(),
            ),
            ("root:hunter2@tcp(db:3306)/game".to_owned(), "<redacted>@tcp(db:3306)/game".to_owned()),
            (format!("data: {PACKED_PEM}BQUklWQVRFaHVudGVyMg=="), "data: <redacted>".to_owned()),
            ("Bearer hunter2hunter2 ok".to_owned(), "Bearer <redacted> ok".to_owned()),
            (
                "redis://me:hunter2@cache.example:6379/0 is away".to_owned(),
                "redis://<redacted>@cache.example:6379/0 is away".to_owned(),
            ),
            ("run --api-key hunter2 --map ice".to_owned(), "run --api-key <redacted> --map ice".to_owned()),
            ("db_password=hunter2 host=a".to_owned(), "db_password=<redacted> host=a".to_owned()),
            (
                "{\"apiKey\": \"hunter2\", \"a\": 1}".to_owned(),
                "{\"apiKey\": \"<redacted>\", \"a\": 1}".to_owned(),
            ),
            ("{\\\"secret\\\":\\\"hunter2\\\"}".to_owned(), "{\\\"secret\\\":\\\"<redacted>\\\"}".to_owned()),
        ] {
            let said = scrub(&text);
            assert_eq!(said, expected, "{text}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
