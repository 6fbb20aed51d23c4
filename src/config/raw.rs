//! The file as written: every key that there is, with its line, not yet checked against the others.

mod calls;
mod experiments;
mod models;
mod server;

use super::read::{At, Place, Section};
use crate::domain::BudgetLimits;

pub(super) use calls::{RawCalls, RawHedge, RawRetry, RawTimeouts};
pub(super) use experiments::RawExperiment;
pub(super) use models::{RawLongPrice, RawModel, RawPrice, RawPrior};
pub(super) use server::{RawServer, RawTls};

/// The longest time that any key takes: one day.
const DAY_MS: u64 = 86_400_000;

/// The file.
pub(super) struct RawConfig {
    pub(super) schema_version: Option<At<u64>>,
    pub(super) server: RawServer,
    pub(super) store: RawStore,
    pub(super) embedder: RawEmbedder,
    pub(super) learning: RawLearning,
    pub(super) judge: Option<RawJudge>,
    pub(super) cache: Option<RawCache>,
    pub(super) providers: Vec<RawProvider>,
    pub(super) models: Vec<RawModel>,
    pub(super) routes: Vec<RawRoute>,
    pub(super) budgets: Vec<(String, RawBudget)>,
    pub(super) experiments: Vec<RawExperiment>,
}

impl RawConfig {
    pub(super) fn read(root: &mut Section<'_>) -> Self {
        let raw = Self {
            schema_version: root.whole("schema_version", 0, u64::MAX),
            server: RawServer::read(root.section("server")),
            store: RawStore::read(root.section("store")),
            embedder: RawEmbedder::read(root.section("embedder")),
            learning: RawLearning::read(root.section("learning")),
            judge: RawJudge::read(root.section("judge")),
            cache: RawCache::read(root.section("cache")),
            providers: root.named_sections("providers").into_iter().map(RawProvider::read).collect(),
            models: root.named_sections("models").into_iter().map(RawModel::read).collect(),
            routes: root.named_sections("routes").into_iter().map(RawRoute::read).collect(),
            budgets: root
                .named_sections("budgets")
                .into_iter()
                .map(|(n, s)| (n, RawBudget::read(s)))
                .collect(),
            experiments: root.named_sections("experiments").into_iter().map(RawExperiment::read).collect(),
        };
        root.finish();
        raw
    }
}

pub(super) struct RawStore {
    pub(super) url: Option<At<String>>,
    pub(super) store_prompts: Option<At<String>>,
}

impl RawStore {
    pub(super) fn read(mut keys: Section<'_>) -> Self {
        keys.misplaced("path", "unknown key; write the path as `url = \"sqlite:PATH\"`");
        let raw = Self { url: keys.text("url"), store_prompts: keys.text("store_prompts") };
        keys.finish();
        raw
    }
}

pub(super) struct RawEmbedder {
    pub(super) kind: Option<At<String>>,
    pub(super) weights: Option<At<String>>,
    pub(super) deadline_ms: Option<At<u64>>,
    pub(super) threads: Option<At<u64>>,
    pub(super) max_tokens: Option<At<u64>>,
    pub(super) queue: Option<At<u64>>,
    pub(super) cache_entries: Option<At<u64>>,
}

impl RawEmbedder {
    fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            kind: keys.text("kind"),
            weights: keys.text("weights"),
            deadline_ms: keys.whole("deadline_ms", 1, 60_000),
            threads: keys.whole("threads", 1, 256),
            max_tokens: keys.whole("max_tokens", 16, 512),
            queue: keys.whole("queue", 1, 100_000),
            cache_entries: keys.whole("cache_entries", 0, 10_000_000),
        };
        keys.finish();
        raw
    }
}

