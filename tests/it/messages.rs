//! Anthropic's Messages as clients speak them: to models of OpenAI's format by translation, to Anthropic's own as they are.

use serde_json::{Value, json};

use crate::support::{TestApp, header, read};

fn ask(model: &str) -> Value {
    json!({"model": model, "max_tokens": 300, "system": "Be brief.", "messages": [{"role": "user", "content": "What is the weather like?"}]})
}

fn with_tools(model: &str) -> Value {
    let mut body = ask(model);
    body["tools"] = json!([{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]);
    body
}

/// Names and data of the events.
fn named(text: &str) -> Vec<(&str, Value)> {
    let event = |one| {
        let (name, data) = str::split_once(one, "\ndata: ")?;
        Some((name.strip_prefix("event: ")?, serde_json::from_str(data).unwrap()))
    };
    text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn a_model_of_openais_format_answers_a_messages_client() {
    let app = TestApp::start().await;
    let response = app
        .post("/v1/messages", &ask("auto"))
        .header("anthropic-version", "2023-06-01")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "request-id"), header(&response, "x-request-id"));
    assert_eq!(header(&response, "x-pointsman-route"), "auto");
    assert!(header(&response, "x-pointsman-cost-usd").parse::<f64>().unwrap() > 0.0);
    let (_, answer) = read(response).await;
    assert_eq!((&answer["type"], &answer["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(answer["content"], json!([{"type": "text", "text": "Fine weather today."}]));
    assert_eq!(answer["stop_reason"], "end_turn");
    assert_eq!(
        (&answer["usage"]["input_tokens"], &answer["usage"]["output_tokens"]),
        (&json!(100), &json!(50))
    );
    let call = app.upstream.calls().pop().unwrap();
    assert_eq!(call.body["messages"][0], json!({"role": "system", "content": "Be brief."}));
    assert!(call.headers.get("anthropic-version").is_none(), "no header of the client's goes out");
    let found = app.get_logged(&format!("/v1/decisions/{}", answer["id"].as_str().unwrap())).await;
    assert_eq!(found["decision"]["route"], "auto", "the message's id finds its decision");
}

#[tokio::test]
async fn a_stream_of_chunks_becomes_a_stream_of_events() {
    let app = TestApp::start().await;
    let mut body = ask("fake/good");
    body["stream"] = json!(true);
    let text = app.post("/v1/messages", &body).send().await.unwrap().text().await.unwrap();
    let events = named(&text);
    let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.first(), Some(&"message_start"));
    assert_eq!(names[1..4], ["ping", "content_block_start", "content_block_delta"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    let said: String = events.iter().filter_map(|(_, e)| e["delta"]["text"].as_str()).collect();
    assert_eq!(said, "Fine weather today.");
    let (_, last) = &events[events.len() - 2];
    assert_eq!(
        (&last["delta"]["stop_reason"], &last["usage"]["output_tokens"]),
        (&json!("end_turn"), &json!(50))
    );
    assert!((last["pointsman"]["cost_usd"].as_f64().unwrap() - 150e-6).abs() < 1e-15);
}

#[tokio::test]
async fn tools_are_called_and_answered() {
    let app = TestApp::start().await;
    let (_, answer) = read(app.post("/v1/messages", &with_tools("fake/good")).send().await.unwrap()).await;
    assert_eq!(answer["stop_reason"], "tool_use");
    let call = json!({"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}});
    assert_eq!(answer["content"], json!([call]));
    let mut next = with_tools("fake/good");
    let turns = next["messages"].as_array_mut().unwrap();
    turns.push(json!({"role": "assistant", "content": answer["content"]}));
    turns.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "4 C"}]}));
    assert_eq!(app.post("/v1/messages", &next).send().await.unwrap().status(), 200);
    let sent = app.upstream.calls().pop().unwrap().body;
    assert_eq!(sent["messages"][2]["tool_calls"][0]["id"], "call_1");
    assert_eq!(sent["messages"][3], json!({"role": "tool", "tool_call_id": "call_1", "content": "4 C"}));
}

#[tokio::test]
async fn to_anthropic_everything_passes_as_it_came() {
    let app = TestApp::start().await;
    let mut body = ask("claude/sonnet");
    body["x_new"] = json!({"kept": [1, 2.5]});
    body["top_k"] = json!(5);
    body["pointsman"] = json!({"tags": {"feature": "search"}});
    let (_, answer) = read(app.post("/v1/messages", &body).send().await.unwrap()).await;
    assert_eq!((&answer["id"], &answer["usage"]["cache_read_input_tokens"]), (&json!("msg_1"), &json!(10)));
    let sent = app.upstream.calls().pop().unwrap();
    assert!(sent.bytes.contains(r#""x_new":{"kept":[1,2.5]}"#), "{}", sent.bytes);
    assert!(
        sent.body["model"] == "sonnet" && sent.body["top_k"] == 5 && sent.body.get("pointsman").is_none()
    );
    body["stream"] = json!(true);
    let text = app.post("/v1/messages", &body).send().await.unwrap().text().await.unwrap();
    let events = named(&text);
    assert_eq!((events[0].0, &events[0].1["message"]["id"]), ("message_start", &json!("msg_s")));
    assert_eq!(events.len(), 6, "no event is added and none is lost: {text}");
    assert_eq!(events[5].0, "message_stop");
}

#[tokio::test]
async fn what_a_model_cannot_be_told_takes_it_out_of_the_route() {
    let routes = "[routes.auto]\nmodels = [\"fake/good\", \"claude/sonnet\"]\ndefault = \"fake/good\"\nstrategy = \"round_robin\"\n";
    let app = TestApp::with_routes(routes).await;
    let mut body = ask("auto");
    body["top_k"] = json!(5);
    for _ in 0..4 {
        let response = app.post("/v1/messages", &body).send().await.unwrap();
        assert_eq!(header(&response, "x-pointsman-model"), "claude/sonnet");
        let decision = header(&response, "x-pointsman-decision-id").to_owned();
        let found = app.get_logged(&format!("/v1/decisions/{decision}")).await;
        assert_eq!(found["excluded"], json!([{"model": "fake/good", "why": "format"}]));
    }
    let mut chat = json!({"model": "auto", "n": 2, "messages": [{"role": "user", "content": "hi"}]});
    let response = app.post("/v1/chat/completions", &chat).send().await.unwrap();
    assert_eq!(header(&response, "x-pointsman-model"), "fake/good");
    chat["pointsman"] = json!({"models": ["claude/*"]});
    let (status, refused) = read(app.post("/v1/chat/completions", &chat).send().await.unwrap()).await;
    assert_eq!((status, &refused["error"]["param"]), (422, &json!("n")), "the field is named");
}

#[tokio::test]
async fn errors_have_anthropics_shape() {
    let app = TestApp::start().await;
    let fault = async |path: &str, body: &Value| read(app.post(path, body).send().await.unwrap()).await;
    let mut wrong = ask("auto");
    wrong["messages"] = json!([]);
    for (body, status, kind) in [
        (wrong, 422, "invalid_request_error"),
        (ask("nobody"), 404, "not_found_error"),
        (ask("fake/broken"), 502, "api_error"),
        (ask("fake/refusing"), 400, "invalid_request_error"),
    ] {
        let (got, error) = fault("/v1/messages", &body).await;
        assert_eq!(
            (got, &error["type"], &error["error"]["type"]),
            (status, &json!("error"), &json!(kind)),
            "{error}"
        );
        assert!(error["error"]["message"].is_string() && error["request_id"].is_string(), "{error}");
    }
    assert_eq!(fault("/v1/messages/nowhere", &json!({})).await.1["error"]["type"], "not_found_error");
    let mut cut = ask("fake/cutting");
    cut["stream"] = json!(true);
    let response = app.post("/v1/messages", &cut).send().await.unwrap();
    assert!(response.text().await.is_err(), "the transfer is torn");
}

#[tokio::test]
async fn tokens_are_counted_without_a_model() {
    let app = TestApp::start().await;
    let count = async |body: &Value| {
        let (status, answer) = read(app.post("/v1/messages/count_tokens", body).send().await.unwrap()).await;
        assert_eq!(status, 200, "{answer}");
        answer["input_tokens"].as_u64().unwrap()
    };
    let mut body = ask("auto");
    body.as_object_mut().unwrap().remove("max_tokens");
    let few = count(&body).await;
    assert!((10..40).contains(&few), "{few}");
    body["system"] = json!("word ".repeat(1000));
    assert!(count(&body).await > few + 1000);
    assert!(app.upstream.calls().is_empty());
}
