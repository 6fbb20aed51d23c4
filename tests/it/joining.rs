//! Models that join, drain, go and come back: over restarts with an edited configuration.

use std::path::Path;

use pointsman::app::{self, Running};
use pointsman::config;
use pointsman::domain::ArmId;
use pointsman::policy::Standing;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{FakeUpstream, config_text, header, upstream};

/// Conversations stay, however much better the dearer model is supposed to be.
const ROUTE: &str = "[routes.auto]\nmodels = [\"fake/good\", \"fake/leaving\"]\ndefault = \"fake/good\"\nweights = { quality = 1.0 }\nsession = { switch_margin = 0.5 }\n";

fn leaving(more: &str) -> String {
    format!(
        "[models.\"fake/leaving\"]\nprovider = \"fake\"\nmodel = \"leaving\"\nprice = {{ input = 0.1, output = 0.1 }}\n\
         context_window = 8000\ncapabilities = [\"tools\"]\n{more}"
    )
}

async fn start(folder: &Path, upstream: &str, routes: &str) -> Running {
    let text = config_text(upstream, &folder.join("log.db"), routes);
    let env = |name: &str| (name == "FAKE_KEY").then(|| upstream::SECRET.to_owned());
    app::start(config::parse(&text, &folder.join("pointsman.toml"), &env).unwrap()).await.unwrap()
}

async fn turn(running: &Running, session: &str, models: &[&str]) -> (String, String) {
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hello"}],
                      "pointsman": {"session_id": session, "models": models}});
    let request = reqwest::Client::new().post(format!("http://{}/v1/chat/completions", running.addr));
    let response =
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let of = |name| header(&response, name).to_owned();
    (of("x-pointsman-model"), of("x-pointsman-reason"))
}

/// What `/admin/models` says of it.
async fn report(running: &Running, arm: &str) -> Value {
    let text =
        reqwest::get(format!("http://{}/admin/models", running.addr)).await.unwrap().text().await.unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all["models"].as_array().unwrap().iter().find(|m| m["model"] == arm).unwrap().clone()
}

async fn status(running: &Running, arm: &str) -> Value {
    let text =
        reqwest::get(format!("http://{}/v1/models/{arm}", running.addr)).await.unwrap().text().await.unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["pointsman"]["status"].clone()
}

#[tokio::test]
async fn a_model_drains_goes_and_comes_back() {
    let (folder, fake) = (TempDir::new().unwrap(), FakeUpstream::start().await);
    let standing =
        |running: &Running| running.service().learning.policy().standing(&ArmId::from("fake/leaving"));

    let running = start(folder.path(), &fake.base, &(leaving("") + ROUTE)).await;
    assert_eq!(running.service().store.committed().borrow().0, 0, "a first start has nothing to tell");
    assert_eq!(turn(&running, "mine", &["*/leaving"]).await.0, "fake/leaving");
    running.stop().await;

    let running = start(folder.path(), &fake.base, &(leaving("drain = true\n") + ROUTE)).await;
    assert_eq!(status(&running, "fake/leaving").await, "draining");
    let seen = report(&running, "fake/leaving").await;
    assert_eq!(seen["configured"]["drains"], true);
    assert_eq!(
        (&seen["configured"]["price"]["input"], &seen["configured"]["price_from"]),
        (&json!(0.1), &json!("config"))
    );
    assert_eq!(
        (&seen["configured"]["routes"], &seen["configured"]["default_of"]),
        (&json!(["auto"]), &json!([]))
    );
    assert_eq!((&seen["health"]["available"], &seen["outclassed"]), (&json!(true), &json!([])));
    assert!(seen["learned"]["watches"].is_array(), "it has answered before: {seen}");
    for i in 0..8 {
        assert_eq!(turn(&running, &format!("new {i}"), &[]).await.0, "fake/good", "nothing new goes there");
    }
    // The log is read behind the first request, which then finds the model drained: it is asked without leaving a trace.
    let mut last = (String::new(), String::new());
    for _ in 0..500 {
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": "Hello"}],
                          "pointsman": {"session_id": "mine", "dry_run": true}});
        let request = reqwest::Client::new().post(format!("http://{}/v1/route", running.addr));
        let response =
            request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        last =
            (header(&response, "x-pointsman-model").into(), header(&response, "x-pointsman-reason").into());
        if last.1 == "pinned" {
            break;
        }
    }
    assert_eq!((last.0.as_str(), last.1.as_str()), ("fake/leaving", "pinned"));
    assert_eq!(turn(&running, "mine", &[]).await.0, "fake/leaving", "the conversation that is on it goes on");
    running.stop().await;

    let without = ROUTE.replace(", \"fake/leaving\"", "");
    let running = start(folder.path(), &fake.base, &without).await;
    assert_eq!(standing(&running), Some(Standing::Removed));
    assert_eq!(turn(&running, "mine", &[]).await.0, "fake/good");
    let seen = report(&running, "fake/leaving").await;
    assert_eq!((&seen["status"], &seen["configured"]), (&json!("removed"), &json!(null)));
    running.stop().await;

    let running = start(folder.path(), &fake.base, &(leaving("") + ROUTE)).await;
    assert_eq!(standing(&running), Some(Standing::Nursery), "it comes back, and little was known of it");
    assert_eq!(status(&running, "fake/leaving").await, "nursery");
    let seen = report(&running, "fake/leaving").await;
    assert_eq!(seen["nursery"], json!({"reports": 0, "graduates_at": 50.0}));
    assert_eq!(status(&running, "fake/good").await, "steady");
    running.stop().await;
}

#[tokio::test]
async fn a_sheet_is_read_once_and_a_price_is_a_start() {
    let (folder, fake) = (TempDir::new().unwrap(), FakeUpstream::start().await);
    let rows: String = (0..60).map(|i| format!("\"What is {i} plus {i}?\",0.2\n")).collect();
    std::fs::write(folder.path().join("scores.csv"), format!("prompt,quality\n{rows}")).unwrap();
    let models = leaving("prior = { sheet = \"scores.csv\" }\n")
        + "[models.\"fake/tiered\"]\nprovider = \"fake\"\nmodel = \"tiered\"\nprice = { input = 0.0, output = 0.0 }\ntier = \"small\"\n";
    let route = ROUTE.replace("\"fake/good\", ", "\"fake/good\", \"fake/tiered\", ");
    let mut ends = Vec::new();
    for _ in 0..2 {
        let running = start(folder.path(), &fake.base, &(models.clone() + &route)).await;
        ends.push(running.service().store.committed().borrow().0);
        let body = json!({"model": "auto:best", "messages": [{"role": "user", "content": "What is 7 plus 9?"}],
                          "pointsman": {"dry_run": true}});
        let request = reqwest::Client::new().post(format!("http://{}/v1/route", running.addr));
        let response =
            request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        let quality = |model: &str| {
            let line = answer["ranking"].as_array().unwrap().iter().find(|r| r["model"] == model).unwrap();
            line["quality"]["mean"].as_f64().unwrap()
        };
        assert!(quality("fake/leaving") < 0.4, "{answer}");
        assert!(
            quality("fake/tiered") < quality("fake/good") - 0.01,
            "a small model is expected to be weaker: {answer}"
        );
        running.stop().await;
    }
    assert_eq!(ends, [2, 2], "told once");
}
