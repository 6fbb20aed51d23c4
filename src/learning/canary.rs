//! The challenger of a running experiment: a second learner over the same log, and what its side of the traffic came to.
//!
//! It begins from its bundle and what the log says after the bundle's cut, as it would were it promoted, and learns from all of the
//! traffic like the champion. What the guards see begins with the stage. Both are folds over the log, so a restart
//! stands where it stood. What is decided becomes an event, written by the learning thread after the fold; one that was not written
//! before a crash is decided again.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Joiner;
use super::fold::{SCAN, panic_text};
use crate::domain::{
    Completed, CompletionEnd, DecisionId, Event, EventBody, ExperimentEnd, Feedback, PolicyVersion, Seq,
    Stage,
};
use crate::ope::split::{GuardReading, GuardVerdict, Outcome, Split};
use crate::policy::{Learner, Policy};
use crate::store::{Lead, ScannedRow, Store, StoreError, stage};

/// Rated decisions that are remembered: the first report on each counts.
const REMEMBERED: usize = 65_536;
/// The metric that is guarded.
const METRIC: &str = "quality";

/// What requests and operators see of it.
#[derive(Debug, Clone)]
pub struct Challenger {
    /// Where the experiment stands.
    pub stage: Stage,
    /// What chooses on its side; `None`: it cannot, and the champion serves.
    pub policy: Option<Arc<dyn Policy>>,
    /// What each guard says.
    pub guards: Vec<GuardReading>,
    /// Why it cannot choose.
    pub unwell: Option<String>,
}

/// What is to become of the experiment.
enum Next {
    Ramp(f64),
    Promote,
    RollBack(String),
}

/// See the module.
pub(super) struct Canary {
    stage: Stage,
    learner: Result<Box<dyn Learner>, String>,
    split: Split,
    rated: Rated,
}

impl Canary {
    /// The experiment that runs at `at`, if any, brought up to there. `champion` says which learner is wanted.
    pub(super) fn restore(
        store: &Store,
        champion: &dyn Learner,
        at: Seq,
    ) -> Result<Option<Self>, StoreError> {
        let Some(stage) = stage(&store.admin_events(at)?) else { return Ok(None) };
        Self::begin(stage, store, champion, at).map(Some)
    }

    /// The bundle's state, the log after its cut, and what the stage has seen, all up to `at`.
    fn begin(stage: Stage, store: &Store, champion: &dyn Learner, at: Seq) -> Result<Self, StoreError> {
        let guards = stage.experiment.guards.clone();
        let policy = &stage.experiment.policy;
        let (cut, learner) = match store.policy(policy)? {
            Some(kept) => (kept.cut, champion.successor(&kept.state)),
            None => (at, Err(format!("the store does not have the policy {policy}"))),
        };
        let mut canary = Self { stage, learner, split: Split::new(guards), rated: Rated::default() };
        let (mut joiner, mut done) = (Joiner::default(), cut.min(canary.stage.since));
        while done < at {
            let rows = store.scan(done, SCAN)?;
            if rows.is_empty() {
                break;
            }
            for row in rows.iter().take_while(|row| row.seq <= at) {
                if row.seq > cut {
                    canary.learn(row, &mut joiner, store)?;
                }
                canary.witness(row, &mut joiner, store)?;
            }
            done = rows.last().map_or(at, |row| row.seq);
        }
        Ok(canary)
    }

    /// One row into what may be an experiment: it may begin one, end it or change its stage.
    pub(super) fn follow(
        running: &mut Option<Self>,
        row: &ScannedRow,
        joiner: &mut Joiner,
        store: &Store,
        champion: &dyn Learner,
    ) -> Result<(), StoreError> {
        if let Ok(Event { seq, at, body: EventBody::Admin(event) }) = &row.event {
            let before = running.as_ref().map(|canary| canary.stage.clone());
            let after = Stage::after(before.clone(), event, *seq, *at);
            match (after, running.as_mut()) {
                (None, _) => *running = None,
                (Some(stage), None) => *running = Some(Self::begin(stage, store, champion, row.seq)?),
                (Some(stage), Some(canary)) if before.as_ref() != Some(&stage) => {
                    canary.split = Split::new(stage.experiment.guards.clone());
                    canary.stage = stage;
                }
                _ => {}
            }
        }
        let Some(canary) = running else { return Ok(()) };
        if row.seq > canary.stage.since {
            canary.learn(row, joiner, store)?;
            canary.witness(row, joiner, store)?;
        }
        Ok(())
    }

    /// What cannot be learned from was set aside for the champion already.
    fn learn(&mut self, row: &ScannedRow, joiner: &mut Joiner, store: &Store) -> Result<(), StoreError> {
        let Ok(learner) = &mut self.learner else { return Ok(()) };
        let learn = || joiner.observe(row, store, &mut |observation| learner.apply(observation));
        match catch_unwind(AssertUnwindSafe(learn)) {
            Ok(read) => read.map(drop),
            Err(panic) => {
                self.learner = Err(format!("panic at event {}: {}", row.seq, panic_text(panic.as_ref())));
                Ok(())
            }
        }
    }

