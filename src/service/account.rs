//! The account of one completion. Whatever way a request ends, also when the client leaves and its future is dropped, exactly one
//! `Completed` event is written.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::Service;
use super::cache::Recording;
use super::clock::now;
use super::implicit::Watched;
use super::judge::Hearing;
use super::rates::Held;
use super::sessions::Thread;
use super::spend::{Ending, Spend, Ticket};
use crate::domain::{
    AnswerKind, Arm, Attempt, Basis, Billing, Completed, CompletionEnd, DecisionId, EventBody, Usage,
};
use crate::provider::Chunk;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::wire::ReplyFacts;

/// Writes its event when it is closed, or when it is dropped unclosed: then the client has left.
pub(super) struct Account {
    store: Store,
    metrics: Arc<Metrics>,
    spend: Arc<Spend>,
    /// Version of the price table.
    prices: Arc<str>,
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
    /// Estimated input tokens.
    pub(super) asked_tokens: u32,
    /// Estimated output tokens that came so far.
    pub(super) streamed_tokens: f64,
    /// The provider's own figure.
    pub(super) reported_cost_usd: Option<f64>,
    pub(super) finish_reason: Option<String>,
    /// Tokens that were taken of the key's limit.
    pub(super) held: Option<Held>,
    /// Keeps the answer for the cache, when it may be kept.
    pub(super) recording: Option<Box<Recording>>,
    /// Whether the answer is one that was given before: nobody was called, nothing is charged.
    pub(super) is_repeated: bool,
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
            prices: Arc::clone(service.fleet.prices()),
            asked_tokens: 0,
            streamed_tokens: 0.0,
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
            recording: None,
            is_repeated: false,
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
        if self.is_repeated {
            return Some(0.0);
        }
        self.reported_cost_usd.or_else(|| self.priced_usd(self.usage.as_ref()))
    }

    fn priced_usd(&self, usage: Option<&Usage>) -> Option<f64> {
        Some(self.served.as_ref()?.price.cost_usd(usage?))
    }

    /// Tokens of an answer that broke off before its usage came: what was asked, and what of the answer was seen.
    fn estimated_usage(&self, end: CompletionEnd) -> Option<Usage> {
        let broke_off = !matches!(end, CompletionEnd::Complete | CompletionEnd::Failed);
        (broke_off && self.has_content).then(|| Usage {
            input_tokens: self.asked_tokens,
            output_tokens: self.streamed_tokens.ceil() as u32,
            ..Usage::default()
        })
    }

    /// Tokens, cost, and who counted them.
    fn counted(&self, end: CompletionEnd) -> (Option<Usage>, Option<f64>, Option<Basis>) {
        if self.is_repeated {
            return (None, Some(0.0), Some(Basis::Cache));
        }
        let estimate = || self.estimated_usage(end);
        let usage = self.usage.or_else(estimate);
        match (self.reported_cost_usd, self.priced_usd(usage.as_ref())) {
            (Some(own), _) => (usage, Some(own), Some(Basis::Provider)),
            (None, Some(priced)) if self.usage.is_some() => (usage, Some(priced), Some(Basis::Table)),
            (None, Some(priced)) => (usage, Some(priced), Some(Basis::Estimate)),
            (None, None) => (usage, None, None),
        }
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

    /// Settles what was reserved, and tells how the call was billed.
    fn settle(&mut self, completed: &Completed, basis: Option<Basis>) -> Option<Billing> {
        let ticket = self.ticket.take()?;
        let reserved_usd = (!ticket.is_free()).then(|| ticket.reserved().usd());
        let ending = Ending {
            at: self.spend.clock.now(),
            served: completed.served.as_ref(),
            end: completed.end,
            usage: completed.usage,
            cost_usd: completed.cost_usd,
            given_up_usd: completed.given_up_usd(),
            basis,
            reserved_usd: reserved_usd.unwrap_or_default(),
        };
        let settled_usd = self.spend.close(ticket, &ending);
        Some(Billing { prices: Arc::clone(&self.prices), basis, reserved_usd, settled_usd })
    }

    /// Keeps a whole answer for the cache, unless it says that it is no real one.
    pub(super) fn keep_whole(&mut self, answer: (&Bytes, &Option<Bytes>), facts: &ReplyFacts) {
        if let Some((recording, served)) = self.recording_to_keep() {
            recording.keep_whole(&served, answer, facts);
        }
    }

    /// The recording and whose answer it is, when that is a real one and came to its end.
    fn recording_to_keep(&mut self) -> Option<(Box<Recording>, Arc<Arm>)> {
        let is_real = self.has_content && !self.is_refusal && self.finish_reason.is_some();
        self.recording.take().filter(|_| is_real).zip(self.served.clone())
    }

    /// Notes a chunk for the cache; one that has become too large is not kept.
    pub(super) fn record(&mut self, chunk: &Chunk) {
        if self.recording.as_mut().is_some_and(|recording| !recording.note(chunk)) {
            self.recording = None;
        }
    }

    /// Keeps a stream that has come to its end.
    pub(super) fn keep_stream(&mut self) {
        if let Some((recording, served)) = self.recording_to_keep() {
            recording.keep_stream(&served);
        }
    }

    /// Writes the event. The second call does nothing.
    pub(super) fn close(&mut self, end: CompletionEnd) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let (usage, cost_usd, basis) = self.counted(end);
        if self.is_repeated {
            // The answer's own id stays with the call that it came from.
            self.completion_id = None;
        }
        let mut completed = Completed {
            decision: self.decision,
            at: now(),
            served: self.served.as_ref().map(|a| a.id.clone()),
            completion_id: self.completion_id.take(),
            end,
            usage,
            cost_usd,
            first_token_ms: self.first_token_ms,
            total_ms: self.started.elapsed().as_secs_f64() * 1e3,
            finish_reason: self.finish_reason.take(),
            attempts: std::mem::take(&mut self.attempts),
            kind: (end == CompletionEnd::Complete).then(|| self.kind()),
            billing: None,
        };
        if let (Some(thread), Some(arm)) = (self.thread.take(), &completed.served) {
            thread.note(arm, self.usage.map(|u| u.cached_tokens));
        }
        if let Some(held) = self.held.take().filter(|_| completed.served.is_some()) {
            held.settle_usage(completed.usage.as_ref());
        }
        self.count(&completed);
        let begun = completed.served.is_some() && completed.first_token_ms.is_some();
        completed.billing = self.settle(&completed, basis);
        if self.store.try_append(EventBody::Completed(Box::new(completed))).is_err() {
            tracing::debug!(decision = %self.decision, "this completion is lost to the log");
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
