//! A provider of OpenAI's, Anthropic's, Gemini's and Cohere's form whose behaviour is chosen by the model's name.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The provider's key; no test may ever see it in an answer.
pub const SECRET: &str = "sk-planted-upstream-secret";

/// One call as it came in.
#[derive(Debug, Clone)]
pub struct Call {
    pub headers: HeaderMap,
    pub body: Value,
    pub bytes: String,
}

#[derive(Clone)]
struct Shared {
    calls: Arc<Mutex<Vec<Call>>>,
    /// Streams that are open.
    open: watch::Sender<i64>,
}

#[derive(Clone)]
pub struct FakeUpstream {
    pub base: String,
    shared: Shared,
}

impl FakeUpstream {
    pub async fn start() -> Self {
        let shared = Shared { calls: Arc::default(), open: watch::Sender::new(0) };
        let app = Router::new()
            .route("/v1/chat/completions", post(openai))
            .route("/v1/messages", post(anthropic))
            .route("/v2/chat", post(cohere))
            .route("/v1beta/models/{call}", post(gemini))
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, shared }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// Waits until no stream is open any more.
    pub async fn no_stream_open(&self) {
        self.shared.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
    }

    /// Waits until a stream is open.
    pub async fn a_stream_open(&self) {
        self.shared.open.subscribe().wait_for(|open| *open > 0).await.unwrap();
    }
}

fn note(shared: &Shared, headers: HeaderMap, bytes: &Bytes) -> Value {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    shared.calls.lock().unwrap().push(Call { headers, body: body.clone(), bytes: text });
    body
}

async fn openai(State(shared): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Response {
    let body = note(&shared, headers, &bytes);
    let error = |status: u16, message: &str, code: &str| {
        let body = json!({"error": {"message": message, "type": "invalid_request_error", "param": "messages", "code": code}});
        (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
    };
    match body["model"].as_str().unwrap() {
        "broken" => error(500, "the engine is on fire", "internal"),
        "refusing" => {
            error(400, "this model's maximum context length is 8000 tokens", "context_length_exceeded")
        }
        "locked" => error(401, &format!("Incorrect API key provided: {SECRET}"), "invalid_api_key"),
        "garbled" => ([("content-type", "text/html")], "<html>gateway</html>").into_response(),
        model if body["stream"] == true => event_stream(&shared, model, &body),
        model => Json(completion(model, &body)).into_response(),
    }
}

fn completion(model: &str, body: &Value) -> Value {
    let message = match body.get("tools") {
        Some(_) => json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}}]}),
        None if model == "judge" => json!({"role": "assistant", "content": "{\"score\": 7}"}),
        None => json!({"role": "assistant", "content": "Fine weather today."}),
    };
    let reason = if body.get("tools").is_some() { "tool_calls" } else { "stop" };
    let asked = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| body[*name].as_u64());
    // `long` goes on for as long as it may.
    let output = if model == "long" { asked.unwrap_or(4000).min(4000) } else { 50 };
    let told = |name: &str| body["metadata"][name].as_str().map_or(0u32, |n| n.parse().unwrap());
    let (cached, written, thought) = (told("cached"), told("written"), told("thought"));
    json!({
        "id": "chatcmpl-plain", "object": "chat.completion", "created": 1, "model": format!("{model}-2026"),
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": null}],
        "usage": {"prompt_tokens": 100 + cached, "completion_tokens": output, "total_tokens": 100 + output + u64::from(cached),
                  "prompt_tokens_details": {"cached_tokens": cached, "cache_creation_tokens": written},
                  "completion_tokens_details": {"reasoning_tokens": thought}},
        "system_fingerprint": "fp_unknown_field",
    })
}

