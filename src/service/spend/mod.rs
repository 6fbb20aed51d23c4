//! Money: the budgets that a request counts towards, what is reserved for calls in flight, and the account of what was spent.
//!
//! Every decision gets one [`Ticket`]. While a budget applies it holds a reservation; when the call ends, however it ends, the
//! ticket settles it and books the usage. A decision whose call the client makes itself is parked until it is reported; after
//! [`REPORT_WITHIN_MS`] it counts as spent at what was expected of it, and a later report corrects that.
//!
//! Everything is kept in memory and bounded; at the start it is rebuilt from the log ([`replay`]). Locks are held for a few
//! additions, never across an await or a look at the disk; of several scopes they are taken in the order of the scopes.

mod parked;
mod quote;
mod replay;
mod scope;
mod stats;
mod ticket;
mod usage;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use replay::ReplaySource;
pub use scope::{BudgetDenied, BudgetView};
pub use stats::{Grouping, Stats, StatsLine};
pub use usage::Totals;

pub(super) use quote::{Quote, Quotes, longest, paid_tokens};
pub(super) use scope::{LiveScope, Scopes};
pub(super) use ticket::{Ending, Ticket};

use super::ServiceError;
use super::clock::now;
use crate::domain::{
    ArmId, Basis, BudgetLimits, BudgetScope, CompletionEnd, Decision, KeyId, RouteName, UnixMs,
};
use crate::policy::budget::Amount;
use parked::Parked;
use usage::Usage;

/// How long a decision that the client acts on itself holds its reservation.
pub const REPORT_WITHIN_MS: u64 = 15 * 60 * 1000;

/// A call reserves the most that recent calls of its arm cost against what was expected of them: a maximum that fades, between
/// these bounds, from this start.
const EXCESS_START: f64 = 4.0;
const EXCESS_RANGE: (f64, f64) = (1.5, 50.0);
const EXCESS_FADE: f64 = 0.005;

/// Budgets of earlier configurations that are remembered.
const MOST_FORMER: usize = 1_000;

/// Client keys whose budgets are kept; more than any deployment has, so that nothing grows without bound.
const MOST_KEYS: usize = 10_000;

/// The budgets of the configuration.
#[derive(Debug, Clone, Default)]
pub struct BudgetPlan {
    /// By route.
    pub routes: BTreeMap<RouteName, BudgetLimits>,
    /// By the name that requests give.
    pub named: BTreeMap<String, BudgetLimits>,
}

/// The time that budgets go by: the wall clock, which tests may put forward.
#[derive(Debug, Default)]
pub struct BudgetClock {
    ahead_ms: AtomicI64,
}

impl BudgetClock {
    /// Now.
    pub fn now(&self) -> UnixMs {
        self.at(now())
    }

