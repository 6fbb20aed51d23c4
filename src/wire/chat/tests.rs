use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Capability, Preference};
use crate::wire::{ChunkError, WireErrorKind};

fn parse(body: &Value) -> Result<ChatRequest, crate::wire::WireError> {
    ChatRequest::parse(body.to_string().as_bytes())
}

fn ask(text: &str) -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": text }] })
}

fn with(fields: Value) -> Value {
    let mut body = ask("hi");
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn unknown_fields_and_exact_bytes_survive() {
    let body = br#"{"zeta": 1.50e+3 , "model":"auto","messages":[ {"role":"user","content":"caf\u00e9"} ],"pointsman":{"dry_run":true},"models":["x/y"],"seed":12345678901234567890}"#;
    let sent = String::from_utf8(ChatRequest::parse(body).unwrap().openai_body("m", "max_tokens")).unwrap();
    assert_eq!(
        sent,
        r#"{"model":"m","zeta":1.50e+3,"messages":[ {"role":"user","content":"caf\u00e9"} ],"seed":12345678901234567890}"#
    );
}

#[test]
fn a_stream_asks_for_usage_and_keeps_the_other_stream_options() {
    let request =
        parse(&with(json!({ "stream": true, "stream_options": { "include_usage": false, "x": 1 } })))
            .unwrap();
    let sent: Value = serde_json::from_slice(&request.openai_body("m\"1", "max_tokens")).unwrap();
    assert_eq!(sent["stream_options"], json!({ "include_usage": true, "x": 1 }));
    assert_eq!(sent["model"], "m\"1");
    assert!(!request.wants_usage_chunk());
    assert!(
        parse(&with(json!({ "stream": true, "stream_options": { "include_usage": true } })))
            .unwrap()
            .wants_usage_chunk()
    );
}

#[test]
fn errors_name_the_field_and_the_fix() {
    let message = |message: Value| with(json!({ "messages": [{ "role": "user", "content": "a" }, message] }));
    let cases = [
        (with(json!({ "model": null })), "model"),
        (with(json!({ "model": 3 })), "model"),
        (with(json!({ "messages": [] })), "messages"),
        (with(json!({ "messages": null })), "messages"),
        (with(json!({ "messages": "hi" })), "messages"),
        (message(json!("x")), "messages[1]"),
        (message(json!({ "content": "x" })), "messages[1].role"),
        (message(json!({ "role": "king", "content": "x" })), "messages[1].role"),
        (message(json!({ "role": "user", "content": 7 })), "messages[1].content"),
        (message(json!({ "role": "user" })), "messages[1].content"),
        (message(json!({ "role": "user", "content": [{ "text": "x" }] })), "messages[1].content[0].type"),
        (
            message(json!({ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] })),
            "messages[1].content[0].image_url.url",
        ),
        (message(json!({ "role": "tool", "content": "x" })), "messages[1].tool_call_id"),
        (
            message(json!({ "role": "assistant", "tool_calls": [{ "id": "1" }] })),
            "messages[1].tool_calls[0].function",
        ),
        (with(json!({ "max_tokens": -1 })), "max_tokens"),
        (with(json!({ "max_completion_tokens": 1.5 })), "max_completion_tokens"),
        (with(json!({ "temperature": 3 })), "temperature"),
        (with(json!({ "top_p": "x" })), "top_p"),
        (with(json!({ "n": 1000 })), "n"),
        (with(json!({ "stop": [1] })), "stop"),
        (with(json!({ "stream": "yes" })), "stream"),
        (with(json!({ "stream_options": 1 })), "stream_options"),
        (with(json!({ "tools": {} })), "tools"),
        (with(json!({ "tools": [{ "type": "function" }] })), "tools[0].function"),
        (with(json!({ "tool_choice": "maybe" })), "tool_choice"),
        (with(json!({ "response_format": { "type": "xml" } })), "response_format.type"),
        (with(json!({ "models": "x" })), "models"),
        (with(json!({ "models": ["a", ""] })), "models[1]"),
    ];
    for (body, param) in cases {
        let error = parse(&body).unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (WireErrorKind::InvalidField, Some(param)),
            "{body}"
        );
        assert!(error.message.starts_with(param), "{}", error.message);
    }
}

