//! The document of this API, generated from the handlers and the shapes below; a golden test keeps it. The shapes are for readers
//! only: requests are read by `wire`, which keeps fields that no schema names.

#![expect(dead_code, reason = "the types here exist for their schemas; nothing constructs them")]

mod admin;
mod formats;
mod keys;

pub(super) use admin::{
    Empty, ExperimentBody, ModelReports, Ordered, PoliciesView, PriceTables, PromotionBody, ReloadedView,
    ReportingView, StatsView,
};
pub(super) use formats::{
    CompletionsAnswer, CompletionsRequest, MessagesAnswer, MessagesError, MessagesRequest, ResponsesAnswer,
    ResponsesRequest, TokenCount,
};
pub(super) use keys::{AuditView, KeyBody, KeyList, KeyMade, KeyRevoked, KeyStatusView};

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

/// An OpenAI chat completion request; unknown fields pass through to a provider of the same format.
#[derive(ToSchema)]
#[schema(as = ChatRequest)]
pub(super) struct ChatRequestBody {
    /// A route (`auto`, also `auto:best`, `auto:cheap`, `auto:fast`) or a model.
    #[schema(example = "auto")]
    model: String,
    /// The conversation; contents are texts or lists of parts.
    #[schema(min_items = 1)]
    messages: Vec<Message>,
    /// Server-sent events instead of one body.
    #[schema(nullable)]
    stream: Option<bool>,
    /// Models to try, in order, when the chosen one fails.
    #[schema(nullable)]
    models: Option<Vec<String>>,
    /// What this request wants of the router; removed before the call is forwarded.
    #[schema(nullable)]
    pointsman: Option<Extension>,
}

/// One message.
#[derive(ToSchema)]
struct Message {
    role: Role,
    /// A text or a list of parts.
    #[schema(nullable)]
    content: Option<Texts>,
}

/// Who speaks.
#[derive(ToSchema, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

/// A text or a list of parts, blocks or items.
#[derive(ToSchema, Deserialize)]
#[serde(untagged)]
enum Texts {
    Text(String),
    Parts(Vec<serde_json::Map<String, serde_json::Value>>),
}

/// A text or a list of texts.
#[derive(ToSchema, Deserialize)]
#[serde(untagged)]
enum Inputs {
    Text(String),
    Texts(Vec<String>),
}

/// A number between 0 and 1, or a boolean.
#[derive(ToSchema, Deserialize)]
#[serde(untagged)]
enum Worth {
    Number(f64),
    Verdict(bool),
}

/// The request extension.
#[derive(ToSchema)]
struct Extension {
    /// How much each counts; scaled to a sum of 1.
    weights: Option<WeightsBody>,
    /// The same in dollars; instead of `weights`.
    value: Option<ValueBody>,
    /// Highest expected cost of the call.
    #[schema(exclusive_minimum = 0)]
    max_cost_usd: Option<f64>,
    /// Highest p95 of the total latency.
    #[schema(exclusive_minimum = 0)]
    max_latency_ms: Option<f64>,
    /// Lowest expected quality, met with one standard deviation to spare.
    #[schema(minimum = 0, maximum = 1)]
    min_quality: Option<f64>,
    /// Patterns of models that may serve, for example `openai/*`.
    models: Option<Vec<String>>,
    /// The conversation.
    session_id: Option<String>,
    /// The caller's user.
    user: Option<String>,
    /// For reports and rules.
    tags: Option<std::collections::BTreeMap<String, String>>,
    /// Answer the decision only, log nothing.
    dry_run: Option<bool>,
}

#[derive(ToSchema)]
#[schema(as = Weights)]
struct WeightsBody {
    #[schema(minimum = 0)]
    quality: f64,
    #[schema(minimum = 0)]
    cost: Option<f64>,
    #[schema(minimum = 0)]
    latency: Option<f64>,
}

#[derive(ToSchema)]
#[schema(as = Value)]
struct ValueBody {
    /// What a perfect answer is worth over a useless one, USD.
    #[schema(exclusive_minimum = 0)]
    quality_usd: f64,
    /// What a second of waiting costs, USD; nothing without it.
    #[schema(minimum = 0)]
    second_usd: Option<f64>,
}

/// An OpenAI chat completion, as the provider gave it.
#[derive(ToSchema, Deserialize)]
pub(super) struct ChatCompletion {
    /// Accepted wherever a decision id is.
    id: String,
    /// `chat.completion`.
    object: String,
    /// The provider's own model name.
    model: String,
    choices: Vec<serde_json::Map<String, serde_json::Value>>,
    usage: Option<serde_json::Map<String, serde_json::Value>>,
}

/// An answer, or with `dry_run` the choice alone.
#[derive(ToSchema, Deserialize)]
#[serde(untagged)]
pub(super) enum OrChoice<T> {
    Answer(T),
    Choice(RouteAnswer),
}

/// One event of a stream.
#[derive(ToSchema)]
pub(super) struct ServerSentEvent {
    /// JSON, or `[DONE]`.
    data: String,
    /// Its type, in formats that name them.
    event: Option<String>,
}

/// The choice and the ranking.
#[derive(ToSchema, Deserialize)]
pub(super) struct RouteAnswer {
    decision_id: String,
    /// The drawn model.
    model: String,
    /// `greedy`, `explore`, `pinned`, `explicit` or `default`.
    reason: String,
    policy: String,
    /// The probability with which it was drawn.
    #[schema(minimum = 0, maximum = 1)]
    propensity: f64,
    /// `minilm`, `student` (its quick stand-in under load), or `none` when the strategy does not read the prompt.
    embedder: String,
    /// Best utility first; empty for strategies that estimate nothing.
    ranking: Vec<RankedModel>,
    excluded: Vec<ExcludedModel>,
    /// Bounds that no model met and that were given up, of `min_quality`, `max_latency_ms` and `max_cost_usd`, in that order.
    relaxed: Vec<String>,
}

