//! The four estimators, each with a normal interval from its own influence values.

use serde::{Deserialize, Serialize};

use super::Draw;

/// Half width of a 95 % normal interval in standard errors.
const Z: f64 = 1.959_963_984_540_054;

/// Two ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies between the ends, the ends included.
    pub fn covers(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// An estimated mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// The estimate.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl Value {
    /// The 95 % normal interval.
    pub fn normal_interval(&self) -> Interval {
        Interval { low: self.mean - Z * self.standard_error, high: self.mean + Z * self.standard_error }
    }

    /// Mean of `values` and its standard error; both NaN when there is none.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (count, sum) = values.clone().fold((0.0, 0.0), |(n, s), v| (n + 1.0, s + v));
        let mean = sum / count;
        let squares: f64 = values.map(|v| (v - mean).powi(2)).sum();
        Self { mean, standard_error: (squares / (count - 1.0).max(1.0) / count).sqrt() }
    }
}

/// Inverse propensity scoring: `mean w r`. Unbiased, and wild when weights are.
pub fn ips(draws: &[Draw]) -> Value {
    Value::of(draws.iter().map(|d| d.reward.map_or(0.0, |r| d.weight * r)))
}

/// Self-normalised: `sum w r / sum w` over the reported draws. NaN when no reported draw has a weight.
pub fn snips(draws: &[Draw]) -> Value {
    let reported = || draws.iter().filter_map(|d| d.reward.map(|r| (d.weight, r)));
    let (total, sum) = reported().fold((0.0, 0.0), |(t, s), (w, r)| (t + w, s + w * r));
    let mean = sum / total;
    // The delta method for a ratio of means.
    let squares: f64 = reported().map(|(w, r)| (w * (r - mean)).powi(2)).sum();
    Value { mean, standard_error: squares.sqrt() / total }
}

/// What the regression alone expects; its interval knows nothing of the regression's own error.
pub fn direct_method(draws: &[Draw]) -> Value {
    Value::of(draws.iter().map(|d| d.expected))
}

/// Doubly robust: right when either the propensities or the regression are. Here the propensities are exact.
pub fn doubly_robust(draws: &[Draw]) -> Value {
    Value::of(draws.iter().map(Draw::robust))
}
