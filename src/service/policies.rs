//! Policies by hand: what is kept, what is in place, what is being tried, and the orders to change it. All of it is events of the
//! log; the learner follows them.

use std::sync::Arc;

use serde::Serialize;

use super::{LiveRoute, Service};
use crate::domain::{
    AdminEvent, EventBody, Experiment, ExperimentEnd, ExperimentError, ExperimentName, PolicyVersion,
    RouteName, Seq, UnixMs,
};
use crate::learning::Challenger;
use crate::ope::split::GuardReading;
use crate::routing::RouteStrategy;
use crate::store::{KeptPolicy, NewPolicy, NotStarted, Store, StoreError, stage};

/// Policies, as `GET /admin/policies` shows them.
#[derive(Debug, Clone, Serialize)]
pub struct PoliciesView {
    /// The published policy, which takes the decisions.
    pub serving: PolicyVersion,
    /// The bundle that was promoted last; none: the policy is what the log taught.
    pub in_place: Option<PolicyVersion>,
    /// The experiment that runs.
    pub experiment: Option<ExperimentView>,
    /// Bundles that can be promoted.
    pub kept: Vec<KeptView>,
    /// What was promoted, the newest first.
    pub promotions: Vec<PromotionView>,
    /// Experiments that are over, the newest first.
    pub past: Vec<PastExperiment>,
}

/// An experiment that runs.
#[derive(Debug, Clone, Serialize)]
pub struct ExperimentView {
    /// Which.
    pub name: ExperimentName,
    /// On which route; none: on all that learn.
    pub route: Option<RouteName>,
    /// The challenger.
    pub policy: PolicyVersion,
    /// Its share of the traffic now.
    pub share: f64,
    /// Its share in the next stage; none: it takes over.
    pub next_share: Option<f64>,
    /// The event that began this stage.
    pub stage: Seq,
    /// When that was.
    pub since_ms: UnixMs,
    /// What each guard says.
    pub guards: Vec<GuardReading>,
    /// Why the challenger cannot choose.
    pub unwell: Option<String>,
}

/// A bundle that is kept.
#[derive(Debug, Clone, Serialize)]
pub struct KeptView {
    /// Its name.
    pub policy: PolicyVersion,
    /// The last event of the log in its own state.
    pub cut: Seq,
    /// What it was trained on and how good it was, as its manifest says.
    pub manifest: serde_json::Value,
}

/// A promotion.
#[derive(Debug, Clone, Serialize)]
pub struct PromotionView {
    /// Which bundle.
    pub policy: PolicyVersion,
    /// Its event.
    pub event: Seq,
    /// When.
    pub at_ms: UnixMs,
}

/// An experiment that is over.
#[derive(Debug, Clone, Serialize)]
pub struct PastExperiment {
    /// Which.
    pub name: ExperimentName,
    /// How it ended.
    pub end: ExperimentEnd,
    /// Why.
    pub why: String,
    /// Its last event.
    pub event: Seq,
    /// When.
    pub at_ms: UnixMs,
}