pub(super) struct RawLearning {
    pub(super) publish_every_events: Option<At<u64>>,
    pub(super) publish_within_ms: Option<At<u64>>,
    pub(super) checkpoint_every_events: Option<At<u64>>,
    pub(super) feedback_window_hours: Option<At<u64>>,
    pub(super) key_share: Option<At<f64>>,
    pub(super) key_trust: Option<At<bool>>,
    pub(super) implicit: Option<At<bool>>,
}

impl RawLearning {
    fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            publish_every_events: keys.whole("publish_every_events", 1, 1_000_000),
            publish_within_ms: keys.whole("publish_within_ms", 1, DAY_MS),
            checkpoint_every_events: keys.whole("checkpoint_every_events", 1, 10_000_000),
            feedback_window_hours: keys.whole("feedback_window_hours", 0, 876_000),
            key_share: keys.number("key_share"),
            key_trust: keys.flag("key_trust"),
            implicit: keys.flag("implicit"),
        };
        keys.finish();
        raw
    }
}

pub(super) struct RawJudge {
    pub(super) place: Place,
    pub(super) model: Option<At<String>>,
    pub(super) share: Option<At<f64>>,
    pub(super) usd_per_day: Option<At<f64>>,
}

impl RawJudge {
    fn read(mut keys: Section<'_>) -> Option<Self> {
        let raw = keys.is_present().then(|| Self {
            place: keys.place().clone(),
            model: keys.text("model"),
            share: keys.number("share"),
            usd_per_day: keys.number("usd_per_day"),
        });
        keys.finish();
        raw
    }
}

pub(super) struct RawCache {
    pub(super) ttl_s: Option<At<u64>>,
    pub(super) max_mib: Option<At<u64>>,
}

impl RawCache {
    fn read(mut keys: Section<'_>) -> Option<Self> {
        let raw = keys.is_present().then(|| Self {
            ttl_s: keys.whole("ttl_s", 1, 30 * DAY_MS / 1000),
            max_mib: keys.whole("max_mib", 1, 1 << 20),
        });
        keys.finish();
        raw
    }
}

pub(super) struct RawProvider {
    pub(super) id: String,
    pub(super) place: Place,
    pub(super) format: Option<At<String>>,
    pub(super) base_url: Option<At<String>>,
    pub(super) api_key_env: Option<At<String>>,
    pub(super) headers: Vec<(String, At<String>)>,
    pub(super) auth_header: Option<At<String>>,
    pub(super) path: Option<At<String>>,
    pub(super) query: Vec<(String, At<String>)>,
    pub(super) ca_file: Option<At<String>>,
    pub(super) allow_link_local: Option<At<bool>>,
    pub(super) max_in_flight: Option<At<u64>>,
    pub(super) retry_budget: Option<At<f64>>,
    pub(super) calls: RawCalls,
}

impl RawProvider {
    fn read((id, mut keys): (String, Section<'_>)) -> Self {
        keys.misplaced(
            "api_key",
            "keys are never written in this file; put it into an environment variable and name that in `api_key_env`",
        );
        let raw = Self {
            id,
            place: keys.place().clone(),
            format: keys.text("format"),
            base_url: keys.text("base_url"),
            api_key_env: keys.text("api_key_env"),
            headers: keys.named_texts("headers"),
            auth_header: keys.text("auth_header"),
            path: keys.text("path"),
            query: keys.named_texts("query"),
            ca_file: keys.text("ca_file"),
            allow_link_local: keys.flag("allow_link_local"),
            max_in_flight: keys.whole("max_in_flight", 1, 1_000_000),
            retry_budget: keys.number("retry_budget"),
            calls: RawCalls::read(&mut keys),
        };
        keys.finish();
        raw
    }
}

pub(super) struct RawWeights {
    pub(super) place: Place,
    pub(super) quality: Option<At<f64>>,
    pub(super) cost: Option<At<f64>>,
    pub(super) latency: Option<At<f64>>,
}

impl RawWeights {
    fn read(mut keys: Section<'_>) -> Option<Self> {
        let raw = keys.is_present().then(|| Self {
            place: keys.place().clone(),
            quality: keys.number("quality"),
            cost: keys.number("cost"),
            latency: keys.number("latency"),
        });
        keys.finish();
        raw
    }
}

pub(super) struct RawValue {
    pub(super) place: Place,
    pub(super) quality_usd: Option<At<f64>>,
    pub(super) second_usd: Option<At<f64>>,
}

impl RawValue {
    fn read(mut keys: Section<'_>) -> Option<Self> {
        let raw = keys.is_present().then(|| Self {
            place: keys.place().clone(),
            quality_usd: keys.number("quality_usd"),
            second_usd: keys.number("second_usd"),
        });
        keys.finish();
        raw
    }
}

pub(super) struct RawExploration {
    pub(super) max_expected_loss: Option<At<f64>>,
    pub(super) floor: Option<At<f64>>,
    pub(super) share: Option<At<f64>>,
}

impl RawExploration {
    fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            max_expected_loss: keys.number("max_expected_loss"),
            floor: keys.number("floor"),
            share: keys.number("share"),
        };
        keys.finish();
        raw
    }
}

