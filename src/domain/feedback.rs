//! Quality reports on decisions.

use serde::{Deserialize, Serialize};

use super::{ArmId, DecisionId, FeedbackId, KeyId, UnixMs, Usage};

/// Why a report is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} must be {must}")]
pub struct FeedbackError {
    /// The field at fault.
    pub field: &'static str,
    /// What it must be.
    pub must: &'static str,
}

/// A judgement in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The right model for the ask: quality 1.
    GoodFit,
    /// Too weak a model: quality 0.25.
    Underpowered,
    /// Good, but a cheaper one would have done: quality 1 (cost is learned from cost).
    Overprovisioned,
    /// Useless: quality 0.
    Failed,
}

impl Verdict {
    /// The quality it stands for when no value comes with it.
    pub fn quality(self) -> f64 {
        match self {
            Self::GoodFit | Self::Overprovisioned => 1.0,
            Self::Underpowered => 0.25,
            Self::Failed => 0.0,
        }
    }
}

/// Who reports; decides how much the learner trusts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A person rated the answer.
    #[default]
    User,
    /// A program checked it: a test, a validator, a task that succeeded.
    Code,
    /// A language model judged it.
    Judge,
    /// Derived from behaviour: a retry, an edit.
    Implicit,
}

impl Source {
    /// The name used on the wire, in the log and as part of a report's identity.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Code => "code",
            Self::Judge => "judge",
            Self::Implicit => "implicit",
        }
    }

    /// Noise variance of one report on the quality scale (POLICY section 5); the learner weighs by its inverse.
    pub fn variance(self) -> f64 {
        match self {
            Self::Code => 0.01,
            Self::User => 0.04,
            Self::Judge => 0.06,
            Self::Implicit => 0.12,
        }
    }
}

/// How a report names its decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedbackRef {
    /// By our id.
    Decision(DecisionId),
    /// By the id in the answer's body.
    Completion(String),
}

/// The value that a revision takes back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    /// The earlier value.
    pub value: f64,
    /// The earlier weight.
    pub weight: f64,
}

/// The other side of a comparison. The report's value is then the score of its own decision: 1 preferred, 0 the other, 0.5 a tie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// The decision with the higher id.
    pub decision: DecisionId,
    /// The arm credited there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<ArmId>,
    /// As [`Feedback::tick`], on that arm's clock.
    #[serde(default)]
    pub tick: u64,
}

/// Marks a report as one step of an episode: a whole session was rated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// Which conversation.
    pub session: String,
    /// Over how many decisions the reporter's weight is spread.
    pub steps: u32,
}

/// Where a judge's report comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Which model judged; scales differ between judges.
    pub by: ArmId,
    /// With which probability this decision was sampled for judging.
    pub pi: f64,
    /// What the judgement cost, USD.
    pub cost_usd: f64,
}

/// What measures answers: a kind of source; of our judges each model is its own, since their scales differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instrument {
    /// Of which kind.
    pub source: Source,
    /// Which model, when a judge of ours measures.
    pub judge: Option<ArmId>,
}

/// A rating of the same decision by a person, when something else rates it; by something else, when a person does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overlap {
    /// What measures beside the person.
    pub instrument: Instrument,
    /// What the other of the two said.
    pub value: f64,
    /// The tick of the person's report.
    pub tick: u64,
}

/// One accepted report, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// Its id.
    pub id: FeedbackId,
    /// When it came.
    pub at: UnixMs,
    /// On which decision.
    pub decision: DecisionId,
    /// Which metric; the learner learns from `quality`, others are kept.
    pub name: String,
    /// In [0, 1]; `None` when the report only says what a call cost.
    pub value: Option<f64>,
    /// The judgement, when one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Who reports.
    pub source: Source,
    /// The reporter's own weight in (0, 1].
    pub weight: f64,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The reporter's key against doubles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Tokens of a call that the reporter made itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Cost of that call, USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Total time of that call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Whether that call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whose key reported.
    pub key: Option<KeyId>,
    /// The arm credited: the one that answered. Set by the store when it accepts the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<ArmId>,
    /// The how-manieth rated report of that arm this is, from 1: the arm's clock. A revision keeps the tick of what it
    /// replaces, so that the learner ends where it would be had only the last been sent. 0: not counted.
    #[serde(default)]
    pub tick: u64,
    /// What this takes back, when it is a revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaced>,
    /// Set when this compares two decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus: Option<Versus>,
    /// Set when a whole session was rated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode: Option<Episode>,
    /// Set when our own judge reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// Ratings of the same decision on the other side, of persons and of everything else: instruments are calibrated on
    /// such pairs. Set by the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<Overlap>,
}

