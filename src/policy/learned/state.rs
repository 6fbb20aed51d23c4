//! The learner's state: a fold over observations, and its bytes.

mod roster;
mod stored;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rate::Rating;
use super::{LearnedPolicy, check_context};
use crate::domain::{ArmId, Context, FeatureSchema, PolicyVersion, UnixMs};
use crate::math::cholesky::NotPositive;
use crate::policy::drift::{Alarm, REMEMBERED, Signal, TrafficWatch};
use crate::policy::heads::{Answer, ArmState, Changes, HeadSettings, Report, Spread, common_slopes};
use crate::policy::reporters::{GuardSettings, Reporters};
use crate::policy::{LearnError, Learner, Observation, Policy, Prior};

pub use roster::Roster;
pub use stored::StateError;

/// Features beyond this are a mistake: heads grow with the square of their number.
const MAX_DIM: usize = 1024;

/// No single call costs more.
const MAX_COST_USD: f64 = 1e6;

/// Weights of reports beyond this are a mistake.
pub(super) const MAX_WEIGHT: f64 = 1e6;

/// What the policy can be tuned by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What new arms start from.
    pub heads: HeadSettings,
    /// Sharpness of exploration before any report (`g0` in POLICY 4.5).
    pub gamma: f64,
    /// How far reporters are believed.
    pub guard: GuardSettings,
}

impl Settings {
    /// Found on the tuning fold; see training/README.md.
    pub const DEFAULT: Self =
        Self { heads: HeadSettings::DEFAULT, gamma: 100.0, guard: GuardSettings::DEFAULT };
}

/// What the arms have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shared {
    /// See [`crate::policy::heads::Call::pull`], shape `[d]`.
    pub pull: Vec<f64>,
    /// Mean quality of each arm by its reports alone, on the prompts of all, and its variance.
    pub levels: BTreeMap<ArmId, (f64, f64)>,
}

/// Everything the learner knows. Arms appear when first observed.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedState {
    schema: FeatureSchema,
    dim: usize,
    settings: Settings,
    prior: Arc<Prior>,
    /// Name of the prior that this deployment began with; a state that was adopted since may have another.
    origin: String,
    pub(super) unknown: Arc<ArmState>,
    /// Who reports, and how far they are believed.
    pub(super) reporters: Arc<Reporters>,
    /// Reports on any arm, revisions not counted.
    pub(super) heard: u64,
    /// The latest time told.
    now: UnixMs,
    alarms: Arc<VecDeque<Alarm>>,
    raised: u64,
    traffic: Arc<TrafficWatch>,
    roster: Arc<Roster>,
    pub(super) arms: BTreeMap<ArmId, Arc<ArmState>>,
}

impl LearnedState {
    /// Knows nothing; `dim` is the length of the schema's vectors, the constant 1 included.
    ///
    /// # Errors
    /// When `dim` is 0 or above 1024.
    pub fn new(schema: FeatureSchema, dim: usize) -> Result<Self, StateError> {
        Self::with_settings(schema, dim, Settings::DEFAULT)
    }

    /// As [`Self::new`], tuned otherwise.
    ///
    /// # Errors
    /// When `dim` is 0 or above 1024, or the settings give no proper prior.
    pub fn with_settings(schema: FeatureSchema, dim: usize, settings: Settings) -> Result<Self, StateError> {
        Self::with_prior(schema, Arc::new(Prior::none(dim.min(MAX_DIM))), dim, settings)
    }