#[derive(ToSchema, Deserialize)]
struct RankedModel {
    model: String,
    quality: Mean,
    cost_usd: f64,
    latency_ms: Quantiles,
    utility: f64,
    propensity: f64,
}

#[derive(ToSchema, Deserialize)]
struct Mean {
    mean: f64,
    sd: f64,
}

#[derive(ToSchema, Deserialize)]
struct Quantiles {
    p50: f64,
    p95: f64,
}

#[derive(ToSchema, Deserialize)]
struct ExcludedModel {
    model: String,
    /// The filter that took it out.
    why: String,
}

/// The full explanation of a decision.
#[derive(ToSchema)]
pub(super) struct DecisionView {
    /// Why, and what would have changed the choice.
    explanation: serde_json::Map<String, serde_json::Value>,
    ranking: Vec<RankedModel>,
    excluded: Vec<ExcludedModel>,
    /// As logged.
    decision: serde_json::Map<String, serde_json::Value>,
    /// What became of it.
    completed: Option<serde_json::Map<String, serde_json::Value>>,
    feedback: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// Routes and models.
#[derive(ToSchema)]
pub(super) struct ModelList {
    /// `list`.
    object: String,
    data: Vec<Model>,
}

/// A route or a model.
#[derive(ToSchema)]
pub(super) struct Model {
    id: String,
    /// `model`.
    object: String,
    created: i64,
    owned_by: String,
    /// Models only.
    context_length: Option<u32>,
    /// Models only: USD per token, as texts.
    pricing: Option<std::collections::BTreeMap<String, String>>,
    /// What Pointsman adds.
    pointsman: serde_json::Map<String, serde_json::Value>,
}

/// Texts to embed.
#[derive(ToSchema)]
pub(super) struct EmbeddingsRequest {
    #[schema(example = "pointsman/minilm")]
    model: String,
    /// A text, or a list of up to 256.
    input: Inputs,
    encoding_format: Option<Encoding>,
}

/// How vectors are written.
#[derive(ToSchema, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

/// Vectors.
#[derive(ToSchema)]
pub(super) struct EmbeddingList {
    /// `list`.
    object: String,
    data: Vec<serde_json::Map<String, serde_json::Value>>,
    model: String,
    usage: std::collections::BTreeMap<String, u64>,
}

/// One report, or `{"feedback": [..]}` with several.
#[derive(ToSchema)]
pub(super) struct FeedbackRequest {
    /// A decision's id, or a completion's. A report names this, or `winner` and `loser`, or `tie`, or `session_id`.
    decision_id: Option<String>,
    /// Of two answers the preferred one.
    winner: Option<String>,
    loser: Option<String>,
    /// Two answers that are equally good.
    #[schema(min_items = 2, max_items = 2)]
    tie: Option<Vec<String>>,
    /// A conversation: its decisions share the weight, of a long one the latest 32.
    session_id: Option<String>,
    /// Which metric; the router learns from `quality`.
    name: Option<String>,
    value: Option<Worth>,
    /// `good_fit`, `underpowered`, `overprovisioned` or `failed`; enough without a value.
    verdict: Option<String>,
    /// `user`, `code`, `judge` or `implicit`.
    source: Option<String>,
    /// In (0, 1].
    weight: Option<f64>,
    comment: Option<String>,
    /// The same key with another body is refused.
    idempotency_key: Option<String>,
    /// Tokens of a call that the caller made itself.
    usage: Option<std::collections::BTreeMap<String, u32>>,
    cost_usd: Option<f64>,
    latency_ms: Option<f64>,
    /// Why that call failed.
    error: Option<String>,
}

/// The report is on disk.
#[derive(ToSchema)]
pub(super) struct FeedbackAnswer {
    feedback_id: Option<String>,
    applied: Option<bool>,
    /// For a list: an answer or an error for each.
    feedback: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
}

/// OpenAI's error shape.
#[derive(ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorObject,
}

#[derive(ToSchema)]
struct ErrorObject {
    message: String,
    r#type: String,
    /// The field at fault.
    param: Option<String>,
    code: Option<String>,
    /// `decision_id`, `attempts`, `retry_after_ms`, `budget` where known.
    metadata: serde_json::Map<String, serde_json::Value>,
}

struct KeyScheme;

impl Modify for KeyScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Pointsman", description = "The learned LLM router", license(name = "Apache-2.0")),
    paths(
        super::chat::create, super::messages::create, super::messages::count_tokens, super::responses::create,
        super::completions::create, super::route::create, super::decisions::get, super::feedback::create, super::models::list,
        super::models::get, super::embeddings::create, super::admin::stats::get, super::admin::stats::prices,
        super::admin::drift::get, super::admin::judge::get, super::admin::models::get,
        super::admin::policies::get, super::admin::policies::promote, super::admin::policies::roll_back,
        super::admin::reload::reload, super::admin::policies::experiments, super::admin::policies::start, super::admin::policies::end,
        super::admin::keys::list, super::admin::keys::create, super::admin::keys::change, super::admin::keys::revoke,
        super::admin::keys::audit,
    ),
    modifiers(&KeyScheme),
    security((), ("key" = [])),
)]
struct Document;

/// The document as JSON.
pub fn document() -> String {
    Document::openapi().to_pretty_json().unwrap_or_default()
}

pub(super) async fn get() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}
