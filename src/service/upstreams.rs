//! How the upstreams are, for operators.

use super::Service;
use super::cache::show;
use crate::dispatch::BreakerState;

impl Service {
    /// Brings the metrics up to date with breakers, calls in flight and the response cache.
    pub fn show_upstreams(&self) {
        for (arm, state) in self.health.breakers() {
            let state = match state {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            self.metrics.breaker(&arm, state);
        }
        for upstream in self.fleet.upstreams() {
            self.metrics.provider(upstream.id(), upstream.in_flight(), upstream.retries_refused());
        }
        if let Some(cache) = &self.cache {
            show(cache, &self.metrics);
        }
    }
}
