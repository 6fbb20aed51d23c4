//! The tour of the targets: each once, then again those whose failure may pass.

use std::sync::Arc;

use tokio::time::Instant;

use super::call::{Call, describe};
use super::failure::Failures;
use super::retry::jitter;
use super::{DispatchFailed, Plan, Target};
use crate::domain::{Arm, Attempt};
use crate::provider::{ProviderError, Reply};
use crate::wire::chat::ChatRequest;

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

/// Asks the targets of `plan` in order until one begins to answer; then, within the bounds on retries, those again that may do
/// better a moment later.
///
/// # Errors
/// When none does, or when the request itself is refused: that is not asked again elsewhere, except that a request too long for
/// one model is tried on those with a larger window.
pub async fn run(plan: &Plan, request: Arc<ChatRequest>) -> Result<Dispatched, DispatchFailed> {
    let mut tour = Tour::new(plan, request);
    let mut dealt_with = 0;
    if let Some(hedge) = plan.conduct.hedge {
        match tour.hedged(hedge).await {
            Ok(done) => return Ok(done),
            Err(targets) => dealt_with = targets,
        }
    }
    for (i, target) in plan.targets.iter().enumerate().skip(dealt_with) {
        if let Some(done) = tour.ask(i, target).await {
            return Ok(done);
        }
    }
    tour.again().await
}

/// One request on its way through the targets.
pub(super) struct Tour<'p> {
    pub(super) plan: &'p Plan,
    pub(super) request: Arc<ChatRequest>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) failures: Failures,
    /// The last failure of each target.
    errors: Vec<Option<ProviderError>>,
}

impl<'p> Tour<'p> {
    fn new(plan: &'p Plan, request: Arc<ChatRequest>) -> Self {
        let targets = plan.targets.len();
        Self {
            plan,
            request,
            attempts: Vec::with_capacity(targets),
            failures: Failures::default(),
            errors: vec![None; targets],
        }
    }

    /// Asks one target.
    async fn ask(&mut self, i: usize, target: &Target) -> Option<Dispatched> {
        let call = self.open(i, target)?;
        let started = call.started;
        let outcome = call.make(self.plan, &self.request).await;
        self.conclude((i, target), started, outcome)
    }

    /// A call of the target, unless asking it is of no use or not to be done now.
    pub(super) fn open(&mut self, i: usize, target: &Target) -> Option<Call> {
        if !self.failures.allow(&target.arm) {
            return None;
        }
        match Call::open(self.plan, target) {
            Ok(call) => {
                if self.errors[i].is_none() {
                    target.upstream.retries.deposit();
                }
                Some(call)
            }
            Err(refused) => {
                self.errors[i] = None;
                self.failures.pass_over(refused);
                None
            }
        }
    }

    pub(super) fn conclude(
        &mut self,
        (i, target): (usize, &Target),
        started: Instant,
        outcome: Result<Reply, ProviderError>,
    ) -> Option<Dispatched> {
        let attempt = describe(target, started, outcome.as_ref());
        let first_content_ms = attempt.ms;
        self.attempts.push(attempt);
        match outcome {
            Ok(reply) => Some(Dispatched {
                served: Arc::clone(&target.arm),
                reply,
                attempts: std::mem::take(&mut self.attempts),
                first_content_ms,
                started,
            }),
            Err(error) => {
                self.errors[i] = Some(error.clone());
                self.failures.add(&target.arm, error);
                None
            }
        }
    }

    /// The second round: after a pause, the first target in order whose failure may pass.
    async fn again(mut self) -> Result<Dispatched, DispatchFailed> {
        let plan = self.plan;
        for nth in 0..plan.conduct.retry.most {
            let Some((i, wait)) = self.next(nth) else { break };
            let target = &plan.targets[i];
            if Instant::now() + wait >= plan.deadline || !target.upstream.retries.withdraw() {
                break;
            }
            tokio::time::sleep(wait).await;
            if let Some(done) = self.ask(i, target).await {
                return Ok(done);
            }
        }
        Err(DispatchFailed { attempts: self.attempts, cause: self.failures.into_cause() })
    }

    fn next(&self, nth: u32) -> Option<(usize, std::time::Duration)> {
        let unit = jitter();
        let targets = self.plan.targets.iter().zip(&self.errors).enumerate();
        targets
            .filter(|(_, (target, _))| self.failures.allow(&target.arm))
            .find_map(|(i, (_, error))| Some((i, self.plan.conduct.retry.wait(nth, error.as_ref()?, unit)?)))
    }
}
