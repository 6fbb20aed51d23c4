//! How long an arm takes: to the first token, and per token after it.
//!
//! Both are log-normal. A tracker with a half life of five minutes follows the provider's mood; where it has little to say it is
//! pulled to one of 24 hours, and that one to a guess.

use serde::{Deserialize, Serialize};

use crate::domain::{LatencyEstimate, UnixMs};
use crate::math::ewma::TimedMoments;

const MINUTE_MS: f64 = 60_000.0;
const FAST_HALF_LIFE_MS: f64 = 5.0 * MINUTE_MS;
const SLOW_HALF_LIFE_MS: f64 = 24.0 * 60.0 * MINUTE_MS;

/// How many observations the slow value counts for against the fast one.
const SLOW_WEIGHT: f64 = 5.0;

/// How many observations the guess counts for against the slow value.
const GUESS_WEIGHT: f64 = 2.0;

/// `ln 1000` and `ln 20`: a second to the first token, 20 ms for each further one.
const GUESS_FIRST_TOKEN: f64 = 6.907_755_278_982_137;
const GUESS_PER_TOKEN: f64 = 2.995_732_273_553_991;

/// Spread of the logarithm before anything was seen.
const GUESS_VARIANCE: f64 = 0.25;

/// 95 % point of the standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_2;

/// A plain answer comes at once: its first content is its end. From this share of the total on, the first-token time tells nothing
/// about the first token.
const ALL_AT_ONCE: f64 = 0.95;

/// At least this share of a call went into the tokens after the first.
const LEAST_TOKEN_SHARE: f64 = 0.1;

/// Nobody is as regular as a clock.
const LEAST_USUAL_SD: f64 = 0.1;

/// What was timed on one call, checked: finite and not negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// To the first content, milliseconds.
    pub first_token_ms: Option<f64>,
    /// To the end, milliseconds.
    pub total_ms: Option<f64>,
    /// Output tokens, as far as they are known or can be guessed.
    pub output_tokens: Option<f64>,
}

/// A log-normal quantity that drifts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct LogTracker {
    fast: TimedMoments,
    slow: TimedMoments,
    guess: f64,
}

impl LogTracker {
    fn new(guess: f64) -> Self {
        let (fast, slow) = (TimedMoments::new(FAST_HALF_LIFE_MS), TimedMoments::new(SLOW_HALF_LIFE_MS));
        Self { fast, slow, guess }
    }

    fn observe(&mut self, value: f64, at: UnixMs) {
        let log = value.max(1e-3).ln();
        self.fast.observe(log, at.0);
        self.slow.observe(log, at.0);
    }

    /// Mean and standard deviation of the logarithm.
    fn at(&self, at: UnixMs) -> (f64, f64) {
        let slow = shrunk(&self.slow, (self.guess, GUESS_VARIANCE), GUESS_WEIGHT, at);
        let (mean, variance) = shrunk(&self.fast, slow, SLOW_WEIGHT, at);
        (mean, variance.sqrt())
    }

    /// The same over the last day or so.
    fn usual(&self, at: UnixMs) -> (f64, f64) {
        let (mean, variance) = shrunk(&self.slow, (self.guess, GUESS_VARIANCE), GUESS_WEIGHT, at);
        (mean, variance.sqrt())
    }
}

/// Mean and variance, pulled to `(mean, variance)` as if that had been seen `weight` times.
fn shrunk(moments: &TimedMoments, (mean, variance): (f64, f64), weight: f64, at: UnixMs) -> (f64, f64) {
    let own = moments.weight(at.0);
    let share = own / (own + weight);
    let blend = |mine: f64, other: f64| share * mine + (1.0 - share) * other;
    (blend(moments.mean(), mean), blend(moments.variance(), variance))
}

/// Time to the first token and time per token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencyHead {
    first_token: LogTracker,
    per_token: LogTracker,
}

impl Default for LatencyHead {
    fn default() -> Self {
        Self { first_token: LogTracker::new(GUESS_FIRST_TOKEN), per_token: LogTracker::new(GUESS_PER_TOKEN) }
    }
}