/// Counts a stream as open as long as it is not dropped.
struct Open(watch::Sender<i64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

fn event_stream(shared: &Shared, model: &str, body: &Value) -> Response {
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "chatcmpl-stream", "object": "chat.completion.chunk", "created": 1, "model": format!("{model}-2026"),
               "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(["Fine ", "weather ", "today."].map(|t| chunk(json!({"content": t}), Value::Null)));
    let cuts = model == "cutting";
    if !cuts {
        events.push(chunk(json!({}), json!("stop")));
        if body["stream_options"]["include_usage"] == true {
            events.push(json!({"id": "chatcmpl-stream", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [],
                               "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}}));
        }
    }
    shared.open.send_modify(|open| *open += 1);
    let guard = Open(shared.open.clone());
    let endless = body["metadata"]["endless"] == "yes";
    let mut lines: Vec<String> = events.iter().map(|e| format!("data: {e}\n\n")).collect();
    if !cuts && !endless {
        lines.push("data: [DONE]\n\n".into());
    }
    let more = chunk(json!({"content": "and on "}), Value::Null);
    let stream = stream::unfold((lines.into_iter(), guard), move |(mut lines, guard)| {
        let more = more.clone();
        async move {
            if let Some(line) = lines.next() {
                return Some((Ok(line), (lines, guard)));
            }
            match (cuts, endless) {
                (true, _) => {
                    // A pending body makes the server flush: the content is out before the break.
                    tokio::task::yield_now().await;
                    Some((Err(std::io::Error::other("cut")), (lines, guard)))
                }
                (_, true) => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    Some((Ok(format!("data: {more}\n\n")), (lines, guard)))
                }
                _ => None,
            }
        }
    });
    ([("content-type", "text/event-stream")], Body::from_stream(stream)).into_response()
}

async fn anthropic(State(shared): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Response {
    let body = note(&shared, headers, &bytes);
    if body["stream"] == true {
        let events = [
            json!({"type": "message_start", "message": {"id": "msg_s", "type": "message", "role": "assistant", "model": "sonnet-2026",
                   "content": [], "stop_reason": null, "usage": {"input_tokens": 90, "cache_read_input_tokens": 10, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Fine weather"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50}}),
            json!({"type": "message_stop"}),
        ];
        let text: String =
            events.iter().map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap())).collect();
        return ([("content-type", "text/event-stream")], text).into_response();
    }
    let content = match body.get("tools") {
        Some(_) => {
            json!([{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}])
        }
        None => json!([{"type": "text", "text": "Fine weather today."}]),
    };
    let reason = if body.get("tools").is_some() { "tool_use" } else { "end_turn" };
    Json(json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "sonnet-2026", "content": content,
                "stop_reason": reason, "usage": {"input_tokens": 90, "cache_read_input_tokens": 10, "output_tokens": 50}}))
    .into_response()
}

async fn gemini(
    State(shared): State<Shared>,
    Path(call): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let body = note(&shared, headers, &bytes);
    let answer = |parts: Value, reason: Value| {
        json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason}], "responseId": "gem_1", "modelVersion": "flash-2026",
               "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 40, "thoughtsTokenCount": 10, "cachedContentTokenCount": 10}})
    };
    let call_of_tool = json!([{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]);
    match call.as_str() {
        "flash:streamGenerateContent" => {
            assert_eq!(query.as_deref(), Some("alt=sse"));
            let parts = [
                answer(json!([{"text": "Fine "}]), Value::Null),
                answer(json!([{"text": "weather"}]), json!("STOP")),
            ];
            let text: String = parts.iter().map(|p| format!("data: {p}\r\n\r\n")).collect();
            ([("content-type", "text/event-stream")], text).into_response()
        }
        "flash:generateContent" if body.get("tools").is_some() => {
            Json(answer(call_of_tool, json!("STOP"))).into_response()
        }
        "flash:generateContent" => {
            Json(answer(json!([{"text": "Fine weather today."}]), json!("STOP"))).into_response()
        }
        other => (StatusCode::NOT_FOUND, format!("no model {other}")).into_response(),
    }
}

async fn cohere(State(shared): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Response {
    let body = note(&shared, headers, &bytes);
    let usage = json!({"billed_units": {"input_tokens": 100, "output_tokens": 50}, "tokens": {"input_tokens": 160, "output_tokens": 52}});
    if body["stream"] == true {
        let text = |text: &str| json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}});
        let events = [
            json!({"type": "message-start", "id": "co_s", "delta": {"message": {"role": "assistant"}}}),
            text("Fine "),
            text("weather"),
            json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}}),
        ];
        let text: String =
            events.iter().map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap())).collect();
        return ([("content-type", "text/event-stream")], text).into_response();
    }
    let function = json!({"name": "weather", "arguments": "{\"city\":\"Oslo\"}"});
    let (message, reason) = match body.get("tools") {
        Some(_) => (
            json!({"tool_calls": [{"id": "weather_1", "type": "function", "function": function}]}),
            "TOOL_CALL",
        ),
        None => (json!({"content": [{"type": "text", "text": "Fine weather today."}]}), "COMPLETE"),
    };
    Json(json!({"id": "co_1", "finish_reason": reason, "message": message, "usage": usage})).into_response()
}
