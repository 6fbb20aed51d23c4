//! What is supposed of arms before, and besides, what is reported on them: which prompts are hard for everybody, which get long
//! answers, and that a dearer model is better as a rule.
//!
//! The slopes are learned from recorded outcomes and are what the heads start from. The levels are found anew in every deployment:
//! each arm is pulled to what the *other* arms say of one of its price, by as much as arms differ from that. Reports outweigh all
//! of it. A state carries the prior it began with, so that one prior's state is never continued under another.

use serde::{Deserialize, Serialize};

/// What is supposed before anything is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prior {
    /// Which one it is.
    pub name: String,
    /// What the features add to the quality of every arm, shape `[d]`; the last, the constant's, is 0.
    pub quality: Vec<f64>,
    /// What the features add to the logarithm of output tokens, shape `[d]`; the last is 0.
    pub length: Vec<f64>,
    /// How arms differ in their mean quality.
    pub levels: LevelPrior,
}

/// How the arms of a deployment are supposed to differ in their mean quality.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelPrior {
    /// Quality of an arm at the deployment's middling price.
    pub level: f64,
    /// How far a deployment may be from that.
    pub level_sd: f64,
    /// What each e-fold of the price adds.
    pub per_log_usd: f64,
    /// How far a deployment may be from that.
    pub per_log_usd_sd: f64,
    /// How far single arms are from what their price says.
    pub own_sd: f64,
}

/// An arm among others: its price and what its reports say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peer {
    /// Natural logarithm of USD per million tokens; `None`: it is free, and its price says nothing.
    pub log_usd: Option<f64>,
    /// Mean quality by its reports alone.
    pub mean: f64,
    /// Of that mean; infinite where nothing was reported.
    pub variance: f64,
}

impl Prior {
    /// Supposes nothing of prompts, over `dim` features.
    pub fn none(dim: usize) -> Self {
        let zero = || vec![0.0; dim];
        Self { name: "none".to_owned(), quality: zero(), length: zero(), levels: LevelPrior::DEFAULT }
    }

    /// Whether it is one over `dim` features.
    pub fn is_sound(&self, dim: usize) -> bool {
        self.quality.len() == dim
            && self.length.len() == dim
            && self.quality.iter().chain(&self.length).all(|x| x.is_finite())
            && self.levels.is_sound()
    }
}

impl LevelPrior {
    /// Found on recorded outcomes, every set left out in turn; see training/prior.md.
    pub const DEFAULT: Self =
        Self { level: 0.7, level_sd: 0.2, per_log_usd: 0.04, per_log_usd_sd: 0.03, own_sd: 0.16 };

    /// Each arm is on its own.
    pub const APART: Self =
        Self { level: 0.7, level_sd: 1e-6, per_log_usd: 0.0, per_log_usd_sd: 1e-6, own_sd: 0.25 };

    fn is_sound(&self) -> bool {
        let spreads = [self.level_sd, self.per_log_usd_sd, self.own_sd];
        self.level.is_finite()
            && self.per_log_usd.is_finite()
            && spreads.iter().all(|sd| sd.is_finite() && *sd > 0.0)
    }

    /// What the others say of each arm, in their order: Bayesian regression of the others' means on the logarithm of the price.
    pub fn expect(&self, peers: &[Peer]) -> Vec<f64> {
        let priced = || peers.iter().filter_map(|p| p.log_usd);
        let centre = priced().sum::<f64>() / priced().count().max(1) as f64;
        let offset = |peer: &Peer| peer.log_usd.map_or(0.0, |log_usd| log_usd - centre);
        let mut all = Line::new(self);
        peers.iter().for_each(|peer| all.add(peer, offset(peer), self.own_sd, 1.0));
        let of_others = |peer: &Peer| {
            let mut line = all;
            line.add(peer, offset(peer), self.own_sd, -1.0);
            line.at(offset(peer)).clamp(0.02, 0.99)
        };
        peers.iter().map(of_others).collect()
    }
}

