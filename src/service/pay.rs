//! Choosing within budgets: arms that a budget cannot pay are not eligible, a dollar has its price, and the drawn arm's cost is
//! reserved before anybody is called.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::choose::Chosen;
use super::spend::{Quote, Quotes, Scopes, Ticket, longest, paid_tokens};
use super::{Service, ServiceError};
use crate::domain::{
    Allowance, Arm, ArmEstimate, ArmId, BudgetRecord, BudgetScope, Decision, DecisionId, Excluded, Exclusion,
    Prompt, Reason,
};
use crate::policy::budget::Amount;
use crate::policy::utility::within_bounds;
use crate::routing::{Candidates, Circumstances, Eligible, decide};
use crate::wire::chat::ChatRequest;

impl Service {
    /// One decision, and the ticket that holds what it reserved. Without a scope it is the policy's own decision.
    ///
    /// # Errors
    /// When no eligible arm can be paid: which budget, and until when.
    pub(super) fn decide_within(
        &self,
        mut candidates: Candidates<'_>,
        prompt: &Prompt,
        mut given: Circumstances,
        scopes: Scopes,
    ) -> Result<(Decision, Ticket), ServiceError> {
        let at = self.spend.clock.at(given.at);
        let (allowance, decisive) = scopes.allowance(at);
        candidates.allowance = allowance;
        let first = decide(&candidates, prompt, given.clone());
        let arms = candidates.eligible.arms.iter().copied();
        let learned = self.learning.policy();
        let quotes = self.spend.quotes(arms, &first, (prompt, &*learned));
        if scopes.is_empty() {
            let quote = quotes.get(&first.arm).copied().unwrap_or_default();
            let ticket = Ticket::of(&first, scopes, Amount::default(), quote.expected_usd);
            return Ok((first, ticket));
        }
        loop {
            let eligible = affordable(candidates.eligible, &quotes, scopes.room(at));
            if eligible.arms.is_empty() {
                let least = quotes.values().map(|q| q.amount).min().unwrap_or_default();
                match scopes.denial(at, least) {
                    Some(denied) => return Err(ServiceError::BudgetExceeded(Box::new(denied))),
                    None => continue,
                }
            }
            let is_first = given.id == first.id && eligible.arms.len() == candidates.eligible.arms.len();
            let again = || decide(&Candidates { eligible: &eligible, ..candidates }, prompt, given.clone());
            let decision = if is_first { first.clone() } else { again() };
            let quote = quotes.get(&decision.arm).copied().unwrap_or_default();
            if scopes.reserve(at, quote.amount).is_ok() {
                let paid = Paid { allowance, decisive, quote };
                return Ok(paid.ticket(decision, &first, scopes));
            }
            // Another request took the money in between. The draw depends on the id: a new one, so that it is free again.
            given.id = DecisionId::from_uuid(Uuid::now_v7());
        }
    }

    /// The ticket of a request for one arm by name.
    ///
    /// # Errors
    /// When a budget cannot pay for it.
    pub(super) fn pay_explicit(
        &self,
        decision: Decision,
        (arm, prompt): (&Arm, &Prompt),
        scopes: Scopes,
    ) -> Result<(Decision, Ticket), ServiceError> {
        let learned = self.learning.policy();
        let quotes = self.spend.quotes([arm], &decision, (prompt, &*learned));
        let quote = quotes.get(&decision.arm).copied().unwrap_or_default();
        if scopes.is_empty() {
            let ticket = Ticket::of(&decision, scopes, Amount::default(), quote.expected_usd);
            return Ok((decision, ticket));
        }
        let at = self.spend.clock.at(decision.at);
        scopes.reserve(at, quote.amount).map_err(|denied| ServiceError::BudgetExceeded(Box::new(denied)))?;
        let paid = Paid { allowance: Allowance::UNBOUNDED, decisive: None, quote };
        let first = decision.clone();
        Ok(paid.ticket(decision, &first, scopes))
    }

