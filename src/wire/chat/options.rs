//! Everything of a request beside the conversation that routing and translation need.

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::wire::WireError;

/// Most choices that a client may ask for.
const MAX_CHOICES: u32 = 128;

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON schema of its arguments.
    pub parameters: Option<Value>,
    /// Its `type` when it is not `function`.
    pub other_kind: Option<String>,
}

/// Whether and what the model must call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// No calls.
    None,
    /// Some call.
    Required,
    /// This function.
    Function(String),
    /// A form that is newer than this code.
    Other,
}

/// What form the answer must have.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ResponseFormat {
    /// Any text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// The schema.
        schema: Value,
    },
}

/// The typed options. `None`: the client did not say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Whether to stream.
    pub stream: bool,
    /// Whether a stream ends with a usage chunk.
    pub include_usage: bool,
    /// `max_completion_tokens`, else `max_tokens`.
    pub max_output_tokens: Option<u32>,
    /// In [0, 2].
    pub temperature: Option<f64>,
    /// In [0, 1].
    pub top_p: Option<f64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Number of choices.
    pub n: Option<u32>,
    /// The end user.
    pub user: Option<String>,
    /// For example `low`.
    pub reasoning_effort: Option<String>,
    /// Free labels.
    pub metadata: Option<Map<String, Value>>,
    /// Tools on offer.
    pub tools: Vec<Tool>,
    /// What must be called.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may come at once.
    pub parallel_tool_calls: Option<bool>,
    /// Form of the answer.
    pub response_format: ResponseFormat,
    /// For repeatable sampling.
    pub seed: Option<i64>,
    /// In [-2, 2].
    pub presence_penalty: Option<f64>,
    /// In [-2, 2].
    pub frequency_penalty: Option<f64>,
    /// Alternatives to report for each token.
    pub top_logprobs: Option<u32>,
    /// Fields that change the answer and that only formats like OpenAI's can say.
    pub openai_only: Vec<&'static str>,
}

/// Changes the answer in a way that a translation must not drop in silence.
const OPENAI_ONLY: [&str; 6] =
    ["functions", "function_call", "logprobs", "top_logprobs", "audio", "web_search_options"];

impl Options {
    /// Reads the options from the top-level object.
    ///
    /// # Errors
    /// The first field that is wrong, by name.
    pub(super) fn read(top: Fields<'_>) -> Result<Self, WireError> {
        let include_usage = match top.get("stream_options") {
            Some(value) => Fields::of(value, "stream_options")?.flag("include_usage")?.unwrap_or(false),
            None => false,
        };
        let max_tokens = top.count("max_tokens", 1)?;
        Ok(Self {
            stream: top.flag("stream")?.unwrap_or(false),
            include_usage,
            max_output_tokens: top.count("max_completion_tokens", 1)?.or(max_tokens),
            temperature: top.number("temperature", 0.0, 2.0)?,
            top_p: top.number("top_p", 0.0, 1.0)?,
            stop: read_stop(top)?,
            n: read_n(top)?,
            user: top.text("user")?.map(str::to_owned),
            reasoning_effort: top.text("reasoning_effort")?.map(str::to_owned),
            metadata: read_metadata(top)?,
            tools: read_tools(top)?,
            tool_choice: read_tool_choice(top)?,
            parallel_tool_calls: top.flag("parallel_tool_calls")?,
            response_format: read_response_format(top)?,
            seed: top.get("seed").and_then(Value::as_i64),
            presence_penalty: top.get("presence_penalty").and_then(Value::as_f64),
            frequency_penalty: top.get("frequency_penalty").and_then(Value::as_f64),
            top_logprobs: top.count("top_logprobs", 0)?,
            openai_only: OPENAI_ONLY.into_iter().filter(|name| is_set(top, name)).collect(),
        })
    }
}

fn is_set(top: Fields<'_>, name: &str) -> bool {
    top.get(name).is_some_and(|v| *v != Value::Bool(false) && v.as_u64() != Some(0))
}

fn read_n(top: Fields<'_>) -> Result<Option<u32>, WireError> {
    match top.count("n", 1)? {
        Some(n) if n > MAX_CHOICES => Err(WireError::must("n", "at most 128")),
        n => Ok(n),
    }
}

fn read_metadata(top: Fields<'_>) -> Result<Option<Map<String, Value>>, WireError> {
    match top.get("metadata") {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map.clone())),
        Some(_) => Err(WireError::must("metadata", "an object")),
    }
}

fn read_stop(top: Fields<'_>) -> Result<Vec<String>, WireError> {
    let wrong = || WireError::must("stop", "a string or an array of strings");
    match top.get("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(items)) => {
            items.iter().map(|i| i.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn read_tools(top: Fields<'_>) -> Result<Vec<Tool>, WireError> {
    top.list("tools")?.iter().enumerate().map(|(i, tool)| read_tool(tool, &format!("tools[{i}]"))).collect()
}

fn read_tool(value: &Value, path: &str) -> Result<Tool, WireError> {
    let fields = Fields::of(value, path)?;
    let kind = fields.required_text("type")?;
    if kind != "function" {
        let other_kind = Some(kind.to_owned());
        return Ok(Tool { name: kind.to_owned(), description: None, parameters: None, other_kind });
    }
    let group = fields.path("function");
    let function = fields.get("function").ok_or_else(|| WireError::must(&group, "an object"))?;
    let function = Fields::of(function, &group)?;
    Ok(Tool {
        name: function.required_text("name")?.to_owned(),
        description: function.text("description")?.map(str::to_owned),
        parameters: function.get("parameters").cloned(),
        other_kind: None,
    })
}

fn read_tool_choice(top: Fields<'_>) -> Result<Option<ToolChoice>, WireError> {
    let choice = match top.get("tool_choice") {
        None => return Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" | "any" => ToolChoice::Required,
            _ => return Err(WireError::must("tool_choice", "auto, none, required or an object")),
        },
        Some(object @ Value::Object(_)) => match object.pointer("/function/name").and_then(Value::as_str) {
            Some(name) => ToolChoice::Function(name.to_owned()),
            None => ToolChoice::Other,
        },
        Some(_) => return Err(WireError::must("tool_choice", "auto, none, required or an object")),
    };
    Ok(Some(choice))
}

fn read_response_format(top: Fields<'_>) -> Result<ResponseFormat, WireError> {
    let Some(value) = top.get("response_format") else { return Ok(ResponseFormat::Text) };
    let fields = Fields::of(value, "response_format")?;
    match fields.required_text("type")? {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::JsonObject),
        "json_schema" => {
            let path = "response_format.json_schema";
            let wrapper = fields.get("json_schema").ok_or_else(|| WireError::must(path, "an object"))?;
            let schema = Fields::of(wrapper, path)?.get("schema").cloned();
            Ok(ResponseFormat::JsonSchema { schema: schema.unwrap_or_else(|| Value::Object(Map::new())) })
        }
        _ => Err(WireError::must("response_format.type", "text, json_object or json_schema")),
    }
}
