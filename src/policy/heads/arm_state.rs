//! All that is known of one arm.

use serde::{Deserialize, Serialize};

use super::{
    Bill, CostHead, FailureHead, HeadSettings, LatencyHead, LengthHead, QualityHead, Report, Ridge,
    TYPICAL_TOKENS, Timing, tokens_bought,
};
use crate::domain::{AnswerKind, Arm, ArmEstimate, UnixMs};
use crate::math::cholesky::NotPositive;
use crate::math::ewma::CountedMean;
use crate::policy::drift::{ArmDrift, Change, Signal};
use crate::policy::prior::Prior;

/// The typical call looks back about this many calls: `1 - 1 / 1000`.
const TYPICAL_DECAY: f64 = 0.999;

/// The typical call starts as if this many had been seen.
const TYPICAL_GUESS_WEIGHT: f64 = 5.0;

/// After an alarm on quality all earlier reports count for at most so many (POLICY 3).
const EVIDENCE_AFTER_ALARM: f64 = 50.0;

/// Weight of the reports from which an alarm may come: half of a plain report.
const LEAST_WATCHED: f64 = 0.5;

/// What was noticed while an observation was folded in.
pub type Changes = Vec<(Signal, Change)>;

/// A call that ended with an answer, checked.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The prompt's features, shape `[d]`; `None`: it was not embedded.
    pub x: Option<&'a [f64]>,
    /// Input tokens.
    pub input_tokens: u32,
    /// Output tokens, when somebody counted them.
    pub output_tokens: Option<u32>,
    /// What it cost.
    pub bill: Option<Bill>,
    /// Whether it was an answer at all.
    pub kind: Option<AnswerKind>,
    /// To the first content, milliseconds; finite and not negative.
    pub first_token_ms: Option<f64>,
    /// To the end, milliseconds; finite and not negative.
    pub total_ms: Option<f64>,
    /// When it ended.
    pub at: UnixMs,
}

/// What an arm is asked to do.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The prompt's features, shape `[d]`.
    pub x: &'a [f64],
    /// What the arms' quality has in common, shape `[d]`; see [`super::Ridge::estimate`].
    pub pull: &'a [f64],
    /// By how much more than that the other arms say of this arm's level; see [`crate::policy::LevelPrior::expect`].
    pub lift: f64,
    /// Reports on any arm so far.
    pub heard: u64,
    /// Input tokens.
    pub input_tokens: u32,
    /// The caller's bound on the answer.
    pub max_output_tokens: Option<u32>,
    /// When.
    pub at: UnixMs,
}

/// The heads of one arm, and its typical call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmState {
    quality: QualityHead,
    length: LengthHead,
    latency: LatencyHead,
    failure: FailureHead,
    cost: CostHead,
    drift: ArmDrift,
    typical_input: CountedMean,
    typical_output: CountedMean,
}

impl ArmState {
    /// Knows the priors alone.
    ///
    /// # Errors
    /// When the settings give no proper prior.
    pub fn new(prior: &Prior, settings: &HeadSettings) -> Result<Self, NotPositive> {
        let typical = CountedMean::new(TYPICAL_DECAY, TYPICAL_TOKENS, TYPICAL_GUESS_WEIGHT);
        Ok(Self {
            quality: QualityHead::new(prior, settings)?,
            length: LengthHead::new(prior, settings)?,
            latency: LatencyHead::default(),
            failure: FailureHead::default(),
            cost: CostHead::default(),
            drift: ArmDrift::default(),
            typical_input: typical,
            typical_output: typical,
        })
    }

    /// Folds a quality report in; `heard` counts the reports on any arm, this one included. Once an alarm says that the arm has
    /// changed, what was heard before counts for little, and the arm is explored like one that little is known of. Where all
    /// reports come from `one_voice` its level moves at once; where there are several, one of them could move it to where it
    /// likes, so the new level has to be heard. Weak reports, and those of reporters that are not believed, raise no alarm.
    ///
    /// # Errors
    /// When the sums would break; nothing has changed then.
    pub fn rated(
        &mut self,
        report: &Report<'_>,
        heard: u64,
        one_voice: bool,
    ) -> Result<Changes, NotPositive> {
        let (expected, sd) = self.quality.expected(report, &mut Vec::new());
        self.quality.observe(report, heard)?;
        if report.replaces.is_some() || report.weight < LEAST_WATCHED {
            return Ok(Vec::new());
        }
        let change = self.drift.rated(expected, report.value, sd);
        match &change {
            Some(change) if one_voice => {
                let by = self.drift.moved();
                self.quality.moved(by, change.since, EVIDENCE_AFTER_ALARM);
            }
            Some(_) => self.quality.doubt(EVIDENCE_AFTER_ALARM),
            None => {}
        }
        Ok(change.map(|change| (Signal::Quality, change)).into_iter().collect())
    }

