//! Two targets at the same time: where the first is silent for longer than it usually is, the next is asked as well, and who begins to
//! answer first serves. The other call is given up, logged, and taken to have cost its input.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::call::Call;
use super::run::Tour;
use super::{Dispatched, Hedge, Target};
use crate::domain::{Attempt, AttemptEnd, Usage};

impl Tour<'_> {
    /// Asks the first target, and a second one when it is due.
    ///
    /// # Errors
    /// When nobody answered: how many targets, in order, are dealt with.
    pub(super) async fn hedged(&mut self, hedge: Hedge) -> Result<Dispatched, usize> {
        let plan = self.plan;
        let Some(first) = plan.targets.first() else { return Err(0) };
        let Some(after) = self.delay(hedge, first) else { return Err(0) };
        let Some(call) = self.open(0, first) else { return Err(1) };
        let (request, one_started) = (Arc::clone(&self.request), call.started);
        let mut one = Box::pin(call.make(plan, &request));
        tokio::select! {
            outcome = one.as_mut() => return self.conclude((0, first), one_started, outcome).ok_or(1),
            () = tokio::time::sleep(after) => {}
        }
        let Some((j, call)) = self.second() else {
            let outcome = one.await;
            return self.conclude((0, first), one_started, outcome).ok_or(1);
        };
        let (second, two_started) = (&plan.targets[j], call.started);
        let mut two = Box::pin(call.make(plan, &request));
        let (outcome, is_first) = tokio::select! {
            biased;
            outcome = one.as_mut() => (outcome, true),
            outcome = two.as_mut() => (outcome, false),
        };
        let ((sooner, later), (sooner_started, later_started)) = if is_first {
            (((0, first), (j, second)), (one_started, two_started))
        } else {
            (((j, second), (0, first)), (two_started, one_started))
        };
        if outcome.is_ok() {
            self.give_up(later.1, later_started);
            return self.conclude(sooner, sooner_started, outcome).ok_or(j + 1);
        }
        self.conclude(sooner, sooner_started, outcome);
        if !self.failures.allow(&later.1.arm) {
            self.give_up(later.1, later_started);
            return Err(j + 1);
        }
        let outcome = if is_first { two.await } else { one.await };
        self.conclude(later, later_started, outcome).ok_or(j + 1)
    }

    fn delay(&self, hedge: Hedge, first: &Target) -> Option<Duration> {
        match hedge {
            Hedge::After(time) => Some(time),
            Hedge::AfterP95 => self.plan.health.p95_to_begin(&first.arm.id, self.request.stream()),
        }
    }

    /// The next target that may be asked. Its call counts as a second attempt: hedging must not become the load either.
    fn second(&mut self) -> Option<(usize, Call)> {
        let plan = self.plan;
        let mut others = plan.targets.iter().enumerate().skip(1);
        let (j, call) = others.find_map(|(j, target)| Some((j, self.open(j, target)?)))?;
        plan.targets[j].upstream.retries.withdraw().then_some((j, call))
    }

    /// A call is dropped, which closes it. What it generated is not known; its input was read.
    fn give_up(&mut self, target: &Target, started: Instant) {
        let input = Usage { input_tokens: self.request.prompt().input_tokens, ..Usage::default() };
        self.attempts.push(Attempt {
            arm: target.arm.id.clone(),
            end: AttemptEnd::Cancelled,
            status: None,
            ms: started.elapsed().as_secs_f64() * 1e3,
            cost_usd: Some(target.arm.price.cost_usd(&input)),
        });
    }
}
