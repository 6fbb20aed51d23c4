//! A Responses body as a chat completion request.

use serde_json::{Map, Value, json};

use super::input;
use super::reply::Echo;
use crate::wire::chat::{Body, ChatRequest, Fields};
use crate::wire::{ClientFormat, WireError};

/// What needs state or machinery that is not here.
const UNSERVED: [(&str, &str); 5] = [
    ("previous_response_id", "no response is stored here; send the whole conversation as input"),
    ("conversation", "no conversation is stored here; send it as input"),
    ("store", "no response is stored here; leave it out or send false"),
    ("background", "answers are given at once here; leave it out or send false"),
    ("prompt", "no prompt template is stored here; send its text as instructions"),
];

/// Reads a Responses body; gives the request, and what of it the answer repeats.
///
/// # Errors
/// `Malformed` when it is no JSON object; `InvalidField` with the field's path; `Untranslatable` for what only OpenAI's own service can
/// do: stored state and tools that run on its side.
pub fn parse(bytes: &[u8]) -> Result<(ChatRequest, Echo), WireError> {
    let mut body = Body::read(bytes)?;
    let view = Value::Object(std::mem::take(&mut body.view));
    let top = Fields::of(&view, "")?;
    refuse_unserved(top)?;
    let mut chat = Map::new();
    if let Some(model) = top.text("model")? {
        chat.insert("model".to_owned(), json!(model));
    }
    chat.insert("messages".to_owned(), Value::Array(input::messages(top)?));
    sampling(top, &mut chat)?;
    tools(top, &mut chat)?;
    format(top, &mut chat)?;
    if top.flag("stream")?.unwrap_or(false) {
        chat.insert("stream".to_owned(), Value::Bool(true));
        chat.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    let echo = Echo::of(top);
    Ok((ChatRequest::translated(body, chat, ClientFormat::Responses, None)?, echo))
}

fn refuse_unserved(top: Fields<'_>) -> Result<(), WireError> {
    let asked = |name: &str| top.get(name).is_some_and(|v| *v != Value::Bool(false));
    if let Some((name, why)) = UNSERVED.into_iter().find(|(name, _)| asked(name)) {
        return Err(WireError::invalid(name, format!("{name} is not served: {why}")));
    }
    if top.text("truncation")?.is_some_and(|t| t != "disabled") {
        return Err(WireError::must("truncation", "disabled: nothing is cut here"));
    }
    Ok(())
}

fn sampling(top: Fields<'_>, chat: &mut Map<String, Value>) -> Result<(), WireError> {
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            chat.insert(name.to_owned(), value);
        }
    };
    set("max_tokens", top.count("max_output_tokens", 1)?.map(Value::from));
    set("temperature", top.number("temperature", 0.0, 2.0)?.map(Value::from));
    set("top_p", top.number("top_p", 0.0, 1.0)?.map(Value::from));
    set("user", top.text("user")?.map(Value::from));
    set("parallel_tool_calls", top.flag("parallel_tool_calls")?.filter(|p| !p).map(Value::from));
    if let Some(most) = top.count("top_logprobs", 0)?.filter(|n| *n > 0) {
        set("logprobs", Some(Value::Bool(true)));
        set("top_logprobs", Some(json!(most)));
    }
    if let Some(reasoning) = top.get("reasoning") {
        let effort = Fields::of(reasoning, "reasoning")?.text("effort")?;
        set("reasoning_effort", effort.map(Value::from));
    }
    Ok(())
}

fn tools(top: Fields<'_>, chat: &mut Map<String, Value>) -> Result<(), WireError> {
    let mut tools = Vec::new();
    for (i, tool) in top.list("tools")?.iter().enumerate() {
        let path = format!("tools[{i}]");
        let fields = Fields::of(tool, &path)?;
        let kind = fields.required_text("type")?;
        if kind != "function" {
            let why = format!("{kind} is a tool of OpenAI's own service; only functions are served here");
            return Err(WireError::untranslatable(fields.path("type"), &why));
        }
        let mut function = Map::new();
        function.insert("name".to_owned(), json!(fields.required_text("name")?));
        for name in ["description", "parameters", "strict"] {
            if let Some(value) = fields.get(name) {
                function.insert(name.to_owned(), value.clone());
            }
        }
        tools.push(json!({ "type": "function", "function": function }));
    }
    if tools.is_empty() {
        return Ok(());
    }
    chat.insert("tools".to_owned(), Value::Array(tools));
    let choice = match top.get("tool_choice") {
        None => return Ok(()),
        Some(Value::String(word)) => json!(word),
        Some(object) => {
            let fields = Fields::of(object, "tool_choice")?;
            if fields.required_text("type")? != "function" {
                return Err(WireError::must("tool_choice.type", "function"));
            }
            json!({ "type": "function", "function": { "name": fields.required_text("name")? } })
        }
    };
    chat.insert("tool_choice".to_owned(), choice);
    Ok(())
}

fn format(top: Fields<'_>, chat: &mut Map<String, Value>) -> Result<(), WireError> {
    let Some(text) = top.get("text") else { return Ok(()) };
    let Some(format) = Fields::of(text, "text")?.get("format") else { return Ok(()) };
    let fields = Fields::of(format, "text.format")?;
    let format = match fields.required_text("type")? {
        "text" => return Ok(()),
        "json_object" => json!({ "type": "json_object" }),
        "json_schema" => {
            let mut schema = Map::new();
            schema.insert("name".to_owned(), json!(fields.required_text("name")?));
            for name in ["schema", "strict", "description"] {
                if let Some(value) = fields.get(name) {
                    schema.insert(name.to_owned(), value.clone());
                }
            }
            json!({ "type": "json_schema", "json_schema": schema })
        }
        _ => return Err(WireError::must("text.format.type", "text, json_object or json_schema")),
    };
    chat.insert("response_format".to_owned(), format);
    Ok(())
}
