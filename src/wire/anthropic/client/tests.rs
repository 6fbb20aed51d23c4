use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::chat::ChatRequest;
use crate::wire::sse::{Decoder, Event};
use crate::wire::testing::write_all;
use crate::wire::{AnswerWriter, ChunkReader, WireErrorKind};

fn parsed(body: &Value) -> ChatRequest {
    parse(body.to_string().as_bytes()).unwrap()
}

/// The chat completion body that an upstream of OpenAI's format gets.
fn chat(body: &Value) -> Value {
    serde_json::from_slice(&parsed(body).openai_body("m", "max_tokens")).unwrap()
}

fn request() -> Value {
    serde_json::from_str(include_str!("../../../../tests/fixtures/messages_request.json")).unwrap()
}

#[test]
fn a_conversation_becomes_a_chat_completion() {
    let expected: Value =
        serde_json::from_str(include_str!("../../../../tests/fixtures/messages_request_as_chat.json"))
            .unwrap();
    assert_eq!(chat(&request()), expected);
    let request = parsed(&request());
    assert!(request.stream() && request.wants_usage_chunk() && request.beyond_chat().is_none());
    assert_eq!(request.extension().session_id.as_deref(), Some("s1"));
}

#[test]
fn to_the_vendor_itself_the_body_goes_as_it_came() {
    let body = request();
    let sent: Value =
        serde_json::from_slice(&native::body(&parsed(&body), "claude-x", None).unwrap()).unwrap();
    let mut expected = body;
    expected["model"] = json!("claude-x");
    expected.as_object_mut().unwrap().remove("pointsman");
    assert_eq!(sent, expected, "cache marks, signatures and unknown fields included");
    let bare = json!({ "model": "auto", "messages": [{ "role": "user", "content": "x" }] });
    let sent: Value = serde_json::from_slice(&native::body(&parsed(&bare), "c", Some(7)).unwrap()).unwrap();
    assert_eq!(sent["max_tokens"], 7);
    let capped = native::body(&parsed(&request()).capped(3), "c", None).unwrap();
    assert!(
        serde_json::from_slice::<Value>(&capped).unwrap()["max_tokens"] == 3,
        "a budget's cap holds here too"
    );
    let renamed = parsed(&request()).openai_body("m", "max_completion_tokens");
    assert_eq!(serde_json::from_slice::<Value>(&renamed).unwrap()["max_completion_tokens"], 400);
}

#[test]
fn thinking_of_other_vendors_does_not_reach_anthropic() {
    let body = json!({ "model": "auto", "max_tokens": 5, "messages": [
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": [{ "type": "thinking", "thinking": "a", "signature": "" }, { "type": "text", "text": "b" }] },
        { "role": "user", "content": "y" }] });
    let sent: Value = serde_json::from_slice(&native::body(&parsed(&body), "c", None).unwrap()).unwrap();
    assert_eq!(sent["messages"][1]["content"], json!([{ "type": "text", "text": "b" }]));
}

