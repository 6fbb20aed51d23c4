//! Policies: from a context and eligible arms to a distribution over the arms.
//!
//! A policy returns a **distribution** and never draws; [`explore::draw`] is the one place where a uniform number becomes an arm,
//! so the propensity is exact and always belongs to what was drawn from. Nothing here awaits, reads a clock or makes a random
//! number: time and the uniform draw are handed in. Nothing here knows of HTTP, files or configuration.
//!
//! The learner is the mutable half: [`Learner::apply`] folds observations into state, [`Learner::freeze`] makes the immutable
//! [`Policy`] that requests read. The same observations in the same order give the same bits.

pub mod budget;
pub mod drift;
pub mod explore;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod heads;
pub mod learned;
mod nursery;
pub mod prior;
pub mod reporters;
pub mod simple;
pub mod utility;

use std::sync::Arc;

pub use learned::{ArmReport, Checkup, LearnedPolicy, LearnedState, Settings, StateError};
pub use nursery::LONG_ENOUGH as GRADUATES_AT;
pub use prior::{LevelPrior, Prior};
pub use reporters::{GuardSettings, Provenance, Reporters};
pub use simple::SimplePolicy;

use crate::domain::{
    Allowance, AnswerKind, Arm, ArmDistribution, ArmEstimate, ArmId, ArmPrior, Bound, Constraints, Context,
    ContextError, DistributionError, PolicyVersion, Preference, Price, Replaced, Strategy, UnixMs,
};

/// What a policy is asked. All borrowed: a decision allocates only its answer.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The features; `None` when the encoder failed (learned policies then refuse, simple ones do not care).
    pub context: Option<&'a Context>,
    /// Eligible arms, sorted by id, at least one.
    pub arms: &'a [&'a Arm],
    /// The route's default arm: the unit in which weights measure cost and latency. It may be ineligible.
    pub reference: &'a Arm,
    /// What the caller wants.
    pub preference: &'a Preference,
    /// What must hold, as far as it can.
    pub constraints: &'a Constraints,
    /// Estimated input tokens.
    pub input_tokens: u32,
    /// The caller's bound on the answer.
    pub max_output_tokens: Option<u32>,
    /// How many requests the route has seen; round robin goes by it.
    pub turn: u64,
    /// The time, for estimates that age.
    pub at: UnixMs,
    /// How much may be given up to learn.
    pub exploration: Exploration,
    /// What its budgets allow.
    pub allowance: Allowance,
    /// What a conversation's model has of it in its provider's cache.
    pub cached: Option<Cached<'a>>,
}

/// Input that one arm would read from its provider's cache and every other would be charged for in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached<'a> {
    /// Which arm.
    pub arm: &'a ArmId,
    /// Tokens.
    pub tokens: u32,
}

/// How much a route gives up to learn; its bound holds for every single request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exploration {
    /// Highest expected loss of utility per request against the best arm, on the quality scale; 0: pure greedy.
    pub max_expected_loss: f64,
    /// Probability that an eligible arm keeps, before it is scaled down by its cost.
    pub floor: f64,
    /// Highest probability of drawing any arm but the best; 0: pure greedy, 1: bounded by the loss alone.
    pub share: f64,
}

impl Exploration {
    /// Whether only the best arm may be drawn.
    pub fn is_greedy(&self) -> bool {
        self.max_expected_loss <= 0.0 || self.share <= 0.0
    }

    /// What a route has unless told otherwise; measured, see training/README.md.
    pub const DEFAULT: Self = Self { max_expected_loss: 0.02, floor: 0.005, share: 1.0 };
    /// Always the best arm: for tool loops and for callers who want none.
    pub const NONE: Self = Self { max_expected_loss: 0.0, floor: 0.0, share: 0.0 };
}

/// What a policy answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Over the eligible arms.
    pub distribution: ArmDistribution,
    /// The best arm.
    pub greedy: ArmId,
    /// Best utility first; empty for strategies that estimate nothing.
    pub estimates: Vec<ArmEstimate>,
    /// Bounds that no eligible arm meets and that were given up; simple strategies heed none.
    pub relaxed: Vec<Bound>,
}

/// Why a policy has no answer. The caller then serves the route's default.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// The prompt was not embedded.
    #[error("the request has no context")]
    NoContext,
    /// The context is of another schema.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The arithmetic went wrong.
    #[error("no valid distribution: {0}")]
    Distribution(#[from] DistributionError),
    /// No eligible arm is one that the strategy is configured for.
    #[error("strategy {0} has no eligible arm")]
    NoArm(&'static str),
}

/// A typical call of an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Typical {
    /// Expected cost, USD.
    pub cost_usd: f64,
    /// Median of the total latency.
    pub latency_ms: f64,
}

/// How an arm stands with the learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is new and keeps to its share of the traffic until enough has been heard of it.
    Nursery,
    /// As good as it is.
    Steady,
    /// Configured no more.
    Removed,
}

impl Standing {
    /// The name used in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nursery => "nursery",
            Self::Steady => "steady",
            Self::Removed => "removed",
        }
    }
}

/// An immutable policy; requests share it by `Arc`.
pub trait Policy: Send + Sync + std::fmt::Debug {
    /// Which one it is; stands in every decision it takes.
    fn version(&self) -> &PolicyVersion;

    /// Of which kind.
    fn strategy(&self) -> Strategy;

    /// Whether it needs a context; if not, the prompt is not embedded for it.
    fn wants_context(&self) -> bool;

    /// What a typical call of `arm` comes to, without a look at the prompt; `None` when the policy keeps no account of arms.
    fn typical(&self, _arm: &Arm, _input_tokens: u32, _at: UnixMs) -> Option<Typical> {
        None
    }

