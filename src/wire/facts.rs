//! What the service learns from an answer: who answered, tokens, cost, how it ended.

mod glance;

use serde_json::Value;

use super::chat::of_text;
use super::{ChunkError, UpstreamError, WireError};
use crate::domain::Usage;

/// Facts of a whole chat completion.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplyFacts {
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The provider's own model name.
    pub model: Option<String>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// Cost in USD when the provider states it (OpenRouter's `usage.cost`).
    pub cost_usd: Option<f64>,
    /// Of the first choice.
    pub finish_reason: Option<String>,
    /// Whether any choice holds text, a tool call, a refusal or reasoning.
    pub has_content: bool,
    /// Whether any choice says that the model declined, or was cut by its provider's filter.
    pub is_refusal: bool,
}

/// Facts of one chunk of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChunkFacts {
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The provider's own model name.
    pub model: Option<String>,
    /// Tokens; a stream holds them at most once.
    pub usage: Option<Usage>,
    /// Cost in USD when the provider states it.
    pub cost_usd: Option<f64>,
    /// The first finish reason in the chunk.
    pub finish_reason: Option<String>,
    /// Whether it holds a piece of the answer: text, tool call, refusal, reasoning, audio.
    pub has_content: bool,
    /// Tokens of the pieces of text in it, estimated.
    pub text_tokens: f64,
    /// Whether it says that the model declined, or was cut by its provider's filter.
    pub is_refusal: bool,
    /// Whether it is the usage chunk (`choices` empty): only for clients that asked for it.
    pub is_usage_only: bool,
}

/// Reads an OpenAI chat completion.
///
/// # Errors
/// [`ChunkError::Upstream`] when it is an error object, [`ChunkError::Malformed`] when it is no JSON or has no choice.
pub fn read_completion(bytes: &[u8]) -> Result<ReplyFacts, ChunkError> {
    match glance::completion(bytes) {
        Some(facts) => Ok(facts),
        None => examine(bytes),
    }
}

/// As [`read_completion`], for answers of whatever shape.
fn examine(bytes: &[u8]) -> Result<ReplyFacts, ChunkError> {
    let value = parse(bytes)?;
    let choices = choices_of(&value)?;
    let Some(first) = choices.first() else {
        return Err(ChunkError::Malformed(WireError::malformed("the answer has no choices")));
    };
    let Some(_) = first.get("message").and_then(Value::as_object) else {
        return Err(ChunkError::Malformed(WireError::malformed("choices[0].message is missing")));
    };
    let has_content = choices.iter().filter_map(|c| c.get("message")).any(holds_content);
    Ok(ReplyFacts {
        id: text(&value, "id"),
        model: text(&value, "model"),
        usage: read_usage(&value),
        cost_usd: read_cost(&value),
        finish_reason: text(first, "finish_reason"),
        has_content,
        is_refusal: choices.iter().any(|c| declines(c, "message")),
    })
}

/// Reads the facts of one parsed chunk.
///
/// # Errors
/// As [`read_completion`]; an empty `choices` is allowed in a chunk.
pub(super) fn chunk_facts(value: &Value) -> Result<ChunkFacts, ChunkError> {
    let choices = choices_of(value)?;
    Ok(ChunkFacts {
        id: text(value, "id"),
        model: text(value, "model"),
        usage: read_usage(value),
        cost_usd: read_cost(value),
        finish_reason: choices.iter().find_map(|c| text(c, "finish_reason")),
        has_content: choices.iter().filter_map(|c| c.get("delta")).any(holds_content),
        text_tokens: choices.iter().filter_map(|c| c.get("delta")).map(text_tokens).sum(),
        is_refusal: choices.iter().any(|c| declines(c, "delta")),
        is_usage_only: choices.is_empty(),
    })
}

/// The facts of a chunk of the usual shape, one that says nothing of usage: the index of each choice in it, and whether it is finished.
pub(super) fn glance_chunk(text: &str) -> Option<(ChunkFacts, Vec<(u64, bool)>)> {
    glance::chunk(text)
}

/// Parses one JSON object of an answer.
///
/// # Errors
/// [`ChunkError::Malformed`] when it is none, or nested too deep.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, ChunkError> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|e| ChunkError::Malformed(WireError::malformed(format!("the answer is not JSON: {e}"))))?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(ChunkError::Malformed(WireError::malformed("the answer is no JSON object"))),
    }
}

fn choices_of(value: &Value) -> Result<&Vec<Value>, ChunkError> {
    if value.get("error").is_some_and(|e| !e.is_null()) {
        return Err(ChunkError::Upstream(UpstreamError::from_value(value).unwrap_or_default()));
    }
    match value.get("choices") {
        Some(Value::Array(choices)) => Ok(choices),
        _ => Err(ChunkError::Malformed(WireError::malformed("the answer has no choices"))),
    }
}

/// Fields of a message or a delta that may hold a piece of the answer: a text, a list or an object.
const CONTENT: [&str; 9] = [
    "content",
    "tool_calls",
    REFUSAL,
    "reasoning",
    "reasoning_content",
    "thinking_blocks",
    "function_call",
    "audio",
    "images",
];
/// The text of a refusal.
const REFUSAL: &str = "refusal";

/// Whether a message or a delta holds a piece of the answer.
fn holds_content(message: &Value) -> bool {
    CONTENT.iter().filter_map(|name| message.get(*name)).any(|v| match v {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    })
}

/// What a delta adds to the answer, in tokens as good as they can be told from text.
fn text_tokens(delta: &Value) -> f64 {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map_or(0.0, of_text);
    let own: f64 = ["content", "refusal", "reasoning", "reasoning_content"]
        .iter()
        .map(|name| text(delta.get(*name)))
        .sum();
    let calls = delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let function = |call: &Value| {
        let function = call.get("function");
        text(function.and_then(|f| f.get("name"))) + text(function.and_then(|f| f.get("arguments")))
    };
    own + calls.map(function).sum::<f64>()
}

/// Whether a choice is a refusal: by its finish reason, or by the text of one.
fn declines(choice: &Value, part: &str) -> bool {
    let filtered = choice.get("finish_reason").and_then(Value::as_str) == Some("content_filter");
    let refusal = choice.get(part).and_then(|p| p.get(REFUSAL)).and_then(Value::as_str);
    filtered || refusal.is_some_and(|text| !text.is_empty())
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn read_usage(value: &Value) -> Option<Usage> {
    let usage = value.get("usage")?.as_object()?;
    let count = |v: Option<&Value>| v.and_then(Value::as_u64).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let detail = |group: &str, name: &str| count(usage.get(group).and_then(|g| g.get(name))).unwrap_or(0);
    let input_tokens = count(usage.get("prompt_tokens"))?;
    Some(Usage {
        input_tokens,
        output_tokens: count(usage.get("completion_tokens")).unwrap_or(0),
        cached_tokens: detail("prompt_tokens_details", "cached_tokens").min(input_tokens),
        reasoning_tokens: detail("completion_tokens_details", "reasoning_tokens"),
        cache_write_tokens: detail("prompt_tokens_details", "cache_creation_tokens"),
    })
}

fn read_cost(value: &Value) -> Option<f64> {
    value.get("usage")?.get("cost")?.as_f64().filter(|c| c.is_finite() && *c >= 0.0)
}
