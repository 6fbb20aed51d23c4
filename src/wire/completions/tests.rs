use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn chat(body: &Value) -> Value {
    serde_json::from_slice(&parse(body.to_string().as_bytes()).unwrap().openai_body("m", "max_tokens"))
        .unwrap()
}

#[test]
fn a_prompt_becomes_a_chat_of_one_message() {
    let body = json!({ "model": "auto", "prompt": ["Once upon"], "temperature": 0.5, "stop": ["\n"], "n": 2, "echo": false, "logprobs": null });
    assert_eq!(
        chat(&body),
        json!({ "model": "m", "temperature": 0.5, "n": 2, "stop": ["\n"], "max_tokens": 16, "messages": [{ "role": "user", "content": "Once upon" }] })
    );
    for (fields, param) in [
        (json!({ "prompt": ["a", "b"] }), "prompt"),
        (json!({ "prompt": [1, 2] }), "prompt"),
        (json!({ "prompt": null }), "prompt"),
        (json!({ "echo": true }), "echo"),
        (json!({ "logprobs": 3 }), "logprobs"),
        (json!({ "suffix": "end" }), "suffix"),
        (json!({ "best_of": 2 }), "best_of"),
        (json!({ "max_tokens": 0 }), "max_tokens"),
    ] {
        let mut body = json!({ "model": "auto", "prompt": "x" });
        fields.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        assert_eq!(parse(body.to_string().as_bytes()).unwrap_err().param.as_deref(), Some(param), "{fields}");
    }
}

#[test]
fn answers_and_chunks_are_texts() {
    let completion = json!({ "id": "c", "created": 1, "model": "m", "choices": [{ "index": 0, "message": { "content": "a time" }, "finish_reason": "length" }], "usage": { "prompt_tokens": 1 } });
    let text: Value = serde_json::from_slice(&reply(completion.to_string().as_bytes()).unwrap()).unwrap();
    assert_eq!(
        text,
        json!({ "id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [{ "text": "a time", "index": 0, "logprobs": null, "finish_reason": "length" }], "usage": { "prompt_tokens": 1 } })
    );
    let mut writer = CompletionsWriter;
    let mut write = |chunk: Value| writer.write(chunk.to_string().as_bytes(), None);
    assert_eq!(
        write(json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "" } }] })),
        ""
    );
    assert!(
        write(json!({ "choices": [{ "index": 0, "delta": { "content": "a" } }] })).contains(r#""text":"a""#)
    );
    assert!(
        write(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }))
            .contains("\"stop\"")
    );
    assert!(write(json!({ "choices": [], "usage": { "prompt_tokens": 1 } })).contains("\"usage\""));
    assert_eq!(writer.end(), "data: [DONE]\n\n");
}

proptest! {
    #[test]
    fn any_text_goes_through_as_it_is(text in "\\PC{0,40}") {
        prop_assert_eq!(&chat(&json!({ "model": "auto", "prompt": text }))["messages"][0]["content"], &json!(text));
        let answer = json!({ "choices": [{ "index": 0, "message": { "content": text } }] });
        let back: Value = serde_json::from_slice(&reply(answer.to_string().as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(&back["choices"][0]["text"], &json!(text));
    }
}
