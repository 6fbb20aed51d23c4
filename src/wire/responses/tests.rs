use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::AnswerWriter;
use crate::wire::sse::Event;
use crate::wire::testing::write_all;

fn chat(body: &Value) -> Value {
    let (request, _) = parse(body.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&request.openai_body("m", "max_tokens")).unwrap()
}

fn with(fields: &Value) -> Value {
    let mut body = json!({ "model": "auto", "input": "hi" });
    fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
    body
}

#[test]
fn a_conversation_becomes_a_chat_completion() {
    let body: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/responses_request.json")).unwrap();
    let expected: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/responses_request_as_chat.json")).unwrap();
    assert_eq!(chat(&body), expected);
}

#[test]
fn what_is_not_served_is_named() {
    for (fields, param) in [
        (json!({ "previous_response_id": "resp_1" }), "previous_response_id"),
        (json!({ "store": true }), "store"),
        (json!({ "background": true }), "background"),
        (json!({ "conversation": "conv_1" }), "conversation"),
        (json!({ "truncation": "auto" }), "truncation"),
        (json!({ "tools": [{ "type": "web_search" }] }), "tools[0].type"),
        (json!({ "input": [{ "type": "item_reference", "id": "x" }] }), "input[0].type"),
        (json!({ "input": [{ "type": "web_search_call" }] }), "input[0].type"),
        (
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_image", "file_id": "f" }] }] }),
            "input[0].content[0].file_id",
        ),
        (json!({ "input": [] }), "input"),
        (json!({ "input": null }), "input"),
        (json!({ "text": { "format": { "type": "xml" } } }), "text.format.type"),
        (json!({ "temperature": 3 }), "temperature"),
    ] {
        let error = parse(with(&fields).to_string().as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{fields}");
    }
    assert!(
        parse(with(&json!({ "store": false, "previous_response_id": null })).to_string().as_bytes()).is_ok()
    );
}

#[test]
fn an_answer_becomes_a_response() {
    let completion = json!({ "id": "chatcmpl-1", "created": 5, "model": "gpt-x", "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "let me see", "reasoning_content": "hm", "tool_calls": [
            { "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Oslo\"}" } },
            { "type": "function", "function": { "name": "now", "arguments": "{}" } }] } }],
        "usage": { "prompt_tokens": 20, "completion_tokens": 7, "prompt_tokens_details": { "cached_tokens": 12 }, "completion_tokens_details": { "reasoning_tokens": 3 } } });
    let (_, echo) =
        parse(with(&json!({ "metadata": { "a": "b" }, "temperature": 0.5 })).to_string().as_bytes()).unwrap();
    let read = || -> Value {
        serde_json::from_slice(&reply(completion.to_string().as_bytes(), &echo).unwrap()).unwrap()
    };
    let response = read();
    assert_eq!(response, read(), "made ids are stable");
    assert_eq!(
        (&response["id"], &response["object"], &response["status"]),
        (&json!("chatcmpl-1"), &json!("response"), &json!("completed"))
    );
    assert_eq!(
        (&response["store"], &response["metadata"], &response["temperature"]),
        (&json!(false), &json!({ "a": "b" }), &json!(0.5))
    );
    let kinds: Vec<&str> =
        response["output"].as_array().unwrap().iter().filter_map(|i| i["type"].as_str()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call", "function_call"]);
    assert_eq!(response["output"][1]["content"][0]["text"], "let me see");
    assert_eq!(
        (&response["output"][2]["call_id"], &response["output"][2]["arguments"]),
        (&json!("call_1"), &json!("{\"city\":\"Oslo\"}"))
    );
    assert!(response["output"][3]["call_id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(response["usage"]["input_tokens_details"], json!({ "cached_tokens": 12 }));
    let cut =
        json!({ "choices": [{ "message": { "content": "x" }, "finish_reason": "length" }] }).to_string();
    let cut: Value = serde_json::from_slice(&reply(cut.as_bytes(), &echo).unwrap()).unwrap();
    assert_eq!(
        (&cut["status"], &cut["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

const CHUNKS: &str = include_str!("../../../tests/fixtures/chat_stream_tools.sse");

/// The events that `bytes` of an OpenAI stream become, cut at `cuts`.
fn written(bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    write_all(ResponsesWriter::new(Echo::default()), bytes, cuts)
}

#[test]
fn a_stream_has_the_typed_events_in_their_order() {
    let events = written(CHUNKS.as_bytes(), &[]);
    let values: Vec<Value> = events.iter().map(|e| serde_json::from_str(&e.data).unwrap()).collect();
    assert!(
        values
            .iter()
            .zip(&events)
            .enumerate()
            .all(|(i, (v, e))| v["sequence_number"] == i && v["type"] == e.name.as_str())
    );
    let kinds: Vec<&str> = events.iter().map(|e| e.name.strip_prefix("response.").unwrap()).collect();
    let delta = "function_call_arguments.delta";
    assert_eq!(
        kinds,
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            delta,
            "output_item.added",
            delta,
            delta,
            delta,
            "function_call_arguments.done",
            "output_item.done",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let last = &values[values.len() - 1]["response"];
    assert_eq!((&last["status"], last["output"].as_array().unwrap().len()), (&json!("completed"), 4));
    assert_eq!(last["output"][1]["content"][0]["text"], "Fíne then.");
    assert_eq!(last["output"][3]["arguments"], "{\"zone\":\"UTC\"}");
    assert_eq!(last["usage"]["total_tokens"], 29);
    let done: Vec<&Value> =
        values.iter().filter(|v| v["type"] == "response.output_item.done").map(|v| &v["item"]).collect();
    assert_eq!(
        done,
        last["output"].as_array().unwrap().iter().collect::<Vec<_>>(),
        "the pieces are the whole"
    );
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_events(cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        prop_assert_eq!(written(CHUNKS.as_bytes(), &cuts), written(CHUNKS.as_bytes(), &[]));
    }

    #[test]
    fn any_json_is_read_or_refused(text in "\\PC{0,20}", number in any::<i64>(), kind in prop_oneof![Just("message"), Just("function_call"), Just("function_call_output"), Just("x")]) {
        for content in [json!(text), json!(number), json!([{ "type": "input_text", "text": number }]), json!([{ "type": "input_image", "image_url": text }]), json!([text])] {
            let item = json!({ "type": kind, "role": "user", "content": content, "call_id": text, "name": text, "output": content, "arguments": text });
            let _ = parse(with(&json!({ "input": [item, content] })).to_string().as_bytes());
            let _ = parse(with(&json!({ "tools": [content], "text": content, "reasoning": content, "tool_choice": content })).to_string().as_bytes());
            let body = json!({ "choices": [{ "delta": { "content": content, "tool_calls": [{ "index": number, "function": content }] }, "message": { "content": content, "tool_calls": [content] } }] }).to_string();
            let _ = reply(body.as_bytes(), &Echo::default());
            let mut writer = ResponsesWriter::new(Echo::default());
            let _ = writer.write(body.as_bytes(), None);
            let _ = writer.end();
        }
    }

    #[test]
    fn there_and_back_keeps_texts_calls_and_ids(text in "\\PC{1,20}", id in "\\PC{1,12}", result in "\\PC{1,20}") {
        let completion = json!({ "id": "c", "choices": [{ "finish_reason": "tool_calls", "message": { "content": text, "tool_calls": [{ "id": id, "function": { "name": "f", "arguments": "{\"a\":1}" } }] } }] });
        let response: Value = serde_json::from_slice(&reply(completion.to_string().as_bytes(), &Echo::default()).unwrap()).unwrap();
        let mut input = response["output"].as_array().unwrap().clone();
        input.push(json!({ "type": "function_call_output", "call_id": id, "output": result }));
        let back = chat(&json!({ "model": "auto", "input": input }));
        let call = json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
        prop_assert_eq!(&back["messages"], &json!([{ "role": "assistant", "content": text, "tool_calls": [call] }, { "role": "tool", "tool_call_id": id, "content": result }]));
    }
}