    /// What became of a request of this stage.
    fn witness(&mut self, row: &ScannedRow, joiner: &mut Joiner, store: &Store) -> Result<(), StoreError> {
        let Ok(event) = &row.event else { return Ok(()) };
        let about = match &event.body {
            EventBody::Completed(completed) => completed.decision,
            EventBody::Feedback(feedback) => feedback.decision,
            EventBody::Decided(_) | EventBody::Admin(_) => return Ok(()),
        };
        let trial = joiner.trial(about, row.seq, store)?;
        let Some(trial) = trial.filter(|trial| trial.stage == self.stage.since) else { return Ok(()) };
        let mut tell = |outcome| self.split.observe(trial.challenger, outcome);
        match &event.body {
            EventBody::Completed(completed) => tell_ended(completed, &mut tell),
            EventBody::Feedback(feedback) => {
                if let Some(value) = rating(feedback).filter(|_| self.rated.is_first(about)) {
                    tell(Outcome::Quality(value));
                }
            }
            EventBody::Decided(_) | EventBody::Admin(_) => {}
        }
        Ok(())
    }

    /// Decides, and writes the decision into the log. What could not be written is decided again with the next events.
    pub(super) fn act(&self, store: &Store, lead: Lead) -> Result<(), StoreError> {
        let stage = &self.stage;
        let name = &stage.experiment.name;
        let written = match self.next() {
            None => return Ok(()),
            Some(Next::Ramp(to)) => {
                tracing::info!(experiment = %name, share = to, "every guard holds: the challenger gets more of the traffic");
                store.ramp_experiment(lead, stage, to)?
            }
            Some(Next::Promote) => {
                tracing::info!(experiment = %name, policy = %stage.experiment.policy, "every guard holds: the challenger takes over");
                let why = "every guard holds".to_owned();
                store.end_experiment(Some(lead), stage.since, ExperimentEnd::Promoted, why)?
            }
            Some(Next::RollBack(why)) => {
                tracing::warn!(experiment = %name, why, "the challenger is taken back");
                store.end_experiment(Some(lead), stage.since, ExperimentEnd::RolledBack, why)?
            }
        };
        if written.is_none() {
            tracing::debug!(experiment = %name, "somebody else has ended or changed the experiment");
        }
        Ok(())
    }

    fn next(&self) -> Option<Next> {
        if let Err(why) = &self.learner {
            return Some(Next::RollBack(format!("the challenger is unwell: {why}")));
        }
        let readings = self.split.readings();
        if let Some(failed) = readings.iter().find(|r| r.verdict == GuardVerdict::Fails) {
            let (guard, limit) = (failed.guard.as_str(), failed.limit);
            let least = failed.at_least.unwrap_or(f64::NAN);
            return Some(Next::RollBack(format!("{guard} is at least {least:.4}, the limit is {limit}")));
        }
        let hold = readings.iter().all(|r| r.verdict == GuardVerdict::Holds);
        hold.then(|| self.stage.next_share().map_or(Next::Promote, Next::Ramp))
    }

    /// What requests see from now on; `at` is the last event in it.
    pub(super) fn publish(&self, at: Seq) -> Challenger {
        let version = PolicyVersion::new(format!("{}@{at}", self.stage.experiment.policy));
        let frozen = self.learner.as_ref().map_err(Clone::clone).and_then(|learner| {
            catch_unwind(AssertUnwindSafe(|| learner.freeze(version)))
                .map_err(|panic| panic_text(panic.as_ref()))
        });
        let (policy, unwell) = match frozen {
            Ok(policy) => (Some(policy), None),
            Err(why) => (None, Some(why)),
        };
        Challenger { stage: self.stage.clone(), policy, guards: self.split.readings(), unwell }
    }
}

/// How it ended, what it cost and how long it took; a client that leaves says nothing of the model.
fn tell_ended(completed: &Completed, tell: &mut dyn FnMut(Outcome)) {
    let answered = match completed.end {
        CompletionEnd::Complete | CompletionEnd::Reported => completed.served.is_some(),
        CompletionEnd::Failed | CompletionEnd::UpstreamCut | CompletionEnd::UpstreamIdle => false,
        CompletionEnd::ClientAborted => return,
    };
    tell(Outcome::Ended { failed: !answered });
    if let Some(usd) = completed.cost_usd {
        tell(Outcome::Cost(usd));
    }
    if answered && completed.total_ms > 0.0 {
        tell(Outcome::Latency(completed.total_ms));
    }
}

/// A rating of one answer by itself.
fn rating(feedback: &Feedback) -> Option<f64> {
    let is_plain = feedback.name == METRIC
        && feedback.replaces.is_none()
        && feedback.versus.is_none()
        && feedback.episode.is_none();
    feedback.value.filter(|_| is_plain)
}

/// Decisions that were rated, the last ones.
#[derive(Default)]
struct Rated {
    known: HashSet<DecisionId>,
    order: VecDeque<DecisionId>,
}

impl Rated {
    fn is_first(&mut self, id: DecisionId) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id);
        true
    }
}
