//! Reports on decisions: stored in one transaction by the store, learned from by the actor.

use super::inspect::reference;
use super::spend::CostReport;
use super::{Caller, Service, ServiceError};
use crate::domain::{DecisionId, FeedbackId, FeedbackRef, Verdict};
use crate::store::{FeedbackRejected, NewFeedback, ReceiptKind, Report};
use crate::telemetry::FeedbackResult;

/// A report that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// Its id; the same again gives the same.
    pub feedback: FeedbackId,
}

impl Service {
    /// Stores one report on the decision (or completion) `on`; answers after the commit.
    ///
    /// # Errors
    /// When the report is wrong, its decision unknown or another key's, its idempotency key used for another body, or the store
    /// not available. Nothing of a refused report is kept.
    pub async fn feedback(
        &self,
        on: &str,
        mut report: Report,
        caller: &Caller,
    ) -> Result<Reported, ServiceError> {
        report.value = report.value.or(report.verdict.map(Verdict::quality));
        let (to, said) = (reference(on), report.clone());
        let result =
            self.store.feedback(NewFeedback { to: to.clone(), by: caller.key.clone(), report }).await;
        self.metrics.feedback(match &result {
            Ok(receipt) => match receipt.kind {
                ReceiptKind::New => FeedbackResult::Stored,
                ReceiptKind::Revised => FeedbackResult::Revised,
                ReceiptKind::Again => FeedbackResult::Repeated,
            },
            Err(FeedbackRejected::NotFound) => FeedbackResult::Unknown,
            Err(FeedbackRejected::Conflict) => FeedbackResult::Conflict,
            Err(FeedbackRejected::Invalid(_)) => FeedbackResult::Invalid,
            Err(FeedbackRejected::Store(_)) => FeedbackResult::Unavailable,
        });
        if let (Ok(_), FeedbackRef::Decision(decision)) = (&result, &to) {
            self.report_cost(*decision, &said);
        }
        match result {
            Ok(receipt) => Ok(Reported { feedback: receipt.id }),
            Err(FeedbackRejected::NotFound) => Err(ServiceError::UnknownDecision(shown(&to))),
            Err(FeedbackRejected::Conflict) => Err(ServiceError::FeedbackConflict),
            Err(FeedbackRejected::Invalid(e)) => {
                Err(ServiceError::invalid(e.field, format!("must be {}", e.must)))
            }
            Err(FeedbackRejected::Store(error)) => Err(ServiceError::Store(error)),
        }
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

fn shown(to: &FeedbackRef) -> String {
    match to {
        FeedbackRef::Decision(id) => id.to_string(),
        FeedbackRef::Completion(id) => id.chars().take(120).collect(),
    }
}
