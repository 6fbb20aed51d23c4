//! The account of one completion. Whatever way a request ends, also when the client leaves and its future is dropped, exactly one
//! `Completed` event is written.

use std::sync::Arc;

use tokio::time::Instant;

use super::Service;
use super::clock::now;
use super::implicit::Watched;
use super::judge::Hearing;
use super::rates::Held;
use super::sessions::Thread;
use super::spend::{Ending, Spend, Ticket};
use crate::domain::{AnswerKind, Arm, Attempt, Completed, CompletionEnd, DecisionId, EventBody, Usage};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Writes its event when it is closed, or when it is dropped unclosed: then the client has left.
pub(super) struct Account {
    store: Store,
    metrics: Arc<Metrics>,
    spend: Arc<Spend>,
    /// What the decision reserved; gone once it is settled.
    ticket: Option<Ticket>,
    decision: DecisionId,
    started: Instant,
    /// Who answers; none until somebody does.
    pub(super) served: Option<Arc<Arm>>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) first_token_ms: Option<f64>,
    pub(super) completion_id: Option<String>,
    pub(super) usage: Option<Usage>,
    /// The provider's own figure.
    pub(super) reported_cost_usd: Option<f64>,
    pub(super) finish_reason: Option<String>,
    /// Tokens that were taken of the key's limit.
    pub(super) held: Option<Held>,
    /// The conversation whose turn this is.
    pub(super) thread: Option<Thread>,
    /// Whether any piece of an answer came.
    pub(super) has_content: bool,
    /// Whether the answer was a refusal.
    pub(super) is_refusal: bool,
    /// Set where behaviour counts as feedback.
    pub(super) watched: Option<Box<Watched>>,
    /// Set when a judge is to see the answer.
    pub(super) hearing: Option<Box<Hearing>>,
    closed: bool,
}

impl Account {
    pub(super) fn open(service: &Service, decision: DecisionId, ticket: Ticket) -> Self {
        Self {
            store: service.store.clone(),
            metrics: Arc::clone(&service.metrics),
            spend: Arc::clone(&service.spend),
            ticket: Some(ticket),
            decision,
            started: Instant::now(),
            served: None,
            attempts: Vec::new(),
            first_token_ms: None,
            completion_id: None,
            usage: None,
            reported_cost_usd: None,
            finish_reason: None,
            held: None,
            thread: None,
            has_content: false,
            is_refusal: false,
            watched: None,
            hearing: None,
            closed: false,
        }
    }

    /// Of which decision.
    pub(super) fn decision(&self) -> DecisionId {
        self.decision
    }

    /// The serving attempt began at `started`: times count from there, not from attempts that failed before.
    pub(super) fn served_by(&mut self, arm: Arc<Arm>, started: Instant, attempts: Vec<Attempt>) {
        self.served = Some(arm);
        self.started = started;
        self.attempts = attempts;
    }

    /// USD, as far as known: the provider's own figure, else usage times price.
    pub(super) fn cost_usd(&self) -> Option<f64> {
        let priced = || Some(self.served.as_ref()?.price.cost_usd(self.usage.as_ref()?));
        self.reported_cost_usd.or_else(priced)
    }

    fn kind(&self) -> AnswerKind {
        match (self.is_refusal, self.has_content) {
            (true, _) => AnswerKind::Refused,
            (false, true) => AnswerKind::Full,
            (false, false) => AnswerKind::Empty,
        }
    }

    fn count(&self, completed: &Completed) {
        for (i, attempt) in completed.attempts.iter().enumerate() {
            self.metrics.attempt(attempt);
            if completed.attempts[..i].iter().any(|before| before.arm == attempt.arm) {
                self.metrics.retry(&attempt.arm);
            }
        }
        let Some(arm) = &completed.served else { return };
        if let Some(ms) = completed.first_token_ms {
            self.metrics.first_token(arm, ms);
        }
        if let Some(usage) = &completed.usage {
            self.metrics.usage(arm, usage, completed.cost_usd);
        }
    }

    fn settle(&mut self, completed: &Completed) {
        let Some(ticket) = self.ticket.take() else { return };
        let ending = Ending {
            at: self.spend.clock.now(),
            served: completed.served.as_ref(),
            end: completed.end,
            usage: completed.usage,
            cost_usd: completed.cost_usd,
            given_up_usd: completed.given_up_usd(),
        };
        self.spend.close(ticket, &ending);
    }

    /// Writes the event. The second call does nothing.
    pub(super) fn close(&mut self, end: CompletionEnd) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let completed = Completed {
            decision: self.decision,
            at: now(),
            served: self.served.as_ref().map(|a| a.id.clone()),
            completion_id: self.completion_id.take(),
            end,
            usage: self.usage,
            cost_usd: self.cost_usd(),
            first_token_ms: self.first_token_ms,
            total_ms: self.started.elapsed().as_secs_f64() * 1e3,
            finish_reason: self.finish_reason.take(),
            attempts: std::mem::take(&mut self.attempts),
            kind: (end == CompletionEnd::Complete).then(|| self.kind()),
        };
        if let (Some(thread), Some(arm)) = (self.thread.take(), &completed.served) {
            thread.note(arm, self.usage.map(|u| u.cached_tokens));
        }
        if let Some(held) = self.held.take().filter(|_| completed.served.is_some()) {
            held.settle_usage(completed.usage.as_ref());
        }
        self.count(&completed);
        let begun = completed.served.is_some() && completed.first_token_ms.is_some();
        self.settle(&completed);
        if self.store.try_append(EventBody::Completed(Box::new(completed))).is_err() {
            tracing::warn!(decision = %self.decision, "the store's queue is full: this completion is not learned from");
        }
        if let Some(watched) = self.watched.take() {
            watched.ended(end, begun);
        }
        if let Some(hearing) = self.hearing.take().filter(|_| end == CompletionEnd::Complete) {
            hearing.close(self.served.as_ref());
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close(CompletionEnd::ClientAborted);
    }
}
