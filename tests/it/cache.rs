//! The response cache: what is answered again, to whom, and for how long.

use std::time::Duration;

use pointsman::domain::{Basis, FeedbackRef};
use pointsman::store::Scope;
use reqwest::Response;
use serde_json::{Value, json};

use crate::auth::key;
use crate::chat::wait_for_completion;
use crate::support::{TestApp, chat, events, header, read};

const CACHED: &str = "[cache]\n[routes.auto]\nmodels = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"\nstrategy = \"fixed\"\n\
     [routes.fresh]\nmodels = [\"fake/good\"]\ndefault = \"fake/good\"\nstrategy = \"fixed\"\ncache = false\n";

async fn ask(app: &TestApp, body: &Value) -> Response {
    app.post("/v1/chat/completions", body).send().await.unwrap()
}

/// Asks and reads; whether the answer came from the cache, and its text.
async fn asked(app: &TestApp, body: &Value) -> (String, String) {
    let response = ask(app, body).await;
    assert_eq!(response.status(), 200);
    let outcome = header(&response, "x-pointsman-cache").to_owned();
    (outcome, response.text().await.unwrap())
}

fn streaming(model: &str, text: &str) -> Value {
    let mut body = chat(model, text);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    body
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_for_nothing_and_the_ledger_says_so() {
    let app = TestApp::with_routes(CACHED).await;
    let first = ask(&app, &chat("auto", "Hello")).await;
    assert_eq!(header(&first, "x-pointsman-cache"), "miss");
    let (first_id, cost) = (
        header(&first, "x-pointsman-decision-id").to_owned(),
        header(&first, "x-pointsman-cost-usd").to_owned(),
    );
    let first_body = first.text().await.unwrap();
    let again = ask(&app, &chat("auto", "Hello")).await;
    let id = header(&again, "x-pointsman-decision-id").to_owned();
    let told = |name| header(&again, name);
    assert_eq!(
        (told("x-pointsman-cache"), told("x-pointsman-cost-usd"), told("x-pointsman-attempts")),
        ("hit", "0", "0")
    );
    assert_eq!((told("x-pointsman-model"), told("x-pointsman-route")), ("fake/good", "auto"));
    assert_ne!(id, first_id);
    assert_eq!(again.text().await.unwrap(), first_body);
    assert_eq!(app.upstream.calls().len(), 1);

    let done = wait_for_completion(&app, &id).await;
    assert_eq!(
        (done.cost_usd, done.usage, done.billing.unwrap().basis),
        (Some(0.0), None, Some(Basis::Cache))
    );
    let view = app.get_logged(&format!("/v1/decisions/{id}")).await;
    assert_eq!(view["decision"]["repeats"], first_id.as_str());
    assert!(view["explanation"]["summary"].as_str().unwrap().contains(&first_id), "{view}");
    let stats = read(app.get("/admin/stats").await).await.1;
    let total = &stats["total"];
    assert_eq!(
        (&total["requests"], &total["answered"], &total["from_cache"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!(total["input_tokens"], 100, "a hit uses no tokens");
    assert!((total["spend_usd"].as_f64().unwrap() - cost.parse::<f64>().unwrap()).abs() < 1e-12);
    let metrics = app.get("/metrics").await.text().await.unwrap();
    for line in [
        "pointsman_response_cache_total{result=\"hit\"} 1",
        "pointsman_response_cache_total{result=\"miss\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn streams_are_given_again_as_they_came_with_their_own_usage_chunk() {
    let app = TestApp::with_routes(CACHED).await;
    let body = streaming("auto", "Hello");
    let (missed, first) = asked(&app, &body).await;
    let (hit, again) = asked(&app, &body).await;
    assert_eq!((missed.as_str(), hit.as_str(), app.upstream.calls().len()), ("miss", "hit", 1));
    let (first, again) = (events(&first), events(&again));
    assert_eq!(first.len(), again.len());
    let usage = first.len() - 2;
    assert_eq!((&first[..usage], first[usage + 1]), (&again[..usage], "[DONE]"));
    let cost = |event: &str| serde_json::from_str::<Value>(event).unwrap()["pointsman"]["cost_usd"].as_f64();
    assert!(cost(first[usage]).unwrap() > 0.0);
    assert_eq!(cost(again[usage]), Some(0.0));
    let plain = asked(&app, &chat("auto", "Hello")).await;
    assert_eq!(plain.0, "miss", "a stream does not stand for a plain answer");
}

#[tokio::test]
async fn other_formats_are_answered_in_their_own_form() {
    let app = TestApp::with_routes(CACHED).await;
    let body = json!({"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]});
    for stream in [false, true] {
        let mut body = body.clone();
        body["stream"] = json!(stream);
        let send = async || {
            let response = app.post("/v1/messages", &body).send().await.unwrap();
            (header(&response, "x-pointsman-cache").to_owned(), response.text().await.unwrap())
        };
        let (first, again) = (send().await, send().await);
        assert_eq!((first.0.as_str(), again.0.as_str()), ("miss", "hit"));
        // Every request has a decision and a cost of its own; a stream tells of them in its last usage.
        let ours = |text: &str| {
            text.split_once(",\"pointsman\":{").map(|(before, after)| {
                let (_, after) = after.split_once('}').unwrap();
                format!("{before}{after}")
            })
        };
        let without_ours = |text: &str| ours(text).unwrap_or_else(|| text.to_owned());
        assert_eq!(without_ours(&first.1), without_ours(&again.1));
        assert_eq!(stream, first.1 != again.1, "{}", again.1);
        assert!(again.1.contains("end_turn"), "{}", again.1);
    }
}

#[tokio::test]
async fn nobody_gets_another_keys_answer() {
    let app = TestApp::with_routes(CACHED).await;
    key(&app, "alpha", &Scope::ALL, None).await;
    key(&app, "beta", &Scope::ALL, None).await;
    let send = async |secret: &str| {
        let response = app.post("/v1/chat/completions", &chat("auto", "Hello")).bearer_auth(secret).send();
        header(&response.await.unwrap(), "x-pointsman-cache").to_owned()
    };
    assert_eq!(send("alpha").await, "miss");
    assert_eq!(send("beta").await, "miss");
    assert_eq!((send("alpha").await.as_str(), send("beta").await.as_str()), ("hit", "hit"));
}

#[tokio::test]
async fn what_was_asked_otherwise_is_asked_anew() {
    let app = TestApp::with_routes(CACHED).await;
    let base = chat("auto", "Hello");
    assert_eq!(asked(&app, &base).await.0, "miss");
    for (field, value) in [
        ("temperature", json!(0.3)),
        ("seed", json!(7)),
        ("tools", json!([{"type": "function", "function": {"name": "f", "parameters": {}}}])),
        ("pointsman", json!({"weights": {"quality": 1.0}})),
        ("model", json!("fake/cheap")),
    ] {
        let mut body = base.clone();
        body[field] = value;
        assert_eq!(asked(&app, &body).await.0, "miss", "{field}");
        assert_eq!(asked(&app, &body).await.0, "hit", "{field}");
    }
    let header_asks = app.post("/v1/chat/completions", &base).header("x-pointsman-weights", "quality=1.0");
    assert_eq!(header(&header_asks.send().await.unwrap(), "x-pointsman-cache"), "miss");
    assert_eq!(asked(&app, &base).await.0, "hit");
}

#[tokio::test]
async fn clients_and_routes_may_do_without_and_answers_end() {
    let app = TestApp::with_routes(CACHED).await;
    let send = async |control: &str| {
        let request =
            app.post("/v1/chat/completions", &chat("auto", "Hello")).header("cache-control", control);
        header(&request.send().await.unwrap(), "x-pointsman-cache").to_owned()
    };
    assert_eq!(send("no-store").await, "miss");
    assert_eq!(send("max-age=0").await, "miss", "the one before was not kept");
    assert_eq!(send("no-cache").await, "miss", "asked anew");
    assert_eq!(send("max-age=0").await, "hit");
    let off = ask(&app, &chat("fresh", "Hello")).await;
    assert!(!off.headers().contains_key("x-pointsman-cache"));

    let short = |settings: &mut pointsman::config::Settings| {
        settings.cache.as_mut().unwrap().ttl = Duration::from_nanos(1);
    };
    let app = TestApp::built(CACHED, short).await;
    for _ in 0..2 {
        assert_eq!(asked(&app, &chat("auto", "Hello")).await.0, "miss", "it has ended by then");
    }
    let plain = TestApp::start().await;
    assert!(
        !plain.complete("auto", "Hello").await.headers().contains_key("x-pointsman-cache"),
        "off by default"
    );
}

#[tokio::test]
async fn failures_and_broken_streams_are_not_kept() {
    let app = TestApp::with_routes(CACHED).await;
    for _ in 0..2 {
        let failed = ask(&app, &chat("fake/broken", "Hello")).await;
        assert_eq!((failed.status().as_u16(), header(&failed, "x-pointsman-cache")), (502, "miss"));
        let cut = ask(&app, &streaming("fake/cutting", "Hello")).await;
        assert_eq!(header(&cut, "x-pointsman-cache"), "miss");
        assert!(cut.text().await.is_err(), "the stream is torn");
    }
}

#[tokio::test]
async fn a_report_on_the_answers_id_is_one_on_the_call_that_it_came_from() {
    let app = TestApp::with_routes(CACHED).await;
    let first = ask(&app, &chat("auto", "Hello")).await;
    let original = header(&first, "x-pointsman-decision-id").to_owned();
    wait_for_completion(&app, &original).await;
    let again = ask(&app, &chat("auto", "Hello")).await;
    let repeat = header(&again, "x-pointsman-decision-id").to_owned();
    let (_, body) = read(again).await;
    wait_for_completion(&app, &repeat).await;
    for id in [body["id"].as_str().unwrap(), repeat.as_str()] {
        let report = app.post("/feedback", &json!({"decision_id": id, "value": 1})).send().await.unwrap();
        assert_eq!(report.status(), 200, "{id}");
    }
    let reports = |id: &str| {
        let record = app.running.service().store.record(&FeedbackRef::Decision(id.parse().unwrap()), None);
        record.unwrap().unwrap().feedback
    };
    assert_eq!(reports(&original).len(), 1, "by the answer's own id");
    let own = reports(&repeat);
    assert_eq!((own.len(), own[0].tick), (1, 0), "kept, and nothing is learned from it");
}
