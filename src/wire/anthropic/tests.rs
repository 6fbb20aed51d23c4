use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::chat::ChatRequest;
use crate::wire::sse::Decoder;
use crate::wire::{ChunkError, ChunkReader, RawChunk, WireErrorKind};

fn translate(body: &Value, max_output: Option<u32>) -> Result<Value, crate::wire::WireError> {
    let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
    let bytes = translate_request(&request, "claude-x", max_output)?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

fn tool(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "description": "d", "parameters": { "type": "object", "properties": {} } } })
}

fn call(id: &str, arguments: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": arguments } })
}

#[test]
fn a_conversation_with_parallel_tools_is_translated() {
    let body = json!({ "model": "auto", "max_tokens": 300, "temperature": 1.7, "stop": "END", "user": "u1", "stream": true,
        "parallel_tool_calls": false, "tool_choice": "required", "tools": [tool("weather")],
        "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [{ "type": "text", "text": "look" }, { "type": "image_url", "image_url": { "url": "data:image/png;base64,QUJD" } }, { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }] },
            { "role": "assistant", "content": "", "tool_calls": [call("call_1", "{\"city\":\"Oslo\"}"), call("fn.b:2", "")] },
            { "role": "tool", "tool_call_id": "call_1", "content": "4 C" },
            { "role": "tool", "tool_call_id": "fn.b:2", "content": [{ "type": "text", "text": "rain" }] },
            { "role": "user", "content": "so?" },
        ] });
    let mut out = translate(&body, Some(8192)).unwrap();
    // The same foreign id in call and result, in allowed characters.
    let odd = out["messages"][1]["content"][1]["id"].as_str().unwrap().to_owned();
    assert!(
        odd.starts_with("fn_b_2_") && odd.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
        "{odd}"
    );
    assert_eq!(out["messages"][2]["content"][1]["tool_use_id"], odd.as_str());
    out["messages"][1]["content"][1]["id"] = json!("ODD");
    out["messages"][2]["content"][1]["tool_use_id"] = json!("ODD");
    assert_eq!(
        out,
        json!({
            "model": "claude-x", "max_tokens": 300, "system": [{ "type": "text", "text": "be brief" }],
            "messages": [
                { "role": "user", "content": [
                    { "type": "text", "text": "look" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "QUJD" } },
                    { "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } } ] },
                { "role": "assistant", "content": [
                    { "type": "tool_use", "id": "call_1", "name": "weather", "input": { "city": "Oslo" } },
                    { "type": "tool_use", "id": "ODD", "name": "weather", "input": {} } ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "call_1", "content": "4 C" },
                    { "type": "tool_result", "tool_use_id": "ODD", "content": "rain" },
                    { "type": "text", "text": "so?" } ] } ],
            "temperature": 1.0, "stop_sequences": ["END"],
            "tools": [{ "name": "weather", "description": "d", "input_schema": { "type": "object", "properties": {} } }],
            "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
            "metadata": { "user_id": "u1" }, "stream": true,
        })
    );
}

#[test]
fn the_bound_on_the_answer_is_always_given() {
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(translate(&body, None).unwrap()["max_tokens"], DEFAULT_MAX_TOKENS);
    assert_eq!(translate(&body, Some(64_000)).unwrap()["max_tokens"], 64_000);
    let large = json!({ "model": "auto", "max_completion_tokens": 90_000, "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(translate(&large, Some(8192)).unwrap()["max_tokens"], 8192);
}

#[test]
fn small_differences_are_mended() {
    let calls = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }, { "role": "assistant", "tool_calls": [call("c", "{}")] }, { "role": "tool", "tool_call_id": "c", "content": "" }, { "role": "assistant", "content": "ok \n" }] });
    let out = translate(&calls, None).unwrap();
    assert_eq!((&out["tools"][0]["name"], &out["tool_choice"]["type"]), (&json!("weather"), &json!("none")));
    assert_eq!(out["messages"][3]["content"][0]["text"], "ok");
    let alone =
        translate(&json!({ "model": "auto", "messages": [{ "role": "system", "content": "sing" }] }), None)
            .unwrap();
    assert_eq!(alone["messages"][0]["role"], "user");
    assert!(alone.get("system").is_none());
    let schema = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }], "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } } });
    assert_eq!(
        translate(&schema, None).unwrap()["output_config"]["format"],
        json!({ "type": "json_schema", "schema": { "type": "object" } })
    );
}

