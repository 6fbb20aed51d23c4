//! Every format that clients speak, to every format that providers speak.

use serde_json::{Value, json};

use crate::support::{TestApp, chat, events, fault, header, read, upstream};

/// One model of each format.
const MODELS: [&str; 4] = ["fake/good", "claude/sonnet", "gem/flash", "co/command"];

fn tool() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}})
}

#[tokio::test]
async fn chat_completions_reach_every_format() {
    let app = TestApp::start().await;
    for model in MODELS {
        let (status, answer) = read(app.complete(model, "What is the weather like?").await).await;
        assert_eq!(status, 200, "{model}: {answer}");
        assert_eq!(answer["choices"][0]["message"]["content"], "Fine weather today.", "{model}");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{model}");
        let usage = &answer["usage"];
        assert_eq!(
            (&usage["prompt_tokens"], &usage["completion_tokens"]),
            (&json!(100), &json!(50)),
            "{model}"
        );

        let mut with_tools = chat(model, "What is the weather in Oslo?");
        with_tools["tools"] =
            json!([{"type": "function", "function": {"name": "weather", "parameters": tool()}}]);
        let (_, answer) = read(app.post("/v1/chat/completions", &with_tools).send().await.unwrap()).await;
        let call = &answer["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls", "{model}");
        assert_eq!(
            call["function"],
            json!({"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}),
            "{model}"
        );
        let turns = with_tools["messages"].as_array_mut().unwrap();
        turns.push(answer["choices"][0]["message"].clone());
        turns.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "4 C"}));
        let response = app.post("/v1/chat/completions", &with_tools).send().await.unwrap();
        assert_eq!(response.status(), 200, "{model}: the result goes back");

        let mut streamed = chat(model, "Stream, please.");
        streamed["stream"] = json!(true);
        streamed["stream_options"] = json!({"include_usage": true});
        let text = app.post("/v1/chat/completions", &streamed).send().await.unwrap().text().await.unwrap();
        let chunks: Vec<Value> = events(&text).iter().filter_map(|e| serde_json::from_str(e).ok()).collect();
        let said: String =
            chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
        assert!(said.starts_with("Fine weather"), "{model}: {said}");
        assert_eq!(
            chunks.iter().filter(|c| c["usage"].is_object()).count(),
            1,
            "{model}: usage exactly once"
        );
        assert!(text.trim_end().ends_with("data: [DONE]"), "{model}");
    }
}

#[tokio::test]
async fn messages_reach_every_format() {
    let app = TestApp::start().await;
    for model in MODELS {
        let mut body = json!({"model": model, "max_tokens": 300, "messages": [{"role": "user", "content": "What is the weather like?"}]});
        let (status, answer) = read(app.post("/v1/messages", &body).send().await.unwrap()).await;
        assert_eq!(status, 200, "{model}: {answer}");
        assert_eq!(answer["content"], json!([{"type": "text", "text": "Fine weather today."}]), "{model}");
        body["tools"] = json!([{"name": "weather", "input_schema": tool()}]);
        let (_, answer) = read(app.post("/v1/messages", &body).send().await.unwrap()).await;
        assert_eq!(answer["stop_reason"], "tool_use", "{model}");
        let call = &answer["content"][0];
        assert_eq!(call["input"], json!({"city": "Oslo"}), "{model}");
        let turns = body["messages"].as_array_mut().unwrap();
        turns.push(json!({"role": "assistant", "content": answer["content"]}));
        turns.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "4 C"}]}));
        assert_eq!(app.post("/v1/messages", &body).send().await.unwrap().status(), 200, "{model}");
        body.as_object_mut().unwrap().remove("tools");
        body["stream"] = json!(true);
        body["messages"] = json!([{"role": "user", "content": "Stream, please."}]);
        let text = app.post("/v1/messages", &body).send().await.unwrap().text().await.unwrap();
        for name in
            ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
        {
            assert_eq!(text.matches(&format!("event: {name}\n")).count(), 1, "{model}: {text}");
        }
    }
}

