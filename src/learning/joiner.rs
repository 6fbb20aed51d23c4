//! Joins events with their decisions: a completion or a report becomes observations for the learner.
//!
//! A decision counts only when it stands in the log before the event, so what is joined does not depend on when one looks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::domain::{
    AdminEvent, ArmId, Basis, Completed, CompletionEnd, Context, Decision, DecisionId, Event, EventBody,
    Feedback, PolicyVersion, Price, Replaced, Seq, Source, Trial, Versus,
};
use crate::policy::{Bill, Contender, LearnError, Observation, Provenance};
use crate::store::{ScannedRow, Store, StoreError};

/// Decisions that are remembered; older ones are read from the log again.
const REMEMBERED: usize = 4096;
/// The noise variance that has precision 1.
const UNIT_VARIANCE: f64 = 0.04;
/// The metric that is learned.
const LEARNED_METRIC: &str = "quality";

/// Why a row was not learned from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// The row cannot be read.
    #[error("the row cannot be read: {0}")]
    Unreadable(String),
    /// Its decision is not in the log before it.
    #[error("decision {0} is not in the log before it")]
    NoDecision(DecisionId),
    /// A promoted bundle cannot take over.
    #[error("policy {policy} cannot take over: {why}")]
    Bundle {
        /// Which.
        policy: PolicyVersion,
        /// Why.
        why: String,
    },
    /// The learner refuses it.
    #[error(transparent)]
    Refused(#[from] LearnError),
}

/// Takes observations.
pub type Sink<'s> = dyn FnMut(&Observation<'_>) -> Result<(), LearnError> + 's;

/// What is kept of a decision.
#[derive(Debug)]
struct Joined {
    context: Option<Context>,
    input_tokens: u32,
    arm: ArmId,
    price: Option<Price>,
    trial: Option<Trial>,
}

impl From<&Decision> for Joined {
    fn from(decision: &Decision) -> Self {
        Self {
            context: decision.context.clone(),
            input_tokens: decision.input_tokens,
            arm: decision.arm.clone(),
            price: decision.price,
            trial: decision.trial.clone(),
        }
    }
}

/// Remembers recent decisions, in a bounded way.
#[derive(Debug, Default)]
pub struct Joiner {
    decisions: HashMap<DecisionId, Arc<Joined>>,
    order: VecDeque<DecisionId>,
}

impl Joiner {
    /// Hands the observations that `row` holds to `sink`.
    ///
    /// The outer result is the log's health, the inner one the row's.
    ///
    /// # Errors
    /// When the log cannot be read for an older decision.
    pub fn observe(
        &mut self,
        row: &ScannedRow,
        store: &Store,
        sink: &mut Sink<'_>,
    ) -> Result<Result<(), Unusable>, StoreError> {
        let event = match &row.event {
            Ok(event) => event,
            Err(why) => return Ok(Err(Unusable::Unreadable(why.clone()))),
        };
        let about = match &event.body {
            EventBody::Decided(decision) => {
                self.remember(decision.id, Arc::new(decision.as_ref().into()));
                let asked = decision
                    .context
                    .as_ref()
                    .map(|c| sink(&Observation::Asked { context: c, at: decision.at }));
                return Ok(asked.unwrap_or(Ok(())).map_err(Unusable::from));
            }
            EventBody::Completed(completed) => completed.decision,
            EventBody::Feedback(feedback) => feedback.decision,
            EventBody::Admin(event) => return Ok(tell_admin(event, sink).map_err(Unusable::from)),
        };
        let Some(joined) = self.find(about, event.seq, store)? else {
            return Ok(Err(Unusable::NoDecision(about)));
        };
        if let EventBody::Feedback(feedback) = &event.body
            && let Some(versus) = &feedback.versus
        {
            let Some(other) = self.find(versus.decision, event.seq, store)? else {
                return Ok(Err(Unusable::NoDecision(versus.decision)));
            };
            return Ok(tell_comparison(feedback, versus, [&joined, &other], sink).map_err(Unusable::from));
        }
        Ok(tell(event, &joined, sink).map_err(Unusable::from))
    }

