//! Alarms: something about a model, or about the traffic, is no longer what it was.
//!
//! One watch per arm and signal, one on the prompts' features; all part of the folded state, so the same log raises the same
//! alarms. Each is a two-sided cumulative sum (Page, Biometrika 1954) over standardised residuals or over likelihood ratios, with
//! thresholds on the scale of a log likelihood ratio. Alarms go by reports as they came: a revision neither
//! raises nor takes back one.

mod arm;
mod rate;
mod residual;
mod traffic;

pub use arm::{ArmDrift, WatchView};
pub use rate::RateWatch;
pub use residual::{Jump, ResidualWatch};
pub use traffic::TrafficWatch;

use serde::{Deserialize, Serialize};

use crate::domain::{ArmId, UnixMs};

/// What the sum of quality, and the traffic's statistic, must exceed: less than one false alarm in two ten thousands, both sides
/// together (measured, see training/drift.md).
pub const THRESHOLD: f64 = 8.4;

/// The same for what every call tells: cost, latency, failure, refusal. There is more of that than of reports, and all signals
/// together may raise one false alarm in ten thousand.
pub const CALLS_THRESHOLD: f64 = 10.5;

/// Alarms that are remembered.
pub const REMEMBERED: usize = 100;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Reports against what was expected.
    Quality,
    /// Output tokens (with the price, the cost) against what was expected.
    Cost,
    /// Total time against what was expected.
    Latency,
    /// Share of calls that fail.
    Failure,
    /// Share of answers that are empty or refusals.
    Refusal,
    /// The prompts' features.
    Traffic,
}

impl Signal {
    /// The name in metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quality => "quality",
            Self::Cost => "cost",
            Self::Latency => "latency",
            Self::Failure => "failure",
            Self::Refusal => "refusal",
            Self::Traffic => "traffic",
        }
    }
}

/// Whither it moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It rose.
    Up,
    /// It fell.
    Down,
}

/// A change that was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Whither.
    pub direction: Direction,
    /// The statistic that exceeded the threshold.
    pub statistic: f64,
    /// Mean level that was expected since the change began; quality in [0, 1], tokens, milliseconds, a share, or features'
    /// distance.
    pub before: f64,
    /// Mean level that was seen since then.
    pub after: f64,
    /// How many observations ago it is thought to have begun.
    pub since: u32,
}

/// A change, and where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// From 1, in the order in which they were raised.
    pub number: u64,
    /// The latest time that the log had told by then.
    pub at: UnixMs,
    /// Of which arm; `None`: of the traffic.
    pub arm: Option<ArmId>,
    /// Of what.
    pub signal: Signal,
    /// How.
    pub change: Change,
}

#[cfg(test)]
mod tests;
