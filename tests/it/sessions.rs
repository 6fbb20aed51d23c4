//! Conversations stay on their models: over HTTP, with an upstream that reports what it read from its cache.

use pointsman::{app, config};
use serde_json::{Value, json};

use crate::support::{FakeUpstream, TestApp, config_text, header, read, upstream};

/// Input is what costs here. Without its cache `keeper` is dearer by 0.004 USD per thousand tokens, which counts for 0.08 of utility.
const ROUTE: &str = "[models.\"fake/keeper\"]\nprovider = \"fake\"\nmodel = \"keeper\"\n\
    price = { input = 10.0, output = 0.1, cached_input = 0.1 }\ncontext_window = 16000\ncapabilities = [\"tools\"]\n\
    [models.\"fake/plain\"]\nprovider = \"fake\"\nmodel = \"plain\"\n\
    price = { input = 6.0, output = 0.1 }\ncontext_window = 16000\ncapabilities = [\"tools\"]\n\
    [routes.auto]\nmodels = [\"fake/keeper\", \"fake/plain\"]\ndefault = \"fake/plain\"\n\
    value = { quality_usd = 0.05 }\nexploration = { max_expected_loss = 1.0, floor = 0.1 }\n";

/// A turn of conversation `session`, about 2,600 tokens long.
fn turn(session: &str, cached: u32) -> Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": "many words ".repeat(1000)}],
           "metadata": {"cached": cached.to_string()}, "pointsman": {"session_id": session}})
}

async fn send(app: &TestApp, body: &Value) -> (String, String, String) {
    let response = app.post("/v1/chat/completions", body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let of = |name| header(&response, name).to_owned();
    (of("x-pointsman-model"), of("x-pointsman-reason"), of("x-pointsman-decision-id"))
}

/// A first turn that the caller gives to `keeper`.
async fn begin(app: &TestApp, session: &str, cached: u32) {
    let mut body = turn(session, cached);
    body["pointsman"]["models"] = json!(["*/keeper"]);
    assert_eq!(send(app, &body).await.0, "fake/keeper");
}

#[tokio::test]
async fn a_conversation_stays_while_its_cache_is_worth_more_than_the_better_model() {
    let app = TestApp::with_routes(ROUTE).await;
    begin(&app, "warm", 2400).await;
    for _ in 0..10 {
        let (model, reason, id) = send(&app, &turn("warm", 2400)).await;
        assert_eq!((model.as_str(), reason.as_str()), ("fake/keeper", "pinned"));
        crate::chat::wait_for_completion(&app, &id).await;
        let view = read(app.get(&format!("/v1/decisions/{id}")).await).await.1;
        assert_eq!(view["decision"]["pin"]["cached_tokens"], 2400);
        assert_eq!(view["decision"]["propensity"], 1.0);
        assert!(view["explanation"]["summary"].as_str().unwrap().contains("goes on with the conversation"));
        let cost = |name: &str| {
            let line = view["ranking"].as_array().unwrap().iter().find(|r| r["model"] == name).unwrap();
            line["cost_usd"].as_f64().unwrap()
        };
        assert!(
            cost("fake/keeper") < cost("fake/plain"),
            "the cache is part of what its model costs: {view}"
        );
    }
    begin(&app, "cold", 0).await;
    let (model, reason, _) = send(&app, &turn("cold", 0)).await;
    assert_eq!((model.as_str(), reason.as_str()), ("fake/plain", "greedy"), "nothing is lost by the switch");
    assert_eq!(send(&app, &turn("cold", 0)).await.1, "pinned", "now it is on the other");
}

#[tokio::test]
async fn a_margin_keeps_and_another_session_or_route_setting_does_not() {
    let wide = ROUTE.to_owned() + "session = { pin = true, switch_margin = 1.0, ttl_s = 60 }\n";
    let app = TestApp::with_routes(&wide).await;
    begin(&app, "s", 0).await;
    assert_eq!(send(&app, &turn("s", 0)).await.0, "fake/keeper", "0.2 better is within a margin of 1");
    let mut elsewhere = turn("s", 0);
    elsewhere["pointsman"]["models"] = json!(["*/plain"]);
    assert_eq!(send(&app, &elsewhere).await.0, "fake/plain", "a model that is not eligible holds nobody");
    let off = ROUTE.to_owned() + "session = { pin = false }\n";
    let app = TestApp::with_routes(&off).await;
    begin(&app, "s", 2400).await;
    for _ in 0..5 {
        assert_ne!(send(&app, &turn("s", 2400)).await.1, "pinned");
    }
}

#[tokio::test]
async fn a_tool_loop_is_not_interrupted_and_a_conversation_is_known_by_its_start() {
    let app = TestApp::with_routes(ROUTE).await;
    let words = "many words ".repeat(1000);
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": words}], "pointsman": {"models": ["*/keeper"]}});
    assert_eq!(send(&app, &body).await.0, "fake/keeper");
    body["pointsman"] = json!({});
    let first = body.clone();
    let turns = body["messages"].as_array_mut().unwrap();
    turns.push(json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]}));
    turns.push(json!({"role": "tool", "tool_call_id": "call_1", "content": "Rain"}));
    for _ in 0..5 {
        let (model, reason, _) = send(&app, &body).await;
        assert_eq!(
            (model.as_str(), reason.as_str()),
            ("fake/keeper", "pinned"),
            "though the other is better by far"
        );
    }
    assert_ne!(send(&app, &first).await.1, "pinned", "the same start again is another conversation");
}

#[tokio::test]
async fn after_a_restart_the_log_says_where_a_conversation_was() {
    let folder = tempfile::TempDir::new().unwrap();
    let fake = FakeUpstream::start().await;
    let text = config_text(&fake.base, &folder.path().join("log.db"), ROUTE);
    let settings = || {
        let env = |name: &str| (name == "FAKE_KEY").then(|| upstream::SECRET.to_owned());
        config::parse(&text, &folder.path().join("pointsman.toml"), &env).unwrap()
    };
    let client = reqwest::Client::new();
    let post = async |base: &str, path: &str, body: &Value| {
        let request = client.post(format!("{base}{path}")).header("content-type", "application/json");
        read(request.body(body.to_string()).send().await.unwrap()).await.1
    };
    let running = app::start(settings()).await.unwrap();
    let mut body = turn("s", 2400);
    body["pointsman"]["models"] = json!(["*/keeper"]);
    post(&format!("http://{}", running.addr), "/v1/chat/completions", &body).await;
    running.stop().await;
    let running = app::start(settings()).await.unwrap();
    let base = format!("http://{}", running.addr);
    let mut look = turn("s", 2400);
    look["pointsman"]["dry_run"] = json!(true);
    let first = post(&base, "/v1/route", &look).await;
    assert_ne!(first["reason"], "pinned", "the request that asks does not wait for the disk");
    let mut last = first;
    for _ in 0..500 {
        last = post(&base, "/v1/route", &look).await;
        if last["reason"] == "pinned" {
            break;
        }
    }
    assert_eq!((&last["reason"], &last["model"]), (&json!("pinned"), &json!("fake/keeper")));
}
