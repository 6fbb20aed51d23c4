//! The watch on shares: failures, refusals. A cumulative sum of log likelihood ratios of the usual share against a much larger one.
//!
//! The usual share is what has been seen of the arm; until enough has, nothing is raised. That a share falls is no alarm, since
//! nothing needs to be done about it; it is noticed all the same, so that the next rise is measured against the new level.

use serde::{Deserialize, Serialize};

use super::{CALLS_THRESHOLD, Change, Direction};

/// The usual share looks back about five hundred calls, and starts as if so many had been seen.
const DECAY: f64 = 0.998;
const GUESS: f64 = 0.01;
const GUESS_WEIGHT: f64 = 5.0;

/// So many calls are looked at before the first alarm, and again after each change: what an arm always did is no change.
const WARM_UP: u32 = 30;

/// The share that is told from the usual one: so many times as large, but at least so much more, and at most this.
const FACTOR: f64 = 4.0;
const LEAST_RISE: f64 = 0.15;
const MOST: f64 = 0.95;

/// Shares outside are rounded to here: below, two hits in a row would be a change.
const USUAL: std::ops::RangeInclusive<f64> = 0.01..=0.9;

/// The level after a change counts as the new usual one for the calls that it was seen on, but at least for so many.
const LEAST_LEVEL_WEIGHT: f64 = 10.0;

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Side {
    sum: f64,
    length: u32,
    hits: u32,
}

impl Side {
    fn add(&mut self, hit: bool, usual: f64, other: f64) {
        self.sum += if hit { (other / usual).ln() } else { ((1.0 - other) / (1.0 - usual)).ln() };
        if self.sum <= 0.0 {
            *self = Self::default();
            return;
        }
        self.length = self.length.saturating_add(1);
        self.hits = self.hits.saturating_add(u32::from(hit));
    }

    fn share(&self) -> f64 {
        f64::from(self.hits) / f64::from(self.length.max(1))
    }
}

/// The watch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateWatch {
    seen: u64,
    /// Calls to be looked at before the next alarm.
    quiet: u32,
    weight: f64,
    hits: f64,
    up: Side,
    down: Side,
}

impl Default for RateWatch {
    fn default() -> Self {
        let (up, down) = (Side::default(), Side::default());
        Self { seen: 0, quiet: WARM_UP, weight: GUESS_WEIGHT, hits: GUESS * GUESS_WEIGHT, up, down }
    }
}

impl RateWatch {
    /// Folds a call in: whether it was one of those that are counted. A change when the share has risen.
    pub fn observe(&mut self, hit: bool) -> Option<Change> {
        self.seen += 1;
        let usual = self.usual().clamp(*USUAL.start(), *USUAL.end());
        if self.quiet == 0 {
            self.up.add(hit, usual, (usual * FACTOR).max(usual + LEAST_RISE).min(MOST));
            self.down.add(hit, usual, usual / FACTOR);
        }
        self.quiet = self.quiet.saturating_sub(1);
        self.weight = self.weight * DECAY + 1.0;
        self.hits = self.hits * DECAY + f64::from(u8::from(hit));
        let (up, down) = (self.up, self.down);
        if up.sum.max(down.sum) <= CALLS_THRESHOLD {
            return None;
        }
        let rose = up.sum > CALLS_THRESHOLD;
        let side = if rose { up } else { down };
        let (after, weight) = (side.share(), f64::from(side.length).max(LEAST_LEVEL_WEIGHT));
        (self.weight, self.hits, self.quiet) = (weight, weight * after, WARM_UP);
        (self.up, self.down) = (Side::default(), Side::default());
        let (direction, statistic, since) = (Direction::Up, up.sum, up.length);
        rose.then_some(Change { direction, statistic, before: usual, after, since })
    }

    /// The usual share.
    pub fn usual(&self) -> f64 {
        self.hits / self.weight
    }

    /// The sum that raises an alarm.
    pub fn statistic(&self) -> f64 {
        self.up.sum
    }

    /// Calls so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}
