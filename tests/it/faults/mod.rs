//! The fault matrix (rows U, C, O, D and X of the design), each test named after its row: the real service over HTTP against an upstream
//! that does the fault. `tests/README.md` says which test covers which row.

mod clients;
mod overload;
mod process;
mod store;
mod streams;
mod upstreams;

use std::time::Duration;

use futures::StreamExt;
use pointsman::config::{EmbedderKind, Settings};
use pointsman::domain::Completed;
use reqwest::Response;
use serde_json::{Value, json};

use crate::chat::wait_for_completion;
use crate::support::rogue::{Act, Rogue};
use crate::support::{TestApp, chat, events, fault, header};

/// What is short in these tests, and still long enough for a machine that is busy.
const T: Duration = Duration::from_secs(1);

/// A service with the arms `rogue/a` and `rogue/b` at `base`; the route `auto` asks `rogue/a` first, then `fake/good`.
async fn app_at(base: &str, more: &str) -> TestApp {
    built(base, more, |_| {}).await
}

async fn built(base: &str, more: &str, change: impl FnOnce(&mut Settings)) -> TestApp {
    let calls = "timeouts = { connect_ms = 500, first_byte_ms = 1000, idle_ms = 1000, total_ms = 4000 }";
    let model = |name: &str| {
        format!(
            "[models.\"rogue/{name}\"]\nprovider = \"rogue\"\nmodel = \"{name}\"\nprice = {{ input = 1.0, output = 1.0 }}\n\
             context_window = 8000\nmax_output = 4000\n"
        )
    };
    let retry = if more.contains("retry") { "" } else { "retry = { max = 0 }" };
    let text = format!(
        "[providers.rogue]\nformat = \"openai-compatible\"\nbase_url = \"{base}/v1\"\n{calls}\n{retry}\n{more}\n{}{}\
         [routes.auto]\nmodels = [\"rogue/a\", \"fake/good\"]\ndefault = \"rogue/a\"\nstrategy = \"fixed\"\n{calls}\nretry = {{ max = 0 }}\n\
         [routes.down]\nmodels = [\"rogue/a\", \"rogue/b\"]\ndefault = \"rogue/a\"\nstrategy = \"fixed\"\n{calls}\nretry = {{ max = 0 }}\n",
        model("a"),
        model("b"),
    );
    TestApp::built(&text, |settings| {
        settings.embedder.kind = EmbedderKind::Student;
        change(settings);
    })
    .await
}

/// A rogue and the service before it.
async fn before(script: Vec<Act>) -> (TestApp, Rogue) {
    let rogue = Rogue::start(script).await;
    (app_at(&rogue.base, "").await, rogue)
}

async fn stream(app: &TestApp, model: &str) -> Response {
    let mut body = chat(model, "Stream, please.");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    app.post("/v1/chat/completions", &body).send().await.unwrap()
}

/// All that comes of a body, and whether it was torn.
async fn read_all(response: Response) -> (String, bool) {
    let mut stream = response.bytes_stream();
    let (mut bytes, mut is_torn) = (Vec::new(), false);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => is_torn = true,
        }
    }
    (String::from_utf8(bytes).expect("what goes out is UTF-8"), is_torn)
}

/// The text of a stream's chunks.
fn text_of(body: &str) -> String {
    let chunks = events(body).into_iter().filter_map(|e| serde_json::from_str::<Value>(e).ok());
    chunks.filter_map(|c| c["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// A stream that broke off after its content: an error event, nothing that looks like an end, a torn transfer.
fn assert_broken_off((body, is_torn): &(String, bool), code: &str) {
    assert!(is_torn, "{body}");
    assert!(!body.contains("[DONE]") && !body.contains(r#""finish_reason":"stop""#), "{body}");
    let last: Value = serde_json::from_str(events(body).last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], code, "{body}");
}

/// Asked for by name, `rogue/a` fails so; on the route somebody else serves.
async fn assert_fails(app: &TestApp, status: u16, code: &str) {
    let (found, name, _) = fault(app.complete("rogue/a", "Hello").await).await;
    assert_eq!((found, name.as_str()), (status, code));
    let response = app.complete("auto", "Hello").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-pointsman-model"), "fake/good");
    assert_eq!(header(&response, "x-pointsman-reason"), "fallback");
}

/// The record of the call that `response` is the answer of.
async fn completed(app: &TestApp, response: &Response) -> Completed {
    wait_for_completion(app, header(response, "x-pointsman-decision-id")).await
}