impl LatencyHead {
    /// Folds a call in, as far as it was timed.
    pub fn observe(&mut self, timing: &Timing, at: UnixMs) {
        let seen = timing.first_token_ms.filter(|f| timing.total_ms.is_none_or(|t| *f < ALL_AT_ONCE * t));
        let whole = timing.total_ms.zip(timing.output_tokens).map(|(t, n)| (t, n.max(1.0)));
        match (seen, whole) {
            (Some(first), Some((total, tokens))) => {
                self.first_token.observe(first, at);
                self.per_token.observe((total - first).max(LEAST_TOKEN_SHARE * total) / tokens, at);
            }
            (Some(first), None) => self.first_token.observe(first, at),
            (None, Some((total, tokens))) => self.share_out(total, tokens, at),
            (None, None) => {}
        }
    }

    /// Of a plain answer only the total is seen: both parts were off by the factor by which their sum was.
    fn share_out(&mut self, total_ms: f64, tokens: f64, at: UnixMs) {
        let (first, each) = (self.first_token.at(at).0.exp(), self.per_token.at(at).0.exp());
        let factor = total_ms / (first + tokens * each);
        self.first_token.observe(first * factor, at);
        self.per_token.observe(each * factor, at);
    }

    /// What a call of `output_tokens` tokens takes by the last day's experience, milliseconds, and the standard deviation of its
    /// logarithm.
    pub fn usual(&self, output_tokens: f64, at: UnixMs) -> (f64, f64) {
        let ((first, first_sd), (each, each_sd)) = (self.first_token.usual(at), self.per_token.usual(at));
        let (first, rest) = (first.exp(), output_tokens * each.exp());
        let sd = (first * first_sd + rest * each_sd) / (first + rest);
        (first + rest, sd.max(LEAST_USUAL_SD))
    }

    /// Time to the last of `output_tokens` tokens. The 95th percentile takes both parts to be late together.
    pub fn estimate(&self, output_tokens: f64, at: UnixMs) -> LatencyEstimate {
        let ((first, first_sd), (each, each_sd)) = (self.first_token.at(at), self.per_token.at(at));
        LatencyEstimate {
            p50: first.exp() + output_tokens * each.exp(),
            p95: (first + Z95 * first_sd).exp() + output_tokens * (each + Z95 * each_sd).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(first: Option<f64>, total: f64, tokens: u32) -> Timing {
        Timing { first_token_ms: first, total_ms: Some(total), output_tokens: Some(f64::from(tokens)) }
    }

    #[test]
    fn it_finds_both_parts_and_scales_with_the_answer() {
        let mut head = LatencyHead::default();
        (0..200).for_each(|i| head.observe(&timing(Some(200.0), 1200.0, 100), UnixMs(i * 100)));
        let now = UnixMs(20_000);
        assert!((head.estimate(100.0, now).p50 / 1200.0 - 1.0).abs() < 0.05);
        assert!((head.estimate(1000.0, now).p50 / 10_200.0 - 1.0).abs() < 0.05);
        assert!(head.estimate(100.0, now).p95 > head.estimate(100.0, now).p50);
    }

    #[test]
    fn plain_answers_alone_predict_the_total() {
        let mut head = LatencyHead::default();
        (0..200).for_each(|i| head.observe(&timing(Some(4999.0), 5000.0, 200), UnixMs(i * 100)));
        assert!((head.estimate(200.0, UnixMs(20_000)).p50 / 5000.0 - 1.0).abs() < 0.05);
        // Faster than the guess of a whole second, too.
        let mut head = LatencyHead::default();
        (0..200).for_each(|i| head.observe(&timing(Some(20.0), 20.0, 50), UnixMs(i * 100)));
        assert!((head.estimate(50.0, UnixMs(20_000)).p50 / 20.0 - 1.0).abs() < 0.1);
    }

    #[test]
    fn a_slow_spell_is_followed_within_minutes_and_forgotten_within_an_hour() {
        let mut head = LatencyHead::default();
        let mut at = 0;
        let mut run = |head: &mut LatencyHead, calls: i64, first: f64| {
            for _ in 0..calls {
                at += 1000;
                head.observe(&timing(Some(first), first + 2000.0, 100), UnixMs(at));
            }
            at
        };
        run(&mut head, 3000, 300.0);
        let spell = run(&mut head, 600, 30_000.0);
        assert!(head.estimate(0.0, UnixMs(spell)).p50 > 3000.0);
        assert!(head.estimate(0.0, UnixMs(spell + 3_600_000)).p50 < 1000.0);
    }
}
