//! The loop over targets.

use std::sync::Arc;

use futures::StreamExt;
use tokio::time::Instant;

use super::{DispatchFailed, Plan, Target};
use crate::domain::{Arm, Attempt, AttemptEnd};
use crate::provider::{Chunk, ChunkStream, Fault, ProviderCall, ProviderError, Reply};
use crate::wire::chat::ChatRequest;

/// Chunks without content that are kept before the first content; more than that is no answer.
const MAX_PREAMBLE: usize = 256;

/// Somebody answers.
#[derive(Debug)]
pub struct Dispatched {
    /// Who.
    pub served: Arc<Arm>,
    /// The answer; of a stream, all chunks from the first on.
    pub reply: Reply,
    /// All calls in order; the last is the one that serves.
    pub attempts: Vec<Attempt>,
    /// Milliseconds from the serving call's start to its first content.
    pub first_content_ms: f64,
    /// When the serving call started.
    pub started: Instant,
}

/// Asks the targets of `plan` in order until one begins to answer.
///
/// # Errors
/// When none does, or when the request itself is refused: that is not asked again elsewhere, except that a request too long for
/// one model is tried on those with a larger window.
pub async fn run(plan: &Plan, request: Arc<ChatRequest>) -> Result<Dispatched, DispatchFailed> {
    let mut attempts = Vec::with_capacity(plan.targets.len());
    let mut failures = Failures::default();
    for target in &plan.targets {
        if !failures.allow(&target.arm) {
            continue;
        }
        let started = Instant::now();
        let outcome = attempt(plan, target, &request).await;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        record(plan, &target.arm, &outcome);
        attempts.push(describe(&target.arm, &outcome, ms));
        match outcome {
            Ok(reply) => {
                let served = Arc::clone(&target.arm);
                return Ok(Dispatched { served, reply, attempts, first_content_ms: ms, started });
            }
            Err(error) => failures.add(&target.arm, error),
        }
    }
    Err(DispatchFailed { attempts, cause: failures.into_cause() })
}

async fn attempt(plan: &Plan, target: &Target, request: &Arc<ChatRequest>) -> Result<Reply, ProviderError> {
    if Instant::now() >= plan.deadline {
        return Err(ProviderError::TotalTimeout);
    }
    let call = ProviderCall {
        request: Arc::clone(request),
        model: target.arm.model.clone(),
        max_output: target.arm.limits.max_output,
        timeouts: plan.timeouts,
        deadline: plan.deadline,
    };
    match target.provider.complete(&call).await? {
        Reply::Stream(chunks) => Ok(Reply::Stream(until_content(chunks).await?)),
        full @ Reply::Full { .. } => Ok(full),
    }
}

/// Reads up to the first content (or an end without any: an empty answer is an answer) and puts what was read back in front.
async fn until_content(mut chunks: ChunkStream) -> Result<ChunkStream, ProviderError> {
    let mut front: Vec<Chunk> = Vec::new();
    while front.len() < MAX_PREAMBLE {
        let Some(chunk) = chunks.next().await.transpose()? else {
            return if front.is_empty() { Err(ProviderError::Cut) } else { Ok(chunks.with_front(front)) };
        };
        let has_begun = chunk.facts.has_content || chunk.facts.finish_reason.is_some();
        front.push(chunk);
        if has_begun {
            return Ok(chunks.with_front(front));
        }
    }
    Err(ProviderError::Malformed { fault: Fault::WrongShape, status: Some(200) })
}

fn record(plan: &Plan, arm: &Arm, outcome: &Result<Reply, ProviderError>) {
    let (end, wait) = match outcome {
        Ok(_) => (AttemptEnd::Answered, None),
        Err(error) => (error.attempt_end(), error.retry_after()),
    };
    plan.health.record(&arm.id, end, wait);
}

fn describe(arm: &Arm, outcome: &Result<Reply, ProviderError>, ms: f64) -> Attempt {
    let (end, status) = match outcome {
        Ok(_) => (AttemptEnd::Answered, Some(200)),
        Err(error) => (error.attempt_end(), error.status()),
    };
    Attempt { arm: arm.id.clone(), end, status, ms }
}

/// What failed so far, and what that means for the targets left.
#[derive(Debug, Default)]
struct Failures {
    /// The request's own fault, which the client must hear of rather than of what came after it.
    of_request: Option<ProviderError>,
    last: Option<ProviderError>,
    untranslatable: Option<ProviderError>,
    /// The largest window that was too small.
    too_small_window: u32,
    is_final: bool,
}

impl Failures {
    fn add(&mut self, arm: &Arm, error: ProviderError) {
        match &error {
            _ if error.is_context_length() => {
                self.too_small_window = self.too_small_window.max(arm.limits.context_window);
                self.of_request = Some(error);
                return;
            }
            // Another format may have the words, or another arm be up.
            ProviderError::Untranslatable(_) => {
                self.untranslatable = Some(error);
                return;
            }
            ProviderError::BadRequest { .. } => {
                self.of_request = Some(error.clone());
                self.is_final = true;
            }
            ProviderError::TotalTimeout => self.is_final = true,
            _ => {}
        }
        self.last = Some(error);
    }

    fn allow(&self, arm: &Arm) -> bool {
        !self.is_final && arm.limits.context_window > self.too_small_window
    }

    fn into_cause(self) -> ProviderError {
        self.of_request.or(self.last).or(self.untranslatable).unwrap_or(ProviderError::Connect)
    }
}
