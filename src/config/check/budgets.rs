//! `[budgets.NAME]`, and `budget` of a route.

use super::Check;
use crate::config::raw::{RawBudget, RawConfig};
use crate::domain::{BudgetLimits, RouteName};
use crate::service::BudgetPlan;

impl Check<'_> {
    pub(super) fn budget_plan(&self, raw: &RawConfig) -> BudgetPlan {
        let of_route = |name: &String, budget: &RawBudget| {
            let limits = if budget.is_present { self.budget_limits(budget)? } else { return None };
            Some((RouteName::from(name.as_str()), limits))
        };
        for (name, budget) in &raw.budgets {
            self.budget_name(name, budget);
        }
        let named = raw.budgets.iter();
        BudgetPlan {
            routes: raw.routes.iter().filter_map(|r| of_route(&r.name, &r.budget)).collect(),
            named: named
                .filter_map(|(name, budget)| Some((name.clone(), self.budget_limits(budget)?)))
                .collect(),
        }
    }

    fn budget_name(&self, name: &str, budget: &RawBudget) {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            self.source.fault(
                &budget.place,
                "a budget's name has 1 to 64 letters, digits, `-`, `_` or `.`; rename it",
            );
        }
    }

    fn budget_limits(&self, raw: &RawBudget) -> Option<BudgetLimits> {
        let value = |i: usize| raw.limits[i].as_ref().map(|at| at.value);
        let limits = BudgetLimits {
            usd_per_request: value(0),
            usd_per_hour: value(1),
            usd_per_day: value(2),
            usd_per_month: value(3),
        };
        let mut is_sound = true;
        for at in raw.limits.iter().flatten() {
            let one = BudgetLimits { usd_per_day: Some(at.value), ..BudgetLimits::default() };
            if one.checked().is_err() {
                let message = format!("must be a number of USD above 0 and at most 1e9, got {}", at.value);
                self.source.fault(&at.place, message);
                is_sound = false;
            }
        }
        let below = format!("{}.", raw.place.path);
        if limits.is_empty() && !self.source.has_fault_within(&raw.place.path, &below) {
            let message = format!("limits nothing; give one of {}", BudgetLimits::FIELDS.join(", "));
            self.source.fault(&raw.place, message);
        }
        is_sound.then_some(limits)
    }
}
