//! A Messages body as a chat completion request.
//!
//! What the vendor's own fields mean to nobody else is kept for its own models: `cache_control`, `metadata`, `thinking`,
//! `service_tier` and fields that are newer than this code are hints that other formats do without. What changes the answer and has
//! no words in chat completions (a server's tools, uploaded files, `top_k`) is named, and only upstreams of this format get it.

use serde_json::{Map, Value, json};

use super::content::Turns;
use super::native::drop_unsigned;
use crate::wire::chat::{Body, ChatRequest, Fields};
use crate::wire::{ClientFormat, WireError};

/// Longest end user's label that OpenAI takes, in bytes.
const MAX_USER: usize = 64;

/// Reads a Messages body.
///
/// # Errors
/// `Malformed` when it is no JSON object; `InvalidField` with the field's path.
pub fn parse(bytes: &[u8]) -> Result<ChatRequest, WireError> {
    let mut body = Body::read(bytes)?;
    let view = std::mem::take(&mut body.view);
    let mut chat = Map::new();
    let beyond = translate(&view, &mut chat)?;
    if let Some(messages) = view.get("messages") {
        drop_unsigned(&mut body.fields, messages);
    }
    ChatRequest::translated(body, chat, ClientFormat::Messages, beyond)
}

/// Fills `chat`; gives the first thing that has no words there.
fn translate(
    view: &Map<String, Value>,
    chat: &mut Map<String, Value>,
) -> Result<Option<WireError>, WireError> {
    let whole = Value::Object(view.clone());
    let top = Fields::of(&whole, "")?;
    let mut turns = Turns::default();
    turns.system(top)?;
    turns.messages(top)?;
    let Turns { messages, mut beyond } = turns;
    if let Some(model) = top.text("model")? {
        chat.insert("model".to_owned(), json!(model));
    }
    chat.insert("messages".to_owned(), Value::Array(messages));
    sampling(top, chat)?;
    beyond = beyond.or(tools(top, chat)?);
    tool_choice(top, chat)?;
    format(top, chat)?;
    if top.flag("stream")?.unwrap_or(false) {
        chat.insert("stream".to_owned(), Value::Bool(true));
        chat.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    for name in ["top_k", "container", "mcp_servers"] {
        if top.get(name).is_some_and(|v| v.as_array().is_none_or(|list| !list.is_empty())) {
            beyond = beyond.or_else(|| Some(anthropic_only(name)));
        }
    }
    Ok(beyond)
}

/// `what` can be sent to Anthropic's own models only.
pub(super) fn anthropic_only(what: impl Into<String>) -> WireError {
    WireError::untranslatable(what, "only models of a provider with format anthropic take it; leave it out")
}

fn sampling(top: Fields<'_>, chat: &mut Map<String, Value>) -> Result<(), WireError> {
    if let Some(most) = top.count("max_tokens", 1)? {
        chat.insert("max_tokens".to_owned(), json!(most));
    }
    if let Some(temperature) = top.number("temperature", 0.0, 1.0)? {
        chat.insert("temperature".to_owned(), json!(temperature));
    }
    if let Some(top_p) = top.number("top_p", 0.0, 1.0)? {
        chat.insert("top_p".to_owned(), json!(top_p));
    }
    let stops = top.list("stop_sequences")?;
    if let Some(i) = stops.iter().position(|s| !s.is_string()) {
        return Err(WireError::must(format!("stop_sequences[{i}]"), "a string"));
    }
    if !stops.is_empty() {
        chat.insert("stop".to_owned(), json!(stops));
    }
    let user = top.get("metadata").and_then(|m| m["user_id"].as_str());
    if let Some(user) = user.filter(|user| user.len() <= MAX_USER) {
        chat.insert("user".to_owned(), json!(user));
    }
    Ok(())
}

fn tools(top: Fields<'_>, chat: &mut Map<String, Value>) -> Result<Option<WireError>, WireError> {
    let mut beyond = None;
    let mut tools = Vec::new();
    for (i, tool) in top.list("tools")?.iter().enumerate() {
        let path = format!("tools[{i}]");
        let fields = Fields::of(tool, &path)?;
        let kind = fields.text("type")?.unwrap_or("custom");
        if kind != "custom" {
            beyond = beyond.or_else(|| Some(anthropic_only(fields.path("type"))));
            continue;
        }
        let mut function = Map::new();
        function.insert("name".to_owned(), json!(fields.required_text("name")?));
        if let Some(description) = fields.text("description")? {
            function.insert("description".to_owned(), json!(description));
        }
        let schema = fields.get("input_schema").filter(|s| s.is_object());
        let schema =
            schema.ok_or_else(|| WireError::must(fields.path("input_schema"), "given, as an object"))?;
        function.insert("parameters".to_owned(), schema.clone());
        if let Some(strict) = fields.flag("strict")? {
            function.insert("strict".to_owned(), json!(strict));
        }
        tools.push(json!({ "type": "function", "function": function }));
    }
    if !tools.is_empty() {
        chat.insert("tools".to_owned(), Value::Array(tools));
    }
    Ok(beyond)
}

fn tool_choice(top: Fields<'_>, chat: &mut Map<String, Value>) -> Result<(), WireError> {
    let Some(choice) = top.get("tool_choice") else { return Ok(()) };
    let fields = Fields::of(choice, "tool_choice")?;
    let choice = match fields.required_text("type")? {
        "auto" => json!("auto"),
        "any" => json!("required"),
        "none" => json!("none"),
        "tool" => json!({ "type": "function", "function": { "name": fields.required_text("name")? } }),
        _ => return Err(WireError::must("tool_choice.type", "auto, any, tool or none")),
    };
    if !chat.contains_key("tools") {
        return Ok(());
    }
    chat.insert("tool_choice".to_owned(), choice);
    if fields.flag("disable_parallel_tool_use")? == Some(true) {
        chat.insert("parallel_tool_calls".to_owned(), Value::Bool(false));
    }
    Ok(())
}

/// `output_config.format`, and `output_format` as it was called first.
fn format(top: Fields<'_>, chat: &mut Map<String, Value>) -> Result<(), WireError> {
    let current = top.get("output_config").and_then(|c| c.get("format")).map(|f| (f, "output_config.format"));
    let found = current.or_else(|| top.get("output_format").map(|f| (f, "output_format")));
    let Some((format, path)) = found.filter(|(f, _)| !f.is_null()) else { return Ok(()) };
    let fields = Fields::of(format, path)?;
    if fields.required_text("type")? != "json_schema" {
        return Err(WireError::must(fields.path("type"), "json_schema"));
    }
    let schema = fields.get("schema").ok_or_else(|| WireError::must(fields.path("schema"), "given"))?;
    let named = json!({ "name": "answer", "schema": schema, "strict": true });
    chat.insert("response_format".to_owned(), json!({ "type": "json_schema", "json_schema": named }));
    Ok(())
}
