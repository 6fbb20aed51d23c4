//! Completions: plain, streamed, with tools, translated, with fallbacks; what is logged of them.

use futures::StreamExt;
use pointsman::domain::{CompletionEnd, FeedbackRef};
use serde_json::{Value, json};

use crate::support::{TestApp, chat, events, fault, header, read, upstream};

#[tokio::test]
async fn a_plain_completion_passes_through_with_its_headers() {
    let app = TestApp::start().await;
    let mut body = chat("auto", "What is the weather like?");
    body["unknown_field"] = json!({"kept": [1, 2.50]});
    body["pointsman"] = json!({"tags": {"feature": "search"}});
    let response = app.post("/v1/chat/completions", &body).header("cookie", "secret=1").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let arm = header(&response, "x-pointsman-model").to_owned();
    assert!(["fake/good", "fake/cheap"].contains(&arm.as_str()));
    assert_eq!(header(&response, "x-pointsman-route"), "auto");
    assert_eq!(header(&response, "x-pointsman-strategy"), "learned");
    assert_eq!(header(&response, "x-pointsman-attempts"), "1");
    assert!(["greedy", "explore"].contains(&header(&response, "x-pointsman-reason")));
    assert!(!header(&response, "x-request-id").is_empty());
    let price = if arm == "fake/good" { 1.0 } else { 0.1 };
    let cost: f64 = header(&response, "x-pointsman-cost-usd").parse().unwrap();
    assert!((cost - 150.0 * price / 1e6).abs() < 1e-15);
    let (_, answer) = read(response).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Fine weather today.");
    assert_eq!(answer["system_fingerprint"], "fp_unknown_field", "unknown fields of the answer survive");

    let call = app.upstream.calls().pop().unwrap();
    assert_eq!(call.body["model"], arm.strip_prefix("fake/").unwrap(), "the provider's own name goes out");
    assert!(
        call.bytes.contains(r#""unknown_field":{"kept":[1,2.5]}"#),
        "unknown fields pass on: {}",
        call.bytes
    );
    assert!(call.body.get("pointsman").is_none(), "our own object does not leave");
    assert!(call.headers.get("cookie").is_none(), "no header of the client's goes out");
    assert_eq!(call.headers["authorization"], format!("Bearer {}", upstream::SECRET));
}

#[tokio::test]
async fn a_stream_passes_through_and_its_usage_is_accounted() {
    let app = TestApp::start().await;
    let mut body = chat("fake/good", "Stream, please.");
    body["stream"] = json!(true);
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    assert_eq!(header(&response, "content-type"), "text/event-stream");
    assert_eq!(header(&response, "x-pointsman-reason"), "explicit");
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    let text = response.text().await.unwrap();
    let events = events(&text);
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|e| serde_json::from_str(e).unwrap()).collect();
    let said: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "Fine weather today.");
    assert!(chunks.iter().all(|c| c.get("usage").is_none_or(Value::is_null)), "nobody asked for usage");
    let completed = wait_for_completion(&app, &decision).await;
    assert_eq!(completed.end, CompletionEnd::Complete);
    assert_eq!(completed.usage.unwrap().output_tokens, 50, "usage was asked for behind the client's back");
    assert_eq!(completed.completion_id.as_deref(), Some("chatcmpl-stream"));
    assert!(completed.first_token_ms.is_some());
}

#[tokio::test]
async fn who_asks_for_usage_gets_it_once_with_the_cost() {
    let app = TestApp::start().await;
    let mut body = chat("fake/good", "Stream, please.");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let text = app.post("/v1/chat/completions", &body).send().await.unwrap().text().await.unwrap();
    let with_usage: Vec<Value> = events(&text)
        .iter()
        .filter_map(|e| serde_json::from_str::<Value>(e).ok())
        .filter(|c| c["usage"].is_object())
        .collect();
    assert_eq!(with_usage.len(), 1);
    assert_eq!(with_usage[0]["choices"], json!([]));
    assert!((with_usage[0]["pointsman"]["cost_usd"].as_f64().unwrap() - 150e-6).abs() < 1e-15);
}

#[tokio::test]
async fn a_cut_stream_ends_in_an_error_and_never_looks_whole() {
    let app = TestApp::start().await;
    let mut body = chat("fake/cutting", "Stream, please.");
    body["stream"] = json!(true);
    body["models"] = json!(["fake/good"]);
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    let mut stream = response.bytes_stream();
    let (mut text, mut torn) = (String::new(), false);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Err(_) => torn = true,
        }
    }
    assert!(torn, "{text}: the transfer is torn, so that no client takes the end for an end");
    assert!(!text.contains("[DONE]") && !text.contains("\"finish_reason\":\"stop\""), "{text}");
    let last: Value = serde_json::from_str(events(&text).last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "upstream_error");
    assert_eq!(app.upstream.calls().len(), 1, "no second model's words follow the first's");
    assert_eq!(wait_for_completion(&app, &decision).await.end, CompletionEnd::UpstreamCut);
}