#[test]
fn what_only_anthropic_takes_is_named() {
    let user = |block: Value| json!({ "messages": [{ "role": "user", "content": [block] }] });
    for (fields, param) in [
        (json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] }), "tools[0].type"),
        (json!({ "top_k": 5 }), "top_k"),
        (json!({ "mcp_servers": [{ "url": "x" }] }), "mcp_servers"),
        (user(json!({ "type": "search_result", "source": "x" })), "messages[0].content[0].type"),
        (
            user(json!({ "type": "image", "source": { "type": "file", "file_id": "f" } })),
            "messages[0].content[0].type",
        ),
    ] {
        let mut body =
            json!({ "model": "auto", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
        fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let request = parsed(&body);
        let beyond = request.beyond_chat().unwrap();
        assert_eq!((beyond.kind, beyond.param.as_deref()), (WireErrorKind::Untranslatable, Some(param)));
        assert!(native::body(&request, "c", None).is_some(), "its own models take it");
    }
}

#[test]
fn wrong_fields_are_named_by_the_clients_own_paths() {
    for (fields, param) in [
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": [{ "role": "tool", "content": "x" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "user" }] }), "messages[0].content"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "text" }] }] }),
            "messages[0].content[0].text",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "tool_result" }] }] }),
            "messages[0].content[0].tool_use_id",
        ),
        (json!({ "tools": [{ "name": "f" }] }), "tools[0].input_schema"),
        (json!({ "tool_choice": { "type": "maybe" } }), "tool_choice.type"),
        (json!({ "stop_sequences": [1] }), "stop_sequences[0]"),
        (json!({ "temperature": 1.5 }), "temperature"),
        (json!({ "system": 3 }), "system"),
        (json!({ "model": null }), "model"),
        (json!({ "pointsman": { "max_cost_usd": -1.0 } }), "pointsman.max_cost_usd"),
    ] {
        let mut body =
            json!({ "model": "auto", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
        fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let error = parse(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{body}");
    }
}

#[test]
fn an_answer_becomes_a_message() {
    let completion = json!({ "id": "chatcmpl-1", "model": "gpt-x", "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "let me see", "reasoning_content": "hm", "tool_calls": [
            { "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Oslo\"}" } },
            { "type": "function", "function": { "name": "now", "arguments": "" } },
            { "id": "c.3", "type": "function", "function": { "name": "now", "arguments": "{broken" } }] } }],
        "usage": { "prompt_tokens": 20, "completion_tokens": 7, "prompt_tokens_details": { "cached_tokens": 12, "cache_creation_tokens": 3 } } });
    let message: Value = serde_json::from_slice(&reply(completion.to_string().as_bytes()).unwrap()).unwrap();
    let again: Value = serde_json::from_slice(&reply(completion.to_string().as_bytes()).unwrap()).unwrap();
    assert_eq!(message, again, "ids are stable");
    let blocks = message["content"].as_array().unwrap();
    assert_eq!(blocks[0], json!({ "type": "thinking", "thinking": "hm", "signature": "" }));
    assert_eq!(blocks[1], json!({ "type": "text", "text": "let me see" }));
    assert_eq!(
        blocks[2],
        json!({ "type": "tool_use", "id": "call_1", "name": "weather", "input": { "city": "Oslo" } })
    );
    assert!(blocks[3]["id"].as_str().unwrap().starts_with("toolu_") && blocks[3]["input"] == json!({}));
    assert_eq!(blocks[4]["input"], json!({ "_invalid_json": "{broken" }));
    assert_eq!((&message["stop_reason"], &message["type"]), (&json!("tool_use"), &json!("message")));
    assert_eq!(
        message["usage"],
        json!({ "input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 12, "output_tokens": 7 })
    );
    for (theirs, ours) in [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")] {
        let body = json!({ "choices": [{ "message": {}, "finish_reason": theirs }] }).to_string();
        let message: Value = serde_json::from_slice(&reply(body.as_bytes()).unwrap()).unwrap();
        assert_eq!(message["stop_reason"], ours);
    }
}

const CHUNKS: &str = include_str!("../../../../tests/fixtures/chat_stream_tools.sse");

/// The events that `bytes` of an OpenAI stream become, cut at `cuts`.
fn written(bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    write_all(MessagesWriter::default(), bytes, cuts)
}

#[test]
fn a_stream_has_the_events_of_the_format_in_their_order() {
    let events = written(CHUNKS.as_bytes(), &[]);
    let kinds: Vec<&str> = events.iter().map(|e| e.name.as_str()).collect();
    let block = ["content_block_start", "content_block_delta", "content_block_stop"];
    let (one, two) =
        (block, ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"]);
    let expected: Vec<&str> = ["message_start", "ping"]
        .into_iter()
        .chain(one)
        .chain(two)
        .chain(two)
        .chain(two)
        .chain(["message_delta", "message_stop"])
        .collect();
    assert_eq!(kinds, expected);
    let values: Vec<Value> = events.iter().map(|e| serde_json::from_str(&e.data).unwrap()).collect();
    assert!(values.iter().zip(&kinds).all(|(v, k)| v["type"] == *k));
    let starts: Vec<&Value> = values.iter().filter(|v| v["type"] == "content_block_start").collect();
    assert!(starts.iter().enumerate().all(|(i, v)| v["index"] == i));
    assert_eq!(
        starts[2]["content_block"],
        json!({ "type": "tool_use", "id": "call_a", "name": "weather", "input": {} })
    );
    let arguments = |index: u64| -> String {
        let of_block = values.iter().filter(|v| v["index"] == index);
        of_block.filter_map(|v| v["delta"]["partial_json"].as_str()).collect()
    };
    assert_eq!((arguments(2).as_str(), arguments(3).as_str()), ("{\"city\":\"Oslo\"}", "{\"zone\":\"UTC\"}"));
    let last = &values[values.len() - 2];
    assert_eq!(last["delta"], json!({ "stop_reason": "tool_use", "stop_sequence": null }));
    assert_eq!(
        (&last["usage"]["input_tokens"], &last["usage"]["cache_read_input_tokens"]),
        (&json!(12), &json!(8))
    );
}

/// The chunk of a piece of a call.
fn piece(index: u64, arguments: &str) -> String {
    let call = json!({ "index": index, "id": format!("call_{index}"), "function": { "name": "f", "arguments": arguments } });
    json!({ "id": "c", "choices": [{ "delta": { "tool_calls": [call] } }] }).to_string()
}

/// The blocks of a stream of `chunks`, ids with arguments; one is open at a time.
fn blocks<'a>(chunks: impl IntoIterator<Item = &'a String>) -> Vec<(String, String)> {
    let (mut writer, mut decoder) = (MessagesWriter::default(), Decoder::default());
    let mut out: String = chunks.into_iter().map(|chunk| writer.write(chunk.as_bytes(), None)).collect();
    out += &writer.end();
    let (mut blocks, mut open) = (Vec::new(), None);
    for event in decoder.push(out.as_bytes()).unwrap() {
        let event: Value = serde_json::from_str(&event.data).unwrap();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, &event["index"]), (None, &json!(blocks.len())));
                let id = event["content_block"]["id"].as_str().unwrap_or("text");
                open = Some(blocks.len());
                blocks.push((id.to_owned(), String::new()));
            }
            "content_block_delta" => {
                let (_, text) = &mut blocks[open.unwrap()];
                text.push_str(event["delta"]["partial_json"].as_str().unwrap_or_default());
            }
            "content_block_stop" => assert_eq!(json!(open.take()), event["index"]),
            _ => {}
        }
    }
    assert_eq!(open, None);
    blocks
}