    /// Takes those fallbacks out of `order` that cost more than was reserved, unless the budget can easily set more aside.
    pub(super) fn payable(
        &self,
        order: &mut Vec<ArmId>,
        ticket: &mut Ticket,
        (decision, prompt): (&Decision, &Prompt),
    ) {
        if ticket.is_free() {
            return;
        }
        let arms = order.iter().filter_map(|id| self.fleet.arm(id)).map(AsRef::as_ref);
        let learned = self.learning.policy();
        let quotes = self.spend.quotes(arms, decision, (prompt, &*learned));
        let at = self.spend.clock.now();
        order.retain(|arm| {
            *arm == decision.arm || quotes.get(arm).is_some_and(|quote| ticket.covers(quote.amount, at))
        });
    }

    /// The most tokens that may be asked of each arm, so that no call costs more than was set aside for it. Nothing while the longest
    /// answer of any of them is little beside what the budgets have left: answers are not cut short for nothing.
    pub(super) fn caps(&self, request: &ChatRequest, chosen: &mut Chosen) -> BTreeMap<ArmId, u32> {
        let (prompt, choices) = (request.prompt(), request.options().n.unwrap_or(1));
        let Chosen { decision, order, ticket, .. } = chosen;
        let arms = || order.iter().filter_map(|id| self.fleet.arm(id));
        let most = arms().map(|arm| longest(arm, prompt, choices)).max().unwrap_or_default();
        if ticket.is_free() || ticket.bears(most, self.spend.clock.now()) {
            return BTreeMap::new();
        }
        let paid = ticket.reserved();
        let cap = |arm: &Arc<Arm>| Some((arm.id.clone(), paid_tokens(arm, prompt, choices, paid)?));
        let caps: BTreeMap<ArmId, u32> = arms().filter_map(cap).collect();
        if let Some(budget) = &mut decision.budget {
            budget.output_cap = caps.get(&decision.arm).copied();
        }
        caps
    }
}

/// Those of the eligible arms that `room` can pay.
fn affordable<'a>(all: &Eligible<'a>, quotes: &Quotes, room: Option<Amount>) -> Eligible<'a> {
    let Some(room) = room else { return all.clone() };
    let pays = |id: &ArmId| quotes.get(id).is_some_and(|quote| quote.amount <= room);
    let (arms, dear): (Vec<_>, Vec<_>) = all.arms.iter().copied().partition(|arm| pays(&arm.id));
    let mut excluded = all.excluded.clone();
    excluded.extend(dear.iter().map(|arm| Excluded { arm: arm.id.clone(), why: Exclusion::Budget }));
    Eligible { arms, excluded }
}

/// The terms that a decision was taken on.
struct Paid {
    allowance: Allowance,
    decisive: Option<BudgetScope>,
    quote: Quote,
}

impl Paid {
    /// Notes the terms in the decision. `first` is the decision as it was before unaffordable arms were left out.
    fn ticket(self, mut decision: Decision, first: &Decision, scopes: Scopes) -> (Decision, Ticket) {
        let without = best_without(first, self.allowance.multiplier.likelier());
        let is_other = *decision.estimates.first().map_or(&decision.arm, |best| &best.arm) != without;
        let has_lost_its_arm = decision.reason == Reason::Default && first.reason != Reason::Default;
        if has_lost_its_arm || (decision.reason == Reason::Greedy && decision.arm != without) {
            (decision.reason, decision.fault) = (Reason::Budget, None);
        }
        decision.budget = Some(BudgetRecord {
            scopes: scopes.names(),
            multiplier: self.allowance.multiplier,
            decisive: self.decisive,
            per_request_usd: self.allowance.per_request_usd,
            expected_usd: self.quote.expected_usd,
            reserved_usd: self.quote.amount.usd(),
            without: is_other.then_some(without),
            output_cap: None,
        });
        let ticket = Ticket::of(&decision, scopes, self.quote.amount, self.quote.expected_usd);
        (decision, ticket)
    }
}

/// Who would have been the best had money been no object beyond what the caller makes of it.
/// `priced_in` is the price of a dollar that the utilities hold.
fn best_without(decision: &Decision, priced_in: f64) -> ArmId {
    let utility = |e: &ArmEstimate| e.utility + priced_in * e.cost_usd;
    let (drawable, _) = within_bounds(&decision.estimates, &decision.constraints);
    let best = drawable
        .into_iter()
        .map(|i| &decision.estimates[i])
        .max_by(|a, b| utility(a).total_cmp(&utility(b)).then(b.cost_usd.total_cmp(&a.cost_usd)));
    best.map_or_else(|| decision.arm.clone(), |e| e.arm.clone())
}
