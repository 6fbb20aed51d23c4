//! The use cases, each a page: choose, complete, feedback, inspect, embed.
//!
//! This is where ids and timestamps are made. It knows neither status codes nor header names (`http` does), nor SQL, nor vendors'
//! formats. Nothing on the path of a request waits for the learner or the disk: a decision goes into the store's queue, the
//! policy is an `Arc` taken once.

mod access;
mod account;
mod cache;
mod canary;
mod choose;
mod clock;
mod complete;
mod embeddings;
mod error;
mod feedback;
mod fleet;
mod implicit;
mod inspect;
mod judge;
mod keys;
mod live;
mod models;
mod order;
mod pay;
mod policies;
mod rates;
mod reading;
mod retire;
mod sessions;
mod spend;
mod stream;
mod upstreams;
mod wishes;

use std::sync::Arc;

use crate::dispatch::Health;
use crate::learning::LearningHandle;
use crate::store::Store;
use crate::telemetry::Metrics;

pub use cache::{CacheControl, CacheOutcome, CacheSettings, ResponseCache};
pub use choose::{RankedArm, RouteAnswer};
pub use clock::now;
pub use complete::{Answer, Answering, Begun, Head, Refusal, WholeAnswer};
pub use embeddings::{EMBEDDING_MODEL, EmbeddedText};
pub use error::ServiceError;
pub use feedback::{Reported, Subject};
pub use fleet::{Chooser, Destination, Fleet, FleetError, LiveRoute, SimpleChooser};
pub use implicit::Implicit;
pub use inspect::{DecisionView, Readiness, Reporting, reference, view};
pub use judge::{Judge, JudgeSettings, JudgeView, start as start_judge};
pub use keys::{KeyChange, KeyError, KeyOrder, KeyOrderError, KeyView, make_key};
pub use live::{ConfigFault, Live, NotReloaded, ReloadOrder, Reloaded};
pub use models::{Configured, ModelHealth, ModelReport, Nursery, Outclassed};
pub use policies::{PoliciesView, PolicyChangeError, before};
pub use rates::{Held, Meter, RateDenied, RateKind, RateStanding, Rates};
pub use reading::{Reader, Reading};
pub use retire::Watch;
pub use sessions::Sessions;
pub use spend::{
    BudgetClock, BudgetDenied, BudgetPlan, BudgetView, Grouping, ReplaySource, Spend, Stats, StatsLine,
    Totals,
};
pub use stream::{AnswerStream, Piece};
pub use wishes::{Caller, Wishes};

/// Everything the use cases need, under one configuration; shared by `Arc`. What must outlive a change of the configuration is behind
/// an `Arc` of its own.
pub struct Service {
    /// Arms, providers, routes.
    pub fleet: Fleet,
    /// The event log.
    pub store: Store,
    /// Prompt to context.
    pub reader: Arc<Reader>,
    /// The learner's side that requests see.
    pub learning: Arc<LearningHandle>,
    /// Which arms are failing.
    pub health: Arc<Health>,
    /// Which model each conversation is on.
    pub sessions: Arc<Sessions>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Budgets, reservations, and the account of what was spent.
    pub spend: Arc<Spend>,
    /// Requests and tokens per minute of client keys.
    pub rates: Arc<Rates>,
    /// Answers that were given before, when the operator wants them kept.
    pub cache: Option<Arc<ResponseCache>>,
    /// How much of a prompt the log keeps.
    pub keep_prompts: KeepPrompts,
    /// How long after a decision reports on it are taken; `None`: for ever.
    pub feedback_within_ms: Option<i64>,
    /// Reports from behaviour; `None` unless the operator wants them.
    pub implicit: Option<Arc<Implicit>>,
    /// The sampled judge, when there is one.
    pub judge: Option<Arc<Judge>>,
}

/// How much of a prompt the log keeps beside its features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepPrompts {
    /// Nothing.
    #[default]
    None,
    /// The first 200 characters of the last user message.
    Preview,
    /// The last user message.
    Full,
}

impl KeepPrompts {
    /// What of `ask` is kept.
    fn of(self, ask: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Preview => Some(ask.chars().take(200).collect()),
            Self::Full => Some(ask.to_owned()),
        }
    }
}