#[tokio::test]
async fn gemini_gets_its_key_and_its_usage_is_accounted() {
    let app = TestApp::start().await;
    let response = app.complete("gem/flash", "What is the weather like?").await;
    // 90 fresh and 10 cached tokens in at $1, 50 out at $4, thoughts included.
    let cost: f64 = header(&response, "x-pointsman-cost-usd").parse().unwrap();
    assert!((cost - 300e-6).abs() < 1e-12, "{cost}");
    let call = app.upstream.calls().pop().unwrap();
    assert_eq!(call.headers["x-goog-api-key"], upstream::SECRET);
    assert!(call.headers.get("authorization").is_none());
    let (_, answer) = read(response).await;
    let found = app.get_logged(&format!("/v1/decisions/{}", answer["id"].as_str().unwrap())).await;
    assert_eq!(found["completed"]["usage"]["reasoning_tokens"], 10);
}

#[tokio::test]
async fn responses_reach_every_format() {
    let app = TestApp::start().await;
    for model in MODELS {
        let mut body =
            json!({"model": model, "instructions": "Be brief.", "input": "What is the weather like?"});
        let (status, answer) = read(app.post("/v1/responses", &body).send().await.unwrap()).await;
        assert_eq!(status, 200, "{model}: {answer}");
        assert_eq!(answer["output"][0]["content"][0]["text"], "Fine weather today.", "{model}");
        assert_eq!((&answer["status"], &answer["store"]), (&json!("completed"), &json!(false)), "{model}");
        assert_eq!(answer["usage"]["total_tokens"], 150, "{model}");
        body["stream"] = json!(true);
        let text = app.post("/v1/responses", &body).send().await.unwrap().text().await.unwrap();
        for name in ["created", "output_item.added", "output_text.done", "output_item.done", "completed"] {
            assert_eq!(text.matches(&format!("event: response.{name}\n")).count(), 1, "{model}: {text}");
        }
        body["stream"] = json!(false);
        body["tools"] = json!([{"type": "function", "name": "weather", "parameters": tool()}]);
        let (_, answer) = read(app.post("/v1/responses", &body).send().await.unwrap()).await;
        let call = &answer["output"][0];
        assert_eq!(
            (&call["type"], &call["name"]),
            (&json!("function_call"), &json!("weather")),
            "{model}: {answer}"
        );
        let mut items = vec![json!({"role": "user", "content": "What is the weather like?"}), call.clone()];
        items.push(json!({"type": "function_call_output", "call_id": call["call_id"], "output": "4 C"}));
        body["input"] = json!(items);
        assert_eq!(app.post("/v1/responses", &body).send().await.unwrap().status(), 200, "{model}");
    }
    for (field, value) in [("previous_response_id", json!("resp_1")), ("store", json!(true))] {
        let mut body = json!({"model": "auto", "input": "hi"});
        body[field] = value;
        let (status, code, param) = fault(app.post("/v1/responses", &body).send().await.unwrap()).await;
        assert_eq!((status, code.as_str(), param.as_deref()), (422, "invalid_field", Some(field)));
    }
}

#[tokio::test]
async fn text_completions_reach_every_format() {
    let app = TestApp::start().await;
    for model in MODELS {
        let mut body = json!({"model": model, "prompt": "The weather is", "max_tokens": 40});
        let (status, answer) = read(app.post("/v1/completions", &body).send().await.unwrap()).await;
        assert_eq!((status, &answer["object"]), (200, &json!("text_completion")), "{model}: {answer}");
        assert_eq!(answer["choices"][0]["text"], "Fine weather today.", "{model}");
        body["stream"] = json!(true);
        let text = app.post("/v1/completions", &body).send().await.unwrap().text().await.unwrap();
        let chunks: Vec<Value> = events(&text).iter().filter_map(|e| serde_json::from_str(e).ok()).collect();
        let said: String = chunks.iter().filter_map(|c| c["choices"][0]["text"].as_str()).collect();
        assert!(said.starts_with("Fine weather"), "{model}: {said}");
        assert!(text.trim_end().ends_with("data: [DONE]"), "{model}");
    }
}
