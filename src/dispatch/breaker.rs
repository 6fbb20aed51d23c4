//! One arm's breaker: closed while calls go well, open for a while once they do not, then half-open with a few probes.
//!
//! Time is handed in, in milliseconds of a clock that never goes back.

use std::time::Duration;

/// Failures in a row that open it.
const FAILURES_IN_A_ROW: u32 = 5;
/// Calls within the window that a failure rate is judged by.
const LEAST_CALLS: u32 = 20;
/// Failure rate that opens it.
const FAILURE_RATE: f64 = 0.5;
/// Failure rate that opens it while the provider's other arms are in order: then it is this arm and not the provider.
const OUTLIER_RATE: f64 = 0.25;
/// Up to this failure rate the other arms are in order.
const IN_ORDER_RATE: f64 = 0.05;
/// How long it stays open the first time; doubled with each probe that fails.
const FIRST_REST_MS: u64 = 5_000;
/// How long it stays open at the most.
const LONGEST_REST_MS: u64 = 60_000;
/// Calls under way at one time while it is half-open.
const PROBES: u32 = 1;
/// Answers in a row that close it.
const ANSWERS_TO_CLOSE: u32 = 2;
/// When to look again while all probes are under way.
const PROBE_WAIT_MS: u64 = 1_000;

/// What a breaker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets every call through.
    Closed,
    /// Lets a probe through.
    HalfOpen,
    /// Lets nothing through.
    Open,
}

/// Why an arm is not asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hindrance {
    /// Its calls fail: the breaker is open.
    Down,
    /// The provider asked to wait.
    RateLimited,
    /// The provider refused our key.
    Credentials,
    /// The provider has as many calls in flight as it may.
    Busy,
}

/// An arm that is not asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Hindrance,
    /// When it may be again.
    pub left: Duration,
}

/// How a call that was let through counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// One of many.
    Regular,
    /// It tells whether the arm is back.
    Probe,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until_ms: u64 },
    HalfOpen { probes: u32, answers: u32 },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    failures_in_a_row: u32,
    /// How often it opened since it was last closed.
    openings: u32,
    window: Window,
    /// A rest that the provider asked for, whatever the state.
    rest: Option<(Hindrance, u64)>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            failures_in_a_row: 0,
            openings: 0,
            window: Window::default(),
            rest: None,
        }
    }
}

impl Breaker {
    /// Lets a call through, or says why not. A probe must be given back with [`Self::release`].
    pub(super) fn admit(&mut self, now_ms: u64) -> Result<Pass, Refused> {
        if let Some(refused) = self.refusal(now_ms) {
            return Err(refused);
        }
        match &mut self.state {
            State::Closed => Ok(Pass::Regular),
            State::Open { .. } => {
                self.state = State::HalfOpen { probes: 1, answers: 0 };
                Ok(Pass::Probe)
            }
            State::HalfOpen { probes, .. } => {
                *probes += 1;
                Ok(Pass::Probe)
            }
        }
    }

    /// Why a call would not be let through now.
    pub(super) fn refusal(&self, now_ms: u64) -> Option<Refused> {
        let refused = |why, ms| Some(Refused { why, left: Duration::from_millis(ms) });
        if let Some((why, until)) = self.rest
            && until > now_ms
        {
            return refused(why, until - now_ms);
        }
        match self.state {
            State::Open { until_ms } if until_ms > now_ms => refused(Hindrance::Down, until_ms - now_ms),
            State::HalfOpen { probes, .. } if probes >= PROBES => refused(Hindrance::Down, PROBE_WAIT_MS),
            _ => None,
        }
    }

