//! Sets of arms, distributions over them, and the decision: one draw, with everything needed to replay and explain it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    ArmId, Bound, BudgetRecord, Capability, Constraints, Context, DecisionId, Encoding, KeyId, Pin,
    PolicyVersion, Preference, Price, RouteName, Trial, UnixMs,
};

/// Why an arm was not eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// The request and its answer do not fit.
    ContextWindow,
    /// The caller wants a longer answer than the arm gives.
    OutputLimit,
    /// The request needs what the arm lacks.
    Capability(Capability),
    /// The caller's `models` patterns leave it out.
    CallerModels,
    /// It is being taken out of service: only conversations that are on it go on.
    Draining,
    /// Its provider is failing.
    Unhealthy,
    /// A budget cannot pay for it.
    Budget,
    /// Its provider asked to wait.
    RateLimited,
    /// Its provider has as many calls in flight as it may.
    Busy,
    /// Its provider's format has no words for something in the request.
    Format,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContextWindow => f.write_str("context_window"),
            Self::OutputLimit => f.write_str("output_limit"),
            Self::Capability(c) => f.write_str(c.as_str()),
            Self::CallerModels => f.write_str("models"),
            Self::Format => f.write_str("format"),
            Self::Draining => f.write_str("draining"),
            Self::Unhealthy => f.write_str("unhealthy"),
            Self::Budget => f.write_str("budget"),
            Self::RateLimited => f.write_str("rate_limited"),
            Self::Busy => f.write_str("busy"),
        }
    }
}

/// An arm that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// The arm.
    pub arm: ArmId,
    /// The filter that took it out.
    pub why: Exclusion,
}

/// No arm is left; `filter` is the one that took out the last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no model can serve this request: the filter `{filter}` left none of {candidates}")]
pub struct EmptyArmSet {
    /// The filter that emptied the set.
    pub filter: Exclusion,
    /// How many candidates there were before any filter.
    pub candidates: usize,
}

/// Eligible arms: sorted, distinct, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmSet(Vec<ArmId>);

impl ArmSet {
    /// Sorts and removes doubles; `None` when nothing is left.
    pub fn new(arms: impl IntoIterator<Item = ArmId>) -> Option<Self> {
        let mut arms: Vec<_> = arms.into_iter().collect();
        arms.sort();
        arms.dedup();
        (!arms.is_empty()).then_some(Self(arms))
    }

    /// The arms in order.
    pub fn as_slice(&self) -> &[ArmId] {
        &self.0
    }
}

/// Why numbers are no distribution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DistributionError {
    /// Different lengths, or none at all.
    #[error("{arms} arms but {probabilities} probabilities")]
    Shape {
        /// Number of arms.
        arms: usize,
        /// Number of probabilities.
        probabilities: usize,
    },
    /// A probability below 0, above 1 or not a number.
    #[error("the probability of {arm} is {p}")]
    OutOfRange {
        /// The arm.
        arm: ArmId,
        /// Its probability.
        p: f64,
    },
    /// The sum is not 1 within 1e-9.
    #[error("the probabilities sum to {0}, not 1")]
    Sum(f64),
}

/// Probabilities over arms; they sum to 1 within 1e-9.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmDistribution {
    arms: Vec<ArmId>,
    p: Vec<f64>,
}

impl ArmDistribution {
    /// `arms` and `p` run in parallel, shape `[k]`.
    ///
    /// # Errors
    /// When the shapes differ or are empty, a probability lies outside [0, 1], or the sum is not 1 within 1e-9.
    pub fn new(arms: Vec<ArmId>, p: Vec<f64>) -> Result<Self, DistributionError> {
        if arms.len() != p.len() || arms.is_empty() {
            return Err(DistributionError::Shape { arms: arms.len(), probabilities: p.len() });
        }
        if let Some(i) = p.iter().position(|p| !(0.0..=1.0 + 1e-12).contains(p)) {
            return Err(DistributionError::OutOfRange { arm: arms[i].clone(), p: p[i] });
        }
        let sum: f64 = p.iter().sum();
        if (sum - 1.0).abs() > 1e-9 {
            return Err(DistributionError::Sum(sum));
        }
        Ok(Self { arms, p })
    }

    /// Everything on one arm.
    pub fn certain(arm: ArmId) -> Self {
        Self { arms: vec![arm], p: vec![1.0] }
    }

    /// The arms, shape `[k]`.
    pub fn arms(&self) -> &[ArmId] {
        &self.arms
    }

    /// Their probabilities, shape `[k]`.
    pub fn p(&self) -> &[f64] {
        &self.p
    }

    /// The probability of `arm`, 0 when it is not among them.
    pub fn of(&self, arm: &ArmId) -> f64 {
        self.arms.iter().position(|a| a == arm).map_or(0.0, |i| self.p[i])
    }
}

/// A mean and how sure we are of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Expected value.
    pub mean: f64,
    /// Standard deviation of the expectation, not of single outcomes.
    pub sd: f64,
}

/// Predicted total latency, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencyEstimate {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
}

/// What a policy expects of one arm on one prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmEstimate {
    /// The arm.
    pub arm: ArmId,
    /// Quality in [0, 1].
    pub quality: Estimate,
    /// Expected cost of the call, USD.
    pub cost_usd: f64,
    /// Expected output tokens.
    pub output_tokens: f64,
    /// Time to the last token.
    pub latency_ms: LatencyEstimate,
    /// Probability that the call fails.
    pub failure: f64,
    /// What the preference makes of all that; the arms are ranked by it.
    pub utility: f64,
}