    /// On which side of an experiment the decision was.
    ///
    /// # Errors
    /// When the log cannot be read for an older decision.
    pub(super) fn trial(
        &mut self,
        id: DecisionId,
        before: Seq,
        store: &Store,
    ) -> Result<Option<Trial>, StoreError> {
        Ok(self.find(id, before, store)?.and_then(|joined| joined.trial.clone()))
    }

    fn find(
        &mut self,
        id: DecisionId,
        before: Seq,
        store: &Store,
    ) -> Result<Option<Arc<Joined>>, StoreError> {
        if let Some(joined) = self.decisions.get(&id) {
            return Ok(Some(joined.clone()));
        }
        let row = store.decided(id, before)?;
        let Some(Event { body: EventBody::Decided(decision), .. }) = row.and_then(|row| row.event.ok())
        else {
            return Ok(None);
        };
        let joined: Arc<Joined> = Arc::new(decision.as_ref().into());
        self.remember(id, joined.clone());
        Ok(Some(joined))
    }

    fn remember(&mut self, id: DecisionId, joined: Arc<Joined>) {
        if self.decisions.contains_key(&id) {
            return; // the first of two with one id counts, as in the store
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.decisions.remove(&oldest);
        }
        self.order.push_back(id);
        self.decisions.insert(id, joined);
    }
}

fn tell(event: &Event, joined: &Joined, sink: &mut Sink<'_>) -> Result<(), LearnError> {
    match &event.body {
        EventBody::Completed(completed) => tell_completed(completed, joined, sink),
        EventBody::Feedback(feedback) => tell_feedback(feedback, joined, sink),
        EventBody::Decided(_) | EventBody::Admin(_) => Ok(()),
    }
}

fn tell_admin(event: &AdminEvent, sink: &mut Sink<'_>) -> Result<(), LearnError> {
    match event {
        AdminEvent::ArmAdded { arm, prior } => sink(&Observation::Added { arm, prior }),
        AdminEvent::ArmRemoved { arm } => sink(&Observation::Removed { arm }),
        AdminEvent::KeyCreated { .. }
        | AdminEvent::KeyChanged { .. }
        | AdminEvent::KeyRevoked { .. }
        | AdminEvent::RetireSuggested { .. }
        | AdminEvent::PolicyPromoted { .. }
        | AdminEvent::ExperimentStarted { .. }
        | AdminEvent::ExperimentRamped { .. }
        | AdminEvent::ExperimentEnded { .. } => Ok(()),
    }
}

/// Each failed attempt counts against its arm, then the answer for the arm that gave it, a fallback's too.
fn tell_completed(completed: &Completed, joined: &Joined, sink: &mut Sink<'_>) -> Result<(), LearnError> {
    if completed.billing.as_ref().is_some_and(|b| b.basis == Some(Basis::Cache)) {
        // Nobody was asked.
        return Ok(());
    }
    for attempt in completed.attempts.iter().filter(|a| a.end.is_arm_failure()) {
        sink(&Observation::Failed { arm: &attempt.arm, at: completed.at })?;
    }
    let Some(served) = &completed.served else { return Ok(()) };
    match completed.end {
        CompletionEnd::Complete | CompletionEnd::Reported => sink(&whole_answer(completed, served, joined)),
        CompletionEnd::UpstreamCut | CompletionEnd::UpstreamIdle => {
            sink(&Observation::Failed { arm: served, at: completed.at })
        }
        CompletionEnd::ClientAborted if completed.first_token_ms.is_some() => {
            sink(&begun_answer(completed, served, joined))
        }
        CompletionEnd::ClientAborted | CompletionEnd::Failed => Ok(()),
    }
}

