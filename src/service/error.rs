//! What can go wrong in a use case. No status codes here: `http` maps these.

use super::{BudgetDenied, RateDenied};
use crate::dispatch::Refused;
use crate::domain::{Attempt, DecisionId, EmptyArmSet};
use crate::provider::ProviderError;
use crate::store::StoreError;
use crate::wire::WireError;

/// Why a use case has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The body is not of the format.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A field of ours is wrong.
    #[error("{param}: {message}")]
    InvalidField {
        /// Path of the field.
        param: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// No route and no arm has that name.
    #[error("no route or model is called {model:?}; there are: {known}")]
    UnknownModel {
        /// What was asked for.
        model: String,
        /// Some of what there is.
        known: String,
    },
    /// The caller's key is for other routes.
    #[error("this key may not ask for {model:?}; GET /v1/models lists what it may")]
    NotAllowed {
        /// The field that names it.
        param: &'static str,
        /// What was asked for.
        model: String,
    },
    /// The caller's key has used up what a minute allows.
    #[error("this key is limited to {limit} {kind} per minute; try again in {wait} s",
        limit = .0.limit, kind = .0.kind.as_str(), wait = .0.wait_ms.div_ceil(1000))]
    RateLimited(RateDenied),
    /// A budget cannot pay for any model that could serve.
    #[error("{scope} has ${left:.6} left of its ${limit} for the {period} and cannot pay for this request; it is full again in {wait} s",
        scope = .0.scope, left = .0.denied.left_usd, limit = .0.denied.limit_usd, period = .0.denied.period.as_str(),
        wait = .0.resets_in_ms.div_ceil(1000))]
    BudgetExceeded(Box<BudgetDenied>),
    /// Nobody can serve the request.
    #[error(transparent)]
    NoEligibleArm(#[from] EmptyArmSet),
    /// Everybody who was asked failed.
    #[error("no model answered: {cause}")]
    Upstream {
        /// Of which decision.
        decision: DecisionId,
        /// All calls in order.
        attempts: Vec<Attempt>,
        /// The last failure.
        cause: Box<ProviderError>,
    },
    /// Nobody was asked: breakers are open, providers asked to wait, or have as many calls in flight as they may.
    #[error("no model can be asked now")]
    NobodyAsked {
        /// Of which decision.
        decision: DecisionId,
        /// Why, and until when.
        refused: Refused,
    },
    /// The answer broke off after its first content.
    #[error("the answer broke off: {cause}")]
    StreamCut {
        /// Of which decision.
        decision: DecisionId,
        /// What broke.
        cause: Box<ProviderError>,
    },
    /// No such decision, or another key's.
    #[error("no decision or completion has the id {0:?}")]
    UnknownDecision(String),
    /// The idempotency key was used with another body.
    #[error("the idempotency_key was already used with another body")]
    FeedbackConflict,
    /// The report came after the feedback window.
    #[error("the decision is older than the feedback window: reports on it are closed")]
    FeedbackClosed,
    /// The encoder did not answer (only where a vector is the answer).
    #[error("the encoder is busy")]
    EncoderBusy,
    /// There are no vectors here.
    #[error(
        "no encoder runs here: with embedder.kind = \"student\" there are no vectors; set it to \"adaptive\""
    )]
    NoEncoder,
    /// The disk or the database refuses; nothing was kept.
    #[error("the store is not available")]
    Store(#[source] StoreError),
}

impl ServiceError {
    /// A field of ours that is wrong.
    pub fn invalid(param: impl Into<String>, message: impl ToString) -> Self {
        Self::InvalidField { param: param.into(), message: message.to_string() }
    }
}
