//! A chat completion request as a Messages body.
//!
//! After <https://docs.anthropic.com/en/api/messages>. What changes the answer and has no words there is refused by name; mere
//! hints (`seed`, penalties, `logit_bias`, `service_tier`, `store`) are left out.

use serde_json::{Map, Value, json};

use super::{effort, turns};
use crate::wire::WireError;
use crate::wire::chat::{ChatRequest, Options, ResponseFormat, Tool, ToolChoice};

/// Bound on the answer when neither the client nor the arm states one; the format demands a number.
pub const DEFAULT_MAX_TOKENS: u32 = 4096;

/// Translates `request` for `model`. `max_output`: the arm's longest answer in tokens.
///
/// # Errors
/// `Untranslatable`, with the field that the format has no words for.
pub fn translate_request(
    request: &ChatRequest,
    model: &str,
    max_output: Option<u32>,
) -> Result<Vec<u8>, WireError> {
    let options = request.options();
    check(request)?;
    let conversation = turns::translate(request.messages())?;
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model));
    body.insert("max_tokens".to_owned(), json!(max_tokens(options, max_output, model)));
    if !conversation.system.is_empty() {
        body.insert("system".to_owned(), Value::Array(conversation.system));
    }
    body.insert("messages".to_owned(), Value::Array(conversation.turns));
    add_sampling(&mut body, options);
    add_tools(&mut body, options, &conversation.called_tools)?;
    add_format(&mut body, &options.response_format);
    effort::add(&mut body, request, model)?;
    if let Some(user) = &options.user {
        body.insert("metadata".to_owned(), json!({ "user_id": user }));
    }
    if options.stream {
        body.insert("stream".to_owned(), Value::Bool(true));
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

/// The first thing in `request` that the format has no words for, found without translating it. What only the translation itself
/// can see, such as a call's arguments that are no JSON, is left to [`translate_request`].
pub fn cannot_say(request: &ChatRequest) -> Option<WireError> {
    check(request).err()
}

fn check(request: &ChatRequest) -> Result<(), WireError> {
    let options = request.options();
    if let Some(beyond) = request.beyond_chat() {
        return Err(beyond.clone());
    }
    if let Some(name) = options.openai_only.first() {
        return Err(WireError::untranslatable(*name, "Anthropic's format has no such field; leave it out"));
    }
    if options.n.is_some_and(|n| n > 1) {
        return Err(WireError::untranslatable("n", "Anthropic's format gives one answer; ask several times"));
    }
    if let Some(i) = options.stop.iter().position(|s| s.trim().is_empty()) {
        let why = "Anthropic's stop sequences must hold more than white space";
        return Err(WireError::untranslatable(format!("stop[{i}]"), why));
    }
    if options.response_format == ResponseFormat::JsonObject {
        let why = "Anthropic's format has no JSON mode without a schema; give a json_schema";
        return Err(WireError::untranslatable("response_format", why));
    }
    check_tools(options)?;
    effort::check(options)?;
    for (i, message) in request.messages().iter().enumerate() {
        turns::check(message, &format!("messages[{i}]"))?;
    }
    Ok(())
}

fn check_tools(options: &Options) -> Result<(), WireError> {
    let other = |(i, tool): (usize, &Tool)| Some((i, tool.other_kind.clone()?));
    if let Some((i, kind)) = options.tools.iter().enumerate().find_map(other) {
        let why = format!("a tool of type {kind} exists in OpenAI's format only");
        return Err(WireError::untranslatable(format!("tools[{i}].type"), &why));
    }
    if options.tool_choice == Some(ToolChoice::Other) {
        return Err(WireError::untranslatable("tool_choice", "it names no function"));
    }
    Ok(())
}

fn max_tokens(options: &Options, max_output: Option<u32>, model: &str) -> u32 {
    match (options.max_output_tokens, max_output) {
        (Some(asked), Some(most)) => asked.min(most),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => DEFAULT_MAX_TOKENS + effort::room(options, model),
    }
}

fn add_sampling(body: &mut Map<String, Value>, options: &Options) {
    // The scale ends at 1 there; current models refuse both settings together, and temperature is the commoner.
    match (options.temperature, options.top_p) {
        // What is left of them then changes nothing, and some models take neither.
        _ if effort::thinks(options) => {}
        (Some(temperature), _) => drop(body.insert("temperature".to_owned(), json!(temperature.min(1.0)))),
        (None, Some(top_p)) => drop(body.insert("top_p".to_owned(), json!(top_p))),
        (None, None) => {}
    }
    if !options.stop.is_empty() {
        body.insert("stop_sequences".to_owned(), json!(options.stop));
    }
}

fn add_tools(body: &mut Map<String, Value>, options: &Options, called: &[String]) -> Result<(), WireError> {
    if options.tools.is_empty() {
        add_called_tools(body, called);
        return Ok(());
    }
    let tools = options.tools.iter().enumerate().map(|(i, tool)| tool_definition(i, tool));
    body.insert("tools".to_owned(), Value::Array(tools.collect::<Result<_, _>>()?));
    let mut choice = match &options.tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::Other) => json!({ "type": "auto" }),
        Some(ToolChoice::None) => json!({ "type": "none" }),
        Some(ToolChoice::Required) => json!({ "type": "any" }),
        Some(ToolChoice::Function(name)) => json!({ "type": "tool", "name": name }),
    };
    let single = options.parallel_tool_calls == Some(false) && options.tool_choice != Some(ToolChoice::None);
    if single {
        choice["disable_parallel_tool_use"] = Value::Bool(true);
    }
    if single || options.tool_choice.is_some() {
        body.insert("tool_choice".to_owned(), choice);
    }
    Ok(())
}

/// A conversation with calls must define their tools there, even when the client offers none any more.
fn add_called_tools(body: &mut Map<String, Value>, called: &[String]) {
    if called.is_empty() {
        return;
    }
    let tools = called.iter().map(|name| json!({ "name": name, "input_schema": { "type": "object" } }));
    body.insert("tools".to_owned(), tools.collect());
    body.insert("tool_choice".to_owned(), json!({ "type": "none" }));
}

fn tool_definition(index: usize, tool: &Tool) -> Result<Value, WireError> {
    let mut schema = tool.parameters.clone().unwrap_or_else(|| json!({}));
    let Some(fields) = schema.as_object_mut() else {
        return Err(WireError::untranslatable(
            format!("tools[{index}].function.parameters"),
            "it is no JSON schema object",
        ));
    };
    fields.entry("type").or_insert_with(|| json!("object"));
    let mut definition = json!({ "name": tool.name, "input_schema": schema });
    if let Some(description) = &tool.description {
        definition["description"] = json!(description);
    }
    Ok(definition)
}

fn add_format(body: &mut Map<String, Value>, format: &ResponseFormat) {
    if let ResponseFormat::JsonSchema { schema } = format {
        let format = json!({ "format": { "type": "json_schema", "schema": schema } });
        body.insert("output_config".to_owned(), format);
    }
}
