//! Chat requests: whatever is read is written so that it is read again, and fields that we do not know survive.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use pointsman::wire::chat::ChatRequest;
use serde_json::{Map, Value};

const OURS: [&str; 5] = ["model", "models", "pointsman", "stream_options", "messages"];

fuzz_target!(|data: &[u8]| {
    let Some(request) = common::request(data) else { return };
    let given: Map<String, Value> = serde_json::from_slice(data).expect("it was read");
    let written = request.openai_body("m", "max_tokens");
    let sent: Map<String, Value> = serde_json::from_slice(&written).expect("what we write is JSON");
    for (name, value) in given.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
        assert_eq!(sent.get(name), Some(value), "{name}");
    }
    assert!(!sent.contains_key("pointsman") && !sent.contains_key("models"));
    assert_eq!(sent["model"], "m");
    let again = ChatRequest::parse(&written).expect("what we write we read");
    assert_eq!((again.messages(), again.options().stream), (request.messages(), request.options().stream));
    let capped = request.capped(7);
    assert!(capped.options().max_output_tokens.is_some_and(|most| most <= 7));
    ChatRequest::parse(&capped.openai_body("m", "max_tokens")).expect("capped too");
});
