//! Shapes of the client formats beside chat completions.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{ErrorObject, Extension, Inputs, Texts};

/// An OpenAI Responses request. Stateless: `store` may be false only, and nothing may refer to an earlier response.
#[derive(ToSchema)]
pub(in crate::http) struct ResponsesRequest {
    /// A route (`auto`, also `auto:best`, `auto:cheap`, `auto:fast`) or a model.
    #[schema(example = "auto")]
    model: String,
    /// A text or a list of items.
    input: Texts,
    /// The system prompt.
    #[schema(nullable)]
    instructions: Option<String>,
    /// The longest answer, in tokens.
    #[schema(nullable, minimum = 1)]
    max_output_tokens: Option<u32>,
    /// Functions.
    #[schema(nullable)]
    tools: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
    /// Typed events instead of one body.
    #[schema(nullable)]
    stream: Option<bool>,
    /// What this request wants of the router; removed before the call is forwarded.
    #[schema(nullable)]
    pointsman: Option<Extension>,
}

/// An OpenAI response.
#[derive(ToSchema, Deserialize)]
pub(in crate::http) struct ResponsesAnswer {
    /// Accepted wherever a decision id is.
    id: String,
    /// `response`.
    object: String,
    /// `completed` or `incomplete`.
    status: String,
    /// The provider's own model name.
    model: String,
    /// Items of type `reasoning`, `message` and `function_call`.
    output: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Always false.
    store: bool,
    usage: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A text completion request.
#[derive(ToSchema)]
pub(in crate::http) struct CompletionsRequest {
    /// A route (`auto`, also `auto:best`, `auto:cheap`, `auto:fast`) or a model.
    #[schema(example = "auto")]
    model: String,
    /// A text, or a list of one.
    prompt: Inputs,
    /// The longest answer, in tokens; 16 when not given.
    #[schema(nullable, minimum = 1)]
    max_tokens: Option<u64>,
    /// Server-sent events instead of one body.
    #[schema(nullable)]
    stream: Option<bool>,
    /// What this request wants of the router; removed before the call is forwarded.
    #[schema(nullable)]
    pointsman: Option<Extension>,
}

/// A text completion.
#[derive(ToSchema, Deserialize)]
pub(in crate::http) struct CompletionsAnswer {
    /// Accepted wherever a decision id is.
    id: String,
    /// `text_completion`.
    object: String,
    /// The provider's own model name.
    model: String,
    choices: Vec<serde_json::Map<String, serde_json::Value>>,
    usage: Option<serde_json::Map<String, serde_json::Value>>,
}

/// An Anthropic Messages request; a provider of the same format gets it as it is.
#[derive(ToSchema)]
pub(in crate::http) struct MessagesRequest {
    /// A route (`auto`, also `auto:best`, `auto:cheap`, `auto:fast`) or a model.
    #[schema(example = "auto")]
    model: String,
    /// The longest answer, in tokens.
    #[schema(nullable, minimum = 1)]
    max_tokens: Option<u64>,
    #[schema(min_items = 1)]
    messages: Vec<Turn>,
    /// A text or a list of text blocks.
    #[schema(nullable)]
    system: Option<Texts>,
    /// Server-sent events instead of one body.
    #[schema(nullable)]
    stream: Option<bool>,
    /// What this request wants of the router; removed before the call is forwarded.
    #[schema(nullable)]
    pointsman: Option<Extension>,
}

/// One turn.
#[derive(ToSchema)]
struct Turn {
    role: Speaker,
    /// A text or a list of blocks.
    content: Texts,
}

/// Whose turn it is.
#[derive(ToSchema, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Assistant,
}

/// An Anthropic message.
#[derive(ToSchema, Deserialize)]
pub(in crate::http) struct MessagesAnswer {
    /// Accepted wherever a decision id is.
    id: String,
    /// `message`.
    r#type: String,
    /// `assistant`.
    role: String,
    /// The provider's own model name.
    model: String,
    content: Vec<serde_json::Map<String, serde_json::Value>>,
    /// `end_turn`, `max_tokens`, `stop_sequence`, `tool_use`, `pause_turn` or `refusal`.
    stop_reason: Option<String>,
    usage: serde_json::Map<String, serde_json::Value>,
}

/// An estimate.
#[derive(ToSchema)]
pub(in crate::http) struct TokenCount {
    input_tokens: u32,
}

/// Anthropic's error shape.
#[derive(ToSchema)]
pub(in crate::http) struct MessagesError {
    /// `error`.
    r#type: String,
    error: ErrorObject,
    request_id: Option<String>,
}
