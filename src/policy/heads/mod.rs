//! The heads: what one arm will do with one prompt. One set per arm, all in `f64`.
//!
//! quality: Bayesian ridge on the reports, and a quick correction of its level. length: ridge on the logarithm of the answer's tokens, so cost and part of latency.
//! latency: log-normal trackers of first token and time per token. failure: a Beta that forgets. cost: how bills
//! differ from price times tokens. Heads never see what the caller wants, so one state serves every preference, and keep no price,
//! so a changed price acts at once.

mod arm_state;
mod cost;
mod failure;
mod latency;
mod length;
mod offset;
mod quality;
mod ridge;

pub use arm_state::{Answer, ArmState, Call, Changes};
pub use cost::{CostHead, tokens_bought};
pub use failure::FailureHead;
pub use latency::{LatencyHead, Timing};
pub use length::LengthHead;
pub use offset::{Offset, OffsetSettings};
pub use quality::{QualityHead, Report};
pub use ridge::{Common, FlatPrior, Ridge, RidgePrior, Sample, Spread, common_slopes};

use serde::{Deserialize, Serialize};

pub use super::Bill;

/// What the heads of a new arm start from. Part of the state: a checkpoint carries its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadSettings {
    /// Quality around its level; the slopes are those by which an arm differs from what all arms have in common.
    pub quality: Spread,
    /// How much one feature of unit variance may shift the quality of all arms alike.
    pub common_slope_sd: f64,
    /// Natural logarithm of output tokens before any call.
    pub length: FlatPrior,
    /// Multiplies the prior precision of both (POLICY 4.2).
    pub rho: f64,
    /// What one report's influence keeps per further report on the arm.
    pub decay: f64,
    /// How quickly a change of an arm's level is believed.
    pub offset: OffsetSettings,
}

impl HeadSettings {
    /// Found on the tuning fold; see training/README.md.
    pub const DEFAULT: Self = Self {
        quality: Spread { slope_sd: 0.013, noise_sd: 0.3 },
        common_slope_sd: 0.05,
        length: FlatPrior { level: LOG_TYPICAL_TOKENS, level_sd: 2.0, slope_sd: 0.2, noise_sd: 0.8 },
        rho: 1.0,
        decay: DECAY,
        offset: OffsetSettings::DEFAULT,
    };
}

/// `exp(-1 / 10_000)`: an e-fold of ten thousand reports, a half life of about seven thousand.
const DECAY: f64 = 0.999_900_004_999_833_4;

/// Tokens in and out of a call that nothing is known of.
pub const TYPICAL_TOKENS: f64 = 300.0;

/// `ln 300`.
const LOG_TYPICAL_TOKENS: f64 = 5.703_782_474_656_201;
