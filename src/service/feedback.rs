//! Reports on decisions: stored in one transaction by the store, learned from by the actor.

use super::inspect::reference;
use super::spend::CostReport;
use super::{Caller, Service, ServiceError};
use crate::domain::{DecisionId, FeedbackId, FeedbackRef, Verdict};
use crate::store::{FeedbackRejected, NewComparison, NewEpisode, NewFeedback, Receipt, ReceiptKind, Report};
use crate::telemetry::FeedbackResult;

/// A report that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// Its id; the same again gives the same.
    pub feedback: FeedbackId,
}

/// What a report is on; each id is a decision's or a completion's.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// One answer.
    Decision(String),
    /// Two answers, the preferred one first.
    Pair(String, String),
    /// Two answers that are equally good.
    Tie(String, String),
    /// All answers of a conversation.
    Session(String),
}

impl Subject {
    /// What is named, cut to what a message may hold.
    fn shown(&self) -> String {
        let text = match self {
            Self::Decision(id) | Self::Session(id) => id.clone(),
            Self::Pair(one, other) | Self::Tie(one, other) => format!("{one} or {other}"),
        };
        text.chars().take(120).collect()
    }
}

impl Service {
    /// Stores one report; answers after the commit.
    ///
    /// # Errors
    /// When the report is wrong or late, its decision unknown or another key's, its idempotency key used for another body, or the
    /// store not available. Nothing of a refused report is kept.
    pub async fn feedback(
        &self,
        on: &Subject,
        mut report: Report,
        caller: &Caller,
    ) -> Result<Reported, ServiceError> {
        report.value = report.value.or(report.verdict.map(Verdict::quality));
        let said = report.clone();
        let result = self.store_report(on, report, caller).await;
        self.metrics.feedback(outcome(&result));
        if let (Ok(_), Subject::Decision(id)) = (&result, on)
            && let FeedbackRef::Decision(decision) = reference(id)
        {
            self.report_cost(decision, &said);
        }
        result.map(|receipt| Reported { feedback: receipt.id }).map_err(|rejected| match rejected {
            FeedbackRejected::NotFound => ServiceError::UnknownDecision(on.shown()),
            FeedbackRejected::Conflict => ServiceError::FeedbackConflict,
            FeedbackRejected::Closed => ServiceError::FeedbackClosed,
            FeedbackRejected::Invalid(e) => ServiceError::invalid(e.field, format!("must be {}", e.must)),
            FeedbackRejected::Store(error) => ServiceError::Store(error),
        })
    }

    async fn store_report(
        &self,
        on: &Subject,
        report: Report,
        caller: &Caller,
    ) -> Result<Receipt, FeedbackRejected> {
        let (by, within_ms) = (caller.key.clone(), self.feedback_within_ms);
        let (one, other, score) = match on {
            Subject::Decision(id) => {
                let item = NewFeedback { to: reference(id), by, report, within_ms };
                return self.store.feedback(item).await;
            }
            Subject::Session(session) => {
                let item = NewEpisode { session: session.clone(), by, report, within_ms };
                return self.store.rate_episode(item).await;
            }
            Subject::Pair(winner, loser) => (winner, loser, 1.0),
            Subject::Tie(one, other) => (one, other, 0.5),
        };
        let (one, other) = (reference(one), reference(other));
        self.store.compare(NewComparison { one, other, score, by, report, within_ms }).await
    }

    /// What a call that the client made itself has cost: it settles what was reserved for it.
    fn report_cost(&self, decision: DecisionId, said: &Report) {
        self.spend.reported(&CostReport {
            decision,
            at: self.spend.clock.now(),
            usage: said.usage,
            cost_usd: said.cost_usd,
            error: said.error.as_deref(),
        });
    }
}

/// What became of a report, for the metrics.
pub(super) fn outcome(result: &Result<Receipt, FeedbackRejected>) -> FeedbackResult {
    match result {
        Ok(receipt) => match receipt.kind {
            ReceiptKind::New => FeedbackResult::Stored,
            ReceiptKind::Revised => FeedbackResult::Revised,
            ReceiptKind::Again => FeedbackResult::Repeated,
        },
        Err(FeedbackRejected::NotFound) => FeedbackResult::Unknown,
        Err(FeedbackRejected::Conflict) => FeedbackResult::Conflict,
        Err(FeedbackRejected::Closed) => FeedbackResult::Late,
        Err(FeedbackRejected::Invalid(_)) => FeedbackResult::Invalid,
        Err(FeedbackRejected::Store(_)) => FeedbackResult::Unavailable,
    }
}