    /// What it does now.
    pub(super) fn state(&self, now_ms: u64) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until_ms } if until_ms > now_ms => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// A probe is over.
    pub(super) fn release(&mut self) {
        if let State::HalfOpen { probes, .. } = &mut self.state {
            *probes = probes.saturating_sub(1);
        }
    }

    /// An answer began. It may still break off, so failures are not forgotten yet.
    pub(super) fn began(&mut self) {
        let State::HalfOpen { answers, .. } = &mut self.state else { return };
        *answers += 1;
        if *answers >= ANSWERS_TO_CLOSE {
            *self = Self { rest: self.rest, ..Self::default() };
        }
    }

    /// An answer came to its end.
    pub(super) fn answered(&mut self, now_ms: u64) {
        self.window.note(now_ms, false);
        self.failures_in_a_row = 0;
    }

    /// A call failed, or its answer broke off. `others`: failures and calls of the provider's other arms lately. Whether it opens.
    pub(super) fn failed(&mut self, now_ms: u64, others: Tally) -> bool {
        self.window.note(now_ms, true);
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let lately = self.window.tally(now_ms);
        let is_outlier = others.is_in_order() && lately.exceeds(OUTLIER_RATE);
        let opens = match self.state {
            State::Closed => {
                self.failures_in_a_row >= FAILURES_IN_A_ROW || lately.exceeds(FAILURE_RATE) || is_outlier
            }
            State::HalfOpen { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            let rest = FIRST_REST_MS.saturating_mul(1 << self.openings.min(16)).min(LONGEST_REST_MS);
            self.openings = self.openings.saturating_add(1);
            self.failures_in_a_row = 0;
            self.state = State::Open { until_ms: now_ms.saturating_add(rest) };
        }
        opens
    }

    /// Asks nobody until then; a rest that ends later stays.
    pub(super) fn rest(&mut self, why: Hindrance, until_ms: u64) {
        if self.rest.is_none_or(|(_, until)| until < until_ms) {
            self.rest = Some((why, until_ms));
        }
    }

    /// Failures and calls lately.
    pub(super) fn tally(&self, now_ms: u64) -> Tally {
        self.window.tally(now_ms)
    }
}

/// Failures among calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) calls: u32,
    pub(super) failures: u32,
}

impl Tally {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, failures: self.failures + other.failures }
    }

    fn rate(self) -> f64 {
        f64::from(self.failures) / f64::from(self.calls.max(1))
    }

    fn exceeds(self, rate: f64) -> bool {
        self.calls >= LEAST_CALLS && self.rate() >= rate
    }

    fn is_in_order(self) -> bool {
        self.calls >= LEAST_CALLS && self.rate() <= IN_ORDER_RATE
    }
}

const SLOTS: usize = 10;
const SLOT_MS: u64 = 1_000;

/// The last ten seconds, second by second.
#[derive(Debug, Default)]
struct Window {
    /// Which second each slot is of.
    seconds: [u64; SLOTS],
    tallies: [Tally; SLOTS],
}

impl Window {
    fn note(&mut self, now_ms: u64, is_failure: bool) {
        let second = now_ms / SLOT_MS;
        let slot = usize::try_from(second % SLOTS as u64).unwrap_or(0);
        if self.seconds[slot] != second {
            (self.seconds[slot], self.tallies[slot]) = (second, Tally::default());
        }
        let one = Tally { calls: 1, failures: u32::from(is_failure) };
        self.tallies[slot] = self.tallies[slot].plus(one);
    }

