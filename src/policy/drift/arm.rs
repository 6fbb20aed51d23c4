//! All watches of one arm.

use serde::{Deserialize, Serialize};

use super::{CALLS_THRESHOLD, Change, Jump, RateWatch, ResidualWatch, Signal, THRESHOLD};

/// The shift of quality that must be seen soon (POLICY G3).
const QUALITY_SHIFT: f64 = 0.17;

/// Half of that shift in standard deviations, within these bounds.
const QUALITY_ALLOWANCE: std::ops::RangeInclusive<f64> = 0.25..=0.45;

/// Cost and latency: a change of one standard deviation of the logarithm matters; latency has moods and gets twice that.
const COST_ALLOWANCE: f64 = 0.5;
const LATENCY_ALLOWANCE: f64 = 1.0;

/// The watches.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ArmDrift {
    quality: ResidualWatch,
    cost: ResidualWatch,
    latency: ResidualWatch,
    failure: RateWatch,
    refusal: RateWatch,
}

/// How one watch stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WatchView {
    /// Of what.
    pub signal: Signal,
    /// Its sum.
    pub statistic: f64,
    /// What it must exceed.
    pub threshold: f64,
    /// Observations so far.
    pub n: u64,
}

impl ArmDrift {
    /// A report of `value` came where `expected` was expected, give or take `sd`.
    pub fn rated(&mut self, expected: f64, value: f64, sd: f64) -> Option<Change> {
        let half = QUALITY_SHIFT / (2.0 * sd);
        let allowance = half.clamp(*QUALITY_ALLOWANCE.start(), *QUALITY_ALLOWANCE.end());
        self.quality.observe(&Jump { expected, actual: value, sd, allowance, threshold: THRESHOLD })
    }

    /// By how much reports lie beside what is expected of them, as an alarm has just found. The caller puts its expectation right:
    /// nothing of it is taken for normal any more.
    pub fn moved(&mut self) -> f64 {
        self.quality.take_centre()
    }

    /// An answer had `tokens`, where `expected` at the median were expected, give or take a factor `exp(sd)`.
    pub fn spent(&mut self, expected: f64, tokens: f64, sd: f64) -> Option<Change> {
        self.cost.observe(&logarithmic(expected, tokens, sd, COST_ALLOWANCE)).map(exponential)
    }

    /// A call took `ms` where `expected` were expected, give or take a factor `exp(sd)`.
    pub fn timed(&mut self, expected: f64, ms: f64, sd: f64) -> Option<Change> {
        self.latency.observe(&logarithmic(expected, ms, sd, LATENCY_ALLOWANCE)).map(exponential)
    }

    /// A call was answered or failed.
    pub fn ended(&mut self, failed: bool) -> Option<Change> {
        self.failure.observe(failed)
    }

    /// An answer was looked at.
    pub fn answered(&mut self, nothing: bool) -> Option<Change> {
        self.refusal.observe(nothing)
    }

    /// How they stand.
    pub fn view(&self) -> [WatchView; 5] {
        let view = |signal: Signal, statistic, n| {
            let threshold = if signal == Signal::Quality { THRESHOLD } else { CALLS_THRESHOLD };
            WatchView { signal, statistic, threshold, n }
        };
        [
            view(Signal::Quality, self.quality.statistic(), self.quality.seen()),
            view(Signal::Cost, self.cost.statistic(), self.cost.seen()),
            view(Signal::Latency, self.latency.statistic(), self.latency.seen()),
            view(Signal::Failure, self.failure.statistic(), self.failure.seen()),
            view(Signal::Refusal, self.refusal.statistic(), self.refusal.seen()),
        ]
    }
}

fn logarithmic(expected: f64, actual: f64, sd: f64, allowance: f64) -> Jump {
    let log = |n: f64| n.max(1e-3).ln();
    let (expected, actual) = (log(expected), log(actual));
    Jump { expected, actual, sd, allowance, threshold: CALLS_THRESHOLD }
}

fn exponential(change: Change) -> Change {
    Change { before: change.before.exp(), after: change.after.exp(), ..change }
}
