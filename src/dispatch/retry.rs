//! Asking again: how long to wait, and how much of a provider's traffic may be second attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::provider::ProviderError;

/// How a request is asked again once every target has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// Calls beyond the first round, at the most.
    pub most: u32,
    /// The longest wait before the first of them; it doubles with each.
    pub base: Duration,
    /// The longest wait at all. A provider that asks for more is not asked again.
    pub max_wait: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { most: 2, base: Duration::from_millis(100), max_wait: Duration::from_secs(2) }
    }
}

impl RetrySettings {
    /// The wait before retry `nth` (from 0) after `error`: full jitter by `unit` in [0, 1), never less than the provider asks.
    /// `None`: asking the same again is of no use, or not so soon.
    pub(super) fn wait(&self, nth: u32, error: &ProviderError, unit: f64) -> Option<Duration> {
        if !is_retryable(error) {
            return None;
        }
        let longest = self.base.saturating_mul(1 << nth.min(16)).min(self.max_wait);
        let asked = error.retry_after().unwrap_or_default();
        (asked <= self.max_wait).then(|| longest.mul_f64(unit).max(asked))
    }
}

/// Whether the same call may go well a moment later. A time-out has cost the caller its time already.
fn is_retryable(error: &ProviderError) -> bool {
    match error {
        ProviderError::Connect | ProviderError::Cut => true,
        // Without a time it is not known to be short: the arm rests.
        ProviderError::RateLimited { retry_after, .. } => retry_after.is_some(),
        ProviderError::Server { status, .. } => *status >= 500 || *status == 408,
        _ => false,
    }
}

/// A random number in [0, 1).
pub(super) fn jitter() -> f64 {
    // Without the system's randomness all wait the longest, which is still correct.
    getrandom::u64().map_or(1.0, |bits| (bits >> 11) as f64 / (1u64 << 53) as f64)
}

const ONE: i64 = 1_000;
/// Second attempts that a provider may be sent at once, whatever its traffic: a quiet service retries too.
const RESERVE: i64 = 10;

fn thousandths(share: f64) -> i64 {
    (share * ONE as f64).round() as i64
}

/// A token bucket: each call puts a share of a token in, each second attempt takes one out.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// Thousandths of a token that a call puts in.
    share: i64,
    tokens: Arc<AtomicI64>,
    refused: Arc<AtomicU64>,
}

impl RetryBudget {
    pub(super) fn new(share: f64) -> Self {
        Self {
            share: thousandths(share),
            tokens: Arc::new(AtomicI64::new(RESERVE * ONE)),
            refused: Arc::default(),
        }
    }

    /// The same tokens, of which calls from now on put in `share`.
    pub(super) fn with_share(&self, share: f64) -> Self {
        let (tokens, refused) = (Arc::clone(&self.tokens), Arc::clone(&self.refused));
        Self { share: thousandths(share), tokens, refused }
    }

    /// A first attempt is made.
    pub(super) fn deposit(&self) {
        let add = |tokens: i64| Some((tokens + self.share).min(RESERVE * ONE));
        let _always = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Whether a second attempt may be made.
    pub(super) fn withdraw(&self) -> bool {
        let take = |tokens: i64| (tokens >= ONE).then_some(tokens - ONE);
        let is_granted = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        self.refused.fetch_add(u64::from(!is_granted), Ordering::Relaxed);
        is_granted
    }

    /// Second attempts that it refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::UpstreamError;

    fn server(status: u16, retry_after: Option<u64>) -> ProviderError {
        let retry_after = retry_after.map(Duration::from_millis);
        ProviderError::Server { status, retry_after, error: UpstreamError::default() }
    }

    #[test]
    fn waits_double_with_full_jitter_up_to_the_bound() {
        let retry = RetrySettings::default();
        let wait = |nth, unit| retry.wait(nth, &server(503, None), unit).unwrap().as_millis();
        assert_eq!([0.0, 0.5, 1.0].map(|unit| wait(0, unit)), [0, 50, 100]);
        assert_eq!([0, 1, 2, 3, 4, 5, 30].map(|nth| wait(nth, 1.0)), [100, 200, 400, 800, 1600, 2000, 2000]);
        assert!((0..100).all(|_| (0.0..1.0).contains(&jitter())));
    }

    #[test]
    fn u5_retry_after_is_kept_to_and_a_long_one_is_not_waited_for() {
        let retry = RetrySettings::default();
        assert_eq!(retry.wait(0, &server(503, Some(700)), 0.5), Some(Duration::from_millis(700)));
        assert_eq!(retry.wait(0, &server(503, Some(2_001)), 0.5), None);
        let limited =
            |retry_after| ProviderError::RateLimited { retry_after, error: UpstreamError::default() };
        assert_eq!(retry.wait(0, &limited(None), 0.5), None);
        assert_eq!(retry.wait(0, &limited(Some(Duration::from_secs(1))), 0.5), Some(Duration::from_secs(1)));
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let retry = RetrySettings::default();
        let is_asked = |error| retry.wait(0, &error, 0.5).is_some();
        assert!(is_asked(ProviderError::Connect) && is_asked(ProviderError::Cut));
        assert!(is_asked(server(500, None)) && is_asked(server(529, None)) && is_asked(server(408, None)));
        assert!(!is_asked(server(404, None)) && !is_asked(ProviderError::Credentials { status: 401 }));
        assert!(!is_asked(ProviderError::FirstByteTimeout) && !is_asked(ProviderError::TotalTimeout));
    }

    #[test]
    fn second_attempts_stay_within_a_fifth_of_the_calls_and_the_reserve() {
        let budget = RetryBudget::new(0.2);
        let mut granted = 0;
        for _ in 0..1_000 {
            budget.deposit();
            granted += u64::from(budget.withdraw());
        }
        assert_eq!(
            granted,
            200 + 9,
            "a fifth of 1000 and the reserve, of which the first call's share did not fit"
        );
        assert_eq!(budget.refused(), 1_000 - granted);
    }
}