    fn tally(&self, now_ms: u64) -> Tally {
        let oldest = (now_ms / SLOT_MS).saturating_sub(SLOTS as u64 - 1);
        let kept = self.seconds.iter().zip(&self.tallies).filter(|(second, _)| **second >= oldest);
        kept.fold(Tally::default(), |sum, (_, tally)| sum.plus(*tally))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(at_ms: u64) -> Breaker {
        let mut breaker = Breaker::default();
        (1..FAILURES_IN_A_ROW).for_each(|_| assert!(!breaker.failed(at_ms, Tally::default())));
        assert!(breaker.failed(at_ms, Tally::default()));
        breaker
    }

    fn probe(breaker: &mut Breaker, now_ms: u64, is_good: bool) {
        assert_eq!(breaker.admit(now_ms), Ok(Pass::Probe));
        if is_good {
            breaker.began();
            breaker.answered(now_ms);
        } else {
            breaker.failed(now_ms, Tally::default());
        }
        breaker.release();
    }

    #[test]
    fn failures_in_a_row_open_it_and_answers_start_the_count_again() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            (1..FAILURES_IN_A_ROW).for_each(|_| assert!(!breaker.failed(0, Tally::default())));
            breaker.answered(0);
        }
        assert_eq!(breaker.state(0), BreakerState::Closed);
        let mut breaker = opened(100);
        assert_eq!(breaker.state(100), BreakerState::Open);
        let refused = breaker.admit(100).unwrap_err();
        assert_eq!(refused, Refused { why: Hindrance::Down, left: Duration::from_millis(FIRST_REST_MS) });
    }

    #[test]
    fn half_open_lets_one_probe_through_and_two_answers_close_it() {
        let mut breaker = opened(0);
        let later = FIRST_REST_MS;
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(later), Ok(Pass::Probe));
        assert_eq!(breaker.admit(later).unwrap_err().why, Hindrance::Down, "one at a time");
        breaker.release();
        probe(&mut breaker, later, true);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        probe(&mut breaker, later, true);
        assert_eq!(breaker.state(later), BreakerState::Closed);
        assert_eq!(breaker.admit(later), Ok(Pass::Regular));
    }

    #[test]
    fn a_failed_probe_opens_it_for_twice_as_long_up_to_a_bound() {
        let mut breaker = opened(0);
        let (mut now, mut rest) = (0, FIRST_REST_MS);
        for _ in 0..8 {
            now += rest;
            probe(&mut breaker, now, false);
            rest = (rest * 2).min(LONGEST_REST_MS);
            assert_eq!(breaker.refusal(now).unwrap().left, Duration::from_millis(rest));
        }
        assert_eq!(rest, LONGEST_REST_MS);
        now += rest;
        (0..ANSWERS_TO_CLOSE).for_each(|_| probe(&mut breaker, now, true));
        assert_eq!((0..FAILURES_IN_A_ROW).filter(|_| breaker.failed(now, Tally::default())).count(), 1);
        assert_eq!(
            breaker.refusal(now).unwrap().left,
            Duration::from_millis(FIRST_REST_MS),
            "it starts anew"
        );
    }

    #[test]
    fn a_failure_rate_opens_it_and_old_failures_are_forgotten() {
        let mut breaker = Breaker::default();
        for i in 0..LEAST_CALLS / 2 {
            breaker.answered(u64::from(i));
            breaker.failed(u64::from(i), Tally::default());
        }
        assert_eq!(breaker.state(50), BreakerState::Open, "every second call failed");
        let mut slow = Breaker::default();
        for i in 0..u64::from(LEAST_CALLS) {
            slow.answered(i * 2_000);
            slow.failed(i * 2_000, Tally::default());
        }
        assert_eq!(slow.state(40_000), BreakerState::Closed, "ten calls within the window are too few");
    }

    #[test]
    fn an_outlier_opens_sooner_than_an_arm_of_a_provider_in_trouble() {
        let fails_a_third = |others: Tally| {
            let mut breaker = Breaker::default();
            for _ in 0..10 {
                breaker.answered(0);
                breaker.answered(0);
                breaker.failed(0, others);
            }
            breaker.state(0)
        };
        assert_eq!(fails_a_third(Tally { calls: 100, failures: 1 }), BreakerState::Open);
        assert_eq!(fails_a_third(Tally { calls: 100, failures: 30 }), BreakerState::Closed);
        assert_eq!(fails_a_third(Tally { calls: 3, failures: 0 }), BreakerState::Closed, "too few to tell");
    }

    #[test]
    fn u5_a_rest_that_was_asked_for_holds_whatever_the_state() {
        let mut breaker = Breaker::default();
        breaker.rest(Hindrance::RateLimited, 42_000);
        breaker.rest(Hindrance::RateLimited, 3_000);
        breaker.answered(10);
        assert_eq!(breaker.refusal(41_999).unwrap().why, Hindrance::RateLimited);
        assert_eq!(breaker.refusal(42_000), None);
        assert_eq!(breaker.state(10), BreakerState::Closed);
    }
}
