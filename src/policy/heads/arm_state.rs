//! All that is known of one arm.

use serde::{Deserialize, Serialize};

use super::{
    FailureHead, HeadSettings, LatencyHead, LengthHead, QualityHead, Report, TYPICAL_TOKENS, Timing,
};
use crate::domain::{Arm, ArmEstimate, UnixMs};
use crate::math::cholesky::NotPositive;
use crate::math::ewma::CountedMean;

/// The typical call looks back about this many calls: `1 - 1 / 1000`.
const TYPICAL_DECAY: f64 = 0.999;

/// The typical call starts as if this many had been seen.
const TYPICAL_GUESS_WEIGHT: f64 = 5.0;

/// A call that ended with an answer, checked.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The prompt's features, shape `[d]`; `None`: it was not embedded.
    pub x: Option<&'a [f64]>,
    /// Input tokens.
    pub input_tokens: u32,
    /// Times and output tokens.
    pub timing: Timing,
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
    typical_input: CountedMean,
    typical_output: CountedMean,
}

impl ArmState {
    /// Knows the priors alone.
    ///
    /// # Errors
    /// When the settings give no proper prior.
    pub fn new(dim: usize, settings: &HeadSettings) -> Result<Self, NotPositive> {
        let typical = CountedMean::new(TYPICAL_DECAY, TYPICAL_TOKENS, TYPICAL_GUESS_WEIGHT);
        Ok(Self {
            quality: QualityHead::new(dim, settings)?,
            length: LengthHead::new(dim, settings)?,
            latency: LatencyHead::default(),
            failure: FailureHead::default(),
            typical_input: typical,
            typical_output: typical,
        })
    }

    /// Folds a quality report in; `heard` counts the reports on any arm, this one included.
    ///
    /// # Errors
    /// When the sums would break; nothing has changed then.
    pub fn rated(&mut self, report: &Report<'_>, heard: u64) -> Result<(), NotPositive> {
        self.quality.observe(report, heard)
    }

    /// Folds an answered call in.
    ///
    /// # Errors
    /// When the sums would break; nothing has changed then.
    pub fn answered(&mut self, answer: &Answer<'_>) -> Result<(), NotPositive> {
        if let (Some(x), Some(tokens)) = (answer.x, answer.timing.output_tokens) {
            self.length.observe(x, tokens)?;
        }
        self.typical_input.observe(f64::from(answer.input_tokens));
        if let Some(tokens) = answer.timing.output_tokens {
            self.typical_output.observe(f64::from(tokens));
        }
        self.latency.observe(&answer.timing, answer.at);
        self.failure.answered(answer.at);
        Ok(())
    }

    /// Folds a failed call in.
    pub fn failed(&mut self, at: UnixMs) {
        self.failure.failed(at);
    }

    /// What to expect of `arm`; the utility is left at 0. `scratch` is overwritten.
    pub fn estimate(&self, arm: &Arm, call: &Call<'_>, scratch: &mut Vec<f64>) -> ArmEstimate {
        let output_tokens = capped(self.length.expected_tokens(call.x), arm, call);
        ArmEstimate {
            arm: arm.id.clone(),
            quality: self.quality.estimate(call, scratch),
            cost_usd: cost_usd(arm, f64::from(call.input_tokens), output_tokens),
            output_tokens,
            latency_ms: self.latency.estimate(output_tokens, call.at),
            failure: self.failure.estimate(call.at),
            utility: 0.0,
        }
    }

    /// Cost in USD, at the arm's price of today, of its typical call.
    pub fn typical_cost_usd(&self, arm: &Arm) -> f64 {
        cost_usd(arm, self.typical_input.mean(), self.typical_output.mean())
    }

    /// Cost in USD of a typical answer to `input_tokens` tokens.
    pub fn typical_answer_cost_usd(&self, arm: &Arm, input_tokens: u32) -> f64 {
        cost_usd(arm, f64::from(input_tokens), self.typical_output.mean())
    }

    /// Median latency of its typical call, milliseconds.
    pub fn typical_latency_ms(&self, at: UnixMs) -> f64 {
        self.latency.estimate(self.typical_output.mean(), at).p50
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
        if !(self.typical_input.is_sound() && self.typical_output.is_sound()) {
            return Err(NotPositive { order: dim });
        }
        self.quality.restore(dim)?;
        self.length.restore(dim)
    }
}

/// As [`crate::domain::Price::cost_usd`], for expected tokens, which are no whole numbers.
fn cost_usd(arm: &Arm, input_tokens: f64, output_tokens: f64) -> f64 {
    (input_tokens * arm.price.input + output_tokens * arm.price.output) / 1e6
}

fn capped(tokens: f64, arm: &Arm, call: &Call<'_>) -> f64 {
    let window = arm.limits.context_window.saturating_sub(call.input_tokens).max(1);
    let bounds = [Some(window), arm.limits.max_output, call.max_output_tokens];
    bounds.into_iter().flatten().fold(tokens, |least, bound| least.min(f64::from(bound)))
}