#[tokio::test]
async fn a_client_that_leaves_closes_the_upstream_call() {
    let app = TestApp::start().await;
    let mut body = chat("fake/good", "Never end.");
    body["stream"] = json!(true);
    body["metadata"] = json!({"endless": "yes"});
    let response = app.post("/v1/chat/completions", &body).send().await.unwrap();
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    let mut stream = response.bytes_stream();
    stream.next().await.unwrap().unwrap();
    app.upstream.a_stream_open().await;
    drop(stream);
    app.upstream.no_stream_open().await;
    assert_eq!(wait_for_completion(&app, &decision).await.end, CompletionEnd::ClientAborted);
}

#[tokio::test]
async fn tools_pass_through_and_are_translated_for_anthropic() {
    let app = TestApp::start().await;
    for (model, id) in [("fake/good", "call_1"), ("claude/sonnet", "toolu_1")] {
        let mut body = chat(model, "What is the weather in Oslo?");
        body["tools"] = json!([{"type": "function", "function": {"name": "weather", "description": "Looks it up",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]);
        let (status, answer) = read(app.post("/v1/chat/completions", &body).send().await.unwrap()).await;
        assert_eq!(status, 200, "{answer}");
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{model}");
        assert_eq!(choice["message"]["tool_calls"][0]["id"], id);
        assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "weather");
        let arguments = choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({"city": "Oslo"}));
    }
    let call = app.upstream.calls().pop().unwrap();
    assert_eq!(call.body["tools"][0]["input_schema"]["properties"]["city"]["type"], "string");
    assert_eq!(call.headers["x-api-key"], upstream::SECRET);
}

#[tokio::test]
async fn anthropic_streams_as_openai_chunks() {
    let app = TestApp::start().await;
    let mut body = chat("claude/sonnet", "Stream, please.");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let text = app.post("/v1/chat/completions", &body).send().await.unwrap().text().await.unwrap();
    let chunks: Vec<Value> = events(&text).iter().filter_map(|e| serde_json::from_str(e).ok()).collect();
    let said: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "Fine weather");
    assert!(chunks.iter().any(|c| c["choices"][0]["finish_reason"] == "stop"));
    let usage = chunks.iter().find(|c| c["usage"].is_object()).unwrap();
    assert_eq!(
        (&usage["usage"]["prompt_tokens"], &usage["usage"]["completion_tokens"]),
        (&json!(100), &json!(50))
    );
    assert!(text.trim_end().ends_with("data: [DONE]"));
}

#[tokio::test]
async fn a_failing_arm_falls_back_and_is_remembered() {
    let routes = "[routes.auto]\nmodels = [\"fake/broken\", \"fake/good\"]\ndefault = \"fake/broken\"\nstrategy = \"fixed\"\n";
    let app = TestApp::with_routes(routes).await;
    let response = app.complete("auto", "Anybody there?").await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "x-pointsman-model"), "fake/good");
    assert_eq!(header(&response, "x-pointsman-reason"), "fallback");
    assert_eq!(header(&response, "x-pointsman-attempts"), "2");
    let decision = header(&response, "x-pointsman-decision-id").to_owned();
    let completed = wait_for_completion(&app, &decision).await;
    assert_eq!(completed.attempts.len(), 2);
    assert_eq!(completed.served.unwrap().as_str(), "fake/good");
}

#[tokio::test]
async fn upstream_faults_have_their_own_status() {
    let app = TestApp::start().await;
    let ask = |model: &'static str| async { fault(app.complete(model, "Hello").await).await };
    assert_eq!(ask("fake/broken").await, (502, "upstream_error".into(), None));
    assert_eq!(ask("fake/garbled").await, (502, "upstream_error".into(), None));
    let (status, code, param) = ask("fake/refusing").await;
    assert_eq!((status, code.as_str(), param.as_deref()), (400, "context_length_exceeded", Some("messages")));
    let response = app.complete("fake/locked", "Hello").await;
    assert_eq!(response.status(), 502, "a provider's 401 is never the client's");
    assert_eq!(header(&response, "x-should-retry"), "false");
    let text = response.text().await.unwrap();
    assert!(!text.contains(upstream::SECRET) && !text.contains("Incorrect"), "{text}");
    let mut all_down = chat("fake/broken", "Hello");
    all_down["models"] = json!(["fake/garbled"]);
    let response = app.post("/v1/chat/completions", &all_down).send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(fault(response).await, (503, "no_provider".into(), None));
}

/// The completion's record; the log is written behind the answer.
pub async fn wait_for_completion(app: &TestApp, decision: &str) -> pointsman::domain::Completed {
    let store = &app.running.service().store;
    let to = FeedbackRef::Decision(decision.parse().unwrap());
    let mut committed = store.committed();
    loop {
        if let Some(completed) = store.record(&to, None).unwrap().and_then(|r| r.completed) {
            return completed;
        }
        committed.changed().await.unwrap();
    }
}
