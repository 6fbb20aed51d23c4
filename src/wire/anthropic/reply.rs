//! A Messages answer as a chat completion.

use serde_json::{Map, Value, json};

use crate::wire::facts::{self, ReplyFacts};
use crate::wire::{ChunkError, UpstreamError, WireError};

/// Translates an answer; gives the chat completion and what it says. `created`: Unix seconds, which the format does not tell.
///
/// # Errors
/// An error object, or no answer of the format.
pub fn translate_reply(bytes: &[u8], created: i64) -> Result<(Vec<u8>, ReplyFacts), ChunkError> {
    let value = facts::parse(bytes)?;
    if value["type"] == "error" {
        return Err(ChunkError::Upstream(UpstreamError::from_value(&value).unwrap_or_default()));
    }
    let malformed = |what: &str| ChunkError::Malformed(WireError::malformed(what));
    let blocks = value["content"].as_array().ok_or_else(|| malformed("the answer has no content"))?;
    let reason = value["stop_reason"].as_str().ok_or_else(|| malformed("the answer has no stop_reason"))?;
    let completion = json!({
        "id": value["id"],
        "object": "chat.completion",
        "created": created,
        "model": value["model"],
        "choices": [{
            "index": 0,
            "message": message(blocks),
            "logprobs": null,
            "finish_reason": finish_reason(reason),
        }],
        "usage": Tokens::default().updated(&value["usage"]).to_openai(),
    });
    let bytes = completion.to_string().into_bytes();
    let facts = facts::read_completion(&bytes)?;
    Ok((bytes, facts))
}

fn message(blocks: &[Value]) -> Value {
    let joined = |kind: &str, field: &str| -> Option<String> {
        let texts = blocks.iter().filter(|b| b["type"] == kind).filter_map(|b| b[field].as_str());
        let text: String = texts.collect();
        (!text.is_empty()).then_some(text)
    };
    let calls: Vec<Value> = blocks.iter().filter(|b| b["type"] == "tool_use").map(tool_call).collect();
    let text = joined("text", "text").or_else(|| calls.is_empty().then(String::new));
    let mut message = Map::new();
    message.insert("role".to_owned(), json!("assistant"));
    message.insert("content".to_owned(), json!(text));
    message.insert("refusal".to_owned(), Value::Null);
    if let Some(thinking) = joined("thinking", "thinking") {
        message.insert("reasoning_content".to_owned(), json!(thinking));
    }
    let signed: Vec<&Value> = blocks.iter().filter(|b| is_signed(b)).collect();
    if !signed.is_empty() {
        message.insert("thinking_blocks".to_owned(), json!(signed));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(message)
}

/// Whether it is a thinking block that the vendor takes back: one with its signature, or one that only it can read.
pub(super) fn is_signed(block: &Value) -> bool {
    let holds = |field: &str| block[field].as_str().is_some_and(|text| !text.is_empty());
    match block["type"].as_str() {
        Some("thinking") => holds("signature") && block["thinking"].is_string(),
        Some("redacted_thinking") => holds("data"),
        _ => false,
    }
}

fn tool_call(block: &Value) -> Value {
    let function = json!({ "name": block["name"], "arguments": block["input"].to_string() });
    json!({ "id": block["id"], "type": "function", "function": function })
}

/// OpenAI's word for a stop reason; reasons that are newer than this code mean that the answer ended.
pub(super) fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// Token counts of the format: fresh, read from the cache and written to it are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tokens {
    input: u64,
    cache_creation: u64,
    cache_read: u64,
    output: u64,
}

impl Tokens {
    /// With the counts that `usage` states; a later count replaces an earlier one.
    pub(super) fn updated(mut self, usage: &Value) -> Self {
        let set = |slot: &mut u64, name: &str| {
            if let Some(count) = usage[name].as_u64() {
                *slot = count;
            }
        };
        set(&mut self.input, "input_tokens");
        set(&mut self.cache_creation, "cache_creation_input_tokens");
        set(&mut self.cache_read, "cache_read_input_tokens");
        set(&mut self.output, "output_tokens");
        self
    }

    /// OpenAI's usage object: there the input holds the cached tokens too.
    pub(super) fn to_openai(self) -> Value {
        let input = self.input.saturating_add(self.cache_creation).saturating_add(self.cache_read);
        let mut details = json!({ "cached_tokens": self.cache_read });
        if self.cache_creation > 0 {
            details["cache_creation_tokens"] = json!(self.cache_creation);
        }
        json!({
            "prompt_tokens": input,
            "completion_tokens": self.output,
            "total_tokens": input.saturating_add(self.output),
            "prompt_tokens_details": details,
            "completion_tokens_details": { "reasoning_tokens": 0 },
        })
    }
}
