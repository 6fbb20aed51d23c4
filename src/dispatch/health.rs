//! What calls met, arm by arm: breakers, rests that providers asked for, and how long first contents take.
//!
//! A rate limit puts an arm to rest for as long as the provider asks; refused credentials for longer, since only a person can mend
//! them; everything else that is the arm's fault counts towards its breaker. Each arm has a lock of its own, held for a few
//! additions and never across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::breaker::{Breaker, BreakerState, Hindrance, Pass, Refused, Tally};
use super::recent::Recent;
use crate::domain::{Arm, ArmId, AttemptEnd, Exclusion, ProviderId};

/// How long an arm rests after a rate limit that names no time.
const RATE_LIMIT_REST: Duration = Duration::from_secs(5);
/// How long it rests after its key was refused.
const CREDENTIALS_REST: Duration = Duration::from_secs(60);

/// State per arm; shared by all requests.
#[derive(Debug)]
pub struct Health {
    origin: Instant,
    arms: ArcSwap<HashMap<ArmId, Arc<ArmHealth>>>,
}

#[derive(Debug)]
struct ArmHealth {
    provider: ProviderId,
    breaker: Mutex<Breaker>,
    /// Of plain answers and of streams: the one begins when it is whole, the other with its first content.
    begins: [Mutex<Recent>; 2],
}

impl ArmHealth {
    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begins(&self, is_stream: bool) -> std::sync::MutexGuard<'_, Recent> {
        self.begins[usize::from(is_stream)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self { origin: Instant::now(), arms: ArcSwap::default() }
    }
}

impl Health {
    /// Lets a call of `arm` through.
    ///
    /// # Errors
    /// When its breaker is open, or it rests.
    pub fn admit(self: &Arc<Self>, arm: &Arm) -> Result<Admission, Refused> {
        let state = self.state(arm);
        let pass = state.breaker().admit(self.now_ms())?;
        Ok(Admission { health: Arc::clone(self), arm: arm.id.clone(), state, pass, is_over: false })
    }

    /// A copy to decide by: a request takes one and holds it to its end.
    pub fn snapshot(&self) -> HealthSnapshot {
        let now = self.now_ms();
        let arms = self.arms.load();
        let refused = arms.iter().filter_map(|(arm, s)| Some((arm.clone(), s.breaker().refusal(now)?)));
        HealthSnapshot { refused: refused.collect() }
    }

    /// The time within which 95 % of the last answers of `arm` began; `None` while too few are known.
    pub fn p95_to_begin(&self, arm: &ArmId, is_stream: bool) -> Option<Duration> {
        self.arms.load().get(arm)?.begins(is_stream).p95()
    }

    /// What each breaker does now, by arm; arms that were never called are not in it.
    pub fn breakers(&self) -> Vec<(ArmId, BreakerState)> {
        let now = self.now_ms();
        self.arms.load().iter().map(|(arm, state)| (arm.clone(), state.breaker().state(now))).collect()
    }

    /// How the other arms of the provider of `arm` do.
    fn others(&self, arm: &ArmId, provider: &ProviderId) -> Tally {
        let now = self.now_ms();
        let arms = self.arms.load();
        let others = arms.iter().filter(|(id, state)| *id != arm && state.provider == *provider);
        others.fold(Tally::default(), |sum, (_, state)| sum.plus(state.breaker().tally(now)))
    }

    /// Forgets all arms but those that `keep` names, by arm and provider: after a change of the configuration.
    pub fn retain(&self, keep: impl Fn(&ArmId, &ProviderId) -> bool) {
        self.arms.rcu(|arms| {
            let mut arms = HashMap::clone(arms);
            arms.retain(|arm, state| keep(arm, &state.provider));
            arms
        });
    }

    fn state(&self, arm: &Arm) -> Arc<ArmHealth> {
        if let Some(state) = self.arms.load().get(&arm.id) {
            return Arc::clone(state);
        }
        let new = Arc::new(ArmHealth {
            provider: arm.provider.clone(),
            breaker: Mutex::default(),
            begins: Default::default(),
        });
        self.arms.rcu(|arms| {
            let mut arms = HashMap::clone(arms);
            arms.entry(arm.id.clone()).or_insert_with(|| Arc::clone(&new));
            arms
        });
        self.arms.load().get(&arm.id).map_or(new, Arc::clone)
    }