    /// How the learner behind it is; `None` when there is none.
    fn checkup(&self) -> Option<Checkup> {
        None
    }

    /// How many alarms that learner has raised since the log began.
    fn alarms_raised(&self) -> u64 {
        0
    }

    /// How an arm stands with the learner; `None`: it has never heard of it, or there is no learner.
    fn standing(&self, _arm: &ArmId) -> Option<Standing> {
        None
    }

    /// Every arm that the learner has heard of and that was not removed, and the quality reports on it.
    fn present(&self) -> Vec<(ArmId, u64)> {
        Vec::new()
    }

    /// Who reports and how far they are believed; `None` when the policy does not learn from reports.
    fn reporters(&self) -> Option<&Reporters> {
        None
    }

    /// The distribution for this ask.
    ///
    /// # Errors
    /// When it has no answer; the caller serves the route's default arm and records why.
    fn propose(&self, ask: &Ask<'_>) -> Result<Proposal, PolicyError>;
}

/// What a call cost, and what it could be expected to cost by the arm's price of that time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bill {
    /// USD.
    pub cost_usd: f64,
    /// The price when the arm was drawn.
    pub price: Price,
    /// Input tokens as estimated when the arm was drawn.
    pub asked_tokens: u32,
    /// Share of the input that was read from the provider's cache, in [0, 1]; `None`: unknown.
    pub cached_share: Option<f64>,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Contender<'a> {
    /// The arm that answered.
    pub arm: &'a ArmId,
    /// The prompt's features.
    pub context: &'a Context,
    /// The arm's clock, from 1.
    pub tick: u64,
}

/// Something to learn from: an event joined with its decision.
#[derive(Debug, Clone, Copy)]
pub enum Observation<'a> {
    /// A quality report on an arm's answer.
    Quality {
        /// The arm that answered.
        arm: &'a ArmId,
        /// The prompt's features.
        context: &'a Context,
        /// Quality in [0, 1].
        value: f64,
        /// Precision: the reporter's weight over the source's noise variance, relative to a source of variance 0.04.
        weight: f64,
        /// The arm's clock, from 1; see [`crate::domain::Feedback::tick`].
        tick: u64,
        /// Set when this takes back an earlier report of the same tick; its `weight` is a precision too.
        replaces: Option<Replaced>,
        /// Where it comes from.
        from: Provenance<'a>,
    },
    /// Two answers were compared.
    Compared {
        /// The two.
        sides: [Contender<'a>; 2],
        /// 1: the first is preferred, 0: the second, 0.5: a tie.
        score: f64,
        /// As for a report.
        weight: f64,
        /// Set when this takes back an earlier comparison of the same ticks.
        replaces: Option<Replaced>,
        /// Where it comes from.
        from: Provenance<'a>,
    },
    /// An arm was drawn for a prompt.
    Asked {
        /// The prompt's features.
        context: &'a Context,
        /// When.
        at: UnixMs,
    },
    /// A call ended with an answer.
    Answered {
        /// The arm that answered.
        arm: &'a ArmId,
        /// The prompt's features; `None`: only the latency and failure heads learn.
        context: Option<&'a Context>,
        /// As the provider counted.
        input_tokens: u32,
        /// As the provider counted; `None`: unknown.
        output_tokens: Option<u32>,
        /// What it cost; `None`: unknown.
        bill: Option<Bill>,
        /// Whether it was an answer at all; `None`: unknown.
        kind: Option<AnswerKind>,
        /// To the first content, milliseconds; `None`: not observed.
        first_token_ms: Option<f64>,
        /// To the last token, milliseconds; `None`: not observed.
        total_ms: Option<f64>,
        /// When.
        at: UnixMs,
    },
    /// An arm joined, or came back.
    Added {
        /// Which.
        arm: &'a ArmId,
        /// What it starts from.
        prior: &'a ArmPrior,
    },
    /// An arm went.
    Removed {
        /// Which.
        arm: &'a ArmId,
    },
    /// A call failed for the arm's fault.
    Failed {
        /// The arm that was called.
        arm: &'a ArmId,
        /// When.
        at: UnixMs,
    },
}

/// Why an observation was set aside. State is as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LearnError {
    /// The context is of another schema.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A number is not finite or out of range.
    #[error("{field} is {value}")]
    BadNumber {
        /// Which.
        field: &'static str,
        /// What it is.
        value: f64,
    },
    /// A revision of a report that is so old that nobody knows what it gave.
    #[error("the report of tick {tick} is too old to be revised")]
    TooOld {
        /// Of which tick.
        tick: u64,
    },
}

/// State that is folded from observations; owned by one actor.
pub trait Learner: Send {
    /// Folds one observation in.
    ///
    /// # Errors
    /// When the observation is not usable; nothing has changed then.
    fn apply(&mut self, observation: &Observation<'_>) -> Result<(), LearnError>;

    /// An immutable policy of this state. Cheap: arms that have not changed are shared.
    fn freeze(&self, version: PolicyVersion) -> Arc<dyn Policy>;

    /// Goes on from a bundle's state, as [`Self::to_bytes`] wrote it.
    ///
    /// # Errors
    /// Why it cannot; nothing has changed then.
    fn adopt(&mut self, _state: &[u8]) -> Result<(), String> {
        Err("this learner takes no bundle".to_owned())
    }

    /// Another learner that goes on from a bundle's state, under this one's settings of trust; this one stays as it is.
    ///
    /// # Errors
    /// Why there cannot be one.
    fn successor(&self, _state: &[u8]) -> Result<Box<dyn Learner>, String> {
        Err("this learner takes no bundle".to_owned())
    }

    /// The whole state; equal states give equal bytes.
    fn to_bytes(&self) -> Vec<u8>;
}
