//! How the upstreams are, for operators.

use super::Service;
use crate::dispatch::BreakerState;

impl Service {
    /// Brings the metrics up to date with breakers and calls in flight.
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
    }
}
