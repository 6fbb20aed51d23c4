//! Requests and tokens per minute of client keys. Tokens are taken by estimate before a call and corrected by what it used.
//!
//! Kept in memory alone: a restart begins with full buckets. Locks are held for a few additions, never across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::ServiceError;
use crate::domain::{KeyId, Prompt, RateLimits, Usage};
use crate::math::bucket::Bucket;
use crate::policy::heads::TYPICAL_TOKENS;

/// Keys beyond which those are forgotten that have used nothing of late.
const MANY_KEYS: usize = 4096;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateKind {
    /// Requests per minute.
    Requests,
    /// Tokens per minute.
    Tokens,
}

impl RateKind {
    /// As headers and messages have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }
}

/// A request that came too soon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateDenied {
    /// Which limit.
    pub kind: RateKind,
    /// Per minute.
    pub limit: u32,
    /// Until it can be served, milliseconds.
    pub wait_ms: u64,
}

/// How one limit stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateStanding {
    /// Which.
    pub kind: RateKind,
    /// Per minute.
    pub limit: u32,
    /// What can be used at once.
    pub remaining: u32,
    /// Until all of it can, milliseconds.
    pub reset_ms: u64,
}

/// The meters of all keys that have limits.
#[derive(Debug)]
pub struct Rates {
    /// The clock's zero.
    since: Instant,
    meters: Mutex<HashMap<KeyId, Arc<Meter>>>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { since: Instant::now(), meters: Mutex::default() }
    }
}

impl Rates {
    /// The meter of a key, at the limits that it has now; `None`: it has none.
    pub fn meter(&self, key: &KeyId, limits: RateLimits) -> Option<Arc<Meter>> {
        if limits.is_empty() {
            return None;
        }
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = meters.get(key) {
            meter.adapt(limits);
            return Some(Arc::clone(meter));
        }
        if meters.len() >= MANY_KEYS {
            // A full meter is like a new one.
            meters.retain(|_, meter| !meter.is_unused());
        }
        let meter = Arc::new(Meter::new(self.since, limits));
        meters.insert(key.clone(), Arc::clone(&meter));
        Some(meter)
    }
}