    /// A time of the wall clock.
    pub fn at(&self, wall: UnixMs) -> UnixMs {
        UnixMs(wall.0.saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }

    /// Puts it forward for good.
    pub fn advance(&self, ms: i64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

/// All that is known of money.
pub struct Spend {
    /// The time that budgets go by.
    pub clock: Arc<BudgetClock>,
    routes: HashMap<RouteName, Arc<LiveScope>>,
    named: BTreeMap<String, Arc<LiveScope>>,
    /// Budgets of earlier configurations, with what was spent of them.
    former: HashMap<BudgetScope, Arc<LiveScope>>,
    /// Made when a key is first seen.
    keys: Arc<Mutex<HashMap<KeyId, Arc<LiveScope>>>>,
    excess: Arc<Mutex<HashMap<ArmId, f64>>>,
    parked: Arc<Mutex<Parked>>,
    usage: Arc<Mutex<Usage>>,
}

impl Spend {
    /// Nothing spent at `at`.
    pub fn new(plan: &BudgetPlan, at: UnixMs) -> Self {
        let scope = |scope, limits: &BudgetLimits| Arc::new(LiveScope::new(scope, *limits, at));
        let routes = plan.routes.iter();
        let named = plan.named.iter();
        Self {
            clock: Arc::default(),
            former: HashMap::new(),
            routes: routes.map(|(n, l)| (n.clone(), scope(BudgetScope::Route(n.clone()), l))).collect(),
            named: named.map(|(n, l)| (n.clone(), scope(BudgetScope::Named(n.clone()), l))).collect(),
            keys: Arc::default(),
            excess: Arc::default(),
            parked: Arc::default(),
            usage: Arc::new(Mutex::new(Usage::new(at))),
        }
    }

    /// The same books under another plan. What was spent of a budget stays spent, also of one that goes and comes back; one that was
    /// not there before begins full.
    pub(super) fn under(&self, plan: &BudgetPlan) -> Self {
        let at = self.clock.now();
        let mut former = self.former.clone();
        let of_now = self.routes.values().chain(self.named.values());
        former.extend(of_now.map(|scope| (scope.scope().clone(), Arc::clone(scope))));
        let mut scope = |scope: BudgetScope, limits: &BudgetLimits| match former.remove(&scope) {
            Some(known) => {
                known.adapt(*limits, at);
                known
            }
            None => Arc::new(LiveScope::new(scope, *limits, at)),
        };
        let routes =
            plan.routes.iter().map(|(n, l)| (n.clone(), scope(BudgetScope::Route(n.clone()), l))).collect();
        let named =
            plan.named.iter().map(|(n, l)| (n.clone(), scope(BudgetScope::Named(n.clone()), l))).collect();
        if former.len() > MOST_FORMER {
            former.clear();
        }
        Self {
            clock: Arc::clone(&self.clock),
            routes,
            named,
            former,
            keys: Arc::clone(&self.keys),
            excess: Arc::clone(&self.excess),
            parked: Arc::clone(&self.parked),
            usage: Arc::clone(&self.usage),
        }
    }

    /// The scopes that a request at `at` counts towards; `key` comes with the limits that were stored with it.
    ///
    /// # Errors
    /// When it names a budget that there is not.
    pub(super) fn scopes(
        &self,
        route: &RouteName,
        key: Option<(&KeyId, BudgetLimits)>,
        named: Option<&str>,
        at: UnixMs,
    ) -> Result<Scopes, ServiceError> {
        let mut found: Vec<Arc<LiveScope>> = self.routes.get(route).cloned().into_iter().collect();
        found.extend(key.and_then(|(id, limits)| self.key_scope(id, limits, at)));
        if let Some(name) = named {
            found.push(self.named.get(name).cloned().ok_or_else(|| self.unknown(name))?);
        }
        Ok(Scopes::new(found))
    }

    fn key_scope(&self, id: &KeyId, limits: BudgetLimits, at: UnixMs) -> Option<Arc<LiveScope>> {
        if limits.is_empty() {
            return None;
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST_KEYS && !keys.contains_key(id) {
            tracing::error!(key = %id, "too many keys with budgets: this one's is not enforced");
            return None;
        }
        let made = || Arc::new(LiveScope::new(BudgetScope::Key(id.clone()), limits, at));
        let scope = keys.entry(id.clone()).or_insert_with(made);
        scope.adapt(limits, at);
        Some(Arc::clone(scope))
    }

    fn unknown(&self, name: &str) -> ServiceError {
        let shown: String = name.chars().take(80).collect();
        let known: Vec<&str> = self.named.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        ServiceError::invalid("pointsman.budget", format!("there is no budget {shown:?}; there are: {known}"))
    }

    /// What a call of `arm` reserves that is expected to cost `expected_usd` and can cost no more than `most_usd`.
    pub(super) fn amount(&self, arm: &ArmId, expected_usd: f64, most_usd: f64) -> Amount {
        let excess = self.excess.lock().unwrap_or_else(PoisonError::into_inner);
        let times = excess.get(arm).copied().unwrap_or(EXCESS_START);
        Amount::of_usd((expected_usd * times).min(most_usd))
    }

    fn learn_excess(&self, arm: &ArmId, expected_usd: f64, actual_usd: f64) {
        let times = actual_usd / expected_usd;
        if expected_usd <= 0.0 || !times.is_finite() {
            return;
        }
        let mut excess = self.excess.lock().unwrap_or_else(PoisonError::into_inner);
        // Arms come from configurations: the map is as long as those.
        let most = excess.entry(arm.clone()).or_insert(EXCESS_START);
        let faded = *most + EXCESS_FADE * (times - *most);
        *most = times.max(faded).clamp(EXCESS_RANGE.0, EXCESS_RANGE.1);
    }

    /// Books the end of a call: settles what its ticket holds and counts its usage.
    /// What counts as spent, USD.
    pub(super) fn close(&self, ticket: Ticket, ending: &Ending<'_>) -> f64 {
        let spent = ending.spent_usd(ticket.expected_usd());
        if let (Some(cost), Some(arm)) = (ending.cost_usd, ending.served)
            && *arm == ticket.arm
            && matches!(ending.end, CompletionEnd::Complete | CompletionEnd::Reported)
            && ending.basis != Some(Basis::Cache)
        {
            self.learn_excess(arm, ticket.expected_usd(), cost);
        }
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).ended(&ticket, ending, spent);
        ticket.settle(spent, ending.at);
        spent
    }

    /// Books a decision, before its call.
    pub(super) fn open(&self, ticket: &Ticket) {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).decided(ticket);
    }

    /// Keeps the ticket of a decision whose call the client makes itself.
    pub(super) fn park(&self, decision: &Decision, ticket: Ticket, price: crate::domain::Price) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        parked.expire(decision.at, &mut usage);
        parked.put(decision.id, ticket, price, &mut usage);
    }

    /// Counts parked decisions that were not reported in time.
    fn expire(&self, at: UnixMs) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        parked.expire(at, &mut usage);
    }

    /// A report says what such a call came to.
    pub(super) fn reported(&self, report: &parked::CostReport<'_>) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((arm, expected_usd, usd)) = parked.report(report, &mut usage) {
            self.learn_excess(&arm, expected_usd, usd);
        }
    }

    /// Every scope that is there, routes first.
    fn all_scopes(&self) -> Vec<Arc<LiveScope>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> =
            self.routes.values().chain(keys.values()).chain(self.named.values()).cloned().collect();
        all.sort_by(|a, b| a.scope().cmp(b.scope()));
        all
    }
}

pub(super) use parked::CostReport;