#[test]
fn the_message_reads_well() {
    let error = parse(&with(json!({ "messages": [{ "role": "user", "content": 7 }] }))).unwrap_err();
    assert_eq!(error.message, "messages[0].content must be a string or an array of parts");
    let error = parse(&with(json!({ "max_tokens": -1 }))).unwrap_err();
    assert_eq!(error.message, "max_tokens must be a whole number of at least 1");
}

#[test]
fn c4_odd_json_is_malformed() {
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    for body in ["", "nonsense", "[]", "3", "{\"model\":", "{} {}", "{\"model\":\"a\"}x", deep.as_str()] {
        assert_eq!(
            ChatRequest::parse(body.as_bytes()).unwrap_err().kind,
            WireErrorKind::Malformed,
            "{}",
            &body[..body.len().min(20)]
        );
    }
    let twice = br#"{"model":"a","model":"b","messages":[{"role":"user","content":"x"}]}"#;
    assert_eq!(ChatRequest::parse(twice).unwrap_err().param.as_deref(), Some("model"));
}

#[test]
fn the_extension_is_typed_and_closed() {
    let body = json!({ "weights": { "quality": 2, "cost": 1, "latency": 1 }, "max_cost_usd": 0.01, "models": ["openai/*"], "session_id": "s", "tags": { "feature": "search" } });
    let request = parse(&with(json!({ "pointsman": body }))).unwrap();
    let extension = request.extension();
    let Some(Preference::Weights(weights)) = extension.preference else { panic!("weights were given") };
    assert!((weights.quality() - 0.5).abs() < 1e-12);
    assert_eq!(extension.constraints.max_cost_usd, Some(0.01));
    assert_eq!((extension.models[0].as_str(), extension.tags["feature"].as_str()), ("openai/*", "search"));

    for (field, param) in [
        (json!({ "wieghts": {} }), "wieghts"),
        (json!({ "weights": { "quality": "x" } }), "weights.quality"),
        (json!({ "weights": { "quality": 0 } }), "weights.quality"),
        (json!({ "weights": { "quality": 1, "cost": -1 } }), "weights.cost"),
        (json!({ "value": { "quality_usd": 0 } }), "value.quality_usd"),
        (json!({ "value": { "quality_usd": 1 }, "weights": { "quality": 1 } }), "value"),
        (json!({ "min_quality": 1.5 }), "min_quality"),
        (json!({ "max_cost_usd": 0 }), "max_cost_usd"),
        (json!({ "tags": { "a": 1 } }), "tags.a"),
        (json!({ "user": "u".repeat(600) }), "user"),
    ] {
        let error = parse(&with(json!({ "pointsman": field }))).unwrap_err();
        assert_eq!(error.param, Some(format!("pointsman.{param}")), "{}", error.message);
    }
    assert!(parse(&with(json!({ "pointsman": 3 }))).unwrap_err().param.is_some());
}

#[test]
fn the_prompt_is_the_last_ask_with_what_came_before_it_latest_first() {
    let body = json!({ "model": "auto", "max_tokens": 50, "temperature": 0.5, "messages": [
        { "role": "system", "content": "rules" },
        { "role": "user", "content": "first" },
        { "role": "assistant", "content": "second" },
        { "role": "user", "content": [{ "type": "text", "text": "what is" }, { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }, { "type": "text", "text": "this" }] },
    ]});
    let prompt = parse(&body).unwrap().prompt().clone();
    assert_eq!(prompt.ask, "what is\nthis");
    assert_eq!(prompt.context, "second\nfirst\nrules");
    assert_eq!((prompt.turns, prompt.max_output_tokens, prompt.temperature), (3, Some(50), Some(0.5)));
    assert!(prompt.needs.contains(Capability::Images) && !prompt.needs.contains(Capability::Tools));
    assert!((800..900).contains(&prompt.input_tokens), "{}", prompt.input_tokens);
    assert_ne!(prompt.system_family, 0);
    assert_eq!(parse(&ask("x")).unwrap().prompt().system_family, 0);
}

#[test]
fn needs_and_tool_loops_are_seen() {
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } });
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let body = json!({ "model": "auto", "tools": [tool], "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": {} } },
        "messages": [{ "role": "user", "content": "go" }, { "role": "assistant", "content": null, "tool_calls": [call] }, { "role": "tool", "tool_call_id": "c", "content": "42" }] });
    let prompt = parse(&body).unwrap().prompt().clone();
    assert!(prompt.in_tool_loop && prompt.wants_json);
    assert_eq!((prompt.tools, prompt.ask.as_str(), prompt.context.as_str()), (1, "go", "42"));
    assert!(prompt.needs.contains(Capability::Tools) && prompt.needs.contains(Capability::JsonSchema));
}

