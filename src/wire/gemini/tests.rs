use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::chat::ChatRequest;
use crate::wire::testing::read_all;
use crate::wire::{ChunkError, ChunkReader, RawChunk, WireErrorKind};

fn translate(body: &Value) -> Result<Value, crate::wire::WireError> {
    let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
    Ok(serde_json::from_slice(&translate_request(&request, Some(8000))?).unwrap())
}

fn completion(body: &str) -> (Value, crate::wire::ReplyFacts) {
    let (bytes, facts) = translate_reply(body.as_bytes(), 9, "gemini-x", "made-1").unwrap();
    (serde_json::from_slice(&bytes).unwrap(), facts)
}

#[test]
fn a_conversation_is_translated() {
    let body: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/chat_request_tools.json")).unwrap();
    let expected: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/gemini_request.json")).unwrap();
    assert_eq!(translate(&body).unwrap(), expected);
}

#[test]
fn what_has_no_words_is_refused_by_name() {
    let user = |part: Value| json!({ "messages": [{ "role": "user", "content": [part] }] });
    let tool = json!({ "type": "function", "function": { "name": "f" } });
    for (fields, param) in [
        (json!({ "n": 2 }), "n"),
        (json!({ "functions": [{ "name": "f" }] }), "functions"),
        (json!({ "stop": ["a", "b", "c", "d", "e", "f"] }), "stop"),
        (json!({ "tools": [tool], "parallel_tool_calls": false }), "parallel_tool_calls"),
        (json!({ "tools": [{ "type": "custom", "custom": { "name": "x" } }] }), "tools[0].type"),
        (user(json!({ "type": "input_audio", "input_audio": { "data": "AA" } })), "messages[0].content[0]"),
        (user(json!({ "type": "image_url", "image_url": { "url": "file:///x" } })), "messages[0].content[0]"),
        (
            json!({ "messages": [{ "role": "tool", "tool_call_id": "lost", "content": "x" }] }),
            "messages[0].tool_call_id",
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
        if param != "messages[0].tool_call_id" {
            let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
            assert_eq!(cannot_say(&request), Some(error), "it is known before the choice");
        }
    }
}

#[test]
fn an_answer_with_thoughts_text_and_calls_is_translated() {
    let body = json!({ "responseId": "r1", "modelVersion": "gemini-x-1", "candidates": [{ "finishReason": "STOP", "content": { "role": "model", "parts": [
        { "text": "hm", "thought": true }, { "text": "Two calls." },
        { "functionCall": { "name": "weather", "args": { "city": "Oslo" } }, "thoughtSignature": "sig" },
        { "functionCall": { "name": "now", "id": "theirs" } }] } }],
        "usageMetadata": { "promptTokenCount": 20, "candidatesTokenCount": 7, "thoughtsTokenCount": 5, "cachedContentTokenCount": 12, "totalTokenCount": 32 } })
    .to_string();
    let (value, facts) = completion(&body);
    assert_eq!(completion(&body).0, value, "made ids are stable");
    let message = &value["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("Two calls."), &json!("hm")));
    let calls = message["tool_calls"].as_array().unwrap();
    assert!(calls[0]["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(calls[0]["function"], json!({ "name": "weather", "arguments": "{\"city\":\"Oslo\"}" }));
    assert_eq!(calls[0]["extra_content"]["google"]["thought_signature"], "sig");
    assert_eq!((&calls[1]["id"], &calls[1]["function"]["arguments"]), (&json!("theirs"), &json!("{}")));
    assert_eq!(value["choices"][0]["finish_reason"], "tool_calls");
    let usage = facts.usage.unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens),
        (20, 12, 12, 5)
    );
    assert_eq!((facts.id.as_deref(), facts.model.as_deref()), (Some("r1"), Some("gemini-x-1")));
}

