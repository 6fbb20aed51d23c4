//! How often an arm's calls fail at the moment.

use serde::{Deserialize, Serialize};

use crate::domain::UnixMs;
use crate::math::ewma::TimedMoments;

/// Failures are forgotten with this half life.
const HALF_LIFE_MS: f64 = 300_000.0;

/// Before anything was seen: one call in a hundred fails, and that counts as twenty calls.
const GUESS: f64 = 0.01;
const GUESS_WEIGHT: f64 = 20.0;

/// Mean of a Beta whose counts fade by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FailureHead {
    outcomes: TimedMoments,
}

impl Default for FailureHead {
    fn default() -> Self {
        Self { outcomes: TimedMoments::new(HALF_LIFE_MS) }
    }
}

impl FailureHead {
    /// A call was answered.
    pub fn answered(&mut self, at: UnixMs) {
        self.outcomes.observe(0.0, at.0);
    }

    /// A call failed.
    pub fn failed(&mut self, at: UnixMs) {
        self.outcomes.observe(1.0, at.0);
    }

    /// Probability that a call fails now.
    pub fn estimate(&self, at: UnixMs) -> f64 {
        let weight = self.outcomes.weight(at.0);
        let failures = (weight * self.outcomes.mean()).clamp(0.0, weight);
        (GUESS * GUESS_WEIGHT + failures) / (GUESS_WEIGHT + weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_at_once_and_fade() {
        let mut head = FailureHead::default();
        assert!((head.estimate(UnixMs(0)) - 0.01).abs() < 1e-12);
        (0..20).for_each(|i| head.failed(UnixMs(i * 100)));
        assert!(head.estimate(UnixMs(2000)) > 0.45);
        assert!(head.estimate(UnixMs(3_602_000)) < 0.02);
        (0..500).for_each(|i| head.answered(UnixMs(2000 + i * 100)));
        assert!(head.estimate(UnixMs(52_000)) < 0.06);
    }
}
