//! A provider and what it may be sent: calls in flight and second attempts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Conduct;
use super::retry::RetryBudget;
use crate::domain::ProviderId;
use crate::provider::Provider;
use crate::wire::WireError;
use crate::wire::chat::ChatRequest;

/// Bounds on what a provider is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpstreamLimits {
    /// Calls in flight, streams until their end.
    pub max_in_flight: usize,
    /// Second attempts as a share of calls.
    pub retry_budget: f64,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self { max_in_flight: 512, retry_budget: 0.2 }
    }
}

/// A provider with its gate.
pub struct Upstream {
    pub(super) provider: Arc<dyn Provider>,
    in_flight: Arc<AtomicUsize>,
    max_in_flight: usize,
    pub(super) retries: RetryBudget,
    /// How its models are called when they are asked for by name.
    pub conduct: Conduct,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("id", self.id()).finish_non_exhaustive()
    }
}

impl Upstream {
    /// `provider` within `limits`; `conduct` is for models that are asked for by name.
    pub fn new(provider: Arc<dyn Provider>, limits: UpstreamLimits, conduct: Conduct) -> Self {
        Self {
            provider,
            in_flight: Arc::default(),
            max_in_flight: limits.max_in_flight,
            retries: RetryBudget::new(limits.retry_budget),
            conduct,
        }
    }

    /// What follows this one when the configuration changes: calls in flight go on counting, and so does the budget of second attempts.
    /// `provider` is the client to go on with; `None`: the same, with its connections.
    pub fn followed_by(
        &self,
        provider: Option<Arc<dyn Provider>>,
        limits: UpstreamLimits,
        conduct: Conduct,
    ) -> Self {
        Self {
            provider: provider.unwrap_or_else(|| Arc::clone(&self.provider)),
            in_flight: Arc::clone(&self.in_flight),
            max_in_flight: limits.max_in_flight,
            retries: self.retries.with_share(limits.retry_budget),
            conduct,
        }
    }

    /// The first thing in `request` that the provider's format has no words for.
    pub fn cannot_say(&self, request: &ChatRequest) -> Option<WireError> {
        self.provider.cannot_say(request)
    }

    /// Which provider.
    pub fn id(&self) -> &ProviderId {
        self.provider.id()
    }

    /// A place for a call; `None` when all are taken.
    pub(super) fn enter(&self) -> Option<Place> {
        let one_more = |taken: usize| (taken < self.max_in_flight).then_some(taken + 1);
        let entered = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        entered.ok().map(|_| Place(Arc::clone(&self.in_flight)))
    }

    /// Whether all places are taken.
    pub fn is_full(&self) -> bool {
        self.in_flight() >= self.max_in_flight
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Second attempts that were not made because the budget for them was used up.
    pub fn retries_refused(&self) -> u64 {
        self.retries.refused()
    }
}

/// A place for one call; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Format;
    use crate::provider::testing::Fake;

    #[tokio::test]
    async fn g2_calls_in_flight_and_second_attempts_count_on_under_other_limits() {
        let provider = Fake::streaming(&[]).await.provider(Format::OpenAi);
        let limits = |max_in_flight| UpstreamLimits { max_in_flight, retry_budget: 0.2 };
        let before = Upstream::new(provider, limits(2), Conduct::default());
        let first = before.enter().unwrap();
        while before.retries.withdraw() {}
        let after = before.followed_by(None, limits(1), Conduct::default());
        assert!(after.is_full() && after.enter().is_none(), "the one in flight takes the one place");
        assert!(!after.retries.withdraw(), "the budget of second attempts is not full again");
        assert_eq!(after.retries_refused(), before.retries_refused());
        drop(first);
        let second = after.enter().unwrap();
        assert_eq!((before.in_flight(), after.in_flight()), (1, 1));
        drop(second);
        assert!(!after.is_full());
    }
}