impl Feedback {
    /// What measured; `None` of a whole session's rating, which is not on the scale of single answers.
    pub fn instrument(&self) -> Option<Instrument> {
        let judge = self.judged.as_ref().map(|judged| judged.by.clone());
        self.episode.is_none().then_some(Instrument { source: self.source, judge })
    }

    /// Whether two reports say the same (ids and times of arrival aside).
    pub fn same_report(&self, other: &Self) -> bool {
        let about = |f: &Self| match (&f.episode, &f.versus) {
            // A session may have grown since; it is the same session.
            (Some(episode), _) => (None, None, Some(episode.session.clone())),
            (None, versus) => (Some(f.decision), versus.as_ref().map(|v| v.decision), None),
        };
        about(self) == about(other)
            && self.name == other.name
            && self.value == other.value
            && self.verdict == other.verdict
            && self.source == other.source
            && self.weight == other.weight
            && self.comment == other.comment
            && self.usage == other.usage
            && self.cost_usd == other.cost_usd
            && self.latency_ms == other.latency_ms
            && self.error == other.error
    }

    /// # Errors
    /// When a number is not finite or out of range, a text is too long, or the report says nothing.
    pub fn checked(self) -> Result<Self, FeedbackError> {
        let fault = |field, must| Err(FeedbackError { field, must });
        if self.value.is_some_and(|v| !(0.0..=1.0).contains(&v)) {
            return fault("value", "a number between 0 and 1, or a boolean");
        }
        if !(self.weight > 0.0 && self.weight <= 1.0) {
            return fault("weight", "greater than 0 and at most 1");
        }
        if self.cost_usd.is_some_and(|c| !c.is_finite() || !(0.0..=1e6).contains(&c)) {
            return fault("cost_usd", "a number of USD between 0 and 1e6");
        }
        if self.latency_ms.is_some_and(|l| !l.is_finite() || !(0.0..=1e9).contains(&l)) {
            return fault("latency_ms", "a number of milliseconds between 0 and 1e9");
        }
        if self.name.is_empty() || self.name.len() > 64 {
            return fault("name", "1 to 64 bytes long");
        }
        if self.comment.as_ref().is_some_and(|c| c.len() > 4096) {
            return fault("comment", "at most 4096 bytes long");
        }
        if self.idempotency_key.as_ref().is_some_and(|k| k.is_empty() || k.len() > 255) {
            return fault("idempotency_key", "1 to 255 bytes long");
        }
        let says_nothing = self.value.is_none()
            && self.usage.is_none()
            && self.cost_usd.is_none()
            && self.latency_ms.is_none()
            && self.error.is_none()
            && self.judged.is_none();
        if says_nothing {
            return fault(
                "value",
                "given, or a verdict, or what the call cost (usage, cost_usd, latency_ms, error)",
            );
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0192f0c1-0000-7000-8000-000000000000";

    fn report(value: Option<f64>, weight: f64, cost_usd: Option<f64>, latency_ms: Option<f64>) -> Feedback {
        Feedback {
            id: ID.parse().unwrap(),
            at: UnixMs(0),
            decision: ID.parse().unwrap(),
            name: "quality".into(),
            value,
            verdict: None,
            source: Source::User,
            weight,
            comment: None,
            idempotency_key: None,
            usage: None,
            cost_usd,
            latency_ms,
            error: None,
            key: None,
            arm: None,
            tick: 1,
            replaces: None,
            versus: None,
            episode: None,
            judged: None,
            overlaps: Vec::new(),
        }
    }

    /// Any number that eight bytes can hold, and often one near a bound.
    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(1.0 + f64::EPSILON), Just(-f64::MIN_POSITIVE)],
            0.0..=1.0f64,
            Just(f64::NAN),
            Just(f64::INFINITY),
        ]
    }

    proptest! {
        #[test]
        fn f5_any_number_is_in_range_or_refused(value in number(), weight in number(), cost in number(), latency in number()) {
            let good = (0.0..=1.0).contains(&value)
                && weight > 0.0 && weight <= 1.0
                && (0.0..=1e6).contains(&cost)
                && (0.0..=1e9).contains(&latency);
            prop_assert_eq!(report(Some(value), weight, Some(cost), Some(latency)).checked().is_ok(), good);
        }
    }
}
