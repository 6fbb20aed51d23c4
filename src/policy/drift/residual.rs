//! The watch on residuals: quality, cost, latency.
//!
//! Residuals come standardised. They are clipped, divided by their own spread when that is larger than expected, and the sum's
//! scale is corrected for skewness, since a plain cumulative sum alarms up to ten times too often on yes-or-no reports: `theta`
//! solves `theta^2/2 + skew theta^3/6 = allowance theta`, so that `exp(sum)` behaves like a likelihood ratio.

use serde::{Deserialize, Serialize};

use super::{Change, Direction};

/// Residuals are clipped at so many standard deviations.
const CLIP: f64 = 3.0;

/// So many residuals are looked at before the first alarm.
const WARM_UP: u64 = 30;

/// After an alarm the new level is learned over so many, without alarms.
const HOLD: u32 = 100;

/// How quickly the centre follows in quiet times. After an alarm it is the mean of what came since, where the level that raised the
/// alarm counts for so many.
const CENTRE_RATE: f64 = 0.001;
const ALARM_WEIGHT: f64 = 20.0;

/// Spread and skewness look back about this many residuals, and start as if so many normal ones had been seen.
const MOMENT_DECAY: f64 = 0.998;
const MOMENT_GUESS: f64 = 50.0;

/// The spread counts as larger than expected from this factor of the variance on.
const TOLERANCE: f64 = 1.1;

/// Skewness beyond this is not believed; below, the gain in speed is not taken.
const SKEW: std::ops::RangeInclusive<f64> = -0.3..=3.0;

/// One observation against its expectation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jump {
    /// What was expected, on the scale of the residual (a logarithm for cost and latency).
    pub expected: f64,
    /// What came.
    pub actual: f64,
    /// Standard deviation of `actual - expected` in quiet times, above 0.
    pub sd: f64,
    /// Half of the shift that matters, in standard deviations.
    pub allowance: f64,
    /// What a sum must exceed.
    pub threshold: f64,
}

/// One side of the sum, and the levels since it last was 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Side {
    sum: f64,
    length: u32,
    expected: f64,
    actual: f64,
}

impl Side {
    fn add(&mut self, score: f64, expected: f64, actual: f64) {
        self.sum += score;
        if self.sum <= 0.0 {
            *self = Self::default();
            return;
        }
        self.length = self.length.saturating_add(1);
        self.expected += expected;
        self.actual += actual;
    }

    fn change(&self, direction: Direction) -> Change {
        let n = f64::from(self.length.max(1));
        let (before, after) = (self.expected / n, self.actual / n);
        Change { direction, statistic: self.sum, before, after, since: self.length }
    }
}

/// The watch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResidualWatch {
    seen: u64,
    /// Residuals since the last alarm; `None`: there was none.
    since_alarm: Option<u32>,
    /// Mean residual that is taken for normal.
    centre: f64,
    weight: f64,
    squares: f64,
    cubes: f64,
    up: Side,
    down: Side,
}

impl Default for ResidualWatch {
    fn default() -> Self {
        Self {
            seen: 0,
            since_alarm: None,
            centre: 0.0,
            weight: MOMENT_GUESS,
            squares: MOMENT_GUESS,
            cubes: 0.0,
            up: Side::default(),
            down: Side::default(),
        }
    }
}

impl ResidualWatch {
    /// Folds an observation in; a change when there is one. Numbers that are not finite are passed over.
    pub fn observe(&mut self, jump: &Jump) -> Option<Change> {
        let residual = jump.actual - jump.expected;
        if !(residual.is_finite() && jump.sd > 0.0) {
            return None;
        }
        self.seen += 1;
        let excess = residual - self.centre;
        let clipped = excess.clamp(-CLIP * jump.sd, CLIP * jump.sd);
        let settling = self.since_alarm.map_or(0.0, |n| 1.0 / (ALARM_WEIGHT + f64::from(n)));
        self.centre += settling.max(CENTRE_RATE) * clipped;
        self.since_alarm = self.since_alarm.map(|n| n.saturating_add(1));
        let score = self.standard(excess / jump.sd);
        if self.seen <= WARM_UP || self.since_alarm.is_some_and(|n| n <= HOLD) {
            return None;
        }
        let skew = self.cubes / self.weight;
        let expected = jump.expected + self.centre;
        let scaled = |score: f64, skew: f64| scale(jump.allowance, skew) * (score - jump.allowance);
        self.up.add(scaled(score, skew), expected, jump.actual);
        self.down.add(scaled(-score, -skew), expected, jump.actual);
        let change = match (self.up.sum > jump.threshold, self.down.sum > jump.threshold) {
            (true, _) => self.up.change(Direction::Up),
            (false, true) => self.down.change(Direction::Down),
            (false, false) => return None,
        };
        self.centre += change.after - change.before;
        (self.up, self.down, self.since_alarm) = (Side::default(), Side::default(), Some(0));
        Some(change)
    }

    /// The mean residual that was taken for normal; from now on 0 is.
    pub fn take_centre(&mut self) -> f64 {
        std::mem::take(&mut self.centre)
    }

    /// Divides by the spread when it is above 1, clips, and folds the moments in.
    fn standard(&mut self, score: f64) -> f64 {
        let variance = (self.squares / self.weight / TOLERANCE).max(1.0);
        let clipped = (score / variance.sqrt()).clamp(-CLIP, CLIP);
        self.weight = self.weight * MOMENT_DECAY + 1.0;
        self.squares = self.squares * MOMENT_DECAY + (score * score).min(CLIP * CLIP * variance);
        self.cubes = self.cubes * MOMENT_DECAY + clipped.powi(3);
        clipped
    }

    /// The larger of the two sums.
    pub fn statistic(&self) -> f64 {
        self.up.sum.max(self.down.sum)
    }

    /// Observations so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

/// The positive root of `skew theta^2 / 6 + theta / 2 = allowance`.
fn scale(allowance: f64, skew: f64) -> f64 {
    let skew = skew.clamp(*SKEW.start(), *SKEW.end());
    4.0 * allowance / (1.0 + (1.0 + 8.0 * allowance * skew / 3.0).max(0.0).sqrt())
}
