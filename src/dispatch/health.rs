//! Which arms are down for a while, from what calls met.
//!
//! Failures in a row put an arm to rest for a short time; a rate limit does so for as long as the provider asks; refused
//! credentials for longer, since only a person can mend them. One answer clears the count. Breakers with probes come later.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::domain::{ArmId, AttemptEnd};

/// Failures in a row before an arm rests.
const FAILURES_TO_REST: u32 = 5;
/// How long it then rests.
const REST: Duration = Duration::from_secs(10);
/// How long it rests after a rate limit that names no time.
const RATE_LIMIT_REST: Duration = Duration::from_secs(5);
/// How long it rests after its key was refused.
const CREDENTIALS_REST: Duration = Duration::from_secs(60);

/// Counters per arm; shared by all requests, never locked.
#[derive(Debug)]
pub struct Health {
    origin: Instant,
    arms: ArcSwap<HashMap<ArmId, Arc<ArmHealth>>>,
}

#[derive(Debug, Default)]
struct ArmHealth {
    failures_in_a_row: AtomicU32,
    /// Milliseconds after `origin`.
    resting_until_ms: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self { origin: Instant::now(), arms: ArcSwap::default() }
    }
}

impl Health {
    /// Notes how a call of `arm` ended. `retry_after`: how long the provider asks to wait.
    pub fn record(&self, arm: &ArmId, end: AttemptEnd, retry_after: Option<Duration>) {
        let state = self.state(arm);
        match end {
            AttemptEnd::Answered => {
                state.failures_in_a_row.store(0, Ordering::Relaxed);
                state.resting_until_ms.store(0, Ordering::Relaxed);
            }
            AttemptEnd::RateLimited => self.rest(&state, retry_after.unwrap_or(RATE_LIMIT_REST)),
            AttemptEnd::Credentials => self.rest(&state, CREDENTIALS_REST),
            // The request's own fault, and the request's own time: neither says anything about the arm.
            AttemptEnd::BadRequest | AttemptEnd::TotalTimeout => {}
            AttemptEnd::Connect
            | AttemptEnd::FirstByteTimeout
            | AttemptEnd::ServerError
            | AttemptEnd::Malformed => {
                let failures = state.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if failures >= FAILURES_TO_REST {
                    state.failures_in_a_row.store(0, Ordering::Relaxed);
                    self.rest(&state, REST);
                }
                if let Some(wait) = retry_after {
                    self.rest(&state, wait);
                }
            }
        }
    }

    /// A copy to decide by: a request takes one and holds it to its end.
    pub fn snapshot(&self) -> HealthSnapshot {
        self.snapshot_at(self.now_ms())
    }

    fn snapshot_at(&self, now_ms: u64) -> HealthSnapshot {
        let left = |state: &ArmHealth| {
            state.resting_until_ms.load(Ordering::Relaxed).checked_sub(now_ms).filter(|ms| *ms > 0)
        };
        let arms = self.arms.load();
        let resting =
            arms.iter().filter_map(|(arm, state)| Some((arm.clone(), Duration::from_millis(left(state)?))));
        HealthSnapshot { resting: resting.collect() }
    }

    fn state(&self, arm: &ArmId) -> Arc<ArmHealth> {
        if let Some(state) = self.arms.load().get(arm) {
            return Arc::clone(state);
        }
        let new = Arc::new(ArmHealth::default());
        self.arms.rcu(|arms| {
            let mut arms = HashMap::clone(arms);
            arms.entry(arm.clone()).or_insert_with(|| Arc::clone(&new));
            arms
        });
        self.arms.load().get(arm).map_or(new, Arc::clone)
    }

    fn rest(&self, state: &ArmHealth, time: Duration) {
        let until = self.now_ms().saturating_add(millis(time));
        state.resting_until_ms.fetch_max(until, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        millis(self.origin.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Which arms rest, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthSnapshot {
    resting: HashMap<ArmId, Duration>,
}

impl HealthSnapshot {
    /// Whether `arm` may be asked.
    pub fn is_available(&self, arm: &ArmId) -> bool {
        !self.resting.contains_key(arm)
    }

    /// How much longer `arm` rests; `None` when it does not.
    pub fn rest_left(&self, arm: &ArmId) -> Option<Duration> {
        self.resting.get(arm).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm() -> ArmId {
        ArmId::from("local/a")
    }

    #[test]
    fn five_failures_in_a_row_rest_an_arm_for_a_while() {
        let health = Health::default();
        for _ in 0..4 {
            health.record(&arm(), AttemptEnd::ServerError, None);
        }
        assert!(health.snapshot().is_available(&arm()));
        health.record(&arm(), AttemptEnd::Connect, None);
        assert!(health.snapshot().rest_left(&arm()).unwrap() <= REST);
        assert!(health.snapshot().is_available(&ArmId::from("local/b")));
        let later_ms = health.now_ms() + millis(REST);
        assert!(health.snapshot_at(later_ms).is_available(&arm()));
    }

    #[test]
    fn an_answer_clears_the_count_and_a_bad_request_does_not_count() {
        let health = Health::default();
        for _ in 0..4 {
            health.record(&arm(), AttemptEnd::ServerError, None);
        }
        health.record(&arm(), AttemptEnd::Answered, None);
        for _ in 0..4 {
            health.record(&arm(), AttemptEnd::ServerError, None);
        }
        for _ in 0..10 {
            health.record(&arm(), AttemptEnd::BadRequest, None);
        }
        assert!(health.snapshot().is_available(&arm()));
    }

    #[test]
    fn u5_a_rate_limit_rests_the_arm_as_long_as_it_asks() {
        let health = Health::default();
        health.record(&arm(), AttemptEnd::RateLimited, Some(Duration::from_secs(42)));
        let resting_at = |second: u64| !health.snapshot_at(second * 1000).is_available(&arm());
        assert!(resting_at(0) && resting_at(41));
        assert!(!resting_at(42 + health.now_ms() / 1000 + 1));
    }
}
