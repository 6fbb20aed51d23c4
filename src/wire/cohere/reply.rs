//! A v2 chat answer as a chat completion.

use serde_json::{Map, Value, json};

use crate::wire::facts::{self, ReplyFacts};
use crate::wire::{ChunkError, UpstreamError, WireError};

/// Translates an answer; gives the chat completion and what it says. `created`: Unix seconds and `model`: which the format does not
/// tell.
///
/// # Errors
/// An error, or no answer of the format.
pub fn translate_reply(bytes: &[u8], created: i64, model: &str) -> Result<(Vec<u8>, ReplyFacts), ChunkError> {
    let value = facts::parse(bytes)?;
    let malformed = |what: &str| ChunkError::Malformed(WireError::malformed(what));
    let Some(reason) = value["finish_reason"].as_str() else {
        return match UpstreamError::from_value(&value) {
            Some(error) => Err(ChunkError::Upstream(error)),
            None => Err(malformed("the answer has no finish_reason")),
        };
    };
    let message = value["message"].as_object().ok_or_else(|| malformed("the answer has no message"))?;
    let completion = json!({
        "id": value["id"],
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{
            "index": 0,
            "message": translated(&Value::Object(message.clone())),
            "logprobs": null,
            "finish_reason": finish_reason(reason)?,
        }],
        "usage": usage(&value["usage"]),
    });
    let bytes = completion.to_string().into_bytes();
    let facts = facts::read_completion(&bytes)?;
    Ok((bytes, facts))
}

fn translated(message: &Value) -> Value {
    let joined = |kind: &str| -> String {
        let parts = message["content"].as_array().into_iter().flatten();
        parts.filter(|p| p["type"] == kind).filter_map(|p| p[kind].as_str()).collect()
    };
    let calls = message["tool_calls"].as_array().filter(|calls| !calls.is_empty());
    let plan = message["tool_plan"].as_str().unwrap_or_default();
    let text = format!("{plan}{}", joined("text"));
    let mut out = Map::new();
    out.insert("role".to_owned(), json!("assistant"));
    out.insert("content".to_owned(), json!((!text.is_empty() || calls.is_none()).then_some(text)));
    out.insert("refusal".to_owned(), Value::Null);
    let thinking = joined("thinking");
    if !thinking.is_empty() {
        out.insert("reasoning_content".to_owned(), json!(thinking));
    }
    if let Some(calls) = calls {
        let call = |c: &Value| {
            let arguments = c["function"]["arguments"].as_str().filter(|a| !a.is_empty()).unwrap_or("{}");
            let function = json!({ "name": c["function"]["name"], "arguments": arguments });
            json!({ "id": c["id"], "type": "function", "function": function })
        };
        out.insert("tool_calls".to_owned(), calls.iter().map(call).collect());
    }
    Value::Object(out)
}

/// OpenAI's word for a finish reason.
///
/// # Errors
/// When the answer ended by a failure.
pub(super) fn finish_reason(reason: &str) -> Result<&'static str, ChunkError> {
    Ok(match reason {
        "MAX_TOKENS" => "length",
        "TOOL_CALL" => "tool_calls",
        "ERROR_TOXIC" => "content_filter",
        "ERROR" | "TIMEOUT" => {
            let text = format!("the answer ended with {reason}");
            return Err(ChunkError::Upstream(UpstreamError::from_text(&text)));
        }
        _ => "stop",
    })
}

/// OpenAI's usage object: of what is charged, as prices are per billed token; without that, of what the model saw.
pub(super) fn usage(usage: &Value) -> Value {
    let count = |name: &str| {
        let of = |group: &str| usage[group][name].as_f64().filter(|n| *n >= 0.0);
        // A float cast saturates; the format counts in floats.
        of("billed_units").or_else(|| of("tokens")).unwrap_or(0.0) as u64
    };
    let (input, output) = (count("input_tokens"), count("output_tokens"));
    let cached = usage["cached_tokens"].as_f64().unwrap_or(0.0).max(0.0) as u64;
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input.saturating_add(output),
        "prompt_tokens_details": { "cached_tokens": cached.min(input) },
    })
}
