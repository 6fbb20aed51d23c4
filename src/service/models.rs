//! Every model as an operator sees it: whether it serves, how it stands with the learner, what it costs and who says so, whether it could
//! go.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Service;
use crate::domain::{Arm, ArmId, Price, PriceSource, ProviderId, RouteName};
use crate::policy::{ArmReport, Checkup, GRADUATES_AT, Standing};
use crate::routing::Retirement;

/// One model.
#[derive(Debug, Clone, Serialize)]
pub struct ModelReport {
    /// Which.
    pub model: ArmId,
    /// As `/v1/models` says: `new` (never heard of), `nursery`, `steady`, `retire-suggested`, `draining` or `removed`.
    pub status: &'static str,
    /// What is configured of it; none: it is configured no more.
    pub configured: Option<Configured>,
    /// Whether it is called at the moment.
    pub health: ModelHealth,
    /// While it is new; none: it is not.
    pub nursery: Option<Nursery>,
    /// What was learned of it, its watches and their last alarms; none: nothing yet.
    pub learned: Option<ArmReport>,
    /// Routes on which it is worse than the default beyond doubt.
    pub outclassed: Vec<Outclassed>,
}

/// What the configuration says.
#[derive(Debug, Clone, Serialize)]
pub struct Configured {
    /// Whose.
    pub provider: ProviderId,
    /// What its provider calls it.
    pub provider_model: String,
    /// USD per million tokens.
    pub price: Price,
    /// Who says so.
    pub price_from: Option<PriceSource>,
    /// Whether it takes no new conversations.
    pub drains: bool,
    /// Routes that it is a candidate of.
    pub routes: Vec<RouteName>,
    /// Routes that it is the default of.
    pub default_of: Vec<RouteName>,
}

/// Whether a model is called.
#[derive(Debug, Clone, Serialize)]
pub struct ModelHealth {
    /// Whether it is.
    pub available: bool,
    /// Why not: `unhealthy`, `rate_limited` or `busy`.
    pub excluded: Option<String>,
    /// How much longer it is not.
    pub rests_ms: Option<u64>,
}

/// A model that is new.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Nursery {
    /// Reports on it.
    pub reports: u64,
    /// With so many, or rows of a prior that stand for them, it is new no more.
    pub graduates_at: f64,
}

/// A model that could go.
#[derive(Debug, Clone, Serialize)]
pub struct Outclassed {
    /// From where.
    pub route: RouteName,
    /// By how much utility it is behind the default at the least.
    pub behind: f64,
    /// Whether it takes no new conversations there for that reason.
    pub retired: bool,
}

impl Service {
    /// Every configured model, and those that were learned of and are configured no more.
    pub fn models(&self) -> Vec<ModelReport> {
        let learned: BTreeMap<ArmId, ArmReport> = self
            .checkup()
            .map(|Checkup { arms, .. }| arms.into_iter().map(|report| (report.arm.clone(), report)).collect())
            .unwrap_or_default();
        let configured = self.fleet.arms().into_iter().map(|arm| self.model(&arm.id, Some(arm), &learned));
        let gone = learned.keys().filter(|id| self.fleet.arm(id).is_none());
        configured.chain(gone.map(|id| self.model(id, None, &learned))).collect()
    }

    fn model(&self, id: &ArmId, arm: Option<&Arm>, learned: &BTreeMap<ArmId, ArmReport>) -> ModelReport {
        let health = self.health.snapshot();
        let rest = health.rest_left(id);
        let learned = learned.get(id).cloned();
        let is_new = self.learning.policy().standing(id) == Some(Standing::Nursery);
        let reports = learned.as_ref().map_or(0, |report| report.reports);
        ModelReport {
            model: id.clone(),
            status: self.status(id),
            configured: arm.map(|arm| self.configured(arm)),
            health: ModelHealth {
                available: health.is_available(id),
                excluded: health.exclusion(id).map(|why| why.to_string()),
                rests_ms: rest.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            },
            nursery: is_new.then_some(Nursery { reports, graduates_at: GRADUATES_AT }),
            learned,
            outclassed: self.outclassed(id),
        }
    }

    fn configured(&self, arm: &Arm) -> Configured {
        let routes = self.fleet.routes();
        let candidate = routes.iter().filter(|live| live.route.arms.contains(&arm.id));
        let default = routes.iter().filter(|live| live.route.default == arm.id);
        Configured {
            provider: arm.provider.clone(),
            provider_model: arm.model.clone(),
            price: arm.price,
            price_from: self.fleet.price_source(&arm.id),
            drains: self.fleet.drains(&arm.id),
            routes: candidate.map(|live| live.route.name.clone()).collect(),
            default_of: default.map(|live| live.route.name.clone()).collect(),
        }
    }

    fn outclassed(&self, id: &ArmId) -> Vec<Outclassed> {
        let routes = self.fleet.routes().into_iter();
        let behind = routes.filter_map(|live| {
            Some(Outclassed {
                route: live.route.name.clone(),
                behind: *live.watch.outclassed().get(id)?,
                retired: live.route.retire == Retirement::Auto,
            })
        });
        behind.collect()
    }

    /// How the model stands, in a word.
    pub fn status(&self, id: &ArmId) -> &'static str {
        if self.fleet.drains(id) {
            return "draining";
        }
        let routes = self.fleet.routes();
        let mut on = routes.iter().filter(|live| live.route.arms.contains(id)).peekable();
        if on.peek().is_some() && on.all(|live| live.watch.outclassed().contains_key(id)) {
            return "retire-suggested";
        }
        self.learning.policy().standing(id).map_or("new", Standing::as_str)
    }
}
