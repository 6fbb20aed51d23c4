//! Off-policy evaluation: what another policy would have been worth, from what was logged under this one.
//!
//! Pure estimators over logged draws. A draw's importance weight is the target's probability of the drawn arm over the logged
//! one; because propensities are exact and logged, no model of the logging policy is needed. Four estimators (Dudík et al. 2011,
//! arXiv 1103.4601; Swaminathan and Joachims 2015): inverse propensity (IPS), self-normalised (SNIPS), the direct method and
//! doubly robust (DR), the last two over a cross-fitted regression ([`regression`]). Intervals: fixed sample size by the bootstrap,
//! or valid at every look by confidence sequences ([`sequence`]). Uniform numbers are handed in.
//!
//! An estimate without its [`Diagnostics`] says nothing: [`Diagnostics::verdict`] refuses when too few draws carry the weight.

pub mod bootstrap;
pub mod diagnostics;
mod estimators;
pub mod regression;
pub mod sequence;
pub mod split;

pub use bootstrap::percentile;
pub use diagnostics::{Diagnostics, Limits, NoVerdict};
pub use estimators::{Interval, Value, direct_method, doubly_robust, ips, snips};

/// One logged draw as a target policy sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The target's probability of the drawn arm over the logged one, and over the probability that the outcome was reported; 0
    /// or more, finite.
    pub weight: f64,
    /// What came of it; `None`: not reported.
    pub reward: Option<f64>,
    /// What the regression expects of the drawn arm.
    pub predicted: f64,
    /// What it expects of the target: `sum_a target(a) predicted(a)`.
    pub expected: f64,
}

impl Draw {
    /// The doubly robust value of this draw: what was expected, corrected by what was seen.
    pub fn robust(&self) -> f64 {
        self.expected + self.reward.map_or(0.0, |reward| self.weight * (reward - self.predicted))
    }
}

#[cfg(test)]
mod tests;
