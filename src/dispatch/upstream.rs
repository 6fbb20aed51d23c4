//! A provider and what it may be sent: calls in flight and second attempts.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    places: Arc<Semaphore>,
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
        let max_in_flight = limits.max_in_flight.min(Semaphore::MAX_PERMITS);
        Self {
            provider,
            places: Arc::new(Semaphore::new(max_in_flight)),
            max_in_flight,
            retries: RetryBudget::new(limits.retry_budget),
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
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Whether all places are taken.
    pub fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.max_in_flight - self.places.available_permits()
    }

    /// Second attempts that were not made because the budget for them was used up.
    pub fn retries_refused(&self) -> u64 {
        self.retries.refused()
    }
}
