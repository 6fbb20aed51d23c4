//! Shapes of what operators are answered.

use serde::Deserialize;
use utoipa::ToSchema;

/// Usage, spend, savings and budgets.
#[derive(ToSchema)]
#[schema(as = Stats)]
pub(in crate::http) struct StatsView {
    /// Unix milliseconds.
    at_ms: i64,
    /// From when on is counted, Unix milliseconds.
    from_ms: i64,
    /// `requests`, `answered`, `failed`, `input_tokens`, `output_tokens`, `cached_tokens`, `cache_write_tokens`, `reasoning_tokens`,
    /// `spend_usd`, `estimated_usd` (the part that rests on our own count of tokens), `reserved_usd`, `unpriced`, `from_cache`.
    total: serde_json::Map<String, serde_json::Value>,
    /// Against the model of the highest expected quality: `best_fixed_model`, `requests`, `best_fixed_usd`, `spend_usd`, `saved_usd`,
    /// `best_fixed_quality`, `drawn_quality`.
    savings: Option<serde_json::Map<String, serde_json::Value>>,
    /// Lines of such sums with a `name`, by `model`, `route`, `key`, `tag` and `user`; the dearest first, of tags and
    /// users the first 200.
    by: std::collections::BTreeMap<String, Vec<serde_json::Map<String, serde_json::Value>>>,
    budgets: Vec<BudgetStatus>,
}

/// Price tables.
#[derive(ToSchema)]
pub(in crate::http) struct PriceTables {
    /// The one in force.
    current: String,
    /// The newest first: `version`, `at_ms`, `prices` by model in USD per million tokens.
    tables: Vec<serde_json::Map<String, serde_json::Value>>,
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

/// What serves and what is being tried.
#[derive(ToSchema)]
#[schema(as = Policies)]
pub(in crate::http) struct PoliciesView {
    /// The published policy.
    serving: String,
    /// The bundle that was promoted last; null: the policy is what the log taught.
    in_place: Option<String>,
    experiment: Option<ExperimentStatus>,
    /// Bundles that can be promoted: `policy`, `cut`, `manifest`.
    kept: Vec<serde_json::Map<String, serde_json::Value>>,
    /// The newest first: `policy`, `event`, `at_ms`.
    promotions: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Experiments that are over, the newest first: `name`, `end` (`promoted`, `rolled_back`, `stopped`), `why`, `event`, `at_ms`.
    past: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// An experiment that runs.
#[derive(ToSchema)]
struct ExperimentStatus {
    name: String,
    /// Null: on every route that learns.
    route: Option<String>,
    /// The challenger.
    policy: String,
    /// Its share of the traffic now.
    share: f64,
    /// Its share in the next stage; null: it takes over.
    next_share: Option<f64>,
    /// The event that began this stage.
    stage: u64,
    since_ms: i64,
    guards: Vec<GuardStatus>,
    /// Why the challenger cannot choose.
    unwell: Option<String>,
}

/// What a guard says; all intervals together hold with 95 %, at every look.
#[derive(ToSchema)]
struct GuardStatus {
    /// `quality_drop`, `error_rate_rise`, `cost_rise` or `latency_p95_rise`.
    guard: String,
    limit: f64,
    /// `holds`, `open` or `fails`.
    verdict: String,
    /// The change for the worse as it looks.
    change: Option<f64>,
    at_least: Option<f64>,
    at_most: Option<f64>,
    /// `n` and `value` of its outcomes in this stage.
    champion: serde_json::Map<String, serde_json::Value>,
    challenger: serde_json::Map<String, serde_json::Value>,
}

/// Nothing has to be said; the content type has to, since browsers ask before they send it from another site.
#[derive(ToSchema)]
#[schema(as = Empty)]
pub(in crate::http) struct Empty {}

/// Which bundle.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(as = Promotion)]
pub(in crate::http) struct PromotionBody {
    policy: String,
}

/// The terms of an experiment.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(as = Experiment)]
pub(in crate::http) struct ExperimentBody {
    name: String,
    /// A bundle that is kept.
    policy: String,
    /// Every route that learns without it.
    route: Option<String>,
    /// `"5%"` or `0.05`, at most half.
    share: Share,
    /// Limits by guard; all four with their defaults without it.
    guards: Option<std::collections::BTreeMap<String, f64>>,
}

/// A percentage or a fraction.
#[derive(ToSchema, Deserialize)]
#[serde(untagged)]
enum Share {
    Percent(String),
    Fraction(f64),
}

/// The order is in the log; the router follows within a second.
#[derive(ToSchema)]
pub(in crate::http) struct Ordered {
    event: u64,
}

/// The configuration in force.
#[derive(ToSchema)]
#[schema(as = Reloaded)]
pub(in crate::http) struct ReloadedView {
    /// The beginning of the SHA-256 of its text.
    config: String,
    /// Whether it is another text than before.
    changed: bool,
}

/// Every model.
#[derive(ToSchema)]
pub(in crate::http) struct ModelReports {
    models: Vec<ModelStatus>,
}

/// One model.
#[derive(ToSchema)]
struct ModelStatus {
    model: String,
    /// `new`, `nursery`, `steady`, `retire-suggested`, `draining` or `removed`.
    status: String,
    /// `provider`, `provider_model`, `price` (USD per million tokens), `price_from` (`catalog` or `config`), `drains`, `routes`,
    /// `default_of`; null: it is configured no more.
    configured: Option<serde_json::Map<String, serde_json::Value>>,
    /// `available`, `excluded` (`unhealthy`, `rate_limited` or `busy`), `rests_ms`.
    health: serde_json::Map<String, serde_json::Value>,
    /// While it is new: `reports`, `graduates_at`.
    nursery: Option<serde_json::Map<String, serde_json::Value>>,
    /// `reports`, `evidence`, `offset`, `cost_factor`, `cached_share`, `condition`, and `watches` with their last alarms; null: nothing
    /// was learned yet.
    learned: Option<serde_json::Map<String, serde_json::Value>>,
    /// Routes on which it is worse than the default beyond doubt: `route`, `behind`, `retired`.
    outclassed: Vec<serde_json::Map<String, serde_json::Value>>,
}
