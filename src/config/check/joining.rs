//! How models join and go: `tier`, `prior` and `drain` of `[models."ID"]`.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use super::arms::Arms;
use crate::config::raw::{RawModel, RawPrior};
use crate::config::read::At;
use crate::config::settings::PriorSource;
use crate::domain::{ArmId, Catalog};
use crate::routing::Route;

/// Tiers, and what a model of each typically costs in USD per million tokens, three parts input to one part output.
const TIERS: [(&str, f64); 4] = [("small", 0.2), ("medium", 1.0), ("large", 4.0), ("frontier", 12.0)];

impl Check<'_> {
    /// What new arms start from.
    pub(super) fn priors(&self, raw: &[RawModel], arms: &Arms<'_>) -> BTreeMap<ArmId, PriorSource> {
        let prior = |model: &RawModel| {
            let written = model.prior.as_ref().and_then(|prior| self.prior(model, prior, arms));
            let by_tier = model.tier.as_ref().map(|_| PriorSource::Price);
            Some((ArmId::from(model.id.as_str()), written.or(by_tier)?))
        };
        raw.iter().filter_map(prior).collect()
    }

    fn prior(&self, model: &RawModel, raw: &RawPrior, arms: &Arms<'_>) -> Option<PriorSource> {
        let by_price = raw.price.as_ref().filter(|price| price.value);
        match (&raw.sheet, &raw.like, by_price) {
            (Some(sheet), None, None) => Some(self.sheet(sheet)),
            (None, Some(like), None) => {
                if like.value == model.id || !arms.has(&like.value) {
                    let message =
                        format!("`{}` is no other model of this file; name one of them", like.value);
                    self.source.fault(&like.place, message);
                }
                Some(PriorSource::Like(ArmId::from(like.value.as_str())))
            }
            (None, None, Some(_)) => Some(PriorSource::Price),
            _ if self.source.has_fault_within(&raw.place.path, &format!("{}.", raw.place.path)) => None,
            _ => {
                let message = "names one of `sheet = \"scores.csv\"`, `like = \"openai/gpt-5-mini\"` and `price = true`";
                self.source.fault(&raw.place, message);
                None
            }
        }
    }

    fn sheet(&self, sheet: &At<String>) -> PriorSource {
        let path = self.folder.join(&sheet.value);
        if !path.is_file() {
            let message = format!(
                "{} is no file; name a CSV file with the columns `prompt` and `quality`",
                path.display()
            );
            self.source.fault(&sheet.place, message);
        }
        PriorSource::Sheet(path)
    }

    /// By what arms are compared when one is judged by its price.
    pub(super) fn comparable_usd(&self, raw: &[RawModel], catalog: &Catalog) -> BTreeMap<ArmId, f64> {
        let mut all: BTreeMap<ArmId, f64> =
            catalog.arms().iter().map(|arm| (arm.id.clone(), arm.price.blended())).collect();
        for model in raw {
            let id = ArmId::from(model.id.as_str());
            if let Some(tier) = &model.tier {
                match TIERS.iter().find(|(name, _)| *name == tier.value) {
                    Some((_, usd)) => {
                        all.insert(id, *usd);
                    }
                    None => self.unknown_word(tier, &tier.value, &TIERS.map(|(name, _)| name)),
                }
            } else if let Some(price) = model.prior.as_ref().and_then(|prior| prior.price.as_ref())
                && price.value
                && all.get(&id).is_some_and(|usd| *usd <= 0.0)
            {
                let message = "says nothing for a model that is free; give its `tier`: small, medium, large or frontier";
                self.source.fault(&price.place, message);
            }
        }
        all.retain(|_, usd| *usd > 0.0);
        all
    }

    /// Arms that take no new conversations.
    pub(super) fn draining(&self, raw: &[RawModel], routes: &[Route]) -> BTreeSet<ArmId> {
        let mut all = BTreeSet::new();
        for model in raw {
            let Some(drain) = model.drain.as_ref().filter(|drain| drain.value) else { continue };
            let id = ArmId::from(model.id.as_str());
            for route in routes.iter().filter(|route| route.default == id) {
                let message =
                    format!("it is the default of route `{}`; name another default first", route.name);
                self.source.fault(&drain.place, message);
            }
            all.insert(id);
        }
        all
    }
}