#[test]
fn calls_that_come_out_of_order_wait_for_the_open_one() {
    let chunks = [piece(5, "{\"a\""), piece(3, "{\"b\""), piece(5, ":1}"), piece(3, ":2}")];
    let expected =
        [("call_5", "{\"a\":1}"), ("call_3", "{\"b\":2}")].map(|(id, text)| (id.to_owned(), text.to_owned()));
    assert_eq!(blocks(&chunks), expected);
}

#[test]
fn native_events_pass_as_they_are_and_are_read_all_the_same() {
    let stream = include_str!("../../../../tests/fixtures/messages_stream.sse");
    let (mut decoder, mut reader, mut writer) =
        (Decoder::default(), NativeReader::new(1), MessagesWriter::default());
    let (mut out, mut usage) = (String::new(), None);
    for event in decoder.push(stream.as_bytes()).unwrap() {
        for chunk in reader.read(&event).unwrap() {
            out += &writer.write(chunk.data.as_bytes(), chunk.native.as_deref().map(str::as_bytes));
        }
    }
    assert!(reader.is_done() && reader.is_whole());
    for chunk in reader.finish() {
        usage = chunk.facts.usage;
        out += &writer.write(chunk.data.as_bytes(), chunk.native.as_deref().map(str::as_bytes));
    }
    out += &writer.end();
    assert_eq!(out, stream);
    assert_eq!(usage.unwrap().cached_tokens, 4);
}