/// Sums of a regression on one variable and a constant, its prior included.
#[derive(Debug, Clone, Copy)]
struct Line {
    a: f64,
    b: f64,
    d: f64,
    u: f64,
    v: f64,
}

impl Line {
    fn new(prior: &LevelPrior) -> Self {
        let (a, d) = (prior.level_sd.powi(-2), prior.per_log_usd_sd.powi(-2));
        Self { a, b: 0.0, d, u: prior.level * a, v: prior.per_log_usd * d }
    }

    fn add(&mut self, peer: &Peer, x: f64, own_sd: f64, sign: f64) {
        if !(peer.variance.is_finite() && peer.mean.is_finite()) {
            return;
        }
        let precision = sign / (own_sd.powi(2) + peer.variance.max(0.0));
        self.a += precision;
        self.b += precision * x;
        self.d += precision * x * x;
        self.u += precision * peer.mean;
        self.v += precision * peer.mean * x;
    }

    /// The determinant is positive: the prior's own part is, and each arm adds a positive semidefinite one.
    fn at(&self, x: f64) -> f64 {
        let determinant = self.a * self.d - self.b * self.b;
        let level = (self.d * self.u - self.b * self.v) / determinant;
        let slope = (self.a * self.v - self.b * self.u) / determinant;
        level + slope * x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(usd: f64, mean: f64) -> Peer {
        Peer { log_usd: Some(usd.ln()), mean, variance: 2e-4 }
    }

    fn unknown(usd: f64) -> Peer {
        Peer { log_usd: Some(usd.ln()), mean: f64::NAN, variance: f64::INFINITY }
    }

    #[test]
    fn without_reports_a_dearer_model_is_expected_to_be_a_little_better_and_a_free_one_is_middling() {
        let free = Peer { log_usd: None, ..unknown(1.0) };
        let levels = LevelPrior::DEFAULT.expect(&[unknown(0.1), unknown(10.0), free]);
        assert!((levels[1] - levels[0] - 0.04 * 100f64.ln()).abs() < 1e-9, "{levels:?}");
        assert!((levels[2] - 0.7).abs() < 1e-9, "{levels:?}");
        assert_eq!(LevelPrior::DEFAULT.expect(&[]), Vec::<f64>::new());
    }

    #[test]
    fn the_others_move_the_expectation_to_where_they_are() {
        let good = [known(0.1, 0.85), known(1.0, 0.9), known(10.0, 0.95), unknown(3.0)];
        let last = LevelPrior::DEFAULT.expect(&good)[3];
        assert!((last - 0.92).abs() < 0.03, "{last}");
        let flat = [known(0.1, 0.4), known(0.5, 0.4), known(5.0, 0.4), known(20.0, 0.4), unknown(2.0)];
        let last = LevelPrior::DEFAULT.expect(&flat)[4];
        assert!((last - 0.4).abs() < 0.06, "{last}");
    }

    #[test]
    fn an_arm_says_nothing_of_itself_and_apart_nobody_says_anything() {
        let arms = [known(1.0, 0.9), known(2.0, 0.2), unknown(4.0)];
        let levels = LevelPrior::DEFAULT.expect(&arms);
        let other = [known(1.0, 0.1), arms[1], arms[2]];
        assert!((LevelPrior::DEFAULT.expect(&other)[0] - levels[0]).abs() < 1e-9);
        assert!(LevelPrior::DEFAULT.expect(&other)[2] < levels[2] - 0.1);
        for level in LevelPrior::APART.expect(&arms) {
            assert!((level - 0.7).abs() < 1e-6, "{level}");
        }
    }

    #[test]
    fn it_fits_its_features_or_is_refused() {
        assert!(Prior::none(3).is_sound(3) && !Prior::none(3).is_sound(4));
        let mut broken = Prior::none(2);
        broken.levels.own_sd = 0.0;
        assert!(!broken.is_sound(2));
    }
}
