//! A judge's scale against people's: `human = a + b judge`, fitted where both rated the same decision, shrunk to the identity.

use serde::{Deserialize, Serialize};

use crate::domain::Source;

/// The identity counts for so many pairs,
const GUESS_WEIGHT: f64 = 20.0;
/// in which judgements spread by this variance.
const GUESS_SPREAD: f64 = 0.05;
/// A judge is never taken to be surer than this variance.
const LEAST_VARIANCE: f64 = 0.02;

/// Sums over pairs; exact under removal up to rounding, so a revised rating leaves no trace.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Calibration {
    pairs: f64,
    judge: f64,
    off: f64,
    judge_judge: f64,
    judge_off: f64,
    off_off: f64,
}

impl Calibration {
    pub(super) fn add(&mut self, judged: f64, human: f64, sign: f64) {
        let off = human - judged;
        self.pairs = (self.pairs + sign).max(0.0);
        self.judge += sign * judged;
        self.off += sign * off;
        self.judge_judge += sign * judged * judged;
        self.judge_off += sign * judged * off;
        self.off_off += sign * off * off;
    }

    /// Pairs seen.
    pub fn pairs(&self) -> f64 {
        self.pairs
    }

    /// `(a, b)` of `human = a + b judge`.
    pub fn line(&self) -> (f64, f64) {
        if self.pairs <= 0.0 {
            return (0.0, 1.0);
        }
        let (centre, off) = (self.judge / self.pairs, self.off / self.pairs);
        let spread = (self.judge_judge - self.pairs * centre * centre).max(0.0);
        let slope = (self.judge_off - self.pairs * centre * off) / (spread + GUESS_WEIGHT * GUESS_SPREAD);
        let level = self.off / (self.pairs + GUESS_WEIGHT);
        (level - slope * centre, 1.0 + slope)
    }

    /// A judgement on the scale of people, in [0, 1].
    pub fn value(&self, judged: f64) -> f64 {
        let (a, b) = self.line();
        (a + b * judged).clamp(0.0, 1.0)
    }

    /// Noise variance of a calibrated judgement: what is left of the pairs' differences, the people's own noise taken out, shrunk
    /// to the source's guess.
    pub fn variance(&self) -> f64 {
        let (a, b) = self.line();
        let slope = b - 1.0;
        let left = self.off_off + self.pairs * a * a + slope * slope * self.judge_judge
            - 2.0 * a * self.off
            - 2.0 * slope * self.judge_off
            + 2.0 * a * slope * self.judge;
        let own = (left - self.pairs * Source::User.variance()).max(0.0);
        let guess = GUESS_WEIGHT * Source::Judge.variance();
        ((guess + own) / (GUESS_WEIGHT + self.pairs)).max(LEAST_VARIANCE)
    }
}
