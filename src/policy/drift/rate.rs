//! The watch on shares: failures, refusals. A cumulative sum of log likelihood ratios of the usual share against a much larger and
//! a much smaller one.

use serde::{Deserialize, Serialize};

use super::{Change, Direction, THRESHOLD};

/// The usual share looks back about this many calls, and starts as if so many had been seen.
const DECAY: f64 = 0.998;
const GUESS: f64 = 0.01;
const GUESS_WEIGHT: f64 = 100.0;

/// The share that is told from the usual one: so many times as large, but at least so much more, and at most this.
const FACTOR: f64 = 4.0;
const LEAST_RISE: f64 = 0.15;
const MOST: f64 = 0.95;

/// Shares outside are rounded to here.
const USUAL: std::ops::RangeInclusive<f64> = 0.005..=0.9;

/// How many calls the level after an alarm counts for as the new usual one.
const NEW_LEVEL_WEIGHT: f64 = 50.0;

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
}

/// The watch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateWatch {
    seen: u64,
    weight: f64,
    hits: f64,
    up: Side,
    down: Side,
}

impl Default for RateWatch {
    fn default() -> Self {
        let (up, down) = (Side::default(), Side::default());
        Self { seen: 0, weight: GUESS_WEIGHT, hits: GUESS * GUESS_WEIGHT, up, down }
    }
}

impl RateWatch {
    /// Folds a call in: whether it was one of those that are counted. A change when there is one.
    pub fn observe(&mut self, hit: bool) -> Option<Change> {
        self.seen += 1;
        let usual = self.usual().clamp(*USUAL.start(), *USUAL.end());
        self.up.add(hit, usual, (usual * FACTOR).max(usual + LEAST_RISE).min(MOST));
        self.down.add(hit, usual, usual / FACTOR);
        self.weight = self.weight * DECAY + 1.0;
        self.hits = self.hits * DECAY + f64::from(u8::from(hit));
        let (direction, side) = match (self.up.sum > THRESHOLD, self.down.sum > THRESHOLD) {
            (true, _) => (Direction::Up, self.up),
            (false, true) => (Direction::Down, self.down),
            (false, false) => return None,
        };
        let after = f64::from(side.hits) / f64::from(side.length.max(1));
        (self.weight, self.hits) = (NEW_LEVEL_WEIGHT, NEW_LEVEL_WEIGHT * after);
        (self.up, self.down) = (Side::default(), Side::default());
        Some(Change { direction, statistic: side.sum, before: usual, after, since: side.length })
    }

    /// The usual share.
    pub fn usual(&self) -> f64 {
        self.hits / self.weight
    }

    /// The larger of the two sums.
    pub fn statistic(&self) -> f64 {
        self.up.sum.max(self.down.sum)
    }

    /// Calls so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}
