//! An instrument's scale against people's: `person = a + b reported`, fitted where both rated the same decision, shrunk to the
//! identity.

use serde::{Deserialize, Serialize};

use crate::domain::Source;

/// The identity counts for so many pairs,
const GUESS_WEIGHT: f64 = 20.0;
/// in which reports spread by this variance.
const GUESS_SPREAD: f64 = 0.05;
/// Nothing is taken to be surer than this variance, unless its source is by the guess.
const LEAST_VARIANCE: f64 = 0.02;

/// Sums over pairs; exact under removal up to rounding, so a revised rating leaves no trace.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Calibration {
    /// Reports, revisions not counted.
    pub(super) reports: u64,
    pairs: f64,
    said: f64,
    off: f64,
    said_said: f64,
    said_off: f64,
    off_off: f64,
}

impl Calibration {
    pub(super) fn add(&mut self, said: f64, person: f64, sign: f64) {
        let off = person - said;
        self.pairs = (self.pairs + sign).max(0.0);
        self.said += sign * said;
        self.off += sign * off;
        self.said_said += sign * said * said;
        self.said_off += sign * said * off;
        self.off_off += sign * off * off;
    }

    /// Pairs seen.
    pub fn pairs(&self) -> f64 {
        self.pairs
    }

    /// Mean and standard deviation of what persons say less what is reported; `None` without pairs.
    pub fn difference(&self) -> Option<(f64, f64)> {
        let mean = self.off / self.pairs;
        let variance = (self.off_off / self.pairs - mean * mean).max(0.0);
        (self.pairs > 0.0).then(|| (mean, variance.sqrt()))
    }

    /// `(a, b)` of `person = a + b reported`.
    pub fn line(&self) -> (f64, f64) {
        if self.pairs <= 0.0 {
            return (0.0, 1.0);
        }
        let (centre, off) = (self.said / self.pairs, self.off / self.pairs);
        let spread = (self.said_said - self.pairs * centre * centre).max(0.0);
        let slope = (self.said_off - self.pairs * centre * off) / (spread + GUESS_WEIGHT * GUESS_SPREAD);
        let level = self.off / (self.pairs + GUESS_WEIGHT);
        (level - slope * centre, 1.0 + slope)
    }

    /// A report on the scale of people, in [0, 1].
    pub fn value(&self, said: f64) -> f64 {
        let (a, b) = self.line();
        (a + b * said).clamp(0.0, 1.0)
    }

    /// Noise variance of a calibrated report of `source`: what is left of the pairs' differences, the people's own noise taken out, shrunk
    /// to the source's guess.
    pub fn variance(&self, source: Source) -> f64 {
        let (a, b) = self.line();
        let slope = b - 1.0;
        let left = self.off_off + self.pairs * a * a + slope * slope * self.said_said
            - 2.0 * a * self.off
            - 2.0 * slope * self.said_off
            + 2.0 * a * slope * self.said;
        let own = (left - self.pairs * Source::User.variance()).max(0.0);
        let guess = source.variance();
        ((GUESS_WEIGHT * guess + own) / (GUESS_WEIGHT + self.pairs)).max(LEAST_VARIANCE.min(guess))
    }
}
