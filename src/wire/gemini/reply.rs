//! A `generateContent` answer as a chat completion.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::domain::hex;
use crate::wire::facts::{self, ReplyFacts};
use crate::wire::{ChunkError, UpstreamError, WireError};

/// Translates an answer; gives the chat completion and what it says. `created`: Unix seconds; `model` and `id` stand in where the
/// answer names none.
///
/// # Errors
/// An error object, or no answer of the format.
pub fn translate_reply(
    bytes: &[u8],
    created: i64,
    model: &str,
    id: &str,
) -> Result<(Vec<u8>, ReplyFacts), ChunkError> {
    let value = facts::parse(bytes)?;
    check(&value)?;
    let head = Head::of(&value, model, id);
    let (message, reason) = match blocked(&value) {
        Some(why) => (json!({ "role": "assistant", "content": null, "refusal": why }), "content_filter"),
        None => {
            let candidate = &value["candidates"][0];
            let Some(reason) = candidate["finishReason"].as_str() else {
                return Err(ChunkError::Malformed(WireError::malformed("the answer has no finishReason")));
            };
            let mut pieces = Pieces::default();
            pieces.read(&head, candidate);
            let reason = finish_reason(reason, pieces.calls_begun > 0);
            (pieces.message(), reason)
        }
    };
    let completion = json!({
        "id": head.id,
        "object": "chat.completion",
        "created": created,
        "model": head.model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": logprobs(&value["candidates"][0]),
            "finish_reason": reason,
        }],
        "usage": usage(&value["usageMetadata"]),
    });
    let bytes = completion.to_string().into_bytes();
    let facts = facts::read_completion(&bytes)?;
    Ok((bytes, facts))
}

/// # Errors
/// An error object, or neither candidates nor a reason why there are none.
pub(super) fn check(value: &Value) -> Result<(), ChunkError> {
    if value.get("error").is_some_and(|e| !e.is_null()) {
        return Err(ChunkError::Upstream(UpstreamError::from_value(value).unwrap_or_default()));
    }
    let has_candidate = value["candidates"].as_array().is_some_and(|c| !c.is_empty());
    if has_candidate || blocked(value).is_some() || value["usageMetadata"].is_object() {
        return Ok(());
    }
    Err(ChunkError::Malformed(WireError::malformed("the answer has no candidates")))
}

/// Why the prompt itself was refused, if it was.
pub(super) fn blocked(value: &Value) -> Option<String> {
    let reason = value["promptFeedback"]["blockReason"].as_str()?;
    Some(format!("the prompt was blocked: {reason}"))
}

/// What each part of an answer repeats.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) model: String,
}

impl Head {
    pub(super) fn of(value: &Value, model: &str, id: &str) -> Self {
        let text = |name: &str, other: &str| value[name].as_str().unwrap_or(other).to_owned();
        Self { id: text("responseId", id), model: text("modelVersion", model) }
    }
}

/// What the parts of a candidate hold.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pub(super) text: String,
    pub(super) thinking: String,
    pub(super) calls: Vec<Value>,
    /// Calls of the answer so far, those of earlier parts of a stream included.
    pub(super) calls_begun: usize,
}

impl Pieces {
    pub(super) fn read(&mut self, head: &Head, candidate: &Value) {
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            if let Some(text) = part["text"].as_str() {
                let is_thought = part["thought"] == true;
                if is_thought { &mut self.thinking } else { &mut self.text }.push_str(text);
            }
            if let Some(call) = part.get("functionCall").filter(|c| c.is_object()) {
                self.calls.push(tool_call(head, self.calls_begun, call, &part["thoughtSignature"]));
                self.calls_begun += 1;
            }
        }
    }

    fn message(self) -> Value {
        let mut message = Map::new();
        message.insert("role".to_owned(), json!("assistant"));
        let text = (!self.text.is_empty() || self.calls.is_empty()).then_some(self.text);
        message.insert("content".to_owned(), json!(text));
        message.insert("refusal".to_owned(), Value::Null);
        if !self.thinking.is_empty() {
            message.insert("reasoning_content".to_owned(), json!(self.thinking));
        }
        if !self.calls.is_empty() {
            message.insert("tool_calls".to_owned(), Value::Array(self.calls));
        }
        Value::Object(message)
    }
}

/// A call; its id is the format's own where there is one, else one that the same answer always has.
fn tool_call(head: &Head, index: usize, call: &Value, signature: &Value) -> Value {
    let id = call["id"]
        .as_str()
        .filter(|id| !id.is_empty())
        .map_or_else(|| made_id(&head.id, index), str::to_owned);
    let arguments = if call["args"].is_object() { call["args"].to_string() } else { "{}".to_owned() };
    let function = json!({ "name": call["name"], "arguments": arguments });
    let mut made = json!({ "index": index, "id": id, "type": "function", "function": function });
    if signature.is_string() {
        made["extra_content"] = json!({ "google": { "thought_signature": signature } });
    }
    made
}

fn made_id(answer: &str, index: usize) -> String {
    let digest = Sha256::digest(format!("{answer} {index}"));
    format!("call_{}", hex(&digest[..12]))
}

/// OpenAI's word for a finish reason; an answer that ends with calls has no word of its own there.
pub(super) fn finish_reason(reason: &str, has_calls: bool) -> &'static str {
    match reason {
        "STOP" if has_calls => "tool_calls",
        "MAX_TOKENS" => "length",
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY"
        | "LANGUAGE" => "content_filter",
        _ => "stop",
    }
}

/// Token probabilities in OpenAI's form.
pub(super) fn logprobs(candidate: &Value) -> Value {
    let Some(chosen) = candidate["logprobsResult"]["chosenCandidates"].as_array() else { return Value::Null };
    let tops = &candidate["logprobsResult"]["topCandidates"];
    let of = |c: &Value| json!({ "token": c["token"], "logprob": c["logProbability"], "bytes": null });
    let tokens = chosen.iter().enumerate().map(|(i, c)| {
        let mut token = of(c);
        let top = tops[i]["candidates"].as_array().into_iter().flatten().map(of);
        token["top_logprobs"] = top.collect();
        token
    });
    json!({ "content": tokens.collect::<Vec<_>>(), "refusal": null })
}

/// OpenAI's usage object: there the output holds the thoughts too.
pub(super) fn usage(usage: &Value) -> Value {
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let (input, thoughts) = (
        count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
        count("thoughtsTokenCount"),
    );
    let output = count("candidatesTokenCount").saturating_add(thoughts);
    json!({
        "prompt_tokens": input,
        "completion_tokens": output,
        "total_tokens": input.saturating_add(output),
        "prompt_tokens_details": { "cached_tokens": count("cachedContentTokenCount") },
        "completion_tokens_details": { "reasoning_tokens": thoughts },
    })
}