/// One key's buckets.
#[derive(Debug)]
pub struct Meter {
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: RateLimits,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl State {
    fn bucket(&mut self, kind: RateKind) -> Option<&mut Bucket> {
        match kind {
            RateKind::Requests => self.requests.as_mut(),
            RateKind::Tokens => self.tokens.as_mut(),
        }
    }
}

impl Meter {
    fn new(since: Instant, limits: RateLimits) -> Self {
        let at = ms(since);
        let full = |limit: Option<u32>| limit.map(|l| Bucket::full(l, at));
        let state = State { limits, requests: full(limits.rpm), tokens: full(limits.tpm) };
        Self { since, state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over limits that were changed; what was used stays used.
    fn adapt(&self, limits: RateLimits) {
        let at = ms(self.since);
        let mut state = self.state();
        if state.limits == limits {
            return;
        }
        let resized = |bucket: Option<Bucket>, limit: Option<u32>| {
            let mut bucket = bucket.unwrap_or_else(|| Bucket::full(limit.unwrap_or(1), at));
            bucket.resize(limit?, at);
            Some(bucket)
        };
        state.requests = resized(state.requests, limits.rpm);
        state.tokens = resized(state.tokens, limits.tpm);
        state.limits = limits;
    }

    fn is_unused(&self) -> bool {
        self.standing().iter().all(|s| s.reset_ms == 0)
    }

    fn take(&self, kind: RateKind, amount: f64) -> Result<(), RateDenied> {
        let at = ms(self.since);
        let mut state = self.state();
        let Some(bucket) = state.bucket(kind) else { return Ok(()) };
        let limit = bucket.capacity() as u32;
        bucket.take(amount, at).map_err(|wait| RateDenied { kind, limit, wait_ms: wait.ceil() as u64 })
    }

    /// Whether tokens are limited.
    pub fn counts_tokens(&self) -> bool {
        self.state().tokens.is_some()
    }

    /// Counts a request.
    ///
    /// # Errors
    /// When there were too many.
    pub fn request(&self) -> Result<(), RateDenied> {
        self.take(RateKind::Requests, 1.0)
    }

    /// Takes `tokens` for a call to come. What is larger than the limit is served when nothing else was, and is owed.
    ///
    /// # Errors
    /// When there were too many.
    pub fn hold(self: &Arc<Self>, tokens: f64) -> Result<Held, RateDenied> {
        self.take(RateKind::Tokens, tokens)?;
        Ok(Held { meter: Arc::clone(self), tokens })
    }

    fn correct(&self, more: f64) {
        let at = ms(self.since);
        if let Some(tokens) = &mut self.state().tokens {
            tokens.correct(more, at);
        }
    }

    /// How its limits stand.
    pub fn standing(&self) -> Vec<RateStanding> {
        let at = ms(self.since);
        let mut state = self.state();
        let mut standing = Vec::with_capacity(2);
        for kind in [RateKind::Requests, RateKind::Tokens] {
            if let Some(bucket) = state.bucket(kind) {
                standing.push(RateStanding {
                    kind,
                    limit: bucket.capacity() as u32,
                    remaining: bucket.remaining(at) as u32,
                    reset_ms: bucket.ms_until_full(at).ceil() as u64,
                });
            }
        }
        standing
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Tokens that are taken for a call; given back when it is dropped before it is settled.
#[derive(Debug)]
pub struct Held {
    meter: Arc<Meter>,
    tokens: f64,
}

impl Held {
    /// Replaces the estimate by what was used.
    pub fn settle(mut self, used: f64) {
        let more = used - std::mem::take(&mut self.tokens);
        self.meter.correct(more);
    }

    /// The same, as far as it is known: `None` leaves the estimate.
    pub(super) fn settle_usage(self, usage: Option<&Usage>) {
        let used = usage.map_or(self.tokens, |u| f64::from(u.input_tokens) + f64::from(u.output_tokens));
        self.settle(used);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.tokens > 0.0 {
            self.meter.correct(-self.tokens);
        }
    }
}

/// Tokens that a call is expected to use: its input, and a typical answer where the caller allows that much.
pub(super) fn expected_tokens(prompt: &Prompt) -> f64 {
    let answer = prompt.max_output_tokens.map_or(TYPICAL_TOKENS, |most| f64::from(most).min(TYPICAL_TOKENS));
    f64::from(prompt.input_tokens) + answer
}

impl From<RateDenied> for ServiceError {
    fn from(denied: RateDenied) -> Self {
        Self::RateLimited(denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(rpm: Option<u32>, tpm: Option<u32>) -> (Rates, RateLimits, Arc<Meter>) {
        let (rates, limits) = (Rates::default(), RateLimits { rpm, tpm });
        let meter = rates.meter(&KeyId::from("k"), limits).unwrap();
        (rates, limits, meter)
    }

    #[test]
    fn tokens_are_held_settled_and_given_back() {
        let (.., meter) = meter(None, Some(1_000));
        let remaining = || meter.standing()[0].remaining;
        let first = meter.hold(600.0).unwrap();
        let denied = meter.hold(600.0).unwrap_err();
        assert_eq!((denied.kind, denied.limit), (RateKind::Tokens, 1_000));
        assert!((1..=12_000).contains(&denied.wait_ms), "{denied:?}");
        first.settle(100.0);
        assert!((900..=950).contains(&remaining()), "{}", remaining());
        drop(meter.hold(800.0).unwrap());
        assert!(remaining() >= 900);
        meter.hold(10.0).unwrap().settle(5_000.0);
        assert_eq!(remaining(), 0, "it is owed");
        assert!(meter.hold(1.0).is_err());
    }

    #[test]
    fn limits_that_change_hold_at_once_and_what_was_used_stays_used() {
        let (rates, _, first) = meter(Some(2), None);
        first.request().unwrap();
        first.request().unwrap();
        assert_eq!(first.request().unwrap_err().kind, RateKind::Requests);
        let more = RateLimits { rpm: Some(4), tpm: Some(10) };
        let same = rates.meter(&KeyId::from("k"), more).unwrap();
        assert!(Arc::ptr_eq(&same, &first));
        assert_eq!(same.standing()[0].remaining, 2);
        assert_eq!(same.standing()[1].remaining, 10);
        assert!(rates.meter(&KeyId::from("k"), RateLimits::default()).is_none());
    }
}
