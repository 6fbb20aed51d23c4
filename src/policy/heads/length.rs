//! Length of an arm's answers in tokens, from every completed call; with the price it gives the cost.

use serde::{Deserialize, Serialize};

use super::{HeadSettings, Ridge, RidgePrior, Sample};
use crate::math::cholesky::NotPositive;
use crate::math::ewma::CountedMean;
use crate::policy::prior::Prior;

/// The calibrator looks back about this many calls: `1 - 1 / 500`.
const KAPPA_DECAY: f64 = 0.998;

/// The calibrator starts as if this many calls had met their prediction.
const KAPPA_GUESS_WEIGHT: f64 = 5.0;

/// A single call cannot say more than that it was this many times longer than predicted.
const RATIO_LIMIT: f64 = 20.0;

/// Logarithms of token counts that are believed: from 1 to about a million.
const LOG_TOKENS: std::ops::RangeInclusive<f64> = 0.0..=14.0;

/// Ridge on the logarithm of output tokens, and `kappa`, the mean of actual over predicted: the exponential of a mean logarithm
/// is a median, and spend follows the mean (POLICY 4.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthHead {
    ridge: Ridge,
    kappa: CountedMean,
}

impl LengthHead {
    /// Knows the prior alone.
    ///
    /// # Errors
    /// When the settings give no proper prior.
    pub fn new(prior: &Prior, settings: &HeadSettings) -> Result<Self, NotPositive> {
        let flat = RidgePrior::flat(prior.length.len(), &settings.length, settings.rho);
        let prior = flat.around(&prior.length);
        let kappa = CountedMean::new(KAPPA_DECAY, 1.0, KAPPA_GUESS_WEIGHT);
        Ok(Self { ridge: Ridge::new(prior, settings.decay)?, kappa })
    }

    /// Folds a call of `output_tokens` in, finite; an answer without any counts as one token.
    ///
    /// # Errors
    /// When the sums would break; nothing has changed then.
    pub fn observe(&mut self, x: &[f64], output_tokens: f64) -> Result<(), NotPositive> {
        let actual = output_tokens.max(1.0);
        let ratio = actual / self.median(x);
        let tick = self.ridge.clock() + 1;
        self.ridge.observe(&Sample { x, y: actual.ln(), weight: 1.0, tick, replaces: None })?;
        self.kappa.observe(ratio.min(RATIO_LIMIT));
        Ok(())
    }

    /// Spread of the logarithm around its expectation.
    pub fn sigma(&self) -> f64 {
        self.ridge.sigma()
    }

    /// Median of the output tokens on the prompt `x`.
    pub fn median(&self, x: &[f64]) -> f64 {
        self.ridge.mean(x).clamp(*LOG_TOKENS.start(), *LOG_TOKENS.end()).exp()
    }

    /// Expected output tokens on the prompt `x`, before any limit.
    pub fn expected_tokens(&self, x: &[f64]) -> f64 {
        self.kappa.mean() * self.median(x)
    }

    /// See [`Ridge::restore`].
    ///
    /// # Errors
    /// When what was stored is no head over `dim` features.
    pub fn restore(&mut self, dim: usize) -> Result<(), NotPositive> {
        if !self.kappa.is_sound() {
            return Err(NotPositive { order: dim });
        }
        self.ridge.restore(dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_which_prompts_get_long_answers_and_meets_their_mean() {
        let mut head = LengthHead::new(&Prior::none(2), &HeadSettings::DEFAULT).unwrap();
        assert!((head.expected_tokens(&[0.0, 1.0]) - 300.0).abs() < 1e-6);
        for i in 0..3000u32 {
            // Around e^4 and e^6, spread so that mean and median differ.
            let (x, base) = if i % 2 == 0 { (1.0, 400.0) } else { (-1.0, 50.0) };
            let spread = [0.25, 1.0, 4.0][(i % 3) as usize];
            head.observe(&[x, 1.0], base * spread).unwrap();
        }
        for (x, mean) in [(1.0, 400.0 * 1.75), (-1.0, 50.0 * 1.75)] {
            let got = head.expected_tokens(&[x, 1.0]);
            assert!((got / mean - 1.0).abs() < 0.1, "{got} tokens instead of {mean}");
        }
    }

    #[test]
    fn an_empty_answer_counts_as_one_token() {
        let mut head = LengthHead::new(&Prior::none(1), &HeadSettings::DEFAULT).unwrap();
        (0..500).for_each(|_| head.observe(&[1.0], 0.0).unwrap());
        assert!(head.expected_tokens(&[1.0]) < 2.0);
    }
}
