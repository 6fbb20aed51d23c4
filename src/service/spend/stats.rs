//! `/admin/stats`: usage, spend, savings, budgets.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

use serde::Serialize;

use super::usage::{Expectations, Hour};
use super::{BudgetView, Spend, Totals};
use crate::domain::{ArmId, UnixMs};
use crate::service::Service;
use crate::store::{LedgerGroup, LedgerLine, StoreError};

/// A fixed model must have been estimated in this share of the decisions to be compared with.
const ESTIMATED_SHARE: f64 = 0.5;
/// Most users and tags that are listed.
const MOST_GROUPS: usize = 200;

/// Which of the groupings are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// By the model that answered.
    Model,
    /// By route.
    Route,
    /// By client key.
    Key,
    /// By `tag=value`; from the ledger.
    Tag,
    /// By the callers' users; from the ledger.
    User,
}

/// One group.
#[derive(Debug, Clone, Serialize)]
pub struct StatsLine {
    /// Its name.
    pub name: String,
    /// Its sums.
    #[serde(flatten)]
    pub totals: Totals,
}

/// What routing saved against the best fixed model: the one of the highest expected quality on the same requests.
#[derive(Debug, Clone, Serialize)]
pub struct Savings {
    /// Which model that is.
    pub best_fixed_model: ArmId,
    /// Decisions that are compared: those with estimates.
    pub requests: u64,
    /// What it would have been expected to cost.
    pub best_fixed_usd: f64,
    /// What the decisions did cost.
    pub spend_usd: f64,
    /// The difference.
    pub saved_usd: f64,
    /// Expected mean quality of the best fixed model.
    pub best_fixed_quality: f64,
    /// Expected mean quality of the models drawn.
    pub drawn_quality: f64,
}

/// The whole answer.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// Now, Unix milliseconds.
    pub at_ms: i64,
    /// From when on is counted, Unix milliseconds: the full hour, and no earlier than the books begin.
    pub from_ms: i64,
    /// All requests.
    pub total: Totals,
    /// Without decisions that hold estimates there is nothing to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savings: Option<Savings>,
    /// By model, route, key or tag; the dearest first.
    pub by: BTreeMap<&'static str, Vec<StatsLine>>,
    /// All budgets.
    pub budgets: Vec<BudgetView>,
}

impl Grouping {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Model, Self::Route, Self::Key, Self::Tag, Self::User];

    /// The name used in queries and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Route => "route",
            Self::Key => "key",
            Self::Tag => "tag",
            Self::User => "user",
        }
    }

    /// The sums of an hour, when they are kept in memory.
    fn of(self, hour: &Hour) -> Option<&HashMap<String, Totals>> {
        match self {
            Self::Model => Some(&hour.by_model),
            Self::Route => Some(&hour.by_route),
            Self::Key => Some(&hour.by_key),
            Self::Tag | Self::User => None,
        }
    }

    /// What the ledger calls it, when it is summed up there.
    fn in_ledger(self) -> Option<LedgerGroup> {
        match self {
            Self::Tag => Some(LedgerGroup::Tag),
            Self::User => Some(LedgerGroup::User),
            Self::Model | Self::Route | Self::Key => None,
        }
    }
}

impl Spend {
    /// The sums of the last `hours`, the running one included, as far as they are kept in memory.
    fn stats(&self, hours: u32, groupings: &[Grouping]) -> Stats {
        let at = self.clock.now();
        let from = UnixMs((at.0.div_euclid(3_600_000) - i64::from(hours.saturating_sub(1))) * 3_600_000);
        self.expire(at);
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = Totals::default();
        usage.from(from).for_each(|hour| total.add(&hour.total));
        let by =
            groupings.iter().map(|g| (g.as_str(), lines(usage.from(from).filter_map(|h| g.of(h))))).collect();
        let savings = savings(usage.from(from));
        let from_ms = from.0.max(usage.since.0);
        drop(usage);
        let budgets = self.all_scopes().iter().map(|scope| scope.view(at)).collect();
        Stats { at_ms: at.0, from_ms, total, savings, by, budgets }
    }
}

impl Service {
    /// The sums of the last `hours`, the running one included. Those by user and tag are read from the ledger, so they show what is on
    /// disk; each has its dearest groups. Blocks.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn stats(&self, hours: u32, groupings: &[Grouping]) -> Result<Stats, StoreError> {
        let mut stats = self.spend.stats(hours, groupings);
        for (grouping, group) in groupings.iter().filter_map(|g| Some((g, g.in_ledger()?))) {
            let lines = self.store.spend_by(group, UnixMs(stats.from_ms), MOST_GROUPS)?;
            stats.by.insert(grouping.as_str(), lines.into_iter().map(StatsLine::from).collect());
        }
        Ok(stats)
    }
}

impl From<LedgerLine> for StatsLine {
    fn from(line: LedgerLine) -> Self {
        let totals = Totals {
            requests: line.requests,
            answered: line.answered,
            failed: line.failed,
            input_tokens: line.input_tokens,
            output_tokens: line.output_tokens,
            cached_tokens: line.cached_tokens,
            cache_write_tokens: line.cache_write_tokens,
            reasoning_tokens: line.reasoning_tokens,
            spend_usd: line.settled_usd,
            estimated_usd: line.estimated_usd,
            reserved_usd: line.reserved_usd,
            unpriced: line.unpriced,
            from_cache: line.from_cache,
        };
        Self { name: line.name, totals }
    }
}

fn lines<'a>(hours: impl Iterator<Item = &'a HashMap<String, Totals>>) -> Vec<StatsLine> {
    let mut sums: BTreeMap<&str, Totals> = BTreeMap::new();
    for (name, totals) in hours.flatten() {
        sums.entry(name).or_default().add(totals);
    }
    let mut lines: Vec<_> =
        sums.into_iter().map(|(name, totals)| StatsLine { name: name.to_owned(), totals }).collect();
    lines.sort_by(|a, b| b.totals.spend_usd.total_cmp(&a.totals.spend_usd));
    lines
}

fn savings<'a>(hours: impl Iterator<Item = &'a Hour>) -> Option<Savings> {
    let mut fixed: BTreeMap<&ArmId, Expectations> = BTreeMap::new();
    let (mut drawn, mut spend_usd) = (Expectations::default(), 0.0);
    for hour in hours {
        for (arm, sums) in &hour.fixed {
            add(fixed.entry(arm).or_default(), sums);
        }
        add(&mut drawn, &hour.drawn);
        spend_usd += hour.drawn_spend_usd;
    }
    let n = drawn.decisions as f64;
    let mean_quality = |e: &Expectations| e.quality / e.decisions as f64;
    let (best, sums) = fixed
        .into_iter()
        .filter(|(_, e)| e.decisions as f64 >= ESTIMATED_SHARE * n && e.decisions > 0)
        .max_by(|a, b| mean_quality(&a.1).total_cmp(&mean_quality(&b.1)))?;
    let best_fixed_usd = sums.cost_usd / sums.decisions as f64 * n;
    Some(Savings {
        best_fixed_model: best.clone(),
        requests: drawn.decisions,
        best_fixed_usd,
        spend_usd,
        saved_usd: best_fixed_usd - spend_usd,
        best_fixed_quality: mean_quality(&sums),
        drawn_quality: if n > 0.0 { mean_quality(&drawn) } else { 0.0 },
    })
}

fn add(to: &mut Expectations, from: &Expectations) {
    to.decisions += from.decisions;
    to.quality += from.quality;
    to.cost_usd += from.cost_usd;
}