#[test]
fn finish_reasons_blocks_and_faults() {
    let reply = |reason: &str| {
        completion(
            &json!({ "candidates": [{ "finishReason": reason, "content": { "parts": [{ "text": "x" }] } }] })
                .to_string(),
        )
        .1
    };
    for (theirs, ours) in
        [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("NEWER", "stop")]
    {
        assert_eq!(reply(theirs).finish_reason.as_deref(), Some(ours));
    }
    assert!(reply("SAFETY").is_refusal && !reply("STOP").is_refusal);
    assert_eq!(reply("STOP").id.as_deref(), Some("made-1"));
    let (value, facts) =
        completion(r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#);
    assert!(
        facts.is_refusal && value["choices"][0]["message"]["refusal"].as_str().unwrap().contains("SAFETY")
    );
    let read = |body: &str| translate_reply(body.as_bytes(), 0, "m", "i");
    assert!(matches!(read("{}"), Err(ChunkError::Malformed(_))));
    assert!(
        matches!(read(r#"{"candidates":[{"content":{}}]}"#), Err(ChunkError::Malformed(_))),
        "no end is no answer"
    );
    let error = r#"{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}"#;
    assert!(matches!(read(error), Err(ChunkError::Upstream(e)) if e.implied_status() == 429));
}

#[test]
fn token_probabilities_are_translated() {
    let body = json!({ "candidates": [{ "finishReason": "STOP", "content": { "parts": [{ "text": "a" }] }, "logprobsResult": {
        "chosenCandidates": [{ "token": "a", "logProbability": -0.1 }],
        "topCandidates": [{ "candidates": [{ "token": "a", "logProbability": -0.1 }, { "token": "b", "logProbability": -2.0 }] }] } }] });
    let (value, _) = completion(&body.to_string());
    let token = &value["choices"][0]["logprobs"]["content"][0];
    assert_eq!((&token["token"], &token["top_logprobs"][1]["logprob"]), (&json!("a"), &json!(-2.0)));
}

const STREAM: &str = include_str!("../../../tests/fixtures/gemini_stream.sse");

fn read(packets: &[&[u8]]) -> Result<(Vec<RawChunk>, bool), ChunkError> {
    read_all(GeminiReader::new(7, "gemini-x", "made"), packets)
}

#[test]
fn a_stream_is_translated() {
    let (chunks, whole) = read(&[STREAM.as_bytes()]).unwrap();
    assert!(whole);
    let values: Vec<Value> = chunks.iter().map(|c| serde_json::from_str(&c.data).unwrap()).collect();
    assert!(
        values.iter().all(|v| v["id"] == "r1" && v["object"] == "chat.completion.chunk" && v["created"] == 7)
    );
    let joined = |field: &str| -> String {
        values.iter().filter_map(|v| v["choices"][0]["delta"][field].as_str()).collect()
    };
    assert_eq!((joined("content").as_str(), joined("reasoning_content").as_str()), ("Fíne then.", "hm"));
    let calls: Vec<&Value> =
        values.iter().filter_map(|v| v["choices"][0]["delta"]["tool_calls"].as_array()).flatten().collect();
    assert_eq!((calls.len(), &calls[0]["index"], &calls[1]["index"]), (2, &json!(0), &json!(1)));
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    let reasons: Vec<&str> =
        values.iter().filter_map(|v| v["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(reasons, ["tool_calls"]);
    let last = chunks.last().unwrap();
    assert!(last.facts.is_usage_only);
    assert_eq!(last.facts.usage.unwrap().output_tokens, 9);
}

#[test]
fn u11_broken_streams_are_never_whole() {
    let upto = |mark: &str| &STREAM.as_bytes()[..STREAM.find(mark).unwrap()];
    let (chunks, whole) = read(&[upto("data: {\"candidates\": [{\"finishReason\"")]).unwrap();
    assert!(!whole && chunks.iter().all(|c| c.facts.finish_reason.is_none()));
    assert!(matches!(read(&[b"data: nope\n\n"]), Err(ChunkError::Malformed(_))));
    let error = b"data: {\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}\n\n";
    assert!(matches!(read(&[error]), Err(ChunkError::Upstream(e)) if e.implied_status() == 503));
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_chunks(cut in 0usize..STREAM.len(), second in 0usize..STREAM.len()) {
        let (a, b) = (cut.min(second), cut.max(second));
        let bytes = STREAM.as_bytes();
        prop_assert_eq!(read(&[&bytes[..a], &bytes[a..b], &bytes[b..]]).unwrap(), read(&[bytes]).unwrap());
    }

    #[test]
    fn any_answer_is_read_or_refused(text in "\\PC{0,20}", number in any::<i64>(), reason in prop_oneof![Just("STOP"), Just("x")]) {
        for part in [json!({ "text": number }), json!({ "functionCall": text }), json!({ "functionCall": { "name": number, "args": text } }), json!(text)] {
            let body = json!({ "candidates": [{ "finishReason": reason, "content": { "parts": [part] } }, text], "usageMetadata": { "promptTokenCount": number } });
            let _ = translate_reply(body.to_string().as_bytes(), 0, "m", "i");
            let _ = GeminiReader::new(0, "m", "i").read(&crate::wire::sse::Event { name: String::new(), data: body.to_string() });
        }
    }

    #[test]
    fn calls_come_back_as_they_went(city in "\\PC{0,12}", result in "\\PC{1,20}", id in "\\PC{1,12}") {
        let answer = json!({ "responseId": "r", "candidates": [{ "finishReason": "STOP", "content": { "parts": [{ "functionCall": { "name": "weather", "args": { "city": city } }, "thoughtSignature": id }] } }] });
        let (value, _) = completion(&answer.to_string());
        let message = &value["choices"][0]["message"];
        let call = &message["tool_calls"][0]["id"];
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }, message, { "role": "tool", "tool_call_id": call, "content": result }] });
        let out = translate(&body).unwrap();
        prop_assert_eq!(&out["contents"][1]["parts"][0], &answer["candidates"][0]["content"]["parts"][0]);
        prop_assert_eq!(&out["contents"][2]["parts"][0]["functionResponse"]["name"], &json!("weather"));
    }
}
