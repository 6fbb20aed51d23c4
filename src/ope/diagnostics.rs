//! How much an estimate is worth: effective sample size, weights, support; and the refusal to give a verdict.

use serde::{Deserialize, Serialize};

use super::Draw;

/// From when on there is no verdict (POLICY section 3, OPE diagnostics).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Lowest effective share of the reported draws.
    pub least_share: f64,
    /// Fewest effective draws.
    pub least_draws: f64,
    /// Highest share of the target's probability on arms that the log never draws.
    pub most_unsupported: f64,
}

impl Limits {
    /// 5 %, 200 draws, 5 % without support.
    pub const DEFAULT: Self = Self { least_share: 0.05, least_draws: 200.0, most_unsupported: 0.05 };
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoVerdict {
    /// Nothing was reported.
    #[error("no evaluable decision has a reported outcome")]
    NothingReported,
    /// The target goes where the log has never been.
    #[error(
        "{:.1} % of the target's traffic goes to models that the log never draws there (at most {:.1} %): no support",
        100.0 * unsupported, 100.0 * most
    )]
    NoSupport {
        /// The share.
        unsupported: f64,
        /// The limit.
        most: f64,
    },
    /// A few draws carry all the weight.
    #[error(
        "effective sample size is {:.2} % of {reported} reported draws (at least {:.1} %): the target is too far from what was logged",
        100.0 * share, 100.0 * least
    )]
    LowShare {
        /// Effective share.
        share: f64,
        /// Reported draws.
        reported: usize,
        /// The limit.
        least: f64,
    },
    /// Too little was reported.
    #[error("effective sample size is {draws:.0} draws (at least {least:.0}): log more, or explore more")]
    FewDraws {
        /// Effective draws.
        draws: f64,
        /// The limit.
        least: f64,
    },
}

/// What to know before one believes an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Draws.
    pub draws: usize,
    /// Draws with a reported outcome.
    pub reported: usize,
    /// Kish's effective number of reported draws: `(sum w)^2 / sum w^2`.
    pub effective: f64,
    /// The same as a share of the reported draws.
    pub effective_share: f64,
    /// Highest weight of a reported draw.
    pub max_weight: f64,
    /// Share of the draws whose weight was cut to the cap.
    pub clipped_share: f64,
    /// Share of the target's probability that lies on arms which the log draws with probability 0 there.
    pub unsupported: f64,
}

impl Diagnostics {
    /// Of these draws; `clipped` of their weights were cut, and `unsupported` is the mean over them of the target's probability on
    /// arms that could not be drawn.
    pub fn of(draws: &[Draw], clipped: usize, unsupported: f64) -> Self {
        let weights = || draws.iter().filter(|d| d.reward.is_some()).map(|d| d.weight);
        let (reported, sum, squares, max_weight) =
            weights().fold((0, 0.0, 0.0, 0.0f64), |(n, s, q, m), w| (n + 1, s + w, q + w * w, m.max(w)));
        let effective = if squares > 0.0 { sum * sum / squares } else { 0.0 };
        Self {
            draws: draws.len(),
            reported,
            effective,
            effective_share: effective / reported.max(1) as f64,
            max_weight,
            clipped_share: clipped as f64 / draws.len().max(1) as f64,
            unsupported,
        }
    }

    /// # Errors
    /// Why the estimates must not decide anything.
    pub fn verdict(&self, limits: &Limits) -> Result<(), NoVerdict> {
        if self.reported == 0 {
            return Err(NoVerdict::NothingReported);
        }
        if self.unsupported > limits.most_unsupported {
            return Err(NoVerdict::NoSupport {
                unsupported: self.unsupported,
                most: limits.most_unsupported,
            });
        }
        if self.effective_share < limits.least_share {
            let (share, reported) = (self.effective_share, self.reported);
            return Err(NoVerdict::LowShare { share, reported, least: limits.least_share });
        }
        if self.effective < limits.least_draws {
            return Err(NoVerdict::FewDraws { draws: self.effective, least: limits.least_draws });
        }
        Ok(())
    }
}
