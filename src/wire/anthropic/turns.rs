//! The conversation as turns: system prompts apart, user and assistant in alternation, tool results in one user turn.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::blocks;
use super::reply::is_signed;
use crate::domain::hex;
use crate::wire::WireError;
use crate::wire::chat::{Message, Part, Role, ToolCall};

/// A translated conversation.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Text blocks.
    pub(super) system: Vec<Value>,
    /// Objects of `role` and `content`; no two in a row of one role.
    pub(super) turns: Vec<Value>,
    /// Names of the tools that were called, without repeats.
    pub(super) called_tools: Vec<String>,
}

/// Translates `messages`, each of which has passed [`check`].
///
/// # Errors
/// `Untranslatable`, with the path of the part at fault.
pub(super) fn translate(messages: &[Message]) -> Result<Conversation, WireError> {
    let mut conversation = Conversation::default();
    for (i, message) in messages.iter().enumerate() {
        let path = format!("messages[{i}]");
        match message.role {
            Role::System | Role::Developer => {
                conversation.system.extend(blocks::of_parts(&message.parts, &path)?);
            }
            Role::User => conversation.push("user", blocks::of_parts(&message.parts, &path)?),
            Role::Assistant => {
                let content = assistant_blocks(message, &path)?;
                message.tool_calls.iter().for_each(|c| conversation.note_call(c));
                conversation.push("assistant", content);
            }
            Role::Tool => conversation.push("user", vec![tool_result(message, &path)?]),
            Role::Function => {}
        }
    }
    conversation.check()
}

/// Refuses what the format has no words for, without translating it.
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
    let mut parts = message.parts.iter().enumerate();
    parts.try_for_each(|(i, part)| blocks::check(part, &format!("{path}.content[{i}]")))
}

impl Conversation {
    /// Adds blocks to the turn of `role`; the format wants all results of parallel calls in one turn.
    fn push(&mut self, role: &str, content: Vec<Value>) {
        if content.is_empty() {
            return;
        }
        if let Some(last) = self.turns.last_mut()
            && last["role"] == role
            && let Some(blocks) = last["content"].as_array_mut()
        {
            blocks.extend(content);
            return;
        }
        self.turns.push(json!({ "role": role, "content": content }));
    }

    fn note_call(&mut self, call: &ToolCall) {
        if !self.called_tools.contains(&call.name) {
            self.called_tools.push(call.name.clone());
        }
    }

    fn check(mut self) -> Result<Self, WireError> {
        if self.turns.is_empty() {
            // A request of system prompts alone is fine for OpenAI; here somebody must ask.
            let content = std::mem::take(&mut self.system);
            if content.is_empty() {
                return Err(WireError::untranslatable(
                    "messages",
                    "they hold no text; Anthropic's format wants some",
                ));
            }
            self.push("user", content);
        }
        self.trim_prefill();
        Ok(self)
    }

    /// A last assistant turn is a beginning to go on from, and must not end in white space there.
    fn trim_prefill(&mut self) {
        let Some(last) = self.turns.last_mut().filter(|t| t["role"] == "assistant") else { return };
        let Some(block) = last["content"].as_array_mut().and_then(|b| b.last_mut()) else { return };
        if let Some(text) = block.get("text").and_then(Value::as_str).map(|t| t.trim_end().to_owned()) {
            block["text"] = Value::String(text);
        }
    }
}

fn assistant_blocks(message: &Message, path: &str) -> Result<Vec<Value>, WireError> {
    // The format wants thinking first, and takes none without its signature.
    let mut content: Vec<Value> = message.thinking.iter().filter(|b| is_signed(b)).cloned().collect();
    content.extend(blocks::of_parts(&message.parts, path)?);
    for (i, call) in message.tool_calls.iter().enumerate() {
        content.push(tool_use(call, &format!("{path}.tool_calls[{i}]"))?);
    }
    Ok(content)
}

fn tool_use(call: &ToolCall, path: &str) -> Result<Value, WireError> {
    let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
    let input = serde_json::from_str::<Value>(arguments).ok().filter(Value::is_object).ok_or_else(|| {
        let why = "Anthropic's format wants a JSON object as arguments";
        WireError::untranslatable(format!("{path}.function.arguments"), why)
    })?;
    Ok(json!({ "type": "tool_use", "id": tool_id(&call.id), "name": call.name, "input": input }))
}

fn tool_result(message: &Message, path: &str) -> Result<Value, WireError> {
    let id = tool_id(message.tool_call_id.as_deref().unwrap_or_default());
    let mut block = json!({ "type": "tool_result", "tool_use_id": id });
    let content = match message.parts.as_slice() {
        [Part::Text { text, cache_control: None }] => json!(text),
        parts => Value::Array(blocks::of_parts(parts, path)?),
    };
    block["content"] = content;
    Ok(block)
}

/// The id in the characters that the format allows; the same id always becomes the same, two different ones never one.
pub(super) fn tool_id(id: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !id.is_empty() && id.chars().all(is_allowed) {
        return id.to_owned();
    }
    let safe: String = id.chars().map(|c| if is_allowed(c) { c } else { '_' }).take(40).collect();
    let digest = Sha256::digest(id.as_bytes());
    format!("{safe}_{}", hex(&digest[..6]))
}
