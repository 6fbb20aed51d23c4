//! What happened after a decision: attempts, usage, cost, times.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ArmId, DecisionId, UnixMs};

/// Tokens as the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens, those read from a cache or written to one included.
    pub input_tokens: u32,
    /// All output tokens, reasoning included.
    pub output_tokens: u32,
    /// Input tokens read from the provider's cache.
    #[serde(default)]
    pub cached_tokens: u32,
    /// Output tokens spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u32,
    /// Input tokens written to the provider's cache.
    #[serde(default)]
    pub cache_write_tokens: u32,
}

/// How one attempt at one arm ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// An answer came, whole or as the start of a stream.
    Answered,
    /// No connection, or it broke before the answer.
    Connect,
    /// Connected, but no first byte in time.
    FirstByteTimeout,
    /// The total time ran out before the first content.
    TotalTimeout,
    /// The provider limits our rate (429).
    RateLimited,
    /// The provider failed (5xx).
    ServerError,
    /// The provider refuses the request itself (400, 413, 422): another arm would be asked the same.
    BadRequest,
    /// The provider refuses our key (401, 403).
    Credentials,
    /// What came is no answer of the format.
    Malformed,
    /// Another arm, asked at the same time, was faster: the call was given up.
    Cancelled,
}

impl AttemptEnd {
    /// Whether it counts against the arm's reliability; a request that is wrong in itself does not.
    pub fn is_arm_failure(self) -> bool {
        !matches!(self, Self::Answered | Self::BadRequest | Self::Cancelled)
    }

    /// The name used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Connect => "connect",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::BadRequest => "bad_request",
            Self::Credentials => "credentials",
            Self::Malformed => "malformed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One call of one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Who was called.
    pub arm: ArmId,
    /// How it ended.
    pub end: AttemptEnd,
    /// The provider's status, when one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Milliseconds from the call to its end, for an answer to its first content.
    pub ms: f64,
    /// USD that a call which was given up is taken to have cost; what the serving one costs is told of the completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// How a completion ended as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionEnd {
    /// The whole answer went out.
    Complete,
    /// Every attempt failed; the client got an error.
    Failed,
    /// The client left.
    ClientAborted,
    /// The stream broke after the first content.
    UpstreamCut,
    /// The stream fell silent after the first content.
    UpstreamIdle,
    /// The caller made the call itself and reported it with feedback.
    Reported,
}

/// What kind of answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// Text, a tool call, or whatever else was asked for.
    Full,
    /// Nothing at all.
    Empty,
    /// The model, or its provider's filter, declined.
    Refused,
}

/// Who counted what a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The provider named the cost itself.
    Provider,
    /// The provider's tokens at the price table.
    Table,
    /// Our own estimate of the tokens at the price table: the answer broke off before its usage came.
    Estimate,
    /// Nobody was called: the answer came from the response cache.
    Cache,
}

impl Basis {
    /// The name used in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Table => "table",
            Self::Estimate => "estimate",
            Self::Cache => "cache",
        }
    }
}

/// How a call was billed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Billing {
    /// Version of the price table in force: day of the built-in catalog and a hash of what the configuration makes of it.
    pub prices: Arc<str>,
    /// Who counted; `None`: the cost is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// USD that budgets had set aside; `None`: no budget applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_usd: Option<f64>,
    /// USD that it counts as spent: the cost, with calls that were given up; what was expected where the cost is not known.
    pub settled_usd: f64,
}

/// What became of a decision; exactly one for each decision that called somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    /// Of which decision.
    pub decision: DecisionId,
    /// When it ended.
    pub at: UnixMs,
    /// Who answered; `None` when nobody did.
    pub served: Option<ArmId>,
    /// The provider's id of the answer, accepted wherever a decision id is.
    pub completion_id: Option<String>,
    /// How it ended.
    pub end: CompletionEnd,
    /// Tokens, as far as known; of an answer that broke off our own estimate.
    pub usage: Option<Usage>,
    /// Cost in USD, as far as known: the provider's own figure when it gives one, else usage times price.
    pub cost_usd: Option<f64>,
    /// Milliseconds from the serving attempt's start to its first content.
    pub first_token_ms: Option<f64>,
    /// Milliseconds from the serving attempt's start to its end.
    pub total_ms: f64,
    /// The provider's finish reason.
    pub finish_reason: Option<String>,
    /// All calls in order.
    pub attempts: Vec<Attempt>,
    /// What kind of answer came; `None`: nobody looked, or it did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AnswerKind>,
    /// How it was billed; `None` on rows of earlier versions, and where the caller made the call itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<Billing>,
}

impl CompletionEnd {
    /// The name used in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::ClientAborted => "client_aborted",
            Self::UpstreamCut => "upstream_cut",
            Self::UpstreamIdle => "upstream_idle",
            Self::Reported => "reported",
        }
    }
}

impl Completed {
    /// USD that calls which were given up for a faster one are taken to have cost.
    pub fn given_up_usd(&self) -> f64 {
        self.attempts.iter().filter_map(|attempt| attempt.cost_usd).sum()
    }
}
