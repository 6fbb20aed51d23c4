//! Shapes of what operators are answered.

use utoipa::ToSchema;

/// Usage, spend, savings and budgets.
#[derive(ToSchema)]
#[schema(as = Stats)]
pub(in crate::http) struct StatsView {
    /// Unix milliseconds.
    at_ms: i64,
    /// From when on is counted, Unix milliseconds.
    from_ms: i64,
    /// `requests`, `answered`, `failed`, `input_tokens`, `output_tokens`, `cached_tokens`, `spend_usd`, `unpriced`.
    total: serde_json::Map<String, serde_json::Value>,
    /// Against the model of the highest expected quality: `best_fixed_model`, `requests`, `best_fixed_usd`, `spend_usd`, `saved_usd`,
    /// `best_fixed_quality`, `drawn_quality`.
    savings: Option<serde_json::Map<String, serde_json::Value>>,
    /// Lines of such sums with a `name`, by `model`, `route`, `key` and `tag`; the dearest first.
    by: std::collections::BTreeMap<String, Vec<serde_json::Map<String, serde_json::Value>>>,
    budgets: Vec<BudgetStatus>,
}

/// One budget.
#[derive(ToSchema)]
struct BudgetStatus {
    /// `route auto`, `key key_…` or `budget team-a`.
    scope: String,
    usd_per_request: Option<f64>,
    /// `period`, `limit_usd`, `spent_usd`, `remaining_usd`, `resets_at_ms`.
    limits: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Set aside for calls in flight; taken off `remaining_usd`.
    reserved_usd: f64,
    /// What the next request should cost in the mean.
    target_usd_per_request: f64,
    /// What a dollar costs on the utility scale: `low`, `high`, and the share of `high`.
    lambda: serde_json::Map<String, serde_json::Value>,
    /// Spend over what was allotted: `last_1h`, `last_24h`.
    compliance: serde_json::Map<String, serde_json::Value>,
}

/// Who reports, and how far each is believed.
#[derive(ToSchema)]
#[schema(as = Reporting)]
pub(in crate::http) struct ReportingView {
    /// `model`, `share`, `usd_per_day`, `spent_today_usd`, and what became of the sampled answers: `judged`, `unreadable`, `failed`,
    /// `was_candidate`, `no_text`, `queue_full`, `over_budget`. Null without a judge.
    judge: Option<serde_json::Map<String, serde_json::Value>>,
    /// What bounds a key: `key_share`, `trust`.
    guard: Option<serde_json::Map<String, serde_json::Value>>,
    sources: Vec<SourceStatus>,
    keys: Vec<KeyStatus>,
}

/// How a source compares with persons who rated the same answers.
#[derive(ToSchema)]
struct SourceStatus {
    /// `user`, `code`, `judge` or `implicit`.
    source: String,
    /// Which model, when a judge of ours reports.
    judge: Option<String>,
    /// Reports on the learned metric, revisions not counted.
    reports: u64,
    /// Answers that a person rated too.
    pairs: f64,
    /// Mean of the person's rating less the reported one.
    bias: Option<f64>,
    /// Standard deviation of that difference.
    spread: Option<f64>,
    /// A reported value is taken for `a + b value`.
    line: serde_json::Map<String, serde_json::Value>,
    /// Noise variance of a report.
    variance: f64,
    /// What a report counts, in reports of a person.
    weight: f64,
}

/// How far a key is believed.
#[derive(ToSchema)]
struct KeyStatus {
    key: String,
    /// Among the last reports.
    reports: u64,
    /// Of the weight of the last reports.
    share: f64,
    /// The part of its next report that fits under the share that a key may have which has not shown that it agrees.
    room: f64,
    /// For each model: `arm`, `trust`, `why` (`too_few_reports`, `agrees`, `undisputed`, `disagrees`), `off`, `error`.
    arms: Vec<serde_json::Map<String, serde_json::Value>>,
}
