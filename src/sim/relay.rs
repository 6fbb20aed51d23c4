//! A stand-in for Pointsman in tests of the traffic: same wire, same headers, and models drawn by a hash instead of learned.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::hash;
use super::playbook::Playbook;

/// What the relay saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Feedback bodies in order.
    pub feedback: Vec<Value>,
    /// How many completions had been answered when each of them came.
    pub answered_before: Vec<usize>,
    /// Completions answered.
    pub answered: usize,
}

/// A running relay; it ends with the test's runtime.
pub struct Relay {
    /// Without a path.
    pub base_url: String,
    /// What it saw.
    pub seen: Arc<Mutex<Seen>>,
}

struct Shared {
    playbook: Arc<Playbook>,
    upstream: String,
    http: reqwest::Client,
    seen: Arc<Mutex<Seen>>,
}

impl Relay {
    /// Relays to an upstream's base URL.
    pub async fn start(playbook: Arc<Playbook>, upstream: String) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Shared { playbook, upstream, http: reqwest::Client::new(), seen: Arc::clone(&seen) };
        let app = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/feedback", post(feedback))
            .with_state(Arc::new(shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base_url, seen }
    }
}

/// Tries models in turn until one answers, as a router with fallbacks does.
async fn chat(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let mut request: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(request["model"], "auto");
    let ask = hash::text(request["messages"][0]["content"].as_str().unwrap());
    let models = shared.playbook.models.len();
    for turn in 0..models {
        let model = &shared.playbook.models[(ask as usize + turn) % models];
        request["model"] = json!(model.name);
        let url = format!("{}/chat/completions", shared.upstream);
        let answer = shared.http.post(url).body(request.to_string()).send().await.unwrap();
        if answer.status() != StatusCode::OK {
            continue;
        }
        let text = answer.text().await.unwrap();
        shared.seen.lock().unwrap().answered += 1;
        return with_cost(&text, model.price.output, &model.name, ask);
    }
    Response::builder().status(503).body(Body::from("{}")).unwrap()
}

fn with_cost(text: &str, price: f64, model: &str, ask: u64) -> Response {
    let cost = |usage: &Value| usage["completion_tokens"].as_f64().unwrap() * price / 1e6;
    let response = Response::builder()
        .header("x-pointsman-decision-id", format!("{ask:x}"))
        .header("x-pointsman-model", model)
        .header("x-pointsman-reason", "greedy");
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        let response = response.header("x-pointsman-cost-usd", cost(&whole["usage"]).to_string());
        return response.body(Body::from(text.to_owned())).unwrap();
    }
    let events = text.split_inclusive("\n\n").map(|event| {
        let parsed = event.strip_prefix("data: ").and_then(|e| serde_json::from_str::<Value>(e).ok());
        match parsed.filter(|e| e["usage"].is_object()) {
            Some(mut last) => {
                last["pointsman"] = json!({"cost_usd": cost(&last["usage"])});
                format!("data: {last}\n\n")
            }
            None => event.to_owned(),
        }
    });
    response.body(Body::from(events.collect::<String>())).unwrap()
}

async fn feedback(State(shared): State<Arc<Shared>>, _: HeaderMap, body: Bytes) -> &'static str {
    let mut seen = shared.seen.lock().unwrap();
    let answered = seen.answered;
    seen.feedback.push(serde_json::from_slice(&body).unwrap());
    seen.answered_before.push(answered);
    "{\"applied\": true}"
}