/// What a route uses to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The contextual bandit.
    Learned,
    /// Always the route's default.
    Fixed,
    /// By configured shares.
    Weighted,
    /// One after the other.
    RoundRobin,
    /// The lowest expected cost.
    Cheapest,
    /// The lowest expected latency.
    Fastest,
}

impl Strategy {
    /// The name used in configuration, headers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Fixed => "fixed",
            Self::Weighted => "weighted",
            Self::RoundRobin => "round_robin",
            Self::Cheapest => "cheapest",
            Self::Fastest => "fastest",
        }
    }
}

/// Why this arm, as a closed set of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It has the highest utility (or is what a simple strategy picks).
    Greedy,
    /// Drawn to learn, against the ranking.
    Explore,
    /// The conversation stays on its model.
    Pinned,
    /// A rule of the route fixed it.
    Rule,
    /// A budget ruled out the better ones.
    Budget,
    /// The drawn arm failed, this one answered.
    Fallback,
    /// The router was unsure or unwell: the route's default.
    Default,
    /// The caller asked for this arm by name.
    Explicit,
    /// The challenger of an experiment chose.
    Canary,
    /// A shadow experiment ended; the champion chose.
    ShadowOff,
}

impl Reason {
    /// The code used in headers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Explore => "explore",
            Self::Pinned => "pinned",
            Self::Rule => "rule",
            Self::Budget => "budget",
            Self::Fallback => "fallback",
            Self::Default => "default",
            Self::Explicit => "explicit",
            Self::Canary => "canary",
            Self::ShadowOff => "shadow-off",
        }
    }
}

/// One draw of an arm, complete: it can be explained, replayed and learned from without the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its id; the uniform draw is derived from it.
    pub id: DecisionId,
    /// When it was taken.
    pub at: UnixMs,
    /// The route asked for; for an explicit arm its id.
    pub route: RouteName,
    /// The drawn arm.
    pub arm: ArmId,
    /// The probability with which it was drawn.
    pub propensity: f64,
    /// What it was drawn from.
    pub distribution: ArmDistribution,
    /// What was expected of each eligible arm, best utility first; empty for strategies that estimate nothing.
    pub estimates: Vec<ArmEstimate>,
    /// Candidates that were not eligible.
    pub excluded: Vec<Excluded>,
    /// Which policy chose.
    pub policy: PolicyVersion,
    /// Of which kind.
    pub strategy: Strategy,
    /// Why.
    pub reason: Reason,
    /// What went wrong when `reason` is `default`, in a few words for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What the caller wanted.
    pub preference: Preference,
    /// What had to hold.
    #[serde(default)]
    pub constraints: Constraints,
    /// Which of those no eligible arm met, so that they were given up, in the order in which they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relaxed: Vec<Bound>,
    /// The features; `None` when the encoder failed or was not needed: nothing is learned from such a row.
    pub context: Option<Context>,
    /// How the prompt was embedded.
    pub encoding: Encoding,
    /// What is kept of the prompt; nothing unless the operator wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Estimated input tokens.
    pub input_tokens: u32,
    /// What the conversation was pinned to; `None`: nothing, or it began here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Whose key asked; `None` without keys.
    pub key: Option<KeyId>,
    /// The conversation.
    pub session: Option<String>,
    /// The caller's user.
    pub user: Option<String>,
    /// The caller's tags.
    pub tags: BTreeMap<String, String>,
    /// Whether nobody is called: the caller asked for the decision alone.
    pub decision_only: bool,
    /// The drawn arm's price at that time; with it a cost tells of tokens, whatever the price is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// What the budgets had to do with it; `None`: none applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetRecord>,
    /// The decision whose answer was given again, from the response cache: nobody was asked, and nothing is learned from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<DecisionId>,
    /// On which side of a running experiment it was; `None`: of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

impl Decision {
    /// One that left nothing to chance and of which nothing more is known: what records that are made up start from.
    pub fn certain(id: DecisionId, at: UnixMs, route: RouteName, arm: ArmId, policy: PolicyVersion) -> Self {
        Self {
            id,
            at,
            route,
            propensity: 1.0,
            distribution: ArmDistribution::certain(arm.clone()),
            arm,
            estimates: Vec::new(),
            excluded: Vec::new(),
            policy,
            strategy: Strategy::Learned,
            reason: Reason::Greedy,
            fault: None,
            preference: Preference::balanced(),
            constraints: Constraints::default(),
            relaxed: Vec::new(),
            context: None,
            encoding: Encoding::none(),
            prompt: None,
            input_tokens: 0,
            pin: None,
            key: None,
            session: None,
            user: None,
            tags: BTreeMap::new(),
            decision_only: false,
            price: None,
            budget: None,
            repeats: None,
            trial: None,
        }
    }

    /// What the drawn arm was expected to cost, USD, as far as the record tells.
    pub fn expected_usd(&self) -> Option<f64> {
        let own = || self.estimates.iter().find(|e| e.arm == self.arm).map(|e| e.cost_usd);
        self.budget.as_ref().map(|b| b.expected_usd).or_else(own)
    }
}

#[cfg(test)]
mod tests;
