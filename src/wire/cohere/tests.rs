use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::chat::ChatRequest;
use crate::wire::testing::read_all;
use crate::wire::{ChunkError, ChunkReader, RawChunk, WireErrorKind};

fn translate(body: &Value) -> Result<Value, crate::wire::WireError> {
    let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
    Ok(serde_json::from_slice(&translate_request(&request, "command-x", Some(4000))?).unwrap())
}

#[test]
fn a_conversation_is_translated() {
    let mut body: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/chat_request_tools.json")).unwrap();
    for name in ["logprobs", "top_logprobs", "response_format"] {
        body.as_object_mut().unwrap().remove(name);
    }
    body["tool_choice"] = json!("required");
    body["messages"][1]["content"].as_array_mut().unwrap().pop();
    let expected: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/cohere_request.json")).unwrap();
    assert_eq!(translate(&body).unwrap(), expected);
    let schema = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } } });
    assert_eq!(
        translate(&schema).unwrap()["response_format"],
        json!({ "type": "json_object", "json_schema": { "type": "object" } })
    );
}

#[test]
fn what_has_no_words_is_refused_by_name() {
    let user = |part: Value| json!({ "messages": [{ "role": "user", "content": [part] }] });
    let tool = json!({ "type": "function", "function": { "name": "f" } });
    let named = json!({ "type": "function", "function": { "name": "f" } });
    for (fields, param) in [
        (json!({ "n": 2 }), "n"),
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "tools": [tool], "tool_choice": named }), "tool_choice"),
        (json!({ "tools": [tool], "response_format": { "type": "json_object" } }), "response_format"),
        (json!({ "tools": [tool], "parallel_tool_calls": false }), "parallel_tool_calls"),
        (json!({ "tools": [{ "type": "custom", "custom": { "name": "x" } }] }), "tools[0].type"),
        (user(json!({ "type": "input_audio", "input_audio": { "data": "AA" } })), "messages[0].content[0]"),
        (
            user(json!({ "type": "file", "file": { "file_data": "data:application/pdf;base64,AA" } })),
            "messages[0].content[0]",
        ),
    ] {
        let mut body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hi" }] });
        fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let error = translate(&body).unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (WireErrorKind::Untranslatable, Some(param)),
            "{body}"
        );
        let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(cannot_say(&request), Some(error));
    }
}

#[test]
fn an_answer_with_thinking_a_plan_and_calls_is_translated() {
    let body = json!({ "id": "co_1", "finish_reason": "TOOL_CALL", "message": { "role": "assistant", "tool_plan": "I look it up.",
        "content": [{ "type": "thinking", "thinking": "hm" }],
        "tool_calls": [{ "id": "weather_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Oslo\"}" } },
            { "id": "now_2", "type": "function", "function": { "name": "now" } }] },
        "usage": { "billed_units": { "input_tokens": 20, "output_tokens": 7 }, "tokens": { "input_tokens": 90, "output_tokens": 9 }, "cached_tokens": 12 } });
    let (bytes, facts) = translate_reply(body.to_string().as_bytes(), 9, "command-x").unwrap();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let message = &value["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("I look it up."), &json!("hm")));
    assert_eq!(
        message["tool_calls"][1],
        json!({ "id": "now_2", "type": "function", "function": { "name": "now", "arguments": "{}" } })
    );
    assert_eq!(value["choices"][0]["finish_reason"], "tool_calls");
    let usage = facts.usage.unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.cached_tokens),
        (20, 7, 12),
        "what is charged"
    );
}

