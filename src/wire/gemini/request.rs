//! A chat completion request as a `generateContent` body.
//!
//! After <https://ai.google.dev/api/generate-content>. What changes the answer and has no words there is refused by name; mere hints
//! (`logit_bias`, `user`, `service_tier`, `store`) are left out.

use serde_json::{Map, Value, json};

use super::parts;
use crate::wire::WireError;
use crate::wire::chat::{ChatRequest, Options, ResponseFormat, Tool, ToolChoice};

/// Most stop sequences that the format takes.
const MAX_STOPS: usize = 5;
/// Of [`Options::openai_only`], what this format can say as well.
const SAYABLE: [&str; 2] = ["logprobs", "top_logprobs"];

/// The first thing in `request` that the format has no words for, found without translating it.
pub fn cannot_say(request: &ChatRequest) -> Option<WireError> {
    check(request).err()
}

/// Translates `request`. The model stands in the path, not in the body. `max_output`: the arm's longest answer in tokens.
///
/// # Errors
/// `Untranslatable`, with the field that the format has no words for.
pub fn translate_request(request: &ChatRequest, max_output: Option<u32>) -> Result<Vec<u8>, WireError> {
    check(request)?;
    let options = request.options();
    let conversation = parts::translate(request.messages())?;
    let mut body = Map::new();
    if !conversation.system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({ "parts": conversation.system }));
    }
    body.insert("contents".to_owned(), Value::Array(conversation.contents));
    add_tools(&mut body, options);
    let generation = generation(options, max_output);
    if !generation.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(generation));
    }
    Ok(Value::Object(body).to_string().into_bytes())
}

fn check(request: &ChatRequest) -> Result<(), WireError> {
    if let Some(beyond) = request.beyond_chat() {
        return Err(beyond.clone());
    }
    let options = request.options();
    if let Some(name) = options.openai_only.iter().find(|name| !SAYABLE.contains(name)) {
        return Err(WireError::untranslatable(*name, "Gemini's format has no such field; leave it out"));
    }
    if options.n.is_some_and(|n| n > 1) {
        return Err(WireError::untranslatable(
            "n",
            "this service asks Gemini for one answer; ask several times",
        ));
    }
    if options.stop.len() > MAX_STOPS {
        return Err(WireError::untranslatable("stop", "Gemini's format takes at most five"));
    }
    if options.parallel_tool_calls == Some(false) && !options.tools.is_empty() {
        let why = "Gemini's format cannot forbid parallel calls; leave it out";
        return Err(WireError::untranslatable("parallel_tool_calls", why));
    }
    if options.tool_choice == Some(ToolChoice::Other) {
        return Err(WireError::untranslatable("tool_choice", "it names no function"));
    }
    for (i, tool) in options.tools.iter().enumerate() {
        if let Some(kind) = &tool.other_kind {
            let why = format!("a tool of type {kind} exists in OpenAI's format only");
            return Err(WireError::untranslatable(format!("tools[{i}].type"), &why));
        }
    }
    for (i, message) in request.messages().iter().enumerate() {
        parts::check(message, &format!("messages[{i}]"))?;
    }
    Ok(())
}

fn add_tools(body: &mut Map<String, Value>, options: &Options) {
    if options.tools.is_empty() {
        return;
    }
    let declarations: Vec<Value> = options.tools.iter().map(declaration).collect();
    body.insert("tools".to_owned(), json!([{ "functionDeclarations": declarations }]));
    let calling = match &options.tool_choice {
        None | Some(ToolChoice::Auto | ToolChoice::Other) => return,
        Some(ToolChoice::None) => json!({ "mode": "NONE" }),
        Some(ToolChoice::Required) => json!({ "mode": "ANY" }),
        Some(ToolChoice::Function(name)) => json!({ "mode": "ANY", "allowedFunctionNames": [name] }),
    };
    body.insert("toolConfig".to_owned(), json!({ "functionCallingConfig": calling }));
}

/// Parameters go as JSON schema, which the format takes beside its own dialect.
fn declaration(tool: &Tool) -> Value {
    let mut declaration = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        declaration["description"] = json!(description);
    }
    if let Some(parameters) = &tool.parameters {
        declaration["parametersJsonSchema"] = parameters.clone();
    }
    declaration
}

fn generation(options: &Options, max_output: Option<u32>) -> Map<String, Value> {
    let mut config = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    let most = options.max_output_tokens.map(|asked| max_output.map_or(asked, |most| asked.min(most)));
    set("maxOutputTokens", most.map(Value::from));
    set("temperature", options.temperature.map(Value::from));
    set("topP", options.top_p.map(Value::from));
    set("seed", options.seed.map(Value::from));
    set("presencePenalty", options.presence_penalty.map(Value::from));
    set("frequencyPenalty", options.frequency_penalty.map(Value::from));
    set("stopSequences", (!options.stop.is_empty()).then(|| json!(options.stop)));
    if options.openai_only.contains(&"logprobs") {
        set("responseLogprobs", Some(Value::Bool(true)));
        set("logprobs", options.top_logprobs.map(Value::from));
    }
    let json_type = Some(json!("application/json"));
    match &options.response_format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => set("responseMimeType", json_type),
        ResponseFormat::JsonSchema { schema } => {
            set("responseMimeType", json_type);
            set("responseJsonSchema", Some(schema.clone()));
        }
    }
    set("thinkingConfig", options.reasoning_effort.as_deref().and_then(thinking));
    config
}

/// Tokens of thinking for an effort; the words that the vendor's own compatible API maps to the same.
fn thinking(effort: &str) -> Option<Value> {
    let budget = match effort {
        "none" => 0,
        "minimal" | "low" => 1024,
        "medium" => 8192,
        "high" | "xhigh" => 24_576,
        _ => return None,
    };
    Some(json!({ "thinkingBudget": budget, "includeThoughts": budget > 0 }))
}