    /// Folds an answered call in. Tokens that nobody counted are taken from the bill; of a call without either only the times
    /// tell, spread over as many tokens as its answer was expected to have.
    ///
    /// # Errors
    /// When the sums would break; nothing has changed then.
    pub fn answered(&mut self, answer: &Answer<'_>) -> Result<Changes, NotPositive> {
        let bought = || answer.bill.as_ref().and_then(tokens_bought);
        let tokens = answer.output_tokens.map(f64::from).or_else(bought);
        let expected =
            answer.x.map_or_else(|| self.typical_output.mean(), |x| self.length.expected_tokens(x));
        let usual = answer.x.map(|x| (self.length.median(x), self.length.sigma()));
        if let (Some(x), Some(tokens)) = (answer.x, tokens) {
            self.length.observe(x, tokens)?;
        }
        let changes = self.watch(answer, tokens, usual);
        if let (Some(bill), Some(tokens)) = (&answer.bill, tokens) {
            self.cost.observe(bill, tokens);
        }
        let asked = answer.bill.map_or(answer.input_tokens, |bill| bill.asked_tokens);
        self.typical_input.observe(f64::from(asked));
        if let Some(tokens) = tokens {
            self.typical_output.observe(tokens);
        }
        let timing = Timing {
            first_token_ms: answer.first_token_ms,
            total_ms: answer.total_ms,
            output_tokens: Some(tokens.unwrap_or(expected)),
        };
        self.latency.observe(&timing, answer.at);
        self.failure.answered(answer.at);
        Ok(changes)
    }

    /// `usual` is the median of the tokens and the spread of their logarithm, as expected.
    fn watch(&mut self, answer: &Answer<'_>, tokens: Option<f64>, usual: Option<(f64, f64)>) -> Changes {
        let cost = usual.zip(tokens).and_then(|((median, sd), tokens)| self.drift.spent(median, tokens, sd));
        let latency = answer.total_ms.zip(tokens).and_then(|(ms, tokens)| {
            let (usual_ms, sd) = self.latency.usual(tokens, answer.at);
            self.drift.timed(usual_ms, ms, sd)
        });
        let refusal = answer.kind.and_then(|kind| self.drift.answered(kind != AnswerKind::Full));
        let found = [
            (Signal::Cost, cost),
            (Signal::Latency, latency),
            (Signal::Failure, self.drift.ended(false)),
            (Signal::Refusal, refusal),
        ];
        found.into_iter().filter_map(|(signal, change)| Some((signal, change?))).collect()
    }

    /// Folds a failed call in.
    pub fn failed(&mut self, at: UnixMs) -> Changes {
        self.failure.failed(at);
        self.drift.ended(true).map(|change| (Signal::Failure, change)).into_iter().collect()
    }

    /// What to expect of `arm`; the utility is left at 0. `scratch` is overwritten.
    pub fn estimate(&self, arm: &Arm, call: &Call<'_>, scratch: &mut Vec<f64>) -> ArmEstimate {
        let output_tokens = capped(self.length.expected_tokens(call.x), arm, call);
        ArmEstimate {
            arm: arm.id.clone(),
            quality: self.quality.estimate(call, scratch),
            cost_usd: self.cost.expected_usd(&arm.price, f64::from(call.input_tokens), output_tokens),
            output_tokens,
            latency_ms: self.latency.estimate(output_tokens, call.at),
            failure: self.failure.estimate(call.at),
            utility: 0.0,
        }
    }

    /// Cost in USD, at the arm's price of today, of its typical call.
    pub fn typical_cost_usd(&self, arm: &Arm) -> f64 {
        self.cost.expected_usd(&arm.price, self.typical_input.mean(), self.typical_output.mean())
    }

    /// Cost in USD of a typical answer to `input_tokens` tokens.
    pub fn typical_answer_cost_usd(&self, arm: &Arm, input_tokens: u32) -> f64 {
        self.cost.expected_usd(&arm.price, f64::from(input_tokens), self.typical_output.mean())
    }

    /// Median latency of its typical call, milliseconds.
    pub fn typical_latency_ms(&self, at: UnixMs) -> f64 {
        self.latency.estimate(self.typical_output.mean(), at).p50
    }

    /// The arm's watches, to look at.
    pub fn drift(&self) -> &ArmDrift {
        &self.drift
    }

    /// How the arm's bills relate to its price, to look at.
    pub fn cost(&self) -> &CostHead {
        &self.cost
    }

    /// Changes what the quality head starts from.
    ///
    /// # Errors
    /// When the change is refused; nothing has changed then.
    pub fn start_from(
        &mut self,
        change: impl FnOnce(&mut Ridge) -> Result<(), NotPositive>,
    ) -> Result<(), NotPositive> {
        self.quality.start_from(change)
    }

    /// The quality head, to look at.
    pub fn quality(&self) -> &QualityHead {
        &self.quality
    }

    /// Computes what is not stored.
    ///
    /// # Errors
    /// When what was stored is no state over `dim` features.
    pub fn restore(&mut self, dim: usize) -> Result<(), NotPositive> {
        if !(self.typical_input.is_sound() && self.typical_output.is_sound() && self.cost.is_sound()) {
            return Err(NotPositive { order: dim });
        }
        self.quality.restore(dim)?;
        self.length.restore(dim)
    }
}

fn capped(tokens: f64, arm: &Arm, call: &Call<'_>) -> f64 {
    let window = arm.limits.context_window.saturating_sub(call.input_tokens).max(1);
    let bounds = [Some(window), arm.limits.max_output, call.max_output_tokens];
    bounds.into_iter().flatten().fold(tokens, |least, bound| least.min(f64::from(bound)))
}