#[test]
fn finish_reasons_and_faults() {
    let read = |body: &Value| translate_reply(body.to_string().as_bytes(), 0, "m");
    let with = |reason: &str| json!({ "id": "x", "finish_reason": reason, "message": { "content": [{ "type": "text", "text": "y" }] } });
    for (theirs, ours) in
        [("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("NEWER", "stop")]
    {
        assert_eq!(read(&with(theirs)).unwrap().1.finish_reason.as_deref(), Some(ours));
    }
    assert!(read(&with("ERROR_TOXIC")).unwrap().1.is_refusal);
    assert!(matches!(read(&with("ERROR")), Err(ChunkError::Upstream(_))));
    assert!(
        matches!(read(&json!({ "message": "no such model" })), Err(ChunkError::Upstream(e)) if e.message == "no such model")
    );
    assert!(matches!(read(&json!({})), Err(ChunkError::Malformed(_))));
}

const STREAM: &str = include_str!("../../../tests/fixtures/cohere_stream.sse");

fn read(packets: &[&[u8]]) -> Result<(Vec<RawChunk>, bool), ChunkError> {
    read_all(CohereReader::new(7, "command-x"), packets)
}

#[test]
fn a_stream_is_translated() {
    let (chunks, whole) = read(&[STREAM.as_bytes()]).unwrap();
    assert!(whole);
    let values: Vec<Value> = chunks.iter().map(|c| serde_json::from_str(&c.data).unwrap()).collect();
    assert!(
        values.iter().all(|v| v["id"] == "co_1"
            && v["object"] == "chat.completion.chunk"
            && v["model"] == "command-x")
    );
    let joined = |field: &str| -> String {
        values.iter().filter_map(|v| v["choices"][0]["delta"][field].as_str()).collect()
    };
    assert_eq!((joined("content").as_str(), joined("reasoning_content").as_str()), ("Fíne then.", "hm"));
    let pieces: Vec<&Value> =
        values.iter().filter_map(|v| v["choices"][0]["delta"]["tool_calls"].as_array()).flatten().collect();
    let arguments = |index: u64| -> String {
        pieces
            .iter()
            .filter(|p| p["index"] == index)
            .filter_map(|p| p["function"]["arguments"].as_str())
            .collect()
    };
    assert_eq!((arguments(0).as_str(), arguments(1).as_str()), ("{\"city\":\"Oslo\"}", "{}"));
    let reasons: Vec<&str> =
        values.iter().filter_map(|v| v["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(reasons, ["tool_calls"]);
    let usage = chunks.last().unwrap().facts.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (20, 9));
}

#[test]
fn u11_broken_streams_are_never_whole() {
    let upto = |mark: &str| &STREAM.as_bytes()[..STREAM.find(mark).unwrap()];
    let (chunks, whole) = read(&[upto("event: message-end")]).unwrap();
    assert!(!whole && chunks.iter().all(|c| c.facts.finish_reason.is_none() && !c.facts.is_usage_only));
    for garbage in ["data: nope\n\n", "data: {}\n\n", "data: {\"type\":\"content-delta\"}\n\n"] {
        assert!(matches!(read(&[garbage.as_bytes()]), Err(ChunkError::Malformed(_))), "{garbage}");
    }
    let failed =
        b"data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"boom\"}}\n\n";
    assert!(
        matches!(read(&[upto("event: message-end"), failed]), Err(ChunkError::Upstream(e)) if e.message == "boom")
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
    fn any_answer_is_read_or_refused(text in "\\PC{0,20}", number in any::<f64>(), kind in prop_oneof![Just("message-start"), Just("tool-call-start"), Just("tool-call-delta"), Just("content-delta"), Just("message-end")]) {
        for part in [json!(number), json!({ "tool_calls": text }), json!({ "content": { "text": number } }), json!({ "tool_calls": [{ "function": text }], "content": [text] })] {
            let _ = translate_reply(json!({ "finish_reason": text, "message": part, "usage": { "tokens": { "input_tokens": number } } }).to_string().as_bytes(), 0, "m");
            let mut reader = CohereReader::new(0, "m");
            for kind in ["message-start", kind] {
                let data = json!({ "type": kind, "id": text, "delta": { "message": part, "finish_reason": text } }).to_string();
                let _ = reader.read(&crate::wire::sse::Event { name: String::new(), data });
            }
        }
    }

    #[test]
    fn calls_come_back_as_they_went(plan in "\\PC{1,20}", id in "\\PC{1,12}", result in "\\PC{1,20}") {
        let call = json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": "{}" } });
        let answer = json!({ "id": "x", "finish_reason": "TOOL_CALL", "message": { "role": "assistant", "tool_plan": plan, "tool_calls": [call] } });
        let (bytes, _) = translate_reply(answer.to_string().as_bytes(), 0, "m").unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }, value["choices"][0]["message"], { "role": "tool", "tool_call_id": id, "content": result }] });
        let out = translate(&body).unwrap();
        prop_assert_eq!(&out["messages"][1], &answer["message"]);
        prop_assert_eq!(&out["messages"][2], &json!({ "role": "tool", "tool_call_id": id, "content": result }));
    }
}