    fn now_ms(&self) -> u64 {
        millis(self.origin.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A call that was let through. It must be told how the call ended; dropped untold it says nothing of the arm.
#[derive(Debug)]
pub struct Admission {
    health: Arc<Health>,
    arm: ArmId,
    state: Arc<ArmHealth>,
    pass: Pass,
    is_over: bool,
}

impl Admission {
    /// The answer began, so long after the call. A probe has told what it was sent for: its place is free again, for a stream may
    /// go on for minutes.
    pub fn began(&mut self, is_stream: bool, took: Duration) {
        self.state.begins(is_stream).note(took);
        let mut breaker = self.state.breaker();
        breaker.began();
        if std::mem::replace(&mut self.pass, Pass::Regular) == Pass::Probe {
            breaker.release();
        }
    }

    /// The answer came to its end.
    pub fn answered(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.state.breaker().answered(self.health.now_ms());
        }
    }

    /// The call failed, or its answer broke off. `retry_after`: how long the provider asks to wait.
    pub fn failed(&mut self, end: AttemptEnd, retry_after: Option<Duration>) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        // Looked at first: of two arms' locks never one is held while the other is waited for.
        let others = self.health.others(&self.arm, &self.state.provider);
        let now = self.health.now_ms();
        let until = |rest: Duration| now.saturating_add(millis(rest));
        let mut breaker = self.state.breaker();
        match end {
            AttemptEnd::RateLimited => {
                breaker.rest(Hindrance::RateLimited, until(retry_after.unwrap_or(RATE_LIMIT_REST)));
            }
            AttemptEnd::Credentials => {
                breaker.rest(Hindrance::Credentials, until(CREDENTIALS_REST));
                tracing::error!(arm = %self.arm, rest = ?CREDENTIALS_REST, "a provider refuses our key: its model is not asked for a while");
            }
            // The request's own fault, and the request's own time: neither says anything about the arm.
            AttemptEnd::Answered
            | AttemptEnd::BadRequest
            | AttemptEnd::TotalTimeout
            | AttemptEnd::Cancelled => {}
            AttemptEnd::Connect
            | AttemptEnd::FirstByteTimeout
            | AttemptEnd::ServerError
            | AttemptEnd::Malformed => {
                if breaker.failed(now, others) {
                    tracing::warn!(arm = %self.arm, "a breaker opens: the model's calls fail");
                }
                if let Some(wait) = retry_after {
                    breaker.rest(Hindrance::Down, until(wait));
                }
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.pass == Pass::Probe {
            self.state.breaker().release();
        }
    }
}

/// Which arms are not asked, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthSnapshot {
    refused: HashMap<ArmId, Refused>,
}

impl HealthSnapshot {
    /// Whether `arm` may be asked.
    pub fn is_available(&self, arm: &ArmId) -> bool {
        !self.refused.contains_key(arm)
    }

    /// Why `arm` may not be asked.
    pub fn exclusion(&self, arm: &ArmId) -> Option<Exclusion> {
        self.refused.get(arm).map(|refused| match refused.why {
            Hindrance::RateLimited => Exclusion::RateLimited,
            Hindrance::Busy => Exclusion::Busy,
            Hindrance::Down | Hindrance::Credentials => Exclusion::Unhealthy,
        })
    }

    /// How much longer `arm` is not asked; `None` when it may be.
    pub fn rest_left(&self, arm: &ArmId) -> Option<Duration> {
        self.refused.get(arm).map(|refused| refused.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CapabilitySet, Limits, Price};

    #[test]
    fn a_probe_that_begins_to_answer_makes_room_for_the_next_while_its_stream_goes_on() {
        let arm = Arm {
            id: ArmId::from("local/a"),
            provider: ProviderId::from("local"),
            model: "a".into(),
            price: Price::flat(1.0, 1.0),
            limits: Limits { context_window: 8000, max_output: None },
            capabilities: CapabilitySet::default(),
        };
        let mut health = Arc::new(Health::default());
        (0..5).for_each(|_| health.admit(&arm).unwrap().failed(AttemptEnd::ServerError, None));
        assert_eq!(health.breakers(), [(arm.id.clone(), BreakerState::Open)]);
        Arc::get_mut(&mut health).unwrap().origin -= Duration::from_secs(10);
        let mut first = health.admit(&arm).unwrap();
        assert!(health.admit(&arm).is_err(), "one at a time");
        first.began(true, Duration::ZERO);
        let mut second = health.admit(&arm).unwrap();
        second.began(true, Duration::ZERO);
        assert_eq!(health.breakers(), [(arm.id.clone(), BreakerState::Closed)]);
        first.failed(AttemptEnd::Connect, None);
        drop((first, second));
        assert!(health.admit(&arm).is_ok(), "one broken stream opens nothing");
    }
}