#[test]
fn context_is_bounded_and_tokens_grow_with_the_text() {
    let long = "é".repeat(5000);
    let body = json!({ "model": "auto", "messages": [{ "role": "system", "content": long }, { "role": "user", "content": "x" }] });
    let prompt = parse(&body).unwrap().prompt().clone();
    assert_eq!(prompt.context.chars().count(), 2000);
    assert!(prompt.input_tokens > 3000);
    let english = parse(&ask(&"the quick brown fox ".repeat(180))).unwrap().prompt().clone();
    assert!((900..1100).contains(&english.input_tokens), "{}", english.input_tokens);
}

#[test]
fn replies_and_chunks_are_judged() {
    let reply = br#"{"id":"1","model":"m","choices":[{"message":{"content":null,"tool_calls":[{"id":"t"}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":3}}}"#;
    let facts = read_completion(reply).unwrap();
    assert!(facts.has_content);
    let usage = facts.usage.unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens),
        (9, 4, 5, 3)
    );
    assert!(
        matches!(read_completion(br#"{"error":{"message":"x"}}"#), Err(ChunkError::Upstream(e)) if e.message == "x")
    );
    for bad in ["", "[]", "{}", r#"{"choices":[]}"#, r#"{"choices":[{"text":"x"}]}"#] {
        assert!(matches!(read_completion(bad.as_bytes()), Err(ChunkError::Malformed(_))), "{bad}");
    }
    let delta = |delta: Value| {
        read_chunk(&json!({ "choices": [{ "index": 0, "delta": delta }] }).to_string()).unwrap()
    };
    assert!(!delta(json!({ "role": "assistant", "content": "" })).has_content);
    for content in [
        json!({ "content": "a" }),
        json!({ "reasoning_content": "a" }),
        json!({ "refusal": "no" }),
        json!({ "tool_calls": [{}] }),
    ] {
        assert!(delta(content).has_content);
    }
    let usage = read_chunk(r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#).unwrap();
    assert!(usage.is_usage_only && usage.usage.is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ChatRequest::parse(&bytes);
        let _ = read_completion(&bytes);
    }

    #[test]
    fn unknown_fields_survive_whatever_they_hold(name in "x_[a-z]{1,8}", text in "\\PC{0,30}", number in any::<f64>()) {
        let body = with(json!({ name.clone(): { "a": [text, number, null, true] } }));
        let sent: Value = serde_json::from_slice(&parse(&body).unwrap().openai_body("auto", "max_tokens")).unwrap();
        prop_assert_eq!(sent, body);
    }

    #[test]
    fn any_ask_is_a_prompt(text in "\\PC{0,300}") {
        let prompt = parse(&ask(&text)).unwrap().prompt().clone();
        prop_assert_eq!(prompt.ask, text);
    }
}

#[test]
fn a_bare_text_is_read_like_a_request_of_one_message() {
    for text in [
        "What is 17 * 23?",
        "",
        "\u{5217}\u{8f66} l'\u{e9}t\u{e9}\n\t\"quoted\" \\ and a tab",
        &"long ".repeat(3000),
    ] {
        assert_eq!(prompt_of_text(text), *parse(&ask(text)).unwrap().prompt(), "{text}");
    }
}

#[test]
fn a_capped_request_asks_for_less_under_the_clients_own_name_for_it() {
    let sent = |more: &str, most: u32| -> Value {
        let body =
            format!("{{\"model\":\"auto\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]{more}}}");
        let capped = ChatRequest::parse(body.as_bytes()).unwrap().capped(most);
        assert_eq!(capped.prompt().max_output_tokens, capped.options().max_output_tokens);
        serde_json::from_slice(&capped.openai_body("m", "max_tokens")).unwrap()
    };
    assert_eq!(sent("", 70)["max_tokens"], 70);
    let own = sent(",\"max_completion_tokens\":500", 70);
    assert_eq!((&own["max_completion_tokens"], own.get("max_tokens")), (&Value::from(70), None));
    assert_eq!(sent(",\"max_tokens\":50,\"seed\":1", 70)["max_tokens"], 50, "the client's bound is lower");
}
