//! The metrics registry. Names, labels and units are fixed by a golden test: dashboards and alerts depend on them.

mod config;
mod known;
mod upstreams;
mod words;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use self::config::Config;
pub use self::config::ReloadResult;
use self::known::Known;
pub use self::upstreams::Shed;
use self::upstreams::Upstreams;
pub use self::words::{EmbedReason, FeedbackResult};
use crate::domain::{ArmId, Attempt, KeyId, ProviderId, Reason, RouteName, Seq, Strategy, Usage};

/// The content type of [`Metrics::render`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Label value where a request was refused before there was any.
const NONE: &str = "none";

/// Seconds; from a fast refusal to the longest answer.
const REQUEST_SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Seconds; the encoder takes milliseconds, its deadline is half a second.
const EMBED_SECONDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5];
/// Seconds; a decision takes microseconds.
const DECISION_SECONDS: [f64; 9] = [5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 5e-3, 2.5e-2];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    strategy: &'static str,
    reason: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ArmLabel {
    arm: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignalLabels {
    arm: String,
    signal: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    arm: String,
    end: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    arm: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EmbedLabels {
    embedder: &'static str,
    reason: &'static str,
}

/// How a request ended, as far as it got.
#[derive(Debug, Clone, Copy)]
pub struct RequestEnd<'a> {
    /// The route asked for, or the arm; `None`: refused before that was known.
    pub route: Option<&'a str>,
    /// How it was chosen and why.
    pub decided: Option<(Strategy, Reason)>,
    /// The status that went out.
    pub status: u16,
    /// From the request to the head of its answer.
    pub took: Duration,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

/// All metrics of the process. Cheap to update from any thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    known: Known,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histograms<RouteLabel>,
    attempts: Family<AttemptLabels, Counter>,
    first_token_seconds: Histograms<ArmLabel>,
    tokens: Family<TokenLabels, Counter>,
    cost_usd: Family<ArmLabel, Counter<f64, AtomicU64>>,
    prompts: Family<EmbedLabels, Counter>,
    embed_seconds: Histogram,
    decision_seconds: Histogram,
    feedback: Family<ResultLabel, Counter>,
    outclassed: Family<ArmLabel, Gauge>,
    store_queue: Gauge,
    store_healthy: Gauge,
    dropped_events: Counter,
    applied_seq: Gauge,
    learner_lag: Gauge,
    set_aside: Counter,
    drift: Family<SignalLabels, Gauge<f64, AtomicU64>>,
    drift_alarms: Counter,
    condition: Family<ArmLabel, Gauge<f64, AtomicU64>>,
    tasks: Gauge,
    upstreams: Upstreams,
    config: Config,
}

impl Metrics {
    /// Metrics for these routes and arms; whatever else is named counts as `other`.
    pub fn new<'a>(
        routes: impl IntoIterator<Item = &'a RouteName>,
        arms: impl IntoIterator<Item = &'a ArmId>,
    ) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("pointsman"),
            known: Known::new(routes, arms),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(request_histogram),
            attempts: Family::default(),
            first_token_seconds: Family::new_with_constructor(request_histogram),
            tokens: Family::default(),
            cost_usd: Family::default(),
            prompts: Family::default(),
            embed_seconds: Histogram::new(EMBED_SECONDS),
            decision_seconds: Histogram::new(DECISION_SECONDS),
            feedback: Family::default(),
            outclassed: Family::default(),
            store_queue: Gauge::default(),
            store_healthy: Gauge::default(),
            dropped_events: Counter::default(),
            applied_seq: Gauge::default(),
            learner_lag: Gauge::default(),
            set_aside: Counter::default(),
            drift: Family::default(),
            drift_alarms: Counter::default(),
            condition: Family::default(),
            tasks: Gauge::default(),
            upstreams: Upstreams::default(),
            config: Config::default(),
        };
        metrics.register_requests();
        metrics.register_upstream();
        metrics.register_learning();
        metrics.upstreams.register(&mut metrics.registry);
        metrics.config.register(&mut metrics.registry);
        metrics
    }

    fn register_requests(&mut self) {
        let r = &mut self.registry;
        r.register("requests", "Requests by how they were routed and answered", self.requests.clone());
        let help = "From the request to the head of its answer";
        r.register_with_unit("request", help, Unit::Seconds, self.request_seconds.clone());
        let help = "Prompts by the embedder that read them, and why it and not another";
        r.register("prompts_read", help, self.prompts.clone());
        let help = "From a text to its vector, the wait for the encoder included";
        r.register_with_unit("embed", help, Unit::Seconds, self.embed_seconds.clone());
        let help = "From a context to a decision";
        r.register_with_unit("decision", help, Unit::Seconds, self.decision_seconds.clone());
    }

    fn register_upstream(&mut self) {
        let r = &mut self.registry;
        r.register("attempts", "Calls to providers by how they ended", self.attempts.clone());
        let help = "From a call to its first content";
        r.register_with_unit("first_token", help, Unit::Seconds, self.first_token_seconds.clone());
        r.register("tokens", "Tokens as providers counted them", self.tokens.clone());
        r.register("cost_usd", "Spend in USD", self.cost_usd.clone());
    }

    fn register_learning(&mut self) {
        let r = &mut self.registry;
        r.register("feedback", "Reports by what became of them", self.feedback.clone());
        let help = "1 for a model that is worse than its route's default beyond doubt";
        r.register("arm_outclassed", help, self.outclassed.clone());
        r.register("store_queue", "Events that wait to be written", self.store_queue.clone());
        r.register("store_healthy", "1 while the log can be written", self.store_healthy.clone());
        let help = "Events lost to a full queue, a full or damaged disk";
        r.register("store_dropped_events", help, self.dropped_events.clone());
        r.register(
            "learner_applied_seq",
            "The last event that the learner applied",
            self.applied_seq.clone(),
        );
        r.register(
            "learner_lag_events",
            "Events in the log that it has not applied",
            self.learner_lag.clone(),
        );
        r.register("learner_set_aside_events", "Events that it could not use", self.set_aside.clone());
        let help = "How far a signal has moved, as a share of what raises an alarm";
        r.register("drift", help, self.drift.clone());
        r.register("drift_alarms", "Alarms since the log began", self.drift_alarms.clone());
        let help = "Condition of the quality regression";
        r.register("learner_condition", help, self.condition.clone());
        r.register(
            "tasks",
            "Tasks of the runtime: connections, requests, what runs behind",
            self.tasks.clone(),
        );
    }

    /// A request was answered.
    pub fn request(&self, end: &RequestEnd<'_>) {
        let route = self.known.route(end.route);
        let labels = RequestLabels {
            route: route.clone(),
            strategy: end.decided.map_or(NONE, |(strategy, _)| strategy.as_str()),
            reason: end.decided.map_or(NONE, |(_, reason)| reason.as_str()),
            status: status_class(end.status),
        };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&RouteLabel { route }).observe(end.took.as_secs_f64());
    }

    /// A call to a provider ended, or its answer began.
    pub fn attempt(&self, attempt: &Attempt) {
        let labels = AttemptLabels { arm: self.known.arm(&attempt.arm), end: attempt.end.as_str() };
        self.attempts.get_or_create(&labels).inc();
    }

    /// How many tasks the runtime has.
    pub fn tasks(&self, alive: usize) {
        self.tasks.set(i64::try_from(alive).unwrap_or(i64::MAX));
    }

    /// A model was asked a second time.
    pub fn retry(&self, arm: &ArmId) {
        self.upstreams.retry(self.known.arm(arm));
    }

    /// What a model's breaker does: 0 closed, 1 half-open, 2 open.
    pub fn breaker(&self, arm: &ArmId, state: i64) {
        self.upstreams.breaker(self.known.arm(arm), state);
    }

    /// What a provider says: calls in flight, and all second attempts refused so far.
    pub fn provider(&self, provider: &ProviderId, in_flight: usize, retries_refused_total: u64) {
        self.upstreams.provider(provider.as_str(), in_flight, retries_refused_total);
    }

    /// The holder of a key says that it sends a request again. Keys come from operators: there are few.
    pub fn client_retry(&self, key: &KeyId) {
        self.upstreams.client_retry(key.as_str());
    }

    /// The response cache was looked through: `hit` or `miss`.
    pub fn cache(&self, result: &'static str) {
        self.upstreams.cache(result);
    }

    /// What the response cache holds.
    pub fn cache_size(&self, entries: u64, bytes: u64) {
        self.upstreams.cache_size(entries, bytes);
    }

    /// A request or a connection was turned away.
    pub fn shed(&self, shed: Shed) {
        self.upstreams.shed(shed);
    }

    /// The first content came `ms` milliseconds after the call.
    pub fn first_token(&self, arm: &ArmId, ms: f64) {
        self.first_token_seconds.get_or_create(&ArmLabel { arm: self.known.arm(arm) }).observe(ms / 1000.0);
    }

    /// A completion used tokens; `cost_usd` as far as it is known.
    pub fn usage(&self, arm: &ArmId, usage: &Usage, cost_usd: Option<f64>) {
        let arm = self.known.arm(arm);
        let kinds = [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached_input", usage.cached_tokens),
            ("reasoning", usage.reasoning_tokens),
            ("cache_write", usage.cache_write_tokens),
        ];
        // Most calls use two kinds, and every look-up is a hash of the labels.
        for (kind, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
            self.tokens.get_or_create(&TokenLabels { arm: arm.clone(), kind }).inc_by(u64::from(tokens));
        }
        if let Some(cost) = cost_usd.filter(|c| c.is_finite() && *c >= 0.0) {
            self.cost_usd.get_or_create(&ArmLabel { arm }).inc_by(cost);
        }
    }

    /// A prompt was read by `embedder` (`none`: the wait was given up).
    pub fn embedded(&self, embedder: &'static str, reason: EmbedReason, took: Duration) {
        self.prompts.get_or_create(&EmbedLabels { embedder, reason: reason.as_str() }).inc();
        self.embed_seconds.observe(took.as_secs_f64());
    }

    /// A decision was taken.
    pub fn decided(&self, took: Duration) {
        self.decision_seconds.observe(took.as_secs_f64());
    }

    /// A report was answered.
    pub fn feedback(&self, result: FeedbackResult) {
        self.feedback.get_or_create(&ResultLabel { result: result.as_str() }).inc();
    }

    /// Whether an arm was found to be worse than its route's default beyond doubt.
    pub fn outclassed(&self, arm: &ArmId, is: bool) {
        self.outclassed.get_or_create(&ArmLabel { arm: self.known.arm(arm) }).set(i64::from(is));
    }

    /// What the store says: jobs that wait, all events lost so far, whether it can write.
    pub fn store(&self, queued: usize, dropped_total: u64, is_healthy: bool) {
        self.store_healthy.set(i64::from(is_healthy));
        self.store_queue.set(i64::try_from(queued).unwrap_or(i64::MAX));
        self.dropped_events.inner().fetch_max(dropped_total, Ordering::Relaxed);
    }

    /// What the learner says: the last event it applied, the last in the log, and all events set aside so far.
    pub fn learner(&self, applied: Seq, committed: Seq, set_aside_total: u64) {
        self.applied_seq.set(i64::try_from(applied.0).unwrap_or(i64::MAX));
        self.learner_lag.set(i64::try_from(committed.0.saturating_sub(applied.0)).unwrap_or(i64::MAX));
        self.set_aside.inner().fetch_max(set_aside_total, Ordering::Relaxed);
    }

    /// How far a signal of an arm (`None`: of the traffic) has moved, as a share of what raises an alarm.
    pub fn drift(&self, arm: Option<&ArmId>, signal: &'static str, share: f64) {
        let arm = arm.map_or_else(|| NONE.to_owned(), |arm| self.known.arm(arm));
        self.drift.get_or_create(&SignalLabels { arm, signal }).set(share);
    }

    /// Alarms since the log began.
    pub fn drift_alarms(&self, total: u64) {
        self.drift_alarms.inner().fetch_max(total, Ordering::Relaxed);
    }

    /// The condition of an arm's quality regression.
    pub fn condition(&self, arm: &ArmId, condition: f64) {
        self.condition.get_or_create(&ArmLabel { arm: self.known.arm(arm) }).set(condition);
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be encoded");
                "# EOF\n".to_owned()
            }
        }
    }
}

fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests;
