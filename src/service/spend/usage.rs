//! What was asked, answered and paid, by the hour and by what operators ask for: model, route, key. Users and tags, of which there may be
//! any number, are summed up from the ledger in the store.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;

use super::ticket::{Ending, Ticket};
use crate::domain::{ArmId, Basis, CompletionEnd, UnixMs};

const HOUR_MS: i64 = 3_600_000;
/// Hours that are kept: 31 days.
const HOURS: usize = 31 * 24;
/// Names that one hour keeps apart in one grouping; the rest is counted together.
const MOST_NAMES: usize = 200;
/// What the rest is called.
const REST: &str = "(other)";
/// The group of requests without a key.
const NO_KEY: &str = "(none)";

/// Sums over some requests.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Totals {
    /// Decisions.
    pub requests: u64,
    /// Calls that ended with an answer.
    pub answered: u64,
    /// Calls that nobody answered.
    pub failed: u64,
    /// As the providers counted.
    pub input_tokens: u64,
    /// As the providers counted.
    pub output_tokens: u64,
    /// Of the input, read from caches.
    pub cached_tokens: u64,
    /// Of the input, written to caches.
    pub cache_write_tokens: u64,
    /// Of the output, spent on reasoning.
    pub reasoning_tokens: u64,
    /// What was spent; calls of unknown cost count at what was expected of them.
    pub spend_usd: f64,
    /// What of it rests on our own count of tokens: of answers that broke off before their usage came.
    pub estimated_usd: f64,
    /// What budgets had set aside for the calls that have ended.
    pub reserved_usd: f64,
    /// Calls of unknown cost.
    pub unpriced: u64,
    /// Answers that came from the response cache.
    pub from_cache: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.answered += other.answered;
        self.failed += other.failed;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cached_tokens += other.cached_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.spend_usd += other.spend_usd;
        self.estimated_usd += other.estimated_usd;
        self.reserved_usd += other.reserved_usd;
        self.unpriced += other.unpriced;
        self.from_cache += other.from_cache;
    }
}

/// What each arm was expected to be, over the decisions that estimated it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expectations {
    pub(super) decisions: u64,
    pub(super) quality: f64,
    pub(super) cost_usd: f64,
}

/// One hour.
#[derive(Debug, Default)]
pub(super) struct Hour {
    pub(super) total: Totals,
    pub(super) by_model: HashMap<String, Totals>,
    pub(super) by_route: HashMap<String, Totals>,
    pub(super) by_key: HashMap<String, Totals>,
    /// Of the decisions with estimates alone.
    pub(super) fixed: BTreeMap<ArmId, Expectations>,
    /// Of the same decisions: the arms that were drawn, and what they are expected to be.
    pub(super) drawn: Expectations,
    /// What these cost in the end, USD.
    pub(super) drawn_spend_usd: f64,
}

impl Hour {
    /// Adds to the total and to every group of the ticket; `model` is who it counts for.
    fn add(&mut self, ticket: &Ticket, model: &ArmId, totals: &Totals) {
        self.total.add(totals);
        let key = ticket.key.as_ref().map_or(NO_KEY, |k| k.as_str());
        bump(&mut self.by_model, model.as_str(), totals);
        bump(&mut self.by_route, ticket.route.as_str(), totals);
        bump(&mut self.by_key, key, totals);
    }

    fn expected(&mut self, ticket: &Ticket) {
        for (arm, expected) in &ticket.expected {
            let sums = self.fixed.entry(arm.clone()).or_default();
            sums.decisions += 1;
            sums.quality += expected.quality;
            sums.cost_usd += expected.cost_usd;
            if *arm == ticket.arm {
                self.drawn.decisions += 1;
                self.drawn.quality += expected.quality;
                self.drawn.cost_usd += expected.cost_usd;
            }
        }
    }
}

fn bump(group: &mut HashMap<String, Totals>, name: &str, totals: &Totals) {
    let name = if group.len() < MOST_NAMES || group.contains_key(name) { name } else { REST };
    match group.get_mut(name) {
        Some(sums) => sums.add(totals),
        None => {
            group.insert(name.to_owned(), *totals);
        }
    }
}

/// The books: hours from the oldest to the newest.
#[derive(Debug)]
pub(super) struct Usage {
    /// What came before is not in here.
    pub(super) since: UnixMs,
    hours: VecDeque<(i64, Hour)>,
}

impl Usage {
    pub(super) fn new(since: UnixMs) -> Self {
        Self { since, hours: VecDeque::new() }
    }

    /// The hour of `at`; a time before the newest hour counts in that one (the clock may have been set back).
    fn hour(&mut self, at: UnixMs) -> Option<&mut Hour> {
        let hour = at.0.div_euclid(HOUR_MS);
        if self.hours.back().is_none_or(|(newest, _)| *newest < hour) {
            self.hours.push_back((hour, Hour::default()));
        }
        while self.hours.len() > HOURS {
            self.hours.pop_front();
        }
        self.hours.back_mut().map(|(_, hour)| hour)
    }

    pub(super) fn decided(&mut self, ticket: &Ticket) {
        let Some(hour) = self.hour(ticket.at) else { return };
        hour.add(ticket, &ticket.arm, &Totals { requests: 1, ..Totals::default() });
        hour.expected(ticket);
    }

    pub(super) fn ended(&mut self, ticket: &Ticket, ending: &Ending<'_>, spent_usd: f64) {
        let Some(hour) = self.hour(ending.at) else { return };
        let usage = ending.usage.unwrap_or_default();
        let failed = ending.end == CompletionEnd::Failed;
        let totals = Totals {
            requests: 0,
            answered: u64::from(ending.served.is_some()),
            failed: u64::from(failed),
            input_tokens: usage.input_tokens.into(),
            output_tokens: usage.output_tokens.into(),
            cached_tokens: usage.cached_tokens.into(),
            cache_write_tokens: usage.cache_write_tokens.into(),
            reasoning_tokens: usage.reasoning_tokens.into(),
            spend_usd: spent_usd,
            estimated_usd: ending
                .cost_usd
                .filter(|_| ending.basis == Some(Basis::Estimate))
                .unwrap_or_default(),
            reserved_usd: ending.reserved_usd,
            unpriced: u64::from(ending.cost_usd.is_none() && !failed),
            from_cache: u64::from(ending.basis == Some(Basis::Cache)),
        };
        hour.add(ticket, ending.served.unwrap_or(&ticket.arm), &totals);
        if !ticket.expected.is_empty() {
            hour.drawn_spend_usd += spent_usd;
        }
    }

    /// A late report says that a call of `ticket` cost `more_usd` more than was booked.
    pub(super) fn corrected(&mut self, ticket: &Ticket, at: UnixMs, more_usd: f64) {
        let Some(hour) = self.hour(at) else { return };
        hour.add(ticket, &ticket.arm, &Totals { spend_usd: more_usd, ..Totals::default() });
        if !ticket.expected.is_empty() {
            hour.drawn_spend_usd += more_usd;
        }
    }

    /// The hours from the one that `from` lies in.
    pub(super) fn from(&self, from: UnixMs) -> impl Iterator<Item = &Hour> {
        let first = from.0.div_euclid(HOUR_MS);
        self.hours.iter().filter(move |(hour, _)| *hour >= first).map(|(_, hour)| hour)
    }
}