#[test]
fn errors_have_the_formats_words() {
    let ours = json!({ "error": { "message": "m", "type": "x", "code": "overloaded", "param": null, "metadata": {} } });
    let theirs = error_body(429, &ours, Some("req_1"));
    assert_eq!((&theirs["type"], &theirs["error"]["type"]), (&json!("error"), &json!("rate_limit_error")));
    assert_eq!((&theirs["error"]["message"], &theirs["request_id"]), (&json!("m"), &json!("req_1")));
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("type"),
        Just("text"),
        Just("content"),
        Just("role"),
        Just("id"),
        Just("name"),
        Just("source"),
        Just("input"),
        Just("function"),
        Just("tool_calls"),
        Just("delta"),
        Just("choices"),
        Just("usage"),
        Just("message")
    ];
    let words = prop_oneof![
        Just("text"),
        Just("user"),
        Just("assistant"),
        Just("tool_use"),
        Just("tool_result"),
        Just("image"),
        Just("thinking"),
        Just("base64"),
        Just("x")
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        words.prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_events(cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        prop_assert_eq!(written(CHUNKS.as_bytes(), &cuts), written(CHUNKS.as_bytes(), &[]));
    }

    #[test]
    fn any_order_of_calls_gives_whole_blocks(pieces in prop::collection::vec((0..4u64, prop_oneof![Just("{"), Just("}"), Just("\"a\":1"), Just("{}"), Just("")], any::<bool>()), 0..20)) {
        let text = json!({ "id": "c", "choices": [{ "delta": { "content": "so" } }] }).to_string();
        let chunks = pieces.iter().flat_map(|(index, arguments, speaks)| [piece(*index, arguments)].into_iter().chain(speaks.then(|| text.clone())));
        let _ = blocks(&chunks.collect::<Vec<_>>());
    }

    #[test]
    fn any_json_is_read_or_refused(messages in arbitrary_json(), system in arbitrary_json(), tools in arbitrary_json(), reply_body in arbitrary_json()) {
        let body = json!({ "model": "auto", "messages": messages, "system": system, "tools": tools });
        let _ = parse(body.to_string().as_bytes());
        let _ = reply(reply_body.to_string().as_bytes());
        let mut writer = MessagesWriter::default();
        let _ = writer.write(reply_body.to_string().as_bytes(), None);
        let _ = writer.write(json!({ "choices": [{ "delta": reply_body }] }).to_string().as_bytes(), None);
        let _ = writer.end();
    }

    #[test]
    fn there_and_back_keeps_texts_tools_ids_and_images(text in "\\PC{1,30}", id in "[a-zA-Z0-9_-]{1,20}", city in "\\PC{0,12}", result in "\\PC{1,20}", data in "[A-Za-z0-9]{4,20}") {
        let body = json!({ "model": "auto", "max_tokens": 50, "system": text,
            "tools": [{ "name": "weather", "description": "d", "input_schema": { "type": "object", "properties": {} } }],
            "messages": [
                { "role": "user", "content": [{ "type": "text", "text": text }, { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } }] },
                { "role": "assistant", "content": [{ "type": "tool_use", "id": id, "name": "weather", "input": { "city": city } }] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": result }] }] });
        let chat = ChatRequest::parse(&parsed(&body).openai_body("auto", "max_tokens")).unwrap();
        let back: Value = serde_json::from_slice(&super::super::translate_request(&chat, "auto", None).unwrap()).unwrap();
        prop_assert_eq!(&back["messages"], &body["messages"]);
        prop_assert_eq!(&back["tools"], &body["tools"]);
        prop_assert_eq!(&back["system"], &json!([{ "type": "text", "text": text }]));
        prop_assert_eq!(&back["max_tokens"], &json!(50));
    }
}