fn whole_answer<'a>(completed: &'a Completed, arm: &'a ArmId, joined: &'a Joined) -> Observation<'a> {
    Observation::Answered {
        arm,
        context: joined.context.as_ref(),
        input_tokens: completed.usage.map_or(joined.input_tokens, |u| u.input_tokens),
        output_tokens: completed.usage.map(|u| u.output_tokens),
        bill: bill(completed, arm, joined),
        kind: completed.kind,
        first_token_ms: completed.first_token_ms,
        // A caller who reports a call need not say how long it took; the log then holds 0.
        total_ms: Some(completed.total_ms).filter(|ms| *ms != 0.0),
        at: completed.at,
    }
}

/// What the call cost at which price; a fallback's price at that time is not in the log.
fn bill(completed: &Completed, arm: &ArmId, joined: &Joined) -> Option<Bill> {
    let share = |read: u32, all: u32| (f64::from(read) / f64::from(all.max(1))).min(1.0);
    Some(Bill {
        cost_usd: completed.cost_usd?,
        price: joined.price.filter(|_| joined.arm == *arm)?,
        asked_tokens: joined.input_tokens,
        cached_share: completed.usage.map(|u| share(u.cached_tokens, u.input_tokens)),
    })
}

/// The client left: how long the answer would have been, and how long it would have taken, nobody knows.
fn begun_answer<'a>(completed: &'a Completed, arm: &'a ArmId, joined: &'a Joined) -> Observation<'a> {
    Observation::Answered {
        arm,
        context: joined.context.as_ref(),
        input_tokens: joined.input_tokens,
        output_tokens: None,
        bill: None,
        kind: None,
        first_token_ms: completed.first_token_ms,
        total_ms: None,
        at: completed.at,
    }
}

/// Only counted reports teach: tick 0 marks those on a fallback's answer and those without a context.
fn tell_feedback(feedback: &Feedback, joined: &Joined, sink: &mut Sink<'_>) -> Result<(), LearnError> {
    let (Some(arm), Some(value), Some(context)) = (&feedback.arm, feedback.value, &joined.context) else {
        return Ok(());
    };
    if feedback.name != LEARNED_METRIC || feedback.tick == 0 {
        return Ok(());
    }
    let replaces = feedback
        .replaces
        .map(|old| Replaced { value: old.value, weight: precision(old.weight, feedback.source) });
    let instrument = feedback.instrument();
    sink(&Observation::Quality {
        arm,
        context,
        value,
        weight: precision(feedback.weight, feedback.source),
        tick: feedback.tick,
        replaces,
        from: Provenance {
            key: feedback.key.as_ref(),
            instrument: instrument.as_ref(),
            overlaps: &feedback.overlaps,
        },
    })
}

/// Both ticks are set when both sides can be learned from.
fn tell_comparison(
    feedback: &Feedback,
    versus: &Versus,
    [one, other]: [&Joined; 2],
    sink: &mut Sink<'_>,
) -> Result<(), LearnError> {
    let arms = feedback.arm.as_ref().zip(versus.arm.as_ref());
    let contexts = one.context.as_ref().zip(other.context.as_ref());
    let (Some((arm, their_arm)), Some((context, theirs)), Some(score)) = (arms, contexts, feedback.value)
    else {
        return Ok(());
    };
    if feedback.name != LEARNED_METRIC || feedback.tick == 0 || versus.tick == 0 {
        return Ok(());
    }
    sink(&Observation::Compared {
        sides: [
            Contender { arm, context, tick: feedback.tick },
            Contender { arm: their_arm, context: theirs, tick: versus.tick },
        ],
        score,
        weight: precision(feedback.weight, feedback.source),
        replaces: feedback
            .replaces
            .map(|old| Replaced { value: old.value, weight: precision(old.weight, feedback.source) }),
        from: Provenance { key: feedback.key.as_ref(), ..Provenance::default() },
    })
}

/// The reporter's weight over the source's noise variance, in units of a source of variance 0.04.
fn precision(weight: f64, source: Source) -> f64 {
    weight * UNIT_VARIANCE / source.variance()
}
