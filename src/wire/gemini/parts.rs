//! The conversation as `contents`: turns of `user` and `model`, calls and their results by name.
//!
//! The format's calls have ids since lately and only on some models, so ids of ours never leave: a result finds its function by the
//! name of the call that it answers, in order.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::wire::WireError;
use crate::wire::anthropic::split_data_url;
use crate::wire::chat::{Message, Part, Role, ToolCall};

/// A translated conversation.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Parts of the system instruction.
    pub(super) system: Vec<Value>,
    /// Objects of `role` and `parts`; no two in a row of one role.
    pub(super) contents: Vec<Value>,
}

/// Translates `messages`, each of which has passed [`check`].
///
/// # Errors
/// `Untranslatable`, with the path of what is at fault.
pub(super) fn translate(messages: &[Message]) -> Result<Conversation, WireError> {
    let mut conversation = Conversation::default();
    let mut names: HashMap<&str, &str> = HashMap::new();
    for (i, message) in messages.iter().enumerate() {
        let path = format!("messages[{i}]");
        match message.role {
            Role::System | Role::Developer => conversation.system.extend(of_parts(message)),
            Role::User => conversation.push("user", of_parts(message)),
            Role::Assistant => {
                let mut parts = of_parts(message);
                for (j, call) in message.tool_calls.iter().enumerate() {
                    names.insert(&call.id, &call.name);
                    parts.push(function_call(call, &format!("{path}.tool_calls[{j}]"))?);
                }
                conversation.push("model", parts);
            }
            Role::Tool | Role::Function => {
                let id = message.tool_call_id.as_deref().unwrap_or_default();
                let name = names.get(id).ok_or_else(|| {
                    let why = "no call before it has this id, and Gemini's format wants the function's name";
                    WireError::untranslatable(format!("{path}.tool_call_id"), why)
                })?;
                conversation.push("user", vec![function_response(name, message)]);
            }
        }
    }
    if conversation.contents.is_empty() {
        // A request of system prompts alone is fine for OpenAI; here somebody must ask.
        let parts = std::mem::take(&mut conversation.system);
        conversation.push("user", parts);
    }
    Ok(conversation)
}

impl Conversation {
    fn push(&mut self, role: &str, parts: Vec<Value>) {
        if parts.is_empty() {
            return;
        }
        if let Some(last) = self.contents.last_mut()
            && last["role"] == role
            && let Some(list) = last["parts"].as_array_mut()
        {
            list.extend(parts);
            return;
        }
        self.contents.push(json!({ "role": role, "parts": parts }));
    }
}

/// Refuses what the format has no words for.
///
/// # Errors
/// `Untranslatable`, with the path of the part at fault.
pub(super) fn check(message: &Message, path: &str) -> Result<(), WireError> {
    if message.role == Role::Function {
        let why = "the legacy role function has no call id; use role tool";
        return Err(WireError::untranslatable(format!("{path}.role"), why));
    }
    if let Some(i) = message.tool_calls.iter().position(|c| c.is_custom) {
        let path = format!("{path}.tool_calls[{i}]");
        return Err(WireError::untranslatable(path, "custom tools exist in OpenAI's format only"));
    }
    for (i, part) in message.parts.iter().enumerate() {
        let refuse = |why: &str| Err(WireError::untranslatable(format!("{path}.content[{i}]"), why));
        match part {
            Part::Text { .. } | Part::Refusal(_) => {}
            Part::Image { .. } | Part::File { data: Some(_), .. } | Part::Audio { .. }
                if message.role == Role::Tool =>
            {
                return refuse("a result holds text alone in Gemini's format");
            }
            Part::Image { url } if is_sendable(url) => {}
            Part::Image { .. } => return refuse("the image must be an http(s) URL or a base64 data: URL"),
            Part::File { data: Some(data), .. } if split_data_url(data).is_some() => {}
            Part::File { .. } => return refuse("the file must come as file_data, a base64 data: URL"),
            Part::Audio { .. } => return refuse("sound is not translated to Gemini's format"),
            Part::Other { kind } => {
                return refuse(&format!("there is no translation for a part of type {kind}"));
            }
        }
    }
    Ok(())
}

fn is_sendable(url: &str) -> bool {
    split_data_url(url).is_some()
        || ["https://", "http://", "gs://"].iter().any(|scheme| url.starts_with(scheme))
}

/// Parts of `message`; empty texts are left out.
fn of_parts(message: &Message) -> Vec<Value> {
    message.parts.iter().filter_map(of_part).collect()
}

fn of_part(part: &Part) -> Option<Value> {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => (!text.is_empty()).then(|| json!({ "text": text })),
        Part::Image { url } => Some(blob(url)),
        Part::File { data: Some(data), .. } => Some(blob(data)),
        Part::File { data: None, .. } | Part::Audio { .. } | Part::Other { .. } => None,
    }
}

fn blob(url: &str) -> Value {
    match split_data_url(url) {
        Some((mime, data)) => json!({ "inlineData": { "mimeType": mime, "data": data } }),
        None => json!({ "fileData": { "mimeType": mime_of(url), "fileUri": url } }),
    }
}

/// The format wants a media type beside each address; the name's ending tells it.
fn mime_of(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    match path.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        _ => "image/jpeg",
    }
}

fn function_call(call: &ToolCall, path: &str) -> Result<Value, WireError> {
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    let args = serde_json::from_str::<Value>(arguments).ok().filter(Value::is_object).ok_or_else(|| {
        let why = "Gemini's format wants a JSON object as arguments";
        WireError::untranslatable(format!("{path}.function.arguments"), why)
    })?;
    let mut part = json!({ "functionCall": { "name": call.name, "args": args } });
    if let Some(signature) = &call.signature {
        part["thoughtSignature"] = json!(signature);
    }
    Ok(part)
}

/// A result is an object there: JSON objects as they are, other texts under `result`.
fn function_response(name: &str, message: &Message) -> Value {
    let text = message.text();
    let object = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
    let response = object.unwrap_or_else(|| json!({ "result": text }));
    json!({ "functionResponse": { "name": name, "response": response } })
}