#[test]
fn what_has_no_words_is_refused_by_name() {
    let user = |part: Value| json!({ "messages": [{ "role": "user", "content": [part] }] });
    for (fields, param) in [
        (json!({ "n": 2 }), "n"),
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "functions": [{ "name": "f" }] }), "functions"),
        (json!({ "response_format": { "type": "json_object" } }), "response_format"),
        (json!({ "stop": ["\n"] }), "stop[0]"),
        (json!({ "tools": [{ "type": "custom", "custom": { "name": "x" } }] }), "tools[0].type"),
        (
            user(json!({ "type": "input_audio", "input_audio": { "data": "AA", "format": "wav" } })),
            "messages[0].content[0]",
        ),
        (
            user(json!({ "type": "image_url", "image_url": { "url": "file:///x" } })),
            "messages[0].content[0].image_url.url",
        ),
        (user(json!({ "type": "video_url", "video_url": {} })), "messages[0].content[0]"),
        (
            json!({ "messages": [{ "role": "assistant", "tool_calls": [call("c", "{broken")] }] }),
            "messages[0].tool_calls[0].function.arguments",
        ),
    ] {
        let mut body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }] });
        fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let error = translate(&body, None).unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (WireErrorKind::Untranslatable, Some(param)),
            "{body}"
        );
    }
}

#[test]
fn an_answer_with_thinking_text_and_a_call_is_translated() {
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "tool_use", "stop_sequence": null,
        "content": [{ "type": "thinking", "thinking": "hm", "signature": "s" }, { "type": "text", "text": "let me " }, { "type": "text", "text": "see" }, { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Oslo" } }],
        "usage": { "input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 20 } });
    let (bytes, facts) = translate_reply(message.to_string().as_bytes(), 99).unwrap();
    let completion: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        completion,
        json!({
            "id": "msg_1", "object": "chat.completion", "created": 99, "model": "claude-x",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "let me see", "refusal": null, "reasoning_content": "hm",
                "thinking_blocks": [{ "type": "thinking", "thinking": "hm", "signature": "s" }],
                "tool_calls": [{ "id": "toolu_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Oslo\"}" } }] },
                "logprobs": null, "finish_reason": "tool_calls" }],
            "usage": { "prompt_tokens": 18, "completion_tokens": 20, "total_tokens": 38, "prompt_tokens_details": { "cached_tokens": 5, "cache_creation_tokens": 3 }, "completion_tokens_details": { "reasoning_tokens": 0 } },
        })
    );
    let usage = facts.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.cached_tokens, facts.has_content), (18, 5, true));
}

#[test]
fn signed_thinking_goes_back_to_its_vendor_and_to_nobody_else() {
    let signed = json!({ "type": "thinking", "thinking": "hm", "signature": "s" });
    let body = json!({ "model": "auto", "messages": [
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": "y", "thinking_blocks": [signed, { "type": "thinking", "thinking": "unsigned" }] },
        { "role": "user", "content": "z" }] });
    let out = translate(&body, None).unwrap();
    assert_eq!(out["messages"][1]["content"], json!([signed, { "type": "text", "text": "y" }]));
    let to_openai = ChatRequest::parse(body.to_string().as_bytes()).unwrap().openai_body("m", "max_tokens");
    let to_openai: Value = serde_json::from_slice(&to_openai).unwrap();
    assert_eq!(to_openai["messages"][1], json!({ "role": "assistant", "content": "y" }));
}

#[test]
fn what_cannot_be_said_is_known_before_the_translation() {
    for fields in [
        json!({ "n": 2 }),
        json!({ "response_format": { "type": "json_object" } }),
        json!({ "stop": ["\n"] }),
        json!({ "tools": [{ "type": "custom", "custom": { "name": "x" } }] }),
        json!({ "messages": [{ "role": "function", "name": "f", "content": "x" }] }),
    ] {
        let mut body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }] });
        fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(cannot_say(&request), translate_request(&request, "c", None).err(), "{body}");
        assert!(cannot_say(&request).is_some());
    }
}

#[test]
fn finish_reasons_and_faults_of_answers() {
    let reply = |reason: Value| {
        translate_reply(json!({ "id": "m", "content": [], "stop_reason": reason }).to_string().as_bytes(), 0)
    };
    for (theirs, ours) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("newer", "stop"),
    ] {
        assert_eq!(reply(json!(theirs)).unwrap().1.finish_reason.as_deref(), Some(ours));
    }
    assert!(matches!(reply(Value::Null), Err(ChunkError::Malformed(_))));
    assert!(
        matches!(translate_reply(br#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#, 0), Err(ChunkError::Upstream(e)) if e.implied_status() == 529)
    );
    assert!(matches!(translate_reply(b"{}", 0), Err(ChunkError::Malformed(_))));
}

const STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":1}}}

event: ping
data: {"type":"ping"}

data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}

data: {"type":"content_block_stop","index":0}

data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"héllo"}}

data: {"type":"content_block_stop","index":1}

data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}

data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}

data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\":"}}

data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"Oslo\"}"}}

data: {"type":"content_block_stop","index":2}

data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}}

data: {"type":"content_block_stop","index":3}

data: {"type":"something_newer","x":1}

data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":15}}

data: {"type":"message_stop"}

"#;

