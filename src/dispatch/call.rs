//! One call of one target: its place, what its end means for the arm's health, its stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::Instant;

use super::breaker::{Hindrance, Refused};
use super::health::Admission;
use super::upstream::Place;
use super::{Plan, Target};
use crate::domain::{Attempt, AttemptEnd};
use crate::provider::{Chunk, ChunkStream, Fault, ProviderCall, ProviderError, Reply};
use crate::wire::chat::ChatRequest;

/// Chunks without content that are kept before the first content; more than that is no answer.
const MAX_PREAMBLE: usize = 256;
/// When to look again where all places are taken.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// A call that may be made: it has a place at its provider and its arm's breaker let it through. Dropped, it gives both back.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) target: Target,
    pub(super) started: Instant,
    admission: Admission,
    _place: Place,
}

impl Call {
    /// # Errors
    /// When the target is not to be asked now.
    pub(super) fn open(plan: &Plan, target: &Target) -> Result<Self, Refused> {
        let busy = Refused { why: Hindrance::Busy, left: BUSY_WAIT };
        let place = target.upstream.enter().ok_or(busy)?;
        let admission = plan.health.admit(&target.arm)?;
        Ok(Self { target: target.clone(), started: Instant::now(), admission, _place: place })
    }

    /// Makes it: until the first content of a stream, until the end of a plain answer.
    pub(super) async fn make(
        mut self,
        plan: &Plan,
        request: &Arc<ChatRequest>,
    ) -> Result<Reply, ProviderError> {
        let result = self.ask(plan, request).await;
        match result {
            Ok((Reply::Stream(chunks), front)) => {
                self.admission.began(true, self.started.elapsed());
                Ok(Reply::Stream(ChunkStream::new(Underway { front: front.into(), chunks, call: self })))
            }
            Ok((full @ Reply::Full { .. }, _)) => {
                self.admission.began(false, self.started.elapsed());
                self.admission.answered();
                Ok(full)
            }
            Err(error) => {
                self.admission.failed(error.attempt_end(), error.retry_after());
                Err(error)
            }
        }
    }

    async fn ask(
        &self,
        plan: &Plan,
        request: &Arc<ChatRequest>,
    ) -> Result<(Reply, Vec<Chunk>), ProviderError> {
        if Instant::now() >= plan.deadline {
            return Err(ProviderError::TotalTimeout);
        }
        let arm = &self.target.arm;
        let call = ProviderCall {
            request: match self.target.output_cap {
                Some(most) => Arc::new(request.capped(most)),
                None => Arc::clone(request),
            },
            model: arm.model.clone(),
            max_output: arm.limits.max_output,
            timeouts: plan.conduct.timeouts,
            deadline: plan.deadline,
        };
        match self.target.upstream.provider.complete(&call).await? {
            Reply::Stream(mut chunks) => {
                let front = until_content(&mut chunks).await?;
                Ok((Reply::Stream(chunks), front))
            }
            full @ Reply::Full { .. } => Ok((full, Vec::new())),
        }
    }
}

/// What goes into the log of a call that began at `started`.
pub(super) fn describe(
    target: &Target,
    started: Instant,
    outcome: Result<&Reply, &ProviderError>,
) -> Attempt {
    let (end, status) = match outcome {
        Ok(_) => (AttemptEnd::Answered, Some(200)),
        Err(error) => (error.attempt_end(), error.status()),
    };
    Attempt {
        arm: target.arm.id.clone(),
        end,
        status,
        ms: started.elapsed().as_secs_f64() * 1e3,
        cost_usd: None,
    }
}

/// Reads up to the first content, or an end without any: an empty answer is an answer.
async fn until_content(chunks: &mut ChunkStream) -> Result<Vec<Chunk>, ProviderError> {
    let mut front: Vec<Chunk> = Vec::new();
    while front.len() < MAX_PREAMBLE {
        let Some(chunk) = chunks.next().await.transpose()? else {
            return if front.is_empty() { Err(ProviderError::Cut) } else { Ok(front) };
        };
        let has_begun = chunk.facts.has_content || chunk.facts.finish_reason.is_some();
        front.push(chunk);
        if has_begun {
            return Ok(front);
        }
    }
    Err(ProviderError::Malformed { fault: Fault::WrongShape, status: Some(200) })
}

/// A stream that has begun: what was read ahead, then the rest. It keeps its place to its end, which the arm's health is told of.
struct Underway {
    front: VecDeque<Chunk>,
    chunks: ChunkStream,
    call: Call,
}

impl Stream for Underway {
    type Item = Result<Chunk, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chunk) = self.front.pop_front() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        let next = self.chunks.poll_next_unpin(context);
        match &next {
            Poll::Ready(None) => self.call.admission.answered(),
            Poll::Ready(Some(Err(error))) => {
                self.call.admission.failed(error.attempt_end(), error.retry_after());
            }
            _ => {}
        }
        next
    }
}