pub(super) struct RawSession {
    pub(super) pin: Option<At<bool>>,
    pub(super) switch_margin: Option<At<f64>>,
    pub(super) ttl_s: Option<At<u64>>,
}

impl RawSession {
    fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            pin: keys.flag("pin"),
            switch_margin: keys.number("switch_margin"),
            ttl_s: keys.whole("ttl_s", 1, 7 * DAY_MS / 1000),
        };
        keys.finish();
        raw
    }
}

/// A budget; the limits are in the order of [`BudgetLimits::FIELDS`].
pub(super) struct RawBudget {
    pub(super) place: Place,
    pub(super) is_present: bool,
    pub(super) limits: [Option<At<f64>>; 4],
}

impl RawBudget {
    fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            place: keys.place().clone(),
            is_present: keys.is_present(),
            limits: BudgetLimits::FIELDS.map(|field| keys.number(field)),
        };
        keys.finish();
        raw
    }
}

pub(super) struct RawRoute {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) models: Option<At<Vec<At<String>>>>,
    pub(super) default: Option<At<String>>,
    pub(super) strategy: Option<At<String>>,
    pub(super) shares: Vec<(String, At<f64>)>,
    pub(super) weights: Option<RawWeights>,
    pub(super) value: Option<RawValue>,
    pub(super) max_cost_usd: Option<At<f64>>,
    pub(super) max_latency_ms: Option<At<f64>>,
    pub(super) min_quality: Option<At<f64>>,
    pub(super) exploration: RawExploration,
    pub(super) budget: RawBudget,
    pub(super) session: RawSession,
    pub(super) retire: Option<At<String>>,
    pub(super) cache: Option<At<bool>>,
    pub(super) calls: RawCalls,
    pub(super) hedge: RawHedge,
}

impl RawRoute {
    fn read((name, mut keys): (String, Section<'_>)) -> Self {
        keys.unsupported("rules", "remove the rules; make a route of its own for each group of callers");
        let raw = Self {
            name,
            place: keys.place().clone(),
            models: keys.texts("models"),
            default: keys.text("default"),
            strategy: keys.text("strategy"),
            shares: keys.named_numbers("shares"),
            weights: RawWeights::read(keys.section("weights")),
            value: RawValue::read(keys.section("value")),
            max_cost_usd: keys.number("max_cost_usd"),
            max_latency_ms: keys.number("max_latency_ms"),
            min_quality: keys.number("min_quality"),
            exploration: RawExploration::read(keys.section("exploration")),
            budget: RawBudget::read(keys.section("budget")),
            session: RawSession::read(keys.section("session")),
            retire: keys.text("retire"),
            cache: keys.flag("cache"),
            calls: RawCalls::read(&mut keys),
            hedge: RawHedge::read(keys.section("hedge")),
        };
        keys.finish();
        raw
    }
}
