//! A chat completion request as a v2 chat body.
//!
//! After <https://docs.cohere.com/reference/chat>. What changes the answer and has no words there is refused by name; mere hints
//! (`logit_bias`, `user`, `service_tier`, `store`, penalties outside of 0 to 1) are left out.

use serde_json::{Map, Value, json};

use crate::wire::WireError;
use crate::wire::chat::{ChatRequest, Message, Options, Part, ResponseFormat, Role, ToolChoice};

/// Most stop sequences that the format takes.
const MAX_STOPS: usize = 5;

/// The first thing in `request` that the format has no words for, found without translating it.
pub fn cannot_say(request: &ChatRequest) -> Option<WireError> {
    check(request).err()
}

/// Translates `request` for `model`. `max_output`: the arm's longest answer in tokens.
///
/// # Errors
/// `Untranslatable`, with the field that the format has no words for.
pub fn translate_request(
    request: &ChatRequest,
    model: &str,
    max_output: Option<u32>,
) -> Result<Vec<u8>, WireError> {
    check(request)?;
    let options = request.options();
    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    set("model", Some(json!(model)));
    set("stream", Some(json!(options.stream)));
    set("messages", Some(request.messages().iter().map(message).collect()));
    let most = options.max_output_tokens.map(|asked| max_output.map_or(asked, |most| asked.min(most)));
    set("max_tokens", most.map(Value::from));
    set("temperature", options.temperature.map(Value::from));
    set("p", options.top_p.map(|p| json!(p.clamp(0.01, 0.99))));
    set("seed", options.seed.map(Value::from));
    let penalty = |value: Option<f64>| value.filter(|p| (0.0..=1.0).contains(p)).map(Value::from);
    set("frequency_penalty", penalty(options.frequency_penalty));
    set("presence_penalty", penalty(options.presence_penalty));
    set("stop_sequences", (!options.stop.is_empty()).then(|| json!(options.stop)));
    set("response_format", format(&options.response_format));
    set("thinking", options.reasoning_effort.as_deref().and_then(thinking));
    set("tools", tools(options));
    set("tool_choice", tool_choice(options));
    Ok(Value::Object(body).to_string().into_bytes())
}

fn check(request: &ChatRequest) -> Result<(), WireError> {
    if let Some(beyond) = request.beyond_chat() {
        return Err(beyond.clone());
    }
    let options = request.options();
    let refuse = |param: &str, why: &str| Err(WireError::untranslatable(param, why));
    if let Some(name) = options.openai_only.first() {
        return refuse(name, "Cohere's format has no such field; leave it out");
    }
    if options.n.is_some_and(|n| n > 1) {
        return refuse("n", "Cohere's format gives one answer; ask several times");
    }
    if options.stop.len() > MAX_STOPS {
        return refuse("stop", "Cohere's format takes at most five");
    }
    if options.response_format != ResponseFormat::Text && !options.tools.is_empty() {
        return refuse("response_format", "Cohere's format takes no JSON mode beside tools");
    }
    if options.parallel_tool_calls == Some(false) && !options.tools.is_empty() {
        return refuse("parallel_tool_calls", "Cohere's format cannot forbid parallel calls; leave it out");
    }
    if matches!(options.tool_choice, Some(ToolChoice::Function(_) | ToolChoice::Other)) {
        return refuse("tool_choice", "Cohere's format cannot name the tool; write auto, none or required");
    }
    for (i, tool) in options.tools.iter().enumerate() {
        if let Some(kind) = &tool.other_kind {
            let why = format!("a tool of type {kind} exists in OpenAI's format only");
            return Err(WireError::untranslatable(format!("tools[{i}].type"), &why));
        }
    }
    for (i, message) in request.messages().iter().enumerate() {
        check_message(message, &format!("messages[{i}]"))?;
    }
    Ok(())
}

fn check_message(message: &Message, path: &str) -> Result<(), WireError> {
    if message.role == Role::Function {
        let why = "the legacy role function has no call id; use role tool";
        return Err(WireError::untranslatable(format!("{path}.role"), why));
    }
    if let Some(i) = message.tool_calls.iter().position(|c| c.is_custom) {
        let path = format!("{path}.tool_calls[{i}]");
        return Err(WireError::untranslatable(path, "custom tools exist in OpenAI's format only"));
    }
    for (i, part) in message.parts.iter().enumerate() {
        let why = match part {
            Part::Text { .. } | Part::Refusal(_) => continue,
            Part::Image { .. } if message.role == Role::User => continue,
            Part::Image { .. } => "Cohere's format takes images from the user alone".to_owned(),
            Part::File { .. } => "Cohere's format has no files".to_owned(),
            Part::Audio { .. } => "Cohere's format has no audio".to_owned(),
            Part::Other { kind } => format!("there is no translation for a part of type {kind}"),
        };
        return Err(WireError::untranslatable(format!("{path}.content[{i}]"), &why));
    }
    Ok(())
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool | Role::Function => "tool",
    };
    let mut out = json!({ "role": role });
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let function = json!({ "name": call.name, "arguments": call.arguments });
            json!({ "id": call.id, "type": "function", "function": function })
        });
        out["tool_calls"] = calls.collect();
        // What a model says before its calls is its plan there.
        let plan = message.text();
        if !plan.is_empty() {
            out["tool_plan"] = json!(plan);
        }
        return out;
    }
    if let Some(id) = &message.tool_call_id {
        out["tool_call_id"] = json!(id);
    }
    out["content"] = if message.parts.iter().any(|p| matches!(p, Part::Image { .. })) {
        message.parts.iter().filter_map(part).collect()
    } else {
        json!(message.text())
    };
    out
}

fn part(part: &Part) -> Option<Value> {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => Some(json!({ "type": "text", "text": text })),
        Part::Image { url } => Some(json!({ "type": "image_url", "image_url": { "url": url } })),
        Part::Audio { .. } | Part::File { .. } | Part::Other { .. } => None,
    }
}

fn format(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({ "type": "json_object" })),
        ResponseFormat::JsonSchema { schema } => {
            Some(json!({ "type": "json_object", "json_schema": schema }))
        }
    }
}

/// Tokens of thinking for an effort.
fn thinking(effort: &str) -> Option<Value> {
    let budget = match effort {
        "none" => return Some(json!({ "type": "disabled" })),
        "minimal" | "low" => 1024,
        "medium" => 8192,
        "high" | "xhigh" => 24_576,
        _ => return None,
    };
    Some(json!({ "type": "enabled", "token_budget": budget }))
}

fn tools(options: &Options) -> Option<Value> {
    let tools = options.tools.iter().map(|tool| {
        let parameters =
            tool.parameters.clone().unwrap_or_else(|| json!({ "type": "object", "properties": {} }));
        let mut function = json!({ "name": tool.name, "parameters": parameters });
        if let Some(description) = &tool.description {
            function["description"] = json!(description);
        }
        json!({ "type": "function", "function": function })
    });
    (!options.tools.is_empty()).then(|| tools.collect())
}

fn tool_choice(options: &Options) -> Option<Value> {
    match options.tool_choice.as_ref().filter(|_| !options.tools.is_empty())? {
        ToolChoice::None => Some(json!("NONE")),
        ToolChoice::Required => Some(json!("REQUIRED")),
        ToolChoice::Auto | ToolChoice::Function(_) | ToolChoice::Other => None,
    }
}
