//! `[routes.NAME]`: candidates, default, strategy, preference, bounds.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Check;
use super::arms::{Arms, twice};
use super::calls::conduct;
use crate::config::raw::{RawExploration, RawRoute, RawSession, RawValue, RawWeights};
use crate::config::read::{At, Place};
use crate::config::suggest::hint;
use crate::dispatch::Conduct;
use crate::domain::{ArmId, Constraints, Preference, PreferenceError, RouteName, Weights};
use crate::policy::Exploration;
use crate::routing::{Retirement, Route, RouteStrategy, SessionSettings};

/// The route that there is when the file names none.
const ONLY_ROUTE: &str = "auto";
const STRATEGIES: [&str; 6] = ["learned", "fixed", "weighted", "round_robin", "cheapest", "fastest"];

impl Check<'_> {
    pub(super) fn routes(&self, raw: &[RawRoute], arms: &mut Arms<'_>) -> Vec<Route> {
        if raw.is_empty() {
            return self.only_route(arms).into_iter().collect();
        }
        let mut routes: Vec<Route> = raw.iter().filter_map(|route| self.route(route, arms)).collect();
        for route in raw.iter().filter(|r| arms.has(&r.name)) {
            self.source.fault(&route.place, "is the id of a model as well; rename the route");
        }
        routes.sort_by(|a, b| a.name.cmp(&b.name));
        routes
    }

    /// Without `[routes]`: one route over all models; the first listed is its default.
    fn only_route(&self, arms: &Arms<'_>) -> Option<Route> {
        let Some(first) = arms.declared().first() else {
            if !["routes", "models"].iter().any(|path| self.source.has_fault_at(path)) {
                self.source.fault(
                    &Place::absent("models"),
                    "there is no model; add one, for example `[models.\"openai/gpt-5-mini\"]`",
                );
            }
            return None;
        };
        let ids: BTreeSet<ArmId> = arms.declared().iter().map(|id| ArmId::from(id.as_str())).collect();
        Some(Route {
            name: RouteName::from(ONLY_ROUTE),
            arms: ids.into_iter().collect(),
            default: ArmId::from(first.as_str()),
            strategy: RouteStrategy::Learned,
            preference: Preference::balanced(),
            constraints: Constraints::default(),
            exploration: Exploration::DEFAULT,
            session: SessionSettings::default(),
            retire: Retirement::default(),
            conduct: Conduct::default(),
        })
    }

    fn route(&self, raw: &RawRoute, arms: &mut Arms<'_>) -> Option<Route> {
        self.route_name(raw);
        let models = self.route_models(raw, arms);
        let default = self.route_default(raw, models);
        let strategy = self.strategy(raw, models);
        let preference = self.preference(raw);
        let constraints = self.constraints(raw);
        let exploration = self.exploration(&raw.exploration);
        let ids: BTreeSet<ArmId> = models?.iter().map(|m| ArmId::from(m.value.as_str())).collect();
        Some(Route {
            name: RouteName::from(raw.name.as_str()),
            arms: ids.into_iter().collect(),
            default: default?,
            strategy: strategy?,
            preference: preference?,
            constraints: constraints?,
            exploration,
            session: self.session(&raw.session),
            retire: self.retire(raw.retire.as_ref()),
            conduct: Conduct { hedge: self.hedge(&raw.hedge), ..conduct(&raw.calls) },
        })
    }

    fn route_name(&self, raw: &RawRoute) {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if raw.name.is_empty() || raw.name.len() > 64 || !raw.name.chars().all(good) {
            self.source.fault(
                &raw.place,
                "a route's name has 1 to 64 letters, digits, `-`, `_` or `.` (`:` and `/` have meanings of their own); rename it",
            );
        }
    }

    fn route_models<'r>(&self, raw: &'r RawRoute, arms: &mut Arms<'_>) -> Option<&'r [At<String>]> {
        let advice = "list the ids of its models";
        let models = self.required(raw.models.as_ref(), &raw.place, "models", advice)?;
        if models.value.is_empty() && !self.source.has_fault_at(&models.place.path) {
            self.source.fault(&models.place, "is empty; list at least one model");
        }
        if let Some(again) = twice(&models.value) {
            self.source.fault(&again.place, format!("`{}` stands twice; remove one", again.value));
        }
        for model in &models.value {
            arms.resolve(model);
        }
        Some(&models.value)
    }

    fn route_default(&self, raw: &RawRoute, models: Option<&[At<String>]>) -> Option<ArmId> {
        let advice = "name the model that serves whenever the router is unsure, one of `models`";
        let default = self.required(raw.default.as_ref(), &raw.place, "default", advice)?;
        if models.is_some_and(|models| !models.iter().any(|m| m.value == default.value)) {
            let hint = hint(&default.value, models.into_iter().flatten().map(|m| m.value.as_str()));
            let message = format!("`{}` is not among the route's `models`{hint}", default.value);
            self.source.fault(&default.place, message);
        }
        Some(ArmId::from(default.value.as_str()))
    }

    fn strategy(&self, raw: &RawRoute, models: Option<&[At<String>]>) -> Option<RouteStrategy> {
        let word = raw.strategy.as_ref().map_or("learned", |s| s.value.as_str());
        let shares = self.shares(raw, models);
        if word != "weighted" && !raw.shares.is_empty() {
            self.source.fault(&raw.place.join("shares"), "is for `strategy = \"weighted\"` alone; remove it");
        }
        match word {
            "learned" => Some(RouteStrategy::Learned),
            "fixed" => Some(RouteStrategy::Fixed),
            "weighted" => Some(RouteStrategy::Weighted(shares)),
            "round_robin" => Some(RouteStrategy::RoundRobin),
            "cheapest" => Some(RouteStrategy::Cheapest),
            "fastest" => Some(RouteStrategy::Fastest),
            other => {
                raw.strategy.iter().for_each(|at| self.unknown_strategy(at, other));
                None
            }
        }
    }

    fn unknown_strategy(&self, at: &At<String>, found: &str) {
        if found == "least_busy" {
            let message = "\"least_busy\" is not supported in this version; \"fastest\" or \"round_robin\" come nearest";
            self.source.fault(&at.place, message);
        } else {
            self.unknown_word(at, found, &STRATEGIES);
        }
    }

    fn shares(&self, raw: &RawRoute, models: Option<&[At<String>]>) -> Vec<(ArmId, f64)> {
        let place = raw.place.join("shares");
        let is_weighted = raw.strategy.as_ref().is_some_and(|s| s.value == "weighted");
        let below = format!("{}.", place.path);
        if is_weighted && raw.shares.is_empty() && !self.source.has_fault_within(&place.path, &below) {
            self.source.fault(
                &place,
                "is missing; strategy \"weighted\" wants one per model, for example `shares = { \"openai/gpt-5-mini\" = 0.8 }`",
            );
        }
        for (arm, share) in &raw.shares {
            if !share.value.is_finite() || share.value <= 0.0 {
                let message = format!(
                    "must be a finite number > 0, got {}; leave a model out to give it nothing",
                    share.value
                );
                self.source.fault(&share.place, message);
            }
            if models.is_some_and(|models| !models.iter().any(|m| m.value == *arm)) {
                let hint = hint(arm, models.into_iter().flatten().map(|m| m.value.as_str()));
                self.source.fault(&share.place, format!("`{arm}` is not among the route's `models`{hint}"));
            }
        }
        raw.shares.iter().map(|(arm, share)| (ArmId::from(arm.as_str()), share.value)).collect()
    }

    fn preference(&self, raw: &RawRoute) -> Option<Preference> {
        match (&raw.weights, &raw.value) {
            (Some(_), Some(value)) => {
                self.source.fault(&value.place, "stands beside `weights`; keep one of the two");
                None
            }
            (Some(weights), None) => self.weights_of(&raw.place, weights),
            (None, Some(value)) => self.value_of(&raw.place, value),
            (None, None) => Some(Preference::balanced()),
        }
    }

    fn weights_of(&self, route: &Place, raw: &RawWeights) -> Option<Preference> {
        let quality = self.required(raw.quality.as_ref(), &raw.place, "quality", "write a number above 0")?;
        let or_zero = |at: &Option<At<f64>>| at.as_ref().map_or(0.0, |v| v.value);
        let checked = Weights::new(quality.value, or_zero(&raw.cost), or_zero(&raw.latency));
        self.preferred(route, raw.place.line, checked.map(Preference::Weights))
    }

    fn value_of(&self, route: &Place, raw: &RawValue) -> Option<Preference> {
        let advice = "write what a perfect answer over a useless one is worth, in USD";
        let quality = self.required(raw.quality_usd.as_ref(), &raw.place, "quality_usd", advice)?;
        let second = raw.second_usd.as_ref().map_or(0.0, |v| v.value);
        self.preferred(route, raw.place.line, Preference::value(quality.value, second))
    }

    fn constraints(&self, raw: &RawRoute) -> Option<Constraints> {
        let plain = |at: &Option<At<f64>>| at.as_ref().map(|v| v.value);
        let each = [
            (
                Constraints { max_cost_usd: plain(&raw.max_cost_usd), ..Constraints::default() },
                &raw.max_cost_usd,
            ),
            (
                Constraints { max_latency_ms: plain(&raw.max_latency_ms), ..Constraints::default() },
                &raw.max_latency_ms,
            ),
            (
                Constraints { min_quality: plain(&raw.min_quality), ..Constraints::default() },
                &raw.min_quality,
            ),
        ];
        let mut is_sound = true;
        for (one, at) in each {
            let line = at.as_ref().and_then(|at| at.place.line);
            is_sound &= self.preferred(&raw.place, line, one.checked()).is_some();
        }
        is_sound.then(|| Constraints {
            max_cost_usd: plain(&raw.max_cost_usd),
            max_latency_ms: plain(&raw.max_latency_ms),
            min_quality: plain(&raw.min_quality),
        })
    }

    /// Puts a refusal of the domain at its key.
    fn preferred<T>(
        &self,
        route: &Place,
        line: Option<usize>,
        checked: Result<T, PreferenceError>,
    ) -> Option<T> {
        checked
            .map_err(|refusal| {
                let place = refusal.field.split('.').fold(route.clone(), |place, key| place.join(key));
                let message = format!("must be {}, got {}", refusal.must, refusal.got);
                self.source.fault(&Place { line: line.or(place.line), ..place }, message);
            })
            .ok()
    }

    fn exploration(&self, raw: &RawExploration) -> Exploration {
        let default = Exploration::DEFAULT;
        Exploration {
            max_expected_loss: self.within(raw.max_expected_loss.as_ref(), 1.0, default.max_expected_loss),
            floor: self.within(raw.floor.as_ref(), 0.1, default.floor),
            share: self.within(raw.share.as_ref(), 1.0, default.share),
        }
    }

    fn retire(&self, word: Option<&At<String>>) -> Retirement {
        match word.map(|at| (at, at.value.as_str())) {
            None | Some((_, "report")) => Retirement::Report,
            Some((_, "auto")) => Retirement::Auto,
            Some((at, other)) => {
                self.unknown_word(at, other, &["report", "auto"]);
                Retirement::Report
            }
        }
    }

    fn session(&self, raw: &RawSession) -> SessionSettings {
        let default = SessionSettings::default();
        SessionSettings {
            pin: raw.pin.as_ref().map_or(default.pin, |pin| pin.value),
            switch_margin: self.within(raw.switch_margin.as_ref(), 1.0, default.switch_margin),
            ttl: raw.ttl_s.as_ref().map_or(default.ttl, |ttl| Duration::from_secs(ttl.value)),
        }
    }

    pub(super) fn within(&self, at: Option<&At<f64>>, most: f64, default: f64) -> f64 {
        let Some(at) = at else { return default };
        if !(0.0..=most).contains(&at.value) {
            self.source.fault(&at.place, format!("must be between 0 and {most}, got {}", at.value));
        }
        at.value
    }
}
