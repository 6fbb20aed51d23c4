//! Decisions whose calls the clients make themselves: reserved until they are reported, counted at what was expected when they are
//! not, corrected when the report comes late or is revised.

use std::collections::{HashMap, VecDeque};

use super::REPORT_WITHIN_MS;
use super::ticket::{Ending, Ticket};
use super::usage::Usage as Books;
use crate::domain::{ArmId, CompletionEnd, DecisionId, Price, UnixMs, Usage};

/// Decisions that are remembered; of more, the oldest can no longer be corrected.
const MOST: usize = 50_000;

/// What a client reports of its call.
#[derive(Debug, Clone, Copy)]
pub(in crate::service) struct CostReport<'a> {
    pub(in crate::service) decision: DecisionId,
    pub(in crate::service) at: UnixMs,
    pub(in crate::service) usage: Option<Usage>,
    pub(in crate::service) cost_usd: Option<f64>,
    /// Set when the call failed.
    pub(in crate::service) error: Option<&'a str>,
}

struct Entry {
    ticket: Ticket,
    price: Price,
    /// When it was settled and at how many USD.
    counted: Option<(UnixMs, f64)>,
}

#[derive(Default)]
pub(super) struct Parked {
    entries: HashMap<DecisionId, Entry>,
    /// In the order in which they came.
    order: VecDeque<(UnixMs, DecisionId)>,
    /// Of `order`, how many have been looked at for expiry.
    expired: usize,
}

impl Parked {
    pub(super) fn put(&mut self, id: DecisionId, ticket: Ticket, price: Price, books: &mut Books) {
        while self.order.len() >= MOST {
            self.drop_oldest(books);
        }
        self.order.push_back((ticket.at, id));
        self.entries.insert(id, Entry { ticket, price, counted: None });
    }

    fn drop_oldest(&mut self, books: &mut Books) {
        let Some((at, id)) = self.order.pop_front() else { return };
        self.expired = self.expired.saturating_sub(1);
        if let Some(mut entry) = self.entries.remove(&id) {
            count_as_expected(&mut entry, at, books);
        }
    }

    /// Counts what was not reported in time.
    pub(super) fn expire(&mut self, now: UnixMs, books: &mut Books) {
        while let Some((at, id)) = self.order.get(self.expired).copied() {
            if now.since_ms(at) < REPORT_WITHIN_MS {
                return;
            }
            self.expired += 1;
            if let Some(entry) = self.entries.get_mut(&id) {
                count_as_expected(entry, now, books);
            }
        }
    }

    /// Counts what the call came to. Of an answered call that was not counted yet: whose it was, what was expected of it and what it
    /// cost, USD.
    pub(super) fn report(&mut self, report: &CostReport<'_>, books: &mut Books) -> Option<(ArmId, f64, f64)> {
        let entry = self.entries.get_mut(&report.decision)?;
        let priced = || report.usage.map(|usage| entry.price.cost_usd(&usage));
        let usd = report.cost_usd.or_else(priced).or(report.error.map(|_| 0.0))?;
        let is_new = entry.counted.is_none() && report.error.is_none();
        match entry.counted {
            None => {
                let end = report.error.map_or(CompletionEnd::Reported, |_| CompletionEnd::Failed);
                settle(entry, (report.at, end), (report.usage, Some(usd)), books);
            }
            Some((then, counted)) => {
                entry.ticket.correct(report.at, then, counted, usd);
                books.corrected(&entry.ticket, then, usd - counted);
                entry.counted = Some((then, usd));
            }
        }
        is_new.then(|| (entry.ticket.arm.clone(), entry.ticket.expected_usd(), usd))
    }
}

fn count_as_expected(entry: &mut Entry, at: UnixMs, books: &mut Books) {
    if entry.counted.is_none() {
        settle(entry, (at, CompletionEnd::Reported), (None, None), books);
    }
}

fn settle(
    entry: &mut Entry,
    (at, end): (UnixMs, CompletionEnd),
    (usage, cost_usd): (Option<Usage>, Option<f64>),
    books: &mut Books,
) {
    let arm = entry.ticket.arm.clone();
    let served = (end == CompletionEnd::Reported).then_some(&arm);
    let reserved_usd = entry.ticket.reserved().usd();
    let ending = Ending { at, served, end, usage, cost_usd, given_up_usd: 0.0, basis: None, reserved_usd };
    let spent = ending.spent_usd(entry.ticket.expected_usd());
    books.ended(&entry.ticket, &ending, spent);
    entry.ticket.settle(spent, at);
    entry.counted = Some((at, spent));
}