    /// As [`Self::with_settings`], with what is supposed of prompts and of arms that nobody has reported on.
    ///
    /// # Errors
    /// When `dim` is 0 or above 1024, the prior is over another number of features, or the settings give no proper prior.
    pub fn with_prior(
        schema: FeatureSchema,
        prior: Arc<Prior>,
        dim: usize,
        settings: Settings,
    ) -> Result<Self, StateError> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let heads = &settings.heads;
        let fits = positive(settings.gamma)
            && positive(heads.common_slope_sd)
            && heads.offset.is_sound()
            && settings.guard.is_sound();
        if !(1..=MAX_DIM).contains(&dim) || !fits || !prior.is_sound(dim) {
            return Err(StateError::Settings { dim });
        }
        let unknown = ArmState::new(&prior, &settings.heads).map_err(|_| StateError::Settings { dim })?;
        Ok(Self {
            reporters: Arc::new(Reporters::new(settings.guard)),
            schema,
            dim,
            settings,
            origin: prior.name.clone(),
            prior,
            unknown: Arc::new(unknown),
            heard: 0,
            now: UnixMs(0),
            alarms: Arc::default(),
            raised: 0,
            traffic: Arc::new(TrafficWatch::new(dim)),
            roster: Arc::default(),
            arms: BTreeMap::new(),
        })
    }

    /// What it was tuned to.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The same heads under another sharpness of exploration, which they never see.
    ///
    /// # Errors
    /// When `gamma` is not positive and finite.
    pub fn with_gamma(&self, gamma: f64) -> Result<Self, StateError> {
        if !(gamma.is_finite() && gamma > 0.0) {
            return Err(StateError::Settings { dim: self.dim });
        }
        let settings = Settings { gamma, ..self.settings };
        Ok(Self { settings, ..self.clone() })
    }

    /// Name of the prior that this deployment began with.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What the features mean.
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// Length of a context's vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Arms observed so far, and the quality reports on each, revisions not counted.
    pub fn quality_feedbacks(&self) -> impl Iterator<Item = (&ArmId, u64)> {
        self.arms.iter().map(|(arm, state)| (arm, state.quality().reports()))
    }

    /// The heads of an arm, if it was observed.
    pub fn arm(&self, arm: &ArmId) -> Option<&ArmState> {
        self.arms.get(arm).map(Arc::as_ref)
    }

    /// As [`Learner::freeze`], with the type kept.
    pub fn snapshot(&self, version: PolicyVersion) -> Arc<LearnedPolicy> {
        let shared = self.shared();
        Arc::new(LearnedPolicy {
            version,
            schema: self.schema.clone(),
            dim: self.dim,
            gamma: self.settings.gamma,
            pull: shared.pull,
            levels: shared.levels,
            level_prior: self.prior.levels,
            heard: self.heard,
            alarms: Arc::clone(&self.alarms),
            raised: self.raised,
            traffic: Arc::clone(&self.traffic),
            roster: Arc::clone(&self.roster),
            reporters: Arc::clone(&self.reporters),
            unknown: Arc::clone(&self.unknown),
            arms: self.arms.clone(),
        })
    }

    /// What the arms' quality has in common: some prompts are hard for all of them. An arm that has been heard little of is
    /// pulled there, and an arm that was drawn on easy prompts alone is not taken for a good one. Computed from the arms' sums, so
    /// it is not stored and the order of reports does not matter. Should the sums not allow a fit, nothing is shared.
    pub(super) fn shared(&self) -> Shared {
        let heads = &self.settings.heads;
        let spread = Spread { slope_sd: heads.common_slope_sd, ..heads.quality };
        let ridges = self.arms.values().map(|arm| arm.quality().ridge());
        match common_slopes(ridges, &spread, &self.prior.quality) {
            Ok(common) => Shared {
                pull: self.unknown.quality().ridge().prior().pull(&common.through(self.prior.levels.level)),
                levels: self
                    .arms
                    .iter()
                    .map(|(id, arm)| (id.clone(), common.level_of(arm.quality().ridge())))
                    .collect(),
            },
            Err(_) => Shared { pull: vec![0.0; self.dim], levels: BTreeMap::new() },
        }
    }

    /// Changes an arm's heads; an arm that is new stays unknown when that fails.
    fn change(
        &mut self,
        arm: &ArmId,
        change: impl FnOnce(&mut ArmState) -> Result<Changes, NotPositive>,
    ) -> Result<(), LearnError> {
        let broken = |_| LearnError::BadNumber { field: "sums", value: f64::NAN };
        let changes = match self.arms.get_mut(arm) {
            Some(state) => change(Arc::make_mut(state)).map_err(broken)?,
            None => {
                let mut state = ArmState::clone(&self.unknown);
                let changes = change(&mut state).map_err(broken)?;
                self.arms.insert(arm.clone(), Arc::new(state));
                changes
            }
        };
        self.raise(Some(arm), changes);
        Ok(())
    }

    fn raise(&mut self, arm: Option<&ArmId>, changes: Changes) {
        for (signal, change) in changes {
            self.raised += 1;
            let alarms = Arc::make_mut(&mut self.alarms);
            if alarms.len() == REMEMBERED {
                alarms.pop_front();
            }
            alarms.push_back(Alarm { number: self.raised, at: self.now, arm: arm.cloned(), signal, change });
        }
    }

    fn asked(&mut self, context: &Context, at: UnixMs) -> Result<(), LearnError> {
        let x = self.features(context)?;
        self.tell_time(at);
        let change = Arc::make_mut(&mut self.traffic).observe(&x);
        self.raise(None, change.map(|change| (Signal::Traffic, change)).into_iter().collect());
        Ok(())
    }

    /// A bundle's state, where what it began with and how far reporters are believed is this deployment's to say.
    fn succeeded(&self, state: &[u8]) -> Result<Self, String> {
        let mut state = Self::from_bytes(state).map_err(|e| e.to_string())?;
        if (&state.schema, state.dim) != (&self.schema, self.dim) {
            return Err(format!("it is of schema {}, this version has {}", state.schema, self.schema));
        }
        state.settings.guard = self.settings.guard;
        state.origin.clone_from(&self.origin);
        Arc::make_mut(&mut state.reporters).set_guard(self.settings.guard);
        Ok(state)
    }

    fn tell_time(&mut self, at: UnixMs) {
        self.now.0 = self.now.0.max(at.0);
    }

    pub(super) fn features(&self, context: &Context) -> Result<Vec<f64>, LearnError> {
        check_context(context, &self.schema, self.dim)?;
        Ok(context.features().iter().map(|x| f64::from(*x)).collect())
    }

    /// Puts a report into an arm's head.
    pub(super) fn observe(&mut self, arm: &ArmId, report: &Report<'_>) -> Result<(), LearnError> {
        let heard = self.heard + u64::from(report.replaces.is_none());
        let one_voice = self.reporters.is_one_voice();
        self.change(arm, |state| state.rated(report, heard, one_voice))?;
        self.heard = heard;
        Ok(())
    }

    fn answered(
        &mut self,
        arm: &ArmId,
        context: Option<&Context>,
        answer: &Answer<'_>,
    ) -> Result<(), LearnError> {
        let x = context.map(|c| self.features(c)).transpose()?;
        for (field, ms) in [("first_token_ms", answer.first_token_ms), ("total_ms", answer.total_ms)] {
            if let Some(ms) = ms {
                in_range(field, ms, 1e12)?;
            }
        }
        if let Some(bill) = &answer.bill {
            in_range("cost_usd", bill.cost_usd, MAX_COST_USD)?;
            in_range("cached_share", bill.cached_share.unwrap_or(0.0), 1.0)?;
            if !bill.price.is_valid() {
                return Err(LearnError::BadNumber { field: "price", value: bill.price.output });
            }
        }
        let before = self.now;
        self.tell_time(answer.at);
        let changed = self.change(arm, |state| state.answered(&Answer { x: x.as_deref(), ..*answer }));
        changed.inspect_err(|_| self.now = before)
    }

    fn failed(&mut self, arm: &ArmId, at: UnixMs) -> Result<(), LearnError> {
        self.tell_time(at);
        self.change(arm, |state| Ok(state.failed(at)))
    }
}

