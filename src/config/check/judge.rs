//! `[judge]`: which model, how much, for how much.

use super::Check;
use super::arms::Arms;
use crate::config::raw::RawJudge;
use crate::config::read::At;
use crate::domain::ArmId;
use crate::routing::Route;
use crate::service::JudgeSettings;

/// The share that is judged when nothing is said.
const SHARE: f64 = 0.02;

impl Check<'_> {
    pub(super) fn judge(
        &self,
        raw: &RawJudge,
        arms: &mut Arms<'_>,
        routes: &[Route],
    ) -> Option<JudgeSettings> {
        let advice = "name the model that judges, one that is on no route";
        let model = self.required(raw.model.as_ref(), &raw.place, "model", advice);
        let advice = "write what judging may cost per day, in USD";
        let budget = self.required(raw.usd_per_day.as_ref(), &raw.place, "usd_per_day", advice);
        let budget = budget.filter(|at| self.positive(at, f64::MAX, "a finite number of USD above 0"));
        let share = raw.share.as_ref();
        let share =
            share.filter(|at| self.positive(at, 1.0, "above 0 and at most 1")).map_or(SHARE, |at| at.value);
        let model = model?;
        if !arms.resolve(model) {
            return None;
        }
        if let Some(route) = routes.iter().find(|r| r.arms.iter().any(|arm| arm.as_str() == model.value)) {
            let message = format!(
                "`{}` is a candidate of the route `{}` and would judge itself; name another model, or list the route's `models` without it",
                model.value, route.name
            );
            self.source.fault(&model.place, message);
        }
        Some(JudgeSettings { model: ArmId::from(model.value.as_str()), share, usd_per_day: budget?.value })
    }

    fn positive(&self, at: &At<f64>, most: f64, must: &str) -> bool {
        let fits = at.value > 0.0 && at.value <= most;
        if !fits {
            self.source.fault(&at.place, format!("must be {must}, got {}", at.value));
        }
        fits
    }
}
