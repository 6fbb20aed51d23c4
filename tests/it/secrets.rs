//! Six planted secrets, every path walked, good and bad, by the real binary with its log at TRACE: none of them is found in the log,
//! the database and what lies beside it, the metrics, or any answer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pointsman::store::{Store, StoreOptions};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::binary::{Binary, Home};
use crate::support::{FakeUpstream, LEARNED, upstream};

/// What the operator set as a header for a gateway in between.
const GATEWAY: &str = "planted-gateway-token-5c1d";
/// In a prompt, while prompts are not stored.
const PROMPT: &str = "planted-prompt-my-diagnosis-8e42";
/// A cookie and other headers of a client.
const HEADER: &str = "planted-client-cookie-77aa";

fn keys(home: &Home, args: &[&str]) -> Value {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["keys", "create", "--json", "--config"])
        .arg(&home.config)
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Sends everything with both keys, and collects what comes back, headers too.
struct Walk {
    client: Client,
    base: String,
    seen: String,
}

impl Walk {
    async fn ask(&mut self, method: Method, path: &str, key: &str, body: &str) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(key);
        let request = request.header("cookie", format!("session={HEADER}")).header("x-secret", HEADER);
        let response =
            request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap();
        self.seen += &format!("{} {:?}\n", response.status(), response.headers());
        // A stream that is cut is read as far as it comes.
        let text = response.text().await.unwrap_or_default();
        self.seen += &text;
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn chat(&mut self, key: &str, model: &str, more: Value) -> String {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": format!("I write of {PROMPT}, in secret.")}]});
        more.as_object().into_iter().flatten().for_each(|(name, value)| body[name.as_str()] = value.clone());
        let answer = self.ask(Method::POST, "/v1/chat/completions", key, &body.to_string()).await;
        answer["id"].as_str().unwrap_or_default().to_owned()
    }
}

async fn walk(base: &str, client_key: &str, admin_key: &str) -> String {
    let mut walk = Walk { client: Client::new(), base: base.to_owned(), seen: String::new() };
    // `locked` answers 401 with the key in its text, `broken` 500, `garbled` HTML, `cutting` breaks off, `refusing` refuses.
    for model in [
        "auto",
        "fake/good",
        "fake/locked",
        "fake/broken",
        "fake/garbled",
        "fake/refusing",
        "claude/sonnet",
        "gem/flash",
        "co/command",
        "nobody",
    ] {
        walk.chat(client_key, model, json!({})).await;
    }
    for model in ["auto", "fake/cutting", "fake/locked", "claude/sonnet"] {
        walk.chat(client_key, model, json!({"stream": true})).await;
    }
    let session = json!({"pointsman": {"session_id": "s", "tags": {"feature": "search"}}});
    let completion = walk.chat(client_key, "auto", session).await;
    let secret_text = format!("I write of {PROMPT}, in secret.");
    for (path, body) in [
        (
            "/v1/messages",
            json!({"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": secret_text}]}),
        ),
        ("/v1/responses", json!({"model": "auto", "input": secret_text})),
        ("/v1/completions", json!({"model": "auto", "prompt": secret_text})),
        ("/v1/route", json!({"model": "auto", "messages": [{"role": "user", "content": secret_text}]})),
        ("/v1/embeddings", json!({"model": "pointsman/minilm", "input": secret_text})),
        (
            "/v1/messages/count_tokens",
            json!({"model": "auto", "messages": [{"role": "user", "content": secret_text}]}),
        ),
        ("/feedback", json!({"decision_id": completion, "value": 1})),
        ("/feedback", json!({"decision_id": completion, "value": 7})),
        ("/feedback", json!({"session_id": "s", "value": true})),
    ] {
        walk.ask(Method::POST, path, client_key, &body.to_string()).await;
    }
    // Broken in many ways, the prompt inside.
    for body in [
        format!("{{\"model\": \"auto\", \"messages\": [{{\"role\": \"user\", \"content\": \"{PROMPT}\""),
        format!(
            "{{\"model\": \"auto\", \"messages\": [{{\"role\": \"user\", \"content\": [{{\"type\": \"text\", \"text\": [\"{PROMPT}\"]}}]}}]}}"
        ),
        format!("[\"{PROMPT}\"]"),
        format!("{{\"model\": \"auto\", \"messages\": \"{PROMPT}\"}}"),
    ] {
        walk.ask(Method::POST, "/v1/chat/completions", client_key, &body).await;
    }
    walk.ask(Method::GET, "/v1/models", client_key, "").await;
    walk.ask(Method::GET, &format!("/v1/decisions/{completion}"), client_key, "").await;
    walk.ask(Method::GET, "/v1/decisions/nobody", client_key, "").await;
    walk.ask(Method::GET, "/admin/stats", client_key, "").await;
    walk.ask(Method::GET, "/v1/models", &client_key[..client_key.len() - 1], "").await;
    for path in [
        "/admin/stats",
        "/admin/drift",
        "/admin/judge",
        "/admin/models",
        "/admin/policies",
        "/admin/experiments",
        "/metrics",
    ] {
        walk.ask(Method::GET, path, admin_key, "").await;
    }
    walk.ask(Method::POST, "/admin/policies/promote", admin_key, "{\"policy\": \"nobody\"}").await;
    for path in ["/readyz", "/healthz", "/openapi.json", "/nowhere"] {
        walk.ask(Method::GET, path, admin_key, "").await;
    }
    walk.seen
}

