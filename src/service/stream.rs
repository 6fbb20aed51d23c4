//! The tee: chunks pass to the client while tokens, cost, first token and total time are read off them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use serde_json::{Map, Value, json};

use super::ServiceError;
use super::account::Account;
use super::judge::delta;
use crate::domain::CompletionEnd;
use crate::provider::{Chunk, ChunkStream};

/// One piece of a streamed answer.
#[derive(Debug)]
pub struct Piece {
    /// A JSON object of OpenAI's form; empty when the upstream's event has no such form.
    pub data: Bytes,
    /// The upstream's own event, ready to send, when it speaks the client's format.
    pub native: Option<Bytes>,
}

/// Pieces of a streamed answer. Ends after the last chunk; a break is the last item, and no
/// second model's text ever follows the first's. Dropping it cancels the upstream call.
pub struct AnswerStream {
    chunks: Option<ChunkStream>,
    account: Account,
    decision: crate::domain::DecisionId,
    wants_usage: bool,
}

impl AnswerStream {
    pub(super) fn new(chunks: ChunkStream, account: Account, wants_usage: bool) -> Self {
        let decision = account.decision();
        Self { chunks: Some(chunks), account, decision, wants_usage }
    }

    /// Notes what the chunk tells; `None` when it is not for the client: usage that it did not ask for.
    fn pass(&mut self, chunk: Chunk) -> Option<Piece> {
        self.account.record(&chunk);
        let facts = chunk.facts;
        let account = &mut self.account;
        if let Some(hearing) = account.hearing.as_mut().filter(|_| facts.has_content) {
            hearing.hear(&delta(&chunk.data).unwrap_or_default());
        }
        account.completion_id = account.completion_id.take().or(facts.id);
        account.usage = facts.usage.or(account.usage);
        account.reported_cost_usd = facts.cost_usd.or(account.reported_cost_usd);
        account.streamed_tokens += facts.text_tokens;
        account.has_content |= facts.has_content;
        account.is_refusal |= facts.is_refusal;
        account.finish_reason = facts.finish_reason.or(account.finish_reason.take());
        let data = match (facts.usage.is_some(), facts.is_usage_only, self.wants_usage) {
            (_, true, false) => return None,
            (true, _, true) => self.with_cost(&chunk.data),
            _ => chunk.data,
        };
        Some(Piece { data, native: chunk.native })
    }

    /// The usage chunk with our own object added: this is where a stream tells its cost.
    fn with_cost(&self, data: &Bytes) -> Bytes {
        let Ok(mut chunk) = serde_json::from_slice::<Map<String, Value>>(data) else {
            return data.clone();
        };
        chunk.insert(
            "pointsman".into(),
            json!({"decision_id": self.decision, "model": self.account.served.as_ref().map(|arm| &arm.id), "cost_usd": self.account.cost_usd()}),
        );
        serde_json::to_vec(&chunk).map_or_else(|_| data.clone(), Bytes::from)
    }

    fn end(&mut self, how: CompletionEnd) {
        // The upstream goes first: nothing more may be read from it once the account is closed.
        self.chunks = None;
        if how == CompletionEnd::Complete {
            self.account.keep_stream();
        }
        self.account.close(how);
    }
}

impl Stream for AnswerStream {
    type Item = Result<Piece, ServiceError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(chunks) = self.chunks.as_mut() else { return Poll::Ready(None) };
            match Pin::new(chunks).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => {
                    if let Some(piece) = self.pass(chunk) {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Poll::Ready(Some(Err(cause))) => {
                    self.end(cause.completion_end());
                    tracing::warn!(decision = %self.decision, %cause, "an answer broke off after its first content");
                    return Poll::Ready(Some(Err(ServiceError::StreamCut {
                        decision: self.decision,
                        cause: Box::new(cause),
                    })));
                }
                Poll::Ready(None) => {
                    self.end(CompletionEnd::Complete);
                    return Poll::Ready(None);
                }
            }
        }
    }
}
