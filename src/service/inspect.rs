//! Looking back at a decision, and at the service's own state.

use serde::Serialize;

use super::choose::{Exclusions, exclusions, ranking};
use super::{Caller, JudgeView, RankedArm, Service, ServiceError};
use crate::domain::{Completed, Decision, Feedback, FeedbackRef, Seq};
use crate::policy::reporters::{Gauge, KeyStanding};
use crate::policy::{Checkup, GuardSettings};
use crate::routing::{Explanation, explain};
use crate::store::Record;

/// The full explanation of one decision.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionView {
    /// Why, in words, and what would have changed the choice.
    pub explanation: Explanation,
    /// Best utility first.
    pub ranking: Vec<RankedArm>,
    /// Who was left out.
    pub excluded: Vec<Exclusions>,
    /// As logged; the context's features included.
    pub decision: Decision,
    /// What became of it; none while it runs, or when nobody was called.
    pub completed: Option<Completed>,
    /// Reports on it, in the order in which they came.
    pub feedback: Vec<Feedback>,
}

/// Who reports, and how far each is believed.
#[derive(Debug, Clone, Serialize)]
pub struct Reporting {
    /// The sampled judge; none when none is configured.
    pub judge: Option<JudgeView>,
    /// What bounds a key; none where nothing is learned from reports.
    pub guard: Option<GuardSettings>,
    /// Kinds of sources, and of judges each model: how often each reported, and how it compares with persons.
    pub sources: Vec<Gauge>,
    /// Keys among the last reports.
    pub keys: Vec<KeyStanding>,
}

/// What `/readyz` says.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    /// The log's end.
    pub committed: Seq,
    /// How far the learner is.
    pub learned: Seq,
    /// Events waiting to be written.
    pub queued: usize,
    /// Events that were not written because the queue was full or the disk refused.
    pub dropped: u64,
    /// Whether the log can be written; completions are served all the same, feedback is refused.
    pub store: &'static str,
    /// Rows that the learner could not use.
    pub set_aside: u64,
    /// Whether the learner is well; requests are served all the same.
    pub learner: String,
}

impl Service {
    /// The decision of that id (or of the completion of that id) and all that is known of it.
    ///
    /// # Errors
    /// When there is none, or it belongs to another key, or the store is not available.
    pub async fn decision(&self, id: &str, caller: &Caller) -> Result<DecisionView, ServiceError> {
        let to = reference(id);
        let mut record = self.record(to.clone(), caller).await;
        // It, or its end, may be of this moment and wait with others to be written. Where nothing was called there is no end.
        let is_whole = |record: &Record| record.completed.is_some() || record.decision.decision_only;
        if !record.as_ref().is_some_and(is_whole) && self.store.settled().await.is_ok() {
            record = self.record(to, caller).await;
        }
        let Some(record) = record else {
            return Err(ServiceError::UnknownDecision(id.chars().take(120).collect()));
        };
        Ok(view(record.decision, record.completed, record.feedback))
    }

    async fn record(&self, to: FeedbackRef, caller: &Caller) -> Option<Record> {
        let (store, key) = (self.store.clone(), caller.key.clone());
        let read = tokio::task::spawn_blocking(move || store.record(&to, key.as_ref()));
        let record = read.await.ok()?;
        record.map_err(|e| tracing::error!(error = %e, "cannot read a decision")).ok().flatten()
    }

    /// How the learner is: what is watched, and what was noticed.
    pub fn checkup(&self) -> Option<Checkup> {
        self.learning.policy().checkup()
    }

    /// Who reports, as of the published policy.
    pub fn reporting(&self) -> Reporting {
        let policy = self.learning.policy();
        let reporters = policy.reporters();
        Reporting {
            judge: self.judge.as_ref().map(|judge| judge.view()),
            guard: reporters.map(|r| *r.guard()),
            sources: reporters.map(|r| r.gauges()).unwrap_or_default(),
            keys: reporters.map(|r| r.standings()).unwrap_or_default(),
        }
    }

    /// Brings the metrics up to date with [`Self::checkup`].
    pub fn show_drift(&self) {
        let Some(checkup) = self.checkup() else { return };
        let metrics = &self.metrics;
        for arm in &checkup.arms {
            metrics.condition(&arm.arm, arm.condition);
            for watch in arm.watches.iter().map(|w| &w.watch) {
                metrics.drift(Some(&arm.arm), watch.signal.as_str(), watch.statistic / watch.threshold);
            }
        }
        let traffic = &checkup.traffic.watch;
        metrics.drift(None, traffic.signal.as_str(), traffic.statistic / traffic.threshold);
        metrics.drift_alarms(checkup.raised);
    }

    /// How the service is.
    pub fn readiness(&self) -> Readiness {
        let status = self.learning.status();
        let learner = status.unwell.map_or_else(|| "well".into(), |why| format!("unwell: {why}"));
        Readiness {
            committed: *self.store.committed().borrow(),
            learned: status.applied,
            queued: self.store.queue_len(),
            dropped: self.store.dropped(),
            store: if self.store.is_healthy() { "well" } else { "unwell: it cannot be written" },
            set_aside: status.set_aside,
            learner,
        }
    }
}

/// Reads an id of either kind.
pub fn reference(id: &str) -> FeedbackRef {
    id.parse().map_or_else(|_| FeedbackRef::Completion(id.to_owned()), FeedbackRef::Decision)
}

/// Puts a record and its explanation together.
pub fn view(decision: Decision, completed: Option<Completed>, feedback: Vec<Feedback>) -> DecisionView {
    DecisionView {
        explanation: explain(&decision),
        ranking: ranking(&decision),
        excluded: exclusions(&decision.excluded),
        decision,
        completed,
        feedback,
    }
}