fn everything_in(folder: &Path, but: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()));
    named.filter(|(name, _)| name != but).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_planted_secrets_are_found_nowhere() {
    let fake = FakeUpstream::start().await;
    let home = Home::new(&fake.base, LEARNED);
    let text = fs::read_to_string(&home.config).unwrap();
    let header = format!("[providers.fake]\nheaders = {{ x-gateway-token = \"{GATEWAY}\" }}\n");
    fs::write(&home.config, text.replace("[providers.fake]\n", &header)).unwrap();
    let client_key = keys(&home, &["--name", "an app"])["key"].as_str().unwrap().to_owned();
    let admin_key = keys(&home, &["--scope", "admin,read,infer"])["key"].as_str().unwrap().to_owned();
    let secrets = [upstream::SECRET, &client_key, &admin_key, GATEWAY, PROMPT, HEADER];
    // Parts of them are as bad: a provider's text may hold the end of a key.
    let parts: Vec<&str> =
        secrets.iter().map(|s| s.strip_prefix("pm-").unwrap_or(s)).map(|s| &s[s.len() / 2..]).collect();
    let assert_clean = |whence: &str, bytes: &[u8]| {
        for part in &parts {
            let at = bytes.windows(part.len()).position(|w| w.eq_ignore_ascii_case(part.as_bytes()));
            if let Some(at) = at {
                let around =
                    String::from_utf8_lossy(&bytes[at.saturating_sub(200)..(at + 80).min(bytes.len())]);
                panic!("{whence} holds {part:?}: {around}");
            }
        }
    };

    let binary = Binary::run(home.serve(), "trace").await;
    let seen = walk(&binary.base, &client_key, &admin_key).await;
    assert!(
        seen.contains("pointsman_requests_total") && seen.contains("Fine weather"),
        "the walk saw little: {seen}"
    );
    assert_clean("an answer", seen.as_bytes());
    for (name, bytes) in everything_in(home.folder.path(), "pointsman.toml") {
        assert_clean(&format!("{name} while it runs"), &bytes);
        let mode = fs::metadata(home.folder.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    binary.terminate();
    let (code, said) = binary.ended().await;
    assert_eq!(code, Some(0));
    assert!(
        said.contains("TRACE") && said.lines().count() > 100,
        "the log is at TRACE: {} lines",
        said.lines().count()
    );
    assert_clean("the log", said.as_bytes());
    let files = everything_in(home.folder.path(), "pointsman.toml");
    assert!(files.iter().any(|(name, bytes)| name == "log.db" && bytes.len() > 50_000));
    files.iter().for_each(|(name, bytes)| assert_clean(name, bytes));
    // The upstream did get them: the search would have found something.
    let call = fake.calls().into_iter().find(|c| c.headers.contains_key("x-gateway-token")).unwrap();
    assert!(call.bytes.contains(PROMPT) && format!("{:?}", call.headers).contains(GATEWAY));
    assert!(Store::open(StoreOptions::at(&home.log)).unwrap().committed().borrow().0 > 20);
}

#[test]
fn a_log_that_everybody_can_read_is_closed_to_them_at_the_start() {
    let home = Home::new("http://127.0.0.1:1", LEARNED);
    Store::open(StoreOptions::at(&home.log)).unwrap().close();
    fs::set_permissions(&home.log, fs::Permissions::from_mode(0o664)).unwrap();
    let store = Store::open(StoreOptions::at(&home.log)).unwrap();
    for name in ["log.db", "log.db-wal", "log.db-shm"] {
        let mode = fs::metadata(home.log.with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660, "{name}: a group may be meant to back it up");
    }
    store.close();
}
