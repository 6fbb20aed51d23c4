//! `[experiments.NAME]`: which bundle, on which route, how much at first, and what must not get worse.

use super::Check;
use crate::config::raw::RawExperiment;
use crate::config::settings::ExperimentSettings;
use crate::domain::{
    CanaryGuard, CanaryGuards, Experiment, ExperimentName, PolicyVersion, RouteName, share_of,
};
use crate::routing::{Route, RouteStrategy};

/// The share of the first stage when nothing is said.
const SHARE: f64 = 0.05;
/// Where bundles lie that `pointsman train` wrote, below the file's folder.
const BUNDLES: &str = "models/policy";

impl Check<'_> {
    /// The experiment; there is one at a time.
    pub(super) fn experiment(&self, raw: &[RawExperiment], routes: &[Route]) -> Option<ExperimentSettings> {
        if let Some(second) = raw.get(1) {
            let first = &raw[0].name;
            let message =
                format!("is a second experiment beside `{first}`; one runs at a time, remove the other");
            self.source.fault(&second.place, message);
        }
        raw.first().and_then(|raw| self.one_experiment(raw, routes))
    }

    fn one_experiment(&self, raw: &RawExperiment, routes: &[Route]) -> Option<ExperimentSettings> {
        let route = raw.route.as_ref().map(|route| {
            let found = routes.iter().find(|r| r.name.as_str() == route.value);
            if found.is_none_or(|r| r.strategy != RouteStrategy::Learned) {
                let message = format!("no route is named `{}` and has the strategy \"learned\"", route.value);
                self.source.fault(&route.place, message);
            }
            RouteName::from(route.value.as_str())
        });
        if let Some(strategy) = raw.challenger.strategy.as_ref().filter(|s| s.value != "learned") {
            self.unknown_word(strategy, &strategy.value, &["learned"]);
        }
        let advice = "name the bundle, as `pointsman train` called its folder";
        let policy =
            self.required(raw.challenger.policy.as_ref(), &raw.challenger.place, "policy", advice)?;
        let share = match &raw.share {
            None => Some(SHARE),
            Some(text) => {
                let share = share_of(&text.value);
                if share.is_none() {
                    self.source.fault(&text.place, format!("must be like \"5%\", got {:?}", text.value));
                }
                share
            }
        };
        let guards = self.canary_guards(raw)?;
        let experiment = Experiment {
            name: ExperimentName::from(raw.name.as_str()),
            route,
            policy: PolicyVersion::from(policy.value.as_str()),
            share: share?,
            guards,
        };
        match experiment.checked() {
            Ok(experiment) => {
                let folder = self.folder.join(BUNDLES).join(&policy.value);
                Some(ExperimentSettings { experiment, folder })
            }
            Err(error) => {
                let place =
                    if error.field == "name" { raw.place.clone() } else { raw.place.join(error.field) };
                self.source.fault(&place, format!("must be {}", error.must));
                None
            }
        }
    }

    fn canary_guards(&self, raw: &RawExperiment) -> Option<CanaryGuards> {
        if raw.guards.is_empty() {
            return Some(CanaryGuards::from(CanaryGuard::ALL));
        }
        let guard = |(name, limit): &(String, crate::config::read::At<f64>)| match name.parse() {
            Ok(guard) => Some((guard, limit.value)),
            Err(why) => {
                let why: String = why;
                self.source.fault(&limit.place, why);
                None
            }
        };
        let guards: Vec<Option<(CanaryGuard, f64)>> = raw.guards.iter().map(guard).collect();
        guards.into_iter().collect()
    }
}