/// Why an order is refused.
#[derive(Debug, thiserror::Error)]
pub enum PolicyChangeError {
    /// The terms are no experiment.
    #[error(transparent)]
    Terms(#[from] ExperimentError),
    /// It cannot start.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// There is no such policy.
    #[error("the store has no policy {0}: put it there with `pointsman promote BUNDLE --keep`")]
    NoPolicy(PolicyVersion),
    /// There is no such route.
    #[error("no route is named {0} and learns: an experiment compares learned policies")]
    NoRoute(RouteName),
    /// There is nothing to end.
    #[error("no experiment of that name runs")]
    NoExperiment,
    /// There is nothing to go back to.
    #[error("nothing was promoted before that one could go back to")]
    NothingBefore,
    /// The log cannot be read or written.
    #[error("the store is not available: {0}")]
    Store(#[from] StoreError),
}

impl Service {
    /// Blocks.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn policies(&self) -> Result<PoliciesView, StoreError> {
        let promotions = self.store.promotions()?;
        let kept = |k: KeptPolicy| KeptView {
            policy: k.version,
            cut: k.cut,
            manifest: serde_json::from_str(&k.manifest).unwrap_or_default(),
        };
        Ok(PoliciesView {
            serving: self.learning.policy().version().clone(),
            in_place: promotions.first().map(|p| p.version.clone()),
            experiment: self.learning.challenger().map(|challenger| running(&challenger)),
            kept: self.store.policies()?.into_iter().map(kept).collect(),
            promotions: promotions
                .into_iter()
                .map(|p| PromotionView { policy: p.version, event: p.seq, at_ms: p.at })
                .collect(),
            past: past(&self.store)?,
        })
    }

    /// A kept bundle takes over for all of the traffic; a running experiment is over. Blocks. Gives the event's place.
    ///
    /// # Errors
    /// When there is no such bundle, or it is not on disk.
    pub fn promote(&self, version: &PolicyVersion) -> Result<Seq, PolicyChangeError> {
        let kept = self.store.policy(version)?.ok_or_else(|| PolicyChangeError::NoPolicy(version.clone()))?;
        Ok(self.store.promote(kept)?)
    }

    /// Takes a running challenger back; without one, the bundle before the one in place takes over again. Blocks. Gives the event's
    /// place.
    ///
    /// # Errors
    /// When there is nothing to go back to, or it is not on disk.
    pub fn roll_back(&self) -> Result<Seq, PolicyChangeError> {
        match self.end_experiment(None, ExperimentEnd::RolledBack) {
            Err(PolicyChangeError::NoExperiment) => Ok(self.store.promote(before(&self.store)?)?),
            done => done,
        }
    }

    /// A kept bundle gets a share of the traffic. Blocks. Gives the event's place.
    ///
    /// # Errors
    /// When the terms are none, something runs already, or it is not on disk.
    pub fn start_experiment(&self, experiment: Experiment) -> Result<Seq, PolicyChangeError> {
        let experiment = experiment.checked()?;
        if let Some(name) = &experiment.route {
            let learns =
                |r: &&Arc<LiveRoute>| r.route.name == *name && r.route.strategy == RouteStrategy::Learned;
            if !self.fleet.routes().iter().any(learns) {
                return Err(PolicyChangeError::NoRoute(name.clone()));
            }
        }
        Ok(self.store.start_experiment(None, experiment)??)
    }

    /// Ends the experiment by hand: promoted, rolled back or stopped. Blocks. Gives the event's place.
    ///
    /// # Errors
    /// When it does not run, or it is not on disk.
    pub fn end_experiment(
        &self,
        name: Option<&ExperimentName>,
        end: ExperimentEnd,
    ) -> Result<Seq, PolicyChangeError> {
        let events = self.store.admin_events(*self.store.committed().borrow())?;
        let stage = stage(&events).ok_or(PolicyChangeError::NoExperiment)?;
        if name.is_some_and(|name| !stage.is(name)) {
            return Err(PolicyChangeError::NoExperiment);
        }
        let done = self.store.end_experiment(None, stage.since, end, "by an operator".to_owned())?;
        done.ok_or(PolicyChangeError::NoExperiment)
    }
}

fn running(challenger: &Challenger) -> ExperimentView {
    let Challenger { stage, guards, unwell, .. } = challenger;
    ExperimentView {
        name: stage.experiment.name.clone(),
        route: stage.experiment.route.clone(),
        policy: stage.experiment.policy.clone(),
        share: stage.share,
        next_share: stage.next_share(),
        stage: stage.since,
        since_ms: stage.since_ms,
        guards: guards.clone(),
        unwell: unwell.clone(),
    }
}

fn past(store: &Store) -> Result<Vec<PastExperiment>, StoreError> {
    let events = store.admin_events(*store.committed().borrow())?;
    let over = events.into_iter().rev().filter_map(|event| match event.body {
        EventBody::Admin(AdminEvent::ExperimentEnded { name, end, why }) => {
            Some(PastExperiment { name, end, why, event: event.seq, at_ms: event.at })
        }
        _ => None,
    });
    Ok(over.collect())
}

/// The bundle that was in place before the one in place.
///
/// # Errors
/// When there is none, or the log cannot be read.
pub fn before(store: &Store) -> Result<NewPolicy, PolicyChangeError> {
    let promotions = store.promotions()?;
    let current = promotions.first().ok_or(PolicyChangeError::NothingBefore)?;
    let earlier = promotions.iter().map(|p| &p.version).find(|version| **version != current.version);
    let version = earlier.ok_or(PolicyChangeError::NothingBefore)?;
    store.policy(version)?.ok_or_else(|| PolicyChangeError::NoPolicy(version.clone()))
}