fn read(packets: &[&[u8]]) -> Result<(Vec<RawChunk>, bool), ChunkError> {
    let (mut decoder, mut reader) = (Decoder::default(), AnthropicReader::new(7));
    let mut chunks = Vec::new();
    for packet in packets {
        for event in decoder.push(packet).unwrap() {
            chunks.extend(reader.read(&event)?);
        }
    }
    let whole = reader.is_whole();
    if reader.is_done() {
        chunks.extend(reader.finish());
    }
    Ok((chunks, whole))
}

#[test]
fn a_stream_with_thinking_text_and_two_calls_is_translated() {
    let (chunks, whole) = read(&[STREAM.as_bytes()]).unwrap();
    assert!(whole);
    let values: Vec<Value> = chunks.iter().map(|c| serde_json::from_str(&c.data).unwrap()).collect();
    assert!(values.iter().all(|v| v["id"] == "msg_1"
        && v["object"] == "chat.completion.chunk"
        && v["created"] == 7
        && v["model"] == "claude-x"));
    let last = values.len() - 1;
    let deltas: Vec<&Value> = values[..last - 1].iter().map(|v| &v["choices"][0]["delta"]).collect();
    let piece = |index: u32, text: &str| json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] });
    let begin = |index: u32, id: &str, name: &str| json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": "" } }] });
    assert_eq!(
        deltas,
        [
            &json!({ "role": "assistant", "content": "" }),
            &json!({ "reasoning_content": "hm" }),
            &json!({ "thinking_blocks": [{ "type": "thinking", "thinking": "hm", "signature": "s" }] }),
            &json!({ "content": "héllo" }),
            &begin(0, "toolu_1", "weather"),
            &piece(0, "{\"city\":"),
            &piece(0, "\"Oslo\"}"),
            &begin(1, "toolu_2", "now"),
            &piece(1, "{}"),
        ]
    );
    assert_eq!(values[last - 1]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!((&values[last]["choices"], &values[last]["usage"]["prompt_tokens"]), (&json!([]), &json!(14)));
    let usage = chunks[last].facts.usage.unwrap();
    assert_eq!((usage.output_tokens, usage.cached_tokens, chunks[last].facts.is_usage_only), (15, 4, true));
    let content: Vec<bool> = chunks.iter().map(|c| c.facts.has_content).collect();
    assert!(!content[0] && content[1..last - 1].iter().all(|c| *c));
}

#[test]
fn u11_broken_streams_are_never_whole() {
    let upto = |mark: &str| &STREAM.as_bytes()[..STREAM.find(mark).unwrap()];
    let (chunks, whole) = read(&[upto("data: {\"type\":\"message_delta\"")]).unwrap();
    assert!(!whole && chunks.iter().all(|c| c.facts.finish_reason.is_none() && !c.facts.is_usage_only));
    let error = b"data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    assert!(matches!(read(&[error]), Err(ChunkError::Upstream(e)) if e.message == "Overloaded"));
    for garbage in [
        "data: nope\n\n",
        "data: {}\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{}}\n\n",
    ] {
        assert!(matches!(read(&[garbage.as_bytes()]), Err(ChunkError::Malformed(_))), "{garbage}");
    }
    let stop = b"data: {\"type\":\"message_stop\"}\n\n";
    assert!(
        read(&[upto("data: {\"type\":\"message_delta\""), stop]).is_err(),
        "an end without a reason is no end"
    );
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_chunks(cut in 0usize..STREAM.len(), second in 0usize..STREAM.len()) {
        let (a, b) = (cut.min(second), cut.max(second));
        let bytes = STREAM.as_bytes();
        prop_assert_eq!(read(&[&bytes[..a], &bytes[a..b], &bytes[b..]]).unwrap(), read(&[bytes]).unwrap());
    }

    #[test]
    fn any_event_is_read_or_refused(kind in prop_oneof![Just("message_start"), Just("content_block_start"), Just("content_block_delta"), Just("content_block_stop"), Just("message_delta")], text in "\\PC{0,20}", index in any::<u32>()) {
        let mut reader = AnthropicReader::new(0);
        let event = json!({ "type": kind, "index": index, "message": { "id": text }, "content_block": { "type": "tool_use", "name": text }, "delta": { "type": "text_delta", "text": text, "stop_reason": text }, "usage": text });
        for _ in 0..3 {
            let _ = reader.read(&crate::wire::sse::Event { name: String::new(), data: event.to_string() });
        }
    }

    #[test]
    fn ids_of_calls_and_results_always_match(id in "\\PC{1,60}") {
        let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "x" }, { "role": "assistant", "tool_calls": [call(&id, "{}")] }, { "role": "tool", "tool_call_id": id, "content": "y" }] });
        let out = translate(&body, None).unwrap();
        let used = out["messages"][1]["content"][0]["id"].as_str().unwrap();
        prop_assert_eq!(&out["messages"][2]["content"][0]["tool_use_id"], used);
        prop_assert!(!used.is_empty() && used.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)));
    }
}
