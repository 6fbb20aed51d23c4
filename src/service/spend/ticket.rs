//! What a decision carries until its call has ended: the reservation, and what its usage is booked under.

use std::sync::Arc;

use super::Scopes;
use crate::domain::{ArmEstimate, ArmId, Basis, CompletionEnd, Decision, KeyId, RouteName, UnixMs, Usage};
use crate::policy::budget::{Amount, offers};

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::service) struct Ending<'a> {
    pub(in crate::service) at: UnixMs,
    /// Who answered.
    pub(in crate::service) served: Option<&'a ArmId>,
    pub(in crate::service) end: CompletionEnd,
    pub(in crate::service) usage: Option<Usage>,
    pub(in crate::service) cost_usd: Option<f64>,
    /// USD of calls that were given up for a faster one.
    pub(in crate::service) given_up_usd: f64,
    /// Who counted the cost.
    pub(in crate::service) basis: Option<Basis>,
    /// USD that was set aside.
    pub(in crate::service) reserved_usd: f64,
}

impl Ending<'_> {
    /// What counts as spent: the cost where it is known; where a call was under way and nobody told, what was expected; nothing
    /// where everybody failed.
    pub(super) fn spent_usd(&self, expected_usd: f64) -> f64 {
        let was_called = self.served.is_some() || self.end != CompletionEnd::Failed;
        self.given_up_usd + self.cost_usd.unwrap_or(if was_called { expected_usd } else { 0.0 })
    }
}

/// What an arm was expected to be: for the comparison with the best fixed model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) quality: f64,
    pub(super) cost_usd: f64,
}

/// One decision's share in the books.
#[derive(Debug)]
pub(in crate::service) struct Ticket {
    pub(super) at: UnixMs,
    pub(super) route: RouteName,
    pub(super) key: Option<KeyId>,
    /// The drawn arm.
    pub(super) arm: ArmId,
    pub(super) expected: Vec<(ArmId, Expected)>,
    scopes: Scopes,
    reserved: Amount,
    /// What the call may cost beyond that, room for it being kept.
    exposed: Amount,
    expected_usd: f64,
}

impl Ticket {
    /// Of a decision that reserved `reserved` in `scopes` and is expected to cost `expected_usd`.
    pub(in crate::service) fn of(
        decision: &Decision,
        scopes: Scopes,
        reserved: Amount,
        expected_usd: f64,
    ) -> Self {
        let expected =
            |e: &ArmEstimate| (e.arm.clone(), Expected { quality: e.quality.mean, cost_usd: e.cost_usd });
        Self {
            at: decision.at,
            route: decision.route.clone(),
            key: decision.key.clone(),
            arm: decision.arm.clone(),
            expected: decision.estimates.iter().map(expected).collect(),
            scopes,
            reserved,
            exposed: Amount::default(),
            expected_usd,
        }
    }

    /// Tells the scopes what the request was offered.
    pub(in crate::service) fn pace(&self, at: UnixMs, decision: &Decision) {
        if self.scopes.is_empty() {
            return;
        }
        let priced_at = decision.budget.as_ref().map_or(0.0, |b| b.multiplier.likelier());
        let rows: Arc<[_]> = offers(&decision.estimates, &decision.constraints, priced_at);
        self.scopes.requested(at, &rows, (self.reserved, self.expected_usd));
    }

    /// Whether no budget applies.
    pub(in crate::service) fn is_free(&self) -> bool {
        self.scopes.is_empty()
    }

    /// Whether `amount` is reserved, or can be without taking more than a fiftieth of what is left.
    pub(in crate::service) fn covers(&mut self, amount: Amount, at: UnixMs) -> bool {
        let more = amount.beyond(self.reserved);
        if more == Amount::default() {
            return true;
        }
        let is_small = self.scopes.room(at).is_none_or(|room| more.times(50) <= room);
        let covered = is_small && self.scopes.reserve(at, more).is_ok();
        if covered {
            self.reserved = amount;
        }
        covered
    }

    /// What is reserved.
    pub(in crate::service) fn reserved(&self) -> Amount {
        self.reserved
    }

    /// Whether the call may cost `most`: what goes beyond the reservation is little beside what is left, and room is kept for it.
    pub(in crate::service) fn bears(&mut self, most: Amount, at: UnixMs) -> bool {
        let beyond = most.beyond(self.reserved);
        let bears = self.scopes.expose(at, beyond);
        if bears {
            self.exposed = beyond;
        }
        bears
    }

    /// Gives the reservation back: nothing is called.
    pub(in crate::service) fn release(&self, at: UnixMs) {
        self.scopes.release(at, self.reserved);
        self.scopes.cover(at, self.exposed);
    }

    /// What the drawn arm was expected to cost, USD.
    pub(super) fn expected_usd(&self) -> f64 {
        self.expected_usd
    }

    /// Gives the reservation back and counts `spent_usd`.
    pub(super) fn settle(&self, spent_usd: f64, at: UnixMs) {
        self.scopes.settle(at, self.reserved, self.expected_usd, spent_usd);
        self.scopes.cover(at, self.exposed);
    }

    /// Replaces what was counted at `then`.
    pub(super) fn correct(&self, now: UnixMs, then: UnixMs, counted_usd: f64, true_usd: f64) {
        self.scopes.correct(now, then, counted_usd, true_usd);
    }
}
