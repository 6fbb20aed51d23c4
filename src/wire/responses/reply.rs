//! A chat completion as a response object.

use serde_json::{Map, Value, json};

use super::items::{Item, Kind};
use crate::wire::chat::Fields;
use crate::wire::{ChunkError, facts};

/// What of the request the answer repeats.
#[derive(Debug, Clone, Default)]
pub struct Echo(Map<String, Value>);

/// Repeated fields and what they are when the client does not give them.
const REPEATED: [&str; 12] = [
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "reasoning",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
    "truncation",
];

impl Echo {
    pub(super) fn of(top: Fields<'_>) -> Self {
        let default = |name: &str| match name {
            "metadata" => json!({}),
            "parallel_tool_calls" => json!(true),
            "text" => json!({ "format": { "type": "text" } }),
            "tool_choice" => json!("auto"),
            "tools" => json!([]),
            "truncation" => json!("disabled"),
            _ => Value::Null,
        };
        let field =
            |name: &&str| ((*name).to_owned(), top.get(name).cloned().unwrap_or_else(|| default(name)));
        Self(REPEATED.iter().map(field).collect())
    }

    /// The object without its output: nothing is stored, and it says so.
    pub(super) fn response(&self, head: &Value, status: &str, output: &[Value]) -> Value {
        let mut response = json!({
            "id": head["id"],
            "object": "response",
            "created_at": head["created"],
            "status": status,
            "model": head["model"],
            "output": output,
            "error": null,
            "incomplete_details": null,
            "previous_response_id": null,
            "store": false,
            "usage": null,
        });
        for (name, value) in &self.0 {
            response[name] = value.clone();
        }
        response
    }
}

/// Translates a chat completion.
///
/// # Errors
/// When it is none; the readers of answers have checked that before.
pub fn reply(completion: &[u8], echo: &Echo) -> Result<Vec<u8>, ChunkError> {
    let value = facts::parse(completion)?;
    let choice = &value["choices"][0];
    let reason = choice["finish_reason"].as_str();
    let (status, details) = ending(reason);
    let output: Vec<Value> = items(&value["id"], &choice["message"])
        .iter()
        .map(|item| item.to_json(status != "completed"))
        .collect();
    let mut response = echo.response(&value, status, &output);
    response["incomplete_details"] = details;
    response["usage"] = usage(&value["usage"]);
    Ok(response.to_string().into_bytes())
}

fn items(answer: &Value, message: &Value) -> Vec<Item> {
    let text = |name: &str| message[name].as_str().filter(|text| !text.is_empty());
    let texts = [
        (Kind::Reasoning, text("reasoning_content").or_else(|| text("reasoning"))),
        (Kind::Text, text("content")),
        (Kind::Refusal, text("refusal")),
    ];
    let mut items: Vec<Item> = Vec::new();
    for (kind, text) in texts {
        if let Some(text) = text {
            let mut item = Item::new(kind, answer, items.len());
            text.clone_into(&mut item.text);
            items.push(item);
        }
    }
    for (i, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let mut item = Item::new(Kind::Call(i as u64), answer, items.len());
        item.note_call(call, answer);
        item.text.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
        items.push(item);
    }
    items.iter_mut().for_each(|item| item.is_done = true);
    items
}

/// Status and `incomplete_details` of a finish reason.
pub(super) fn ending(reason: Option<&str>) -> (&'static str, Value) {
    match reason {
        Some("length") => ("incomplete", json!({ "reason": "max_output_tokens" })),
        Some("content_filter") => ("incomplete", json!({ "reason": "content_filter" })),
        Some(_) => ("completed", Value::Null),
        None => ("incomplete", Value::Null),
    }
}

/// Tokens under this format's names.
pub(super) fn usage(usage: &Value) -> Value {
    if !usage.is_object() {
        return Value::Null;
    }
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let (input, output) = (count(&usage["prompt_tokens"]), count(&usage["completion_tokens"]));
    json!({
        "input_tokens": input,
        "input_tokens_details": { "cached_tokens": count(&usage["prompt_tokens_details"]["cached_tokens"]) },
        "output_tokens": output,
        "output_tokens_details": { "reasoning_tokens": count(&usage["completion_tokens_details"]["reasoning_tokens"]) },
        "total_tokens": input.saturating_add(output),
    })
}
