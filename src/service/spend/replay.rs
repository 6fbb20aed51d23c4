//! Rebuilding the books and the budgets from the log, once at the start.
//!
//! The same rules as for live requests, at the times of the events. What was in flight when the process ended counts as spent at what
//! was expected of it: nobody knows whether the provider charged.

use std::collections::HashMap;

use super::parked::CostReport;
use super::ticket::{Ending, Ticket};
use super::{BudgetPlan, Spend};
use crate::domain::{
    BudgetLimits, CompletionEnd, Decision, DecisionId, Event, EventBody, KeyId, Period, Price, Seq, UnixMs,
};
use crate::policy::budget::Amount;
use crate::store::{Store, StoreError};

/// Rows that are read at a time.
const PAGE: usize = 2_000;
/// Rows that the books alone are worth; budgets are worth all.
const MOST_ROWS_FOR_BOOKS: u64 = 300_000;
const WEEK_MS: i64 = 7 * 24 * 3_600_000;

/// What replaying needs to know of arms and keys.
pub struct ReplaySource<'a> {
    /// The price of an arm.
    pub price: &'a dyn Fn(&crate::domain::ArmId) -> Option<Price>,
    /// The limits of a key.
    pub limits: &'a dyn Fn(&KeyId) -> Option<BudgetLimits>,
    /// The longest period of any key's limits.
    pub longest_of_keys: Option<Period>,
}

impl Spend {
    /// The state after the log so far. Blocks: called at the start.
    ///
    /// # Errors
    /// When the log cannot be read; a damaged row is passed over.
    pub fn restore(plan: &BudgetPlan, store: &Store, source: &ReplaySource<'_>) -> Result<Self, StoreError> {
        let now = super::now();
        let (from, after) = beginning(plan, store, source, now)?;
        let spend = Self::new(plan, from);
        let mut open: HashMap<DecisionId, Ticket> = HashMap::new();
        let mut after = after;
        loop {
            let rows = store.scan(after, PAGE)?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            for event in rows.into_iter().filter_map(|row| row.event.ok()) {
                spend.replay(event, &mut open, source);
            }
        }
        for ticket in open.into_values() {
            let served = ticket.arm.clone();
            let (served, end) = (Some(&served), CompletionEnd::ClientAborted);
            let ending = Ending {
                at: now,
                served,
                end,
                usage: None,
                cost_usd: None,
                given_up_usd: 0.0,
                basis: None,
                reserved_usd: 0.0,
            };
            spend.close(ticket, &ending);
        }
        Ok(spend)
    }

    fn replay(&self, event: Event, open: &mut HashMap<DecisionId, Ticket>, source: &ReplaySource<'_>) {
        match event.body {
            EventBody::Decided(decision) => self.replay_decision(*decision, open, source),
            EventBody::Completed(done) => {
                let Some(ticket) = open.remove(&done.decision) else { return };
                let (served, end, given_up_usd) = (done.served.as_ref(), done.end, done.given_up_usd());
                self.close(
                    ticket,
                    &Ending {
                        at: done.at,
                        served,
                        end,
                        usage: done.usage,
                        cost_usd: done.cost_usd,
                        given_up_usd,
                        basis: done.billing.as_ref().and_then(|b| b.basis),
                        reserved_usd: done.billing.as_ref().and_then(|b| b.reserved_usd).unwrap_or_default(),
                    },
                );
            }
            EventBody::Feedback(report) => self.reported(&CostReport {
                decision: report.decision,
                at: report.at,
                usage: report.usage,
                cost_usd: report.cost_usd,
                error: report.error.as_deref(),
            }),
            _ => {}
        }
    }

    fn replay_decision(
        &self,
        decision: Decision,
        open: &mut HashMap<DecisionId, Ticket>,
        source: &ReplaySource<'_>,
    ) {
        let named = decision.budget.as_ref().and_then(|b| b.named());
        let named = named.filter(|name| self.named.contains_key(*name));
        let key = decision.key.as_ref().and_then(|k| Some((k, (source.limits)(k)?)));
        let Ok(scopes) = self.scopes(&decision.route, key, named, decision.at) else { return };
        let price = (source.price)(&decision.arm);
        let expected_usd = decision.expected_usd().unwrap_or(0.0);
        let ticket = Ticket::of(&decision, scopes, Amount::default(), expected_usd);
        self.open(&ticket);
        ticket.pace(decision.at, &decision);
        match (decision.decision_only, price) {
            (true, Some(price)) => self.park(&decision, ticket, price),
            (true, None) => {}
            (false, _) => drop(open.insert(decision.id, ticket)),
        }
    }
}

/// From where the log is read: the running period of the longest limit, and a week for the books as far as that is cheap.
fn beginning(
    plan: &BudgetPlan,
    store: &Store,
    source: &ReplaySource<'_>,
    now: UnixMs,
) -> Result<(UnixMs, Seq), StoreError> {
    let configured = plan.routes.values().chain(plan.named.values());
    let longest = configured
        .flat_map(|limits| Period::ALL.into_iter().filter(|p| limits.of(*p).is_some()))
        .chain(source.longest_of_keys)
        .max();
    let week = store.last_before(UnixMs(now.0 - WEEK_MS))?;
    let end = store.committed().borrow().0;
    let books = Seq(week.0.max(end.saturating_sub(MOST_ROWS_FOR_BOOKS)));
    let budgets = match longest {
        Some(period) => store.last_before(period.around(now).0)?,
        None => books,
    };
    let after = books.min(budgets);
    let from = store.time_of(Seq(after.0 + 1))?.unwrap_or(now);
    Ok((from, after))
}
