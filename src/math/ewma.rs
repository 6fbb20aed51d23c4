//! Moments that forget: by the clock on the wall, or by the number of observations.

use serde::{Deserialize, Serialize};

/// A clock that was ahead by more than this was wrong: what comes after it was set back starts from the new time.
const WRONG_CLOCK_MS: i64 = 24 * 3_600_000;

/// Decayed count, mean and variance; what lies one half life back counts half. Times are handed in, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimedMoments {
    half_life_ms: f64,
    weight: f64,
    mean: f64,
    squares: f64,
    last_ms: i64,
}

impl TimedMoments {
    /// Nothing seen yet.
    pub fn new(half_life_ms: f64) -> Self {
        Self { half_life_ms, weight: 0.0, mean: 0.0, squares: 0.0, last_ms: i64::MIN }
    }

    /// A time before the last one counts as the last one: the clock may have been set back.
    fn fade(&self, at_ms: i64) -> f64 {
        if self.weight == 0.0 {
            return 1.0;
        }
        let gone = at_ms.saturating_sub(self.last_ms).max(0) as f64;
        (-gone / self.half_life_ms).exp2()
    }

    /// Folds `value` in; it must be finite.
    pub fn observe(&mut self, value: f64, at_ms: i64) {
        let fade = self.fade(at_ms);
        self.weight = self.weight * fade + 1.0;
        let before = value - self.mean;
        self.mean += before / self.weight;
        self.squares = self.squares * fade + before * (value - self.mean);
        let was_wrong = self.last_ms.saturating_sub(at_ms) > WRONG_CLOCK_MS;
        self.last_ms = if was_wrong { at_ms } else { self.last_ms.max(at_ms) };
    }

    /// How many observations' worth there is at that time.
    pub fn weight(&self, at_ms: i64) -> f64 {
        self.weight * self.fade(at_ms)
    }

    /// 0 when nothing was seen.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Population variance; 0 when nothing was seen.
    pub fn variance(&self) -> f64 {
        if self.weight > 0.0 { (self.squares / self.weight).max(0.0) } else { 0.0 }
    }
}

/// A mean over about the last `1 / (1 - decay)` observations, which starts from a first guess.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CountedMean {
    decay: f64,
    weight: f64,
    sum: f64,
}

impl CountedMean {
    /// `guess` counts as `weight` observations at first and fades like them.
    pub fn new(decay: f64, guess: f64, weight: f64) -> Self {
        Self { decay, weight, sum: guess * weight }
    }

    /// Folds `value` in; it must be finite.
    pub fn observe(&mut self, value: f64) {
        self.weight = self.weight * self.decay + 1.0;
        self.sum = self.sum * self.decay + value;
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    /// Whether the numbers make sense; a stored one might not.
    pub fn is_sound(&self) -> bool {
        self.sum.is_finite()
            && self.weight.is_finite()
            && self.weight > 0.0
            && (0.0..=1.0).contains(&self.decay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_one_half_life_back_counts_half() {
        let mut moments = TimedMoments::new(1000.0);
        moments.observe(0.0, 0);
        moments.observe(3.0, 1000);
        assert!((moments.mean() - 2.0).abs() < 1e-12);
        assert!((moments.variance() - 2.0).abs() < 1e-12);
        assert!((moments.weight(1000) - 1.5).abs() < 1e-12);
        assert!((moments.weight(2000) - 0.75).abs() < 1e-12);
    }

    #[test]
    fn x4_a_clock_that_runs_back_neither_adds_weight_nor_turns_time_around() {
        let mut moments = TimedMoments::new(1000.0);
        moments.observe(1.0, 5000);
        moments.observe(2.0, 1000);
        assert!((moments.weight(0) - 2.0).abs() < 1e-12);
        assert!((moments.weight(6000) - 1.0).abs() < 1e-12);
        assert!((moments.mean() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn x4_after_a_year_ahead_and_back_it_forgets_as_before() {
        let (year, mut moments) = (365 * 24 * 3_600_000, TimedMoments::new(1000.0));
        moments.observe(1.0, 5000);
        moments.observe(9.0, 5000 + year);
        moments.observe(2.0, 6000);
        moments.observe(2.0, 16_000);
        let weight = moments.weight(16_000);
        assert!(
            (1.0..1.01).contains(&weight),
            "ten half lives later the year ahead is all but forgotten: {weight}"
        );
        assert!((moments.mean() - 2.0).abs() < 0.02 && moments.variance().is_finite());
    }

    #[test]
    fn a_first_guess_fades() {
        let mut mean = CountedMean::new(0.9, 300.0, 5.0);
        assert_eq!(mean.mean(), 300.0);
        (0..200).for_each(|_| mean.observe(10.0));
        assert!((mean.mean() - 10.0).abs() < 1e-6);
    }
}
