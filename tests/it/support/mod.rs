//! `TestApp`: the application of `app::start` over loopback, and a client for it.

pub mod binary;
#[expect(dead_code, reason = "the store's own tests use the rest of it")]
pub mod postgres;
pub mod rogue;
pub mod upstream;

use std::time::Duration;

use pointsman::app::{self, Running};
use pointsman::config::{self, EmbedderSettings, Settings};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use upstream::FakeUpstream;

/// Arms over the fake upstream: the model's name says how it behaves.
pub const MODELS: &[(&str, f64)] = &[
    ("good", 1.0),
    ("cheap", 0.1),
    ("broken", 0.5),
    ("cutting", 0.5),
    ("refusing", 0.5),
    ("locked", 0.5),
    ("garbled", 0.5),
    ("judge", 0.5),
    ("long", 1.0),
];

pub struct TestApp {
    pub base: String,
    pub client: Client,
    pub upstream: FakeUpstream,
    pub running: Running,
    folder: TempDir,
}

/// A configuration over `upstream`; `routes` is TOML.
pub fn config_text(upstream: &str, store: &std::path::Path, routes: &str) -> String {
    let mut text = format!(
        "schema_version = 1\n[server]\nlisten = \"127.0.0.1:0\"\nmax_body_bytes = 1000000\n[store]\nurl = \"sqlite:{}\"\n\
         [embedder]\nkind = \"minilm\"\ndeadline_ms = 20000\n\
         [providers.fake]\nformat = \"openai-compatible\"\nbase_url = \"{upstream}/v1\"\napi_key_env = \"FAKE_KEY\"\n\
         [providers.claude]\nformat = \"anthropic\"\nbase_url = \"{upstream}/v1\"\napi_key_env = \"FAKE_KEY\"\n\
         [providers.gem]\nformat = \"gemini\"\nbase_url = \"{upstream}/v1beta\"\napi_key_env = \"FAKE_KEY\"\n\
         [models.\"gem/flash\"]\nprovider = \"gem\"\nmodel = \"flash\"\nprice = {{ input = 1.0, output = 4.0 }}\n\
         context_window = 100000\ncapabilities = [\"tools\", \"images\"]\n\
         [providers.co]\nformat = \"cohere\"\nbase_url = \"{upstream}/v2\"\napi_key_env = \"FAKE_KEY\"\n\
         [models.\"co/command\"]\nprovider = \"co\"\nmodel = \"command\"\nprice = {{ input = 1.0, output = 4.0 }}\n\
         context_window = 100000\ncapabilities = [\"tools\", \"images\"]\n\
         [models.\"claude/sonnet\"]\nprovider = \"claude\"\nmodel = \"sonnet\"\nprice = {{ input = 3.0, output = 15.0 }}\n\
         context_window = 100000\ncapabilities = [\"tools\", \"images\"]\n",
        store.display()
    );
    for (name, price) in MODELS {
        text += &format!(
            "[models.\"fake/{name}\"]\nprovider = \"fake\"\nmodel = \"{name}\"\nprice = {{ input = {price}, output = {price} }}\n\
             context_window = 8000\nmax_output = 4000\ncapabilities = [\"tools\"]\n"
        );
    }
    text + routes
}

/// Two well-behaved arms, learned.
pub const LEARNED: &str =
    "[routes.auto]\nmodels = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"\n";

impl TestApp {
    pub async fn start() -> Self {
        Self::with_routes(LEARNED).await
    }

    pub async fn with_routes(routes: &str) -> Self {
        Self::built(routes, |_| {}).await
    }

    /// One whose encoder never answers in time: no vector is there within a nanosecond, whatever the machine.
    pub async fn hasty() -> Self {
        Self::built(LEARNED, |settings| settings.embedder.deadline = Duration::from_nanos(1)).await
    }

    /// For [`Self::built`]: no prompt goes without its vector, whatever the machine.
    pub fn waits_for_vectors(settings: &mut Settings) {
        settings.embedder.deadline = Duration::from_secs(30);
    }

    /// One that reads prompts in another way than the others.
    pub async fn with_embedder(embedder: EmbedderSettings) -> Self {
        Self::built(LEARNED, |settings| settings.embedder = embedder).await
    }

    pub async fn built(routes: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = TempDir::new().unwrap();
        let upstream = FakeUpstream::start().await;
        let store = folder.path().join("log.db");
        let text = config_text(&upstream.base, &store, routes);
        let env = |name: &str| (name == "FAKE_KEY").then(|| upstream::SECRET.to_owned());
        let mut settings = config::parse(&text, &folder.path().join("pointsman.toml"), &env).unwrap();
        change(&mut settings);
        let running = app::start(settings).await.unwrap();
        let base = format!("http://{}", running.addr);
        let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { base, client, upstream, running, folder }
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.post_text(path, body.to_string())
    }

    pub fn post_text(&self, path: &str, body: String) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).header("content-type", "application/json").body(body)
    }

    /// The file of the log.
    pub fn store_path(&self) -> std::path::PathBuf {
        self.folder.path().join("log.db")
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    /// A plain completion of `model`.
    pub async fn complete(&self, model: &str, ask: &str) -> Response {
        self.post("/v1/chat/completions", &chat(model, ask)).send().await.unwrap()
    }

    /// Waits until requests are answered by a policy that has seen all that is on disk.
    pub async fn learned(&self) {
        let service = &self.running.service();
        let mut status = service.learning.watch();
        let end = *service.store.committed().borrow();
        status.wait_for(|s| s.published >= end).await.unwrap();
    }

    /// What `path` answers once it is found: what is still in the store's queue is waited for, commit by commit.
    pub async fn get_logged(&self, path: &str) -> Value {
        let mut committed = self.running.service().store.committed();
        loop {
            let (status, body) = read(self.get(path).await).await;
            if status == 200 {
                return body;
            }
            committed.changed().await.unwrap();
        }
    }
}

pub fn chat(model: &str, ask: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": ask}]})
}

pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no header {name} in {:?}", response.headers()))
        .to_str()
        .unwrap()
}

/// The body as JSON, and the status.
pub async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

/// The status, the code and the param of an error of ours.
pub async fn fault(response: Response) -> (u16, String, Option<String>) {
    let (status, body) = read(response).await;
    let error = &body["error"];
    for field in ["message", "type", "code"] {
        assert!(error[field].is_string(), "{field} is missing in {body}");
    }
    (status, error["code"].as_str().unwrap().to_owned(), error["param"].as_str().map(str::to_owned))
}

/// The `data:` payloads of an event stream.
pub fn events(text: &str) -> Vec<&str> {
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
}
