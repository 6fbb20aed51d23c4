//! OpenAI's chat wire as the upstream speaks it: the request's few fields that matter, and the answer, whole or in events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream as streams};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::hash;
use super::super::playbook::Billing;
use super::super::world::{Model, Truth};
use super::json_response;

/// A request that gets no answer.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) message: String,
}

impl Fault {
    fn bad_request(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "invalid_request_error", code: None, message }
    }

    pub(super) fn unknown_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist here.");
        Self {
            status: StatusCode::NOT_FOUND,
            kind: "invalid_request_error",
            code: Some("model_not_found"),
            message,
        }
    }

    /// 503 when `overloaded`, else 500.
    pub(super) fn server_error(overloaded: bool) -> Self {
        let status =
            if overloaded { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self {
            status,
            kind: "server_error",
            code: None,
            message: "The simulated model failed, as it now and then does.".into(),
        }
    }

    pub(super) fn rate_limited() -> Self {
        let message = "The simulated rate limit was reached.".into();
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            kind: "rate_limit_error",
            code: Some("rate_limit_exceeded"),
            message,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// What the upstream reads of a request.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    pub(super) model: String,
    messages: Vec<Message>,
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
}

impl ChatRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        let request: Self = serde_json::from_slice(body).map_err(|e| Fault::bad_request(e.to_string()))?;
        if request.messages.is_empty() {
            return Err(Fault::bad_request("`messages` is empty.".into()));
        }
        Ok(request)
    }

    /// Text of the last user message, parts joined.
    pub(super) fn last_ask(&self) -> String {
        let last = self.messages.iter().rev().find(|m| m.role == "user").map(|m| &m.content);
        match last {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts.iter().filter_map(|p| p["text"].as_str()).collect(),
            _ => String::new(),
        }
    }

    pub(super) fn max_tokens(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|o| o.include_usage)
    }
}

/// Under which terms an answer is given.
pub(super) struct Terms {
    pub(super) billing: Billing,
    pub(super) time_scale: f64,
    /// The caller's bound; without effect where the cost is a recorded one.
    pub(super) max_tokens: Option<u32>,
}

/// Everything about an answer but its bytes.
pub(super) struct Answer {
    id: String,
    model: String,
    words: Vec<&'static str>,
    usage: Value,
    finish: &'static str,
    first: Duration,
    rest: Duration,
}

/// Words sent at most; the usage may count more tokens.
const MOST_WORDS: u32 = 400;
/// Content events of a stream at most.
const PIECES: usize = 8;

impl Answer {
    pub(super) fn new(id: String, model: &Model, truth: Truth, terms: Terms) -> Self {
        let stated = terms.billing == Billing::Stated;
        let bound = terms.max_tokens.filter(|_| !stated).unwrap_or(u32::MAX);
        let tokens = truth.output_tokens.min(bound);
        let mut usage = json!({
            "prompt_tokens": truth.input_tokens,
            "completion_tokens": tokens,
            "total_tokens": truth.input_tokens.saturating_add(tokens),
        });
        if stated {
            usage["cost"] = json!(truth.cost_usd);
        }
        let share = f64::from(tokens) / f64::from(truth.output_tokens.max(1));
        let scaled = |ms: f64| Duration::from_secs_f64((ms / terms.time_scale / 1e3).clamp(0.0, 60.0));
        Self {
            words: babble(hash::text(&id), tokens.clamp(1, MOST_WORDS)),
            id,
            model: model.name.clone(),
            usage,
            finish: if tokens < truth.output_tokens { "length" } else { "stop" },
            first: scaled(truth.first_token_ms),
            rest: scaled((truth.total_ms - truth.first_token_ms) * share),
        }
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({"id": self.id, "object": "chat.completion.chunk", "created": 0, "model": self.model, "choices": choices})
    }

    fn delta(&self, delta: Value, finish: Option<&str>) -> Value {
        self.chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]))
    }
}

/// The answer in one piece, after the time it takes.
pub(super) async fn whole(answer: Answer) -> Response {
    sleep(answer.first + answer.rest).await;
    let body = json!({
        "id": answer.id, "object": "chat.completion", "created": 0, "model": answer.model,
        "choices": [{
            "index": 0, "finish_reason": answer.finish,
            "message": {"role": "assistant", "content": answer.words.join(" ")},
        }],
        "usage": answer.usage,
    });
    json_response(StatusCode::OK, &body)
}

/// The answer as server-sent events, each at its time.
pub(super) fn stream(answer: Answer, request: &ChatRequest) -> Response {
    let timed = streams::iter(events(&answer, request.wants_usage())).then(|(wait, event)| async move {
        sleep(wait).await;
        Ok::<_, Infallible>(Bytes::from(format!("data: {event}\n\n")))
    });
    let mut response = Response::new(Body::from_stream(timed));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// Events with the wait before each.
fn events(answer: &Answer, with_usage: bool) -> Vec<(Duration, String)> {
    let at_once = Duration::ZERO;
    let pieces: Vec<&[&str]> = answer.words.chunks(answer.words.len().div_ceil(PIECES)).collect();
    let gap = answer.rest / u32::try_from(pieces.len()).unwrap_or(1).max(1);
    let mut events =
        vec![(answer.first, answer.delta(json!({"role": "assistant", "content": ""}), None).to_string())];
    for (i, piece) in pieces.iter().enumerate() {
        let lead = if i == 0 { "" } else { " " };
        let content = format!("{lead}{}", piece.join(" "));
        events.push((gap, answer.delta(json!({"content": content}), None).to_string()));
    }
    events.push((at_once, answer.delta(json!({}), Some(answer.finish)).to_string()));
    if with_usage {
        let mut last = answer.chunk(json!([]));
        last["usage"] = answer.usage.clone();
        events.push((at_once, last.to_string()));
    }
    events.push((at_once, "[DONE]".to_owned()));
    events
}

const OPENING: [&str; 5] = ["This", "answer", "is", "simulated:", "la"];
const BABBLE: [&str; 16] =
    ["la", "lo", "lum", "mi", "mo", "na", "nu", "ra", "ri", "ro", "sa", "so", "ta", "ti", "to", "va"];

fn babble(seed: u64, words: u32) -> Vec<&'static str> {
    let word = |i: u32| BABBLE[(hash::mix(seed, u64::from(i)) % BABBLE.len() as u64) as usize];
    (0..words).map(|i| OPENING.get(i as usize).copied().unwrap_or_else(|| word(i))).collect()
}
