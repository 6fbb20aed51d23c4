//! A chat completion as a Messages answer, and errors in the format's shape.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::turns::tool_id;
use crate::domain::hex;
use crate::wire::{ChunkError, facts, signed};

/// Translates a chat completion.
///
/// # Errors
/// When it is none; the readers of answers have checked that before.
pub fn reply(completion: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let value = facts::parse(completion)?;
    let choice = &value["choices"][0];
    let message = json!({
        "id": value["id"],
        "type": "message",
        "role": "assistant",
        "model": value["model"],
        "content": content(&value["id"], &choice["message"]),
        "stop_reason": choice["finish_reason"].as_str().map(stop_reason),
        "stop_sequence": null,
        "usage": usage(&value["usage"]),
    });
    Ok(message.to_string().into_bytes())
}

fn content(answer: &Value, message: &Value) -> Vec<Value> {
    let text = |name: &str| message[name].as_str().filter(|text| !text.is_empty());
    let mut blocks: Vec<Value> = message["thinking_blocks"].as_array().cloned().unwrap_or_default();
    if blocks.is_empty()
        && let Some(thinking) = text("reasoning_content").or_else(|| text("reasoning"))
    {
        blocks.push(json!({ "type": "thinking", "thinking": thinking, "signature": "" }));
    }
    blocks.extend(
        [text("content"), text("refusal")]
            .into_iter()
            .flatten()
            .map(|t| json!({ "type": "text", "text": t })),
    );
    for (i, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let function = &call["function"];
        let input = arguments(function["arguments"].as_str().unwrap_or_default());
        let id = call_id(answer, i, call);
        blocks.push(json!({ "type": "tool_use", "id": id, "name": function["name"], "input": input }));
    }
    blocks
}

/// The id of a call in the characters that the format allows, with the call's signature; where a server gives none, one that the same
/// answer always has.
pub(super) fn call_id(answer: &Value, index: usize, call: &Value) -> String {
    let id = match call["id"].as_str().filter(|id| !id.is_empty()) {
        Some(id) => tool_id(id),
        None => {
            let digest = Sha256::digest(format!("{answer} {index}"));
            format!("toolu_{}", hex(&digest[..12]))
        }
    };
    signed::seal(id, call)
}

/// Arguments as the object that the format wants; a model's text that is none is kept under a name of its own.
fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return json!({});
    }
    let object = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    object.unwrap_or_else(|| json!({ "_invalid_json": text }))
}

/// The format's word for a finish reason.
pub(super) fn stop_reason(finish_reason: &str) -> &'static str {
    match finish_reason {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    }
}

/// Tokens fresh, read from the cache and written to it, apart.
pub(super) fn usage(usage: &Value) -> Value {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let details = &usage["prompt_tokens_details"];
    let (read, written) = (count(&details["cached_tokens"]), count(&details["cache_creation_tokens"]));
    json!({
        "input_tokens": count(&usage["prompt_tokens"]).saturating_sub(read).saturating_sub(written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": count(&usage["completion_tokens"]),
    })
}

/// An error of OpenAI's shape in this one. `status`: of the answer.
pub fn error_body(status: u16, error: &Value, request_id: Option<&str>) -> Value {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    let mut object = error["error"].as_object().cloned().unwrap_or_else(Map::new);
    object.insert("type".to_owned(), json!(kind));
    json!({ "type": "error", "error": object, "request_id": request_id })
}
