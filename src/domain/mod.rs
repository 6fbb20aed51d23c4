//! The words of the field as plain values: no I/O, no clock, no randomness, and no import from any other module.
//!
//! Everything may import this module; it imports nothing of ours. A value that exists here is valid: constructors check.

mod arm;
mod budget;
mod context;
mod decision;
mod event;
mod experiment;
mod feedback;
mod hex;
mod ids;
mod outcome;
mod preference;
mod price;
mod prior;
mod prompt;
mod rate;
mod session;
mod units;

pub use arm::{Arm, Capability, CapabilitySet, Catalog, Limits, PriceSource};
pub use budget::{Allowance, BudgetLimits, BudgetRecord, BudgetScope, LimitError, Multiplier, Period};
pub use context::{Context, ContextError, Cut, Encoding, FeatureSchema};
pub use decision::{
    ArmDistribution, ArmEstimate, ArmSet, Decision, DistributionError, EmptyArmSet, Estimate, Excluded,
    Exclusion, LatencyEstimate, Reason, Strategy,
};
pub use event::{AdminEvent, Event, EventBody};
pub use experiment::{
    CanaryGuard, CanaryGuards, Experiment, ExperimentEnd, ExperimentError, Stage, Trial, share_of,
};
pub use feedback::{
    Episode, Feedback, FeedbackError, FeedbackRef, Instrument, Judged, Overlap, Replaced, Source, Verdict,
    Versus,
};
pub use hex::hex;
pub use ids::{
    ArmId, DecisionId, ExperimentName, FeedbackId, IdError, KeyId, PolicyVersion, ProviderId, RouteName, Seq,
};
pub use outcome::{AnswerKind, Attempt, AttemptEnd, Basis, Billing, Completed, CompletionEnd, Usage};
pub use preference::{Bound, Constraints, Preference, PreferenceError, Weights};
pub use price::{LongPrice, Price};
pub use prior::{ArmPrior, RatedSums};
pub use prompt::Prompt;
pub use rate::RateLimits;
pub use session::Pin;
pub use units::UnixMs;
