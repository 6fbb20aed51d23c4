//! `instructions` and `input` as chat messages.

use serde_json::{Value, json};

use crate::wire::WireError;
use crate::wire::chat::Fields;
use crate::wire::signed;

/// # Errors
/// The item that is wrong, or that refers to what is not stored, by its path.
pub(super) fn messages(top: Fields<'_>) -> Result<Vec<Value>, WireError> {
    let mut messages = Vec::new();
    if let Some(text) = top.text("instructions")? {
        messages.push(json!({ "role": "system", "content": text }));
    }
    match top.get("input") {
        Some(Value::String(text)) => messages.push(json!({ "role": "user", "content": text })),
        Some(Value::Array(items)) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                read_item(Fields::of(item, &format!("input[{i}]"))?, &mut messages)?;
            }
        }
        _ => return Err(WireError::must("input", "given: a text or an array of items")),
    }
    Ok(messages)
}

fn read_item(item: Fields<'_>, messages: &mut Vec<Value>) -> Result<(), WireError> {
    match item.text("type")?.unwrap_or("message") {
        "message" => messages.push(message(item)?),
        "function_call" => call(item, messages)?,
        "function_call_output" => {
            let (id, _) = signed::open(item.required_text("call_id")?);
            let content = match item.get("output") {
                Some(Value::String(text)) => json!(text),
                Some(Value::Array(parts)) => parts_of(parts, &item.path("output"))?,
                _ => return Err(WireError::must(item.path("output"), "a string or an array of parts")),
            };
            messages.push(json!({ "role": "tool", "tool_call_id": id, "content": content }));
        }
        // What a model thought before it called or answered; nobody else reads it.
        "reasoning" => {}
        "item_reference" => {
            let why = "nothing is stored here; send the item itself";
            return Err(WireError::untranslatable(item.path("type"), why));
        }
        kind => {
            let why = format!("{kind} belongs to a tool of OpenAI's own service");
            return Err(WireError::untranslatable(item.path("type"), &why));
        }
    }
    Ok(())
}

fn message(item: Fields<'_>) -> Result<Value, WireError> {
    let role = item.required_text("role")?;
    if !matches!(role, "user" | "assistant" | "system" | "developer") {
        return Err(WireError::must(item.path("role"), "user, assistant, system or developer"));
    }
    let content = match item.get("content") {
        Some(Value::String(text)) => json!(text),
        Some(Value::Array(parts)) => parts_of(parts, &item.path("content"))?,
        _ => return Err(WireError::must(item.path("content"), "a string or an array of parts")),
    };
    Ok(json!({ "role": if role == "developer" { "system" } else { role }, "content": content }))
}

/// Calls that follow each other, or what the model said, are one turn.
fn call(item: Fields<'_>, messages: &mut Vec<Value>) -> Result<(), WireError> {
    let arguments = item.text("arguments")?.unwrap_or("{}");
    let call = signed::call(item.required_text("call_id")?, item.required_text("name")?, arguments);
    match messages.last_mut().filter(|m| m["role"] == "assistant") {
        Some(last) => match last.get_mut("tool_calls").and_then(Value::as_array_mut) {
            Some(calls) => calls.push(call),
            None => last["tool_calls"] = json!([call]),
        },
        None => messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
    }
    Ok(())
}

fn parts_of(parts: &[Value], path: &str) -> Result<Value, WireError> {
    let parts = parts.iter().enumerate().map(|(i, part)| part_of(Fields::of(part, &format!("{path}[{i}]"))?));
    let mut parts = parts.collect::<Result<Vec<Value>, WireError>>()?;
    Ok(match parts.as_mut_slice() {
        [] => json!(""),
        [only] if only["type"] == "text" => only["text"].take(),
        _ => Value::Array(parts),
    })
}

fn part_of(part: Fields<'_>) -> Result<Value, WireError> {
    let stored = |name: &str| {
        WireError::untranslatable(part.path(name), "nothing is stored here; send the content itself")
    };
    Ok(match part.required_text("type")? {
        "input_text" | "output_text" | "text" => {
            json!({ "type": "text", "text": part.required_text("text")? })
        }
        "refusal" => json!({ "type": "refusal", "refusal": part.required_text("refusal")? }),
        "input_image" => {
            let url = part.text("image_url")?.ok_or_else(|| stored("file_id"))?;
            let mut image = json!({ "url": url });
            if let Some(detail) = part.text("detail")? {
                image["detail"] = json!(detail);
            }
            json!({ "type": "image_url", "image_url": image })
        }
        "input_file" => {
            let data = part.text("file_data")?.ok_or_else(|| stored("file_data"))?;
            let name = part.text("filename")?.unwrap_or("file");
            json!({ "type": "file", "file": { "filename": name, "file_data": data } })
        }
        "input_audio" => {
            let sound = part
                .get("input_audio")
                .ok_or_else(|| WireError::must(part.path("input_audio"), "an object"))?;
            json!({ "type": "input_audio", "input_audio": sound })
        }
        _ => {
            return Err(WireError::must(
                part.path("type"),
                "input_text, input_image, input_file or output_text",
            ));
        }
    })
}