pub(super) fn in_range(field: &'static str, value: f64, most: f64) -> Result<(), LearnError> {
    if (0.0..=most).contains(&value) { Ok(()) } else { Err(LearnError::BadNumber { field, value }) }
}

impl Learner for LearnedState {
    fn apply(&mut self, observation: &Observation<'_>) -> Result<(), LearnError> {
        match *observation {
            Observation::Quality { arm, context, value, weight, tick, replaces, from } => {
                self.rated(&Rating { arm, context, value, weight, tick, replaces, from })
            }
            Observation::Compared { sides, score, weight, replaces, from } => {
                self.compared(sides, (score, weight), replaces, &from)
            }
            Observation::Answered {
                arm,
                context,
                input_tokens,
                output_tokens,
                bill,
                kind,
                first_token_ms,
                total_ms,
                at,
            } => {
                let x = None;
                let answer =
                    Answer { x, input_tokens, output_tokens, bill, kind, first_token_ms, total_ms, at };
                self.answered(arm, context, &answer)
            }
            Observation::Asked { context, at } => self.asked(context, at),
            Observation::Failed { arm, at } => self.failed(arm, at),
            Observation::Added { arm, prior } => self.added(arm, prior),
            Observation::Removed { arm } => {
                self.gone(arm);
                Ok(())
            }
        }
    }

    fn freeze(&self, version: PolicyVersion) -> Arc<dyn Policy> {
        self.snapshot(version)
    }

    fn adopt(&mut self, state: &[u8]) -> Result<(), String> {
        *self = self.succeeded(state)?;
        Ok(())
    }

    fn successor(&self, state: &[u8]) -> Result<Box<dyn Learner>, String> {
        Ok(Box::new(self.succeeded(state)?))
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.stored()
    }
}
