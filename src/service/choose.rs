//! Steps 3 to 8 of a request's path: prompt -> vector -> context -> eligible arms -> decision -> log.

use std::time::Instant;

use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::clock::now;
use super::order::in_order;
use super::sessions::Thread;
use super::spend::{Scopes, Ticket};
use super::{Caller, Destination, Head, LiveRoute, Service, ServiceError, Wishes};
use crate::dispatch::Conduct;
use crate::domain::{
    Allowance, Arm, ArmEstimate, ArmId, Bound, Decision, DecisionId, Encoding, Estimate, EventBody, Excluded,
    Exclusion, LatencyEstimate, Prompt, RouteName,
};
use crate::routing::{Candidates, Circumstances, Standing, decide_explicit, eligible};
use crate::wire::chat::{ChatRequest, Role};

/// A decision and what is to be done about it.
pub(super) struct Chosen {
    pub(super) decision: Decision,
    /// Whom to ask, in order; the first is the decision's arm.
    pub(super) order: Vec<ArmId>,
    pub(super) conduct: Conduct,
    /// The conversation, when its route keeps it on its model.
    pub(super) thread: Option<Thread>,
    /// What it reserved.
    pub(super) ticket: Ticket,
}

/// One line of a ranking.
#[derive(Debug, Clone, Serialize)]
pub struct RankedArm {
    /// The arm.
    pub model: ArmId,
    /// Expected quality.
    pub quality: Estimate,
    /// Expected cost, USD.
    pub cost_usd: f64,
    /// Expected total latency.
    pub latency_ms: LatencyEstimate,
    /// What the preference makes of it.
    pub utility: f64,
    /// With which probability it is drawn.
    pub propensity: f64,
}

/// The answer of `/v1/route`.
#[derive(Debug, Clone, Serialize)]
pub struct RouteAnswer {
    /// For feedback; of a dry run nothing is logged.
    pub decision_id: DecisionId,
    /// The drawn arm.
    pub model: ArmId,
    /// Why.
    pub reason: &'static str,
    /// Which policy.
    pub policy: String,
    /// How probable the draw was.
    pub propensity: f64,
    /// Which encoder read the prompt.
    pub embedder: String,
    /// Best utility first; empty when the strategy estimates nothing.
    pub ranking: Vec<RankedArm>,
    /// Who was left out.
    pub excluded: Vec<Exclusions>,
    /// Bounds that no model met and that were given up.
    pub relaxed: Vec<Bound>,
}

/// An arm that was left out.
#[derive(Debug, Clone, Serialize)]
pub struct Exclusions {
    /// Which.
    pub model: ArmId,
    /// By which filter.
    pub why: String,
}

/// The ranking that a decision was drawn from.
pub(super) fn ranking(decision: &Decision) -> Vec<RankedArm> {
    let line = |e: &ArmEstimate| RankedArm {
        model: e.arm.clone(),
        quality: e.quality,
        cost_usd: e.cost_usd,
        latency_ms: e.latency_ms,
        utility: e.utility,
        propensity: decision.distribution.of(&e.arm),
    };
    decision.estimates.iter().map(line).collect()
}

/// The arms left out, in words.
pub(super) fn exclusions(excluded: &[Excluded]) -> Vec<Exclusions> {
    excluded.iter().map(|e| Exclusions { model: e.arm.clone(), why: e.why.to_string() }).collect()
}

impl Service {
    /// Chooses and answers the choice; nobody is called. A dry run is not logged either.
    ///
    /// # Errors
    /// As for a completion, up to the decision.
    pub async fn route(
        &self,
        request: &ChatRequest,
        caller: &Caller,
    ) -> Result<(Head, RouteAnswer), ServiceError> {
        let Chosen { decision, thread, ticket, .. } = self.choose(request, caller, DecisionOnly::Yes).await?;
        let answer = RouteAnswer {
            decision_id: decision.id,
            model: decision.arm.clone(),
            reason: decision.reason.as_str(),
            policy: decision.policy.to_string(),
            propensity: decision.propensity,
            embedder: decision.encoding.embedder.clone(),
            ranking: ranking(&decision),
            excluded: exclusions(&decision.excluded),
            relaxed: decision.relaxed.clone(),
        };
        let head = Head::of(&decision);
        if request.extension().dry_run {
            ticket.release(self.spend.clock.now());
        } else {
            if let Some(thread) = thread {
                thread.note(&decision.arm, None);
            }
            self.book(&decision, &ticket);
            self.park(&decision, ticket);
            self.log(decision);
        }
        Ok((head, answer))
    }

    /// Enters a decision into the books, before its call.
    pub(super) fn book(&self, decision: &Decision, ticket: &Ticket) {
        self.spend.open(ticket);
        ticket.pace(self.spend.clock.at(decision.at), decision);
    }

    /// Keeps what was reserved for a call that the client makes itself.
    fn park(&self, decision: &Decision, ticket: Ticket) {
        if let Some(arm) = self.fleet.arm(&decision.arm) {
            self.spend.park(decision, ticket, arm.price);
        }
    }

    /// The budgets that a request counts towards.
    fn scopes(&self, route: &RouteName, caller: &Caller, wishes: &Wishes) -> Result<Scopes, ServiceError> {
        let keys = self.store.key_snapshot();
        let key = caller.key.as_ref().and_then(|id| Some((id, keys.budget_of(id)?)));
        self.spend.scopes(route, key, wishes.budget.as_deref(), self.spend.clock.now())
    }

    /// Hands a decision to the store's queue; nothing waits for the disk. Reports on it come later in the same queue.
    pub(super) fn log(&self, decision: Decision) {
        let id = decision.id;
        if self.store.try_append(EventBody::Decided(Box::new(decision))).is_err() {
            tracing::debug!(decision = %id, "this decision is lost to the log");
        }
    }

    pub(super) async fn choose(
        &self,
        request: &ChatRequest,
        caller: &Caller,
        decision_only: DecisionOnly,
    ) -> Result<Chosen, ServiceError> {
        let prompt = request.prompt();
        let fallbacks = self.caller_fallbacks(request, caller)?;
        let named = |mut wishes: Wishes| {
            // Nothing that began the same way is part of a conversation that begins here.
            let begins = wishes.session.is_none() && prompt.turns <= 1;
            wishes.session = wishes.session.or_else(|| session_by_start(request, prompt));
            (wishes, begins)
        };
        match self.destination_of(request.model(), caller, "model")? {
            Destination::Arm(arm) => {
                let (wishes, _) = named(Wishes::gather(request.extension(), caller, None, None)?);
                let name = RouteName::from(arm.id.as_str());
                let scopes = self.scopes(&name, caller, &wishes)?;
                let mut given = circumstances(name, &wishes, caller, decision_only);
                given.kept_prompt = self.keep_prompts.of(&prompt.ask);
                let decision = decide_explicit(&arm, prompt, given);
                let (decision, mut ticket) = self.pay_explicit(decision, (&arm, prompt), scopes)?;
                let mut order = in_order(&decision, fallbacks, &[], None);
                self.payable(&mut order, &mut ticket, (&decision, prompt));
                let conduct = self.fleet.upstream_of(&arm).map(|u| u.conduct).unwrap_or_default();
                Ok(Chosen { decision, order, conduct, thread: None, ticket })
            }
            Destination::Route(live, suffix) => {
                let wishes = Wishes::gather(request.extension(), caller, Some(&live.route), suffix)?;
                let (wishes, begins) = named(wishes);
                let (thread, pin) = self.thread(&live, wishes.session.as_deref(), caller, begins);
                let mut given = circumstances(live.route.name.clone(), &wishes, caller, decision_only);
                given.pin = pin;
                let scopes = self.scopes(&live.route.name, caller, &wishes)?;
                let (decision, mut ticket) =
                    self.choose_on_route(&live, (request, prompt), &wishes, (given, scopes)).await?;
                self.watch(&live, &decision);
                let mut order = in_order(&decision, fallbacks, &live.route.arms, Some(&live.route.default));
                self.payable(&mut order, &mut ticket, (&decision, prompt));
                Ok(Chosen { decision, order, conduct: live.route.conduct, thread, ticket })
            }
        }
    }

    async fn choose_on_route(
        &self,
        live: &LiveRoute,
        (request, prompt): (&ChatRequest, &Prompt),
        wishes: &Wishes,
        (mut given, scopes): (Circumstances, Scopes),
    ) -> Result<(Decision, Ticket), ServiceError> {
        let route = &live.route;
        let arms: Vec<&Arm> =
            route.arms.iter().filter_map(|id| self.fleet.arm(id)).map(AsRef::as_ref).collect();
        let health = self.health.snapshot();
        let goes_on = |id: &ArmId| given.pin.as_ref().is_some_and(|pin| pin.arm == *id);
        let drains = |id: &ArmId| (self.fleet.drains(id) || live.retired(id)) && !goes_on(id);
        let is_busy = |id: &ArmId| {
            self.fleet.arm(id).and_then(|arm| self.fleet.upstream_of(arm)).is_some_and(|u| u.is_full())
        };
        let unwell = |id: &ArmId| health.exclusion(id).or_else(|| is_busy(id).then_some(Exclusion::Busy));
        let cannot_say = |arm: &Arm| self.fleet.upstream_of(arm)?.cannot_say(request);
        let says = |arm: &Arm| cannot_say(arm).is_none();
        let eligible = {
            let standing = Standing { says: &says, draining: &drains, unwell: &unwell };
            eligible(&arms, prompt, wishes.patterns.as_ref(), &standing)
        };
        let eligible = eligible.map_err(|empty| match arms.iter().find_map(|arm| cannot_say(arm)) {
            Some(unsaid) if empty.filter == Exclusion::Format => ServiceError::from(unsaid),
            _ => ServiceError::from(empty),
        })?;
        let Some(default) = self.fleet.arm(&route.default) else {
            return Err(ServiceError::UnknownModel {
                model: route.default.to_string(),
                known: String::new(),
            });
        };
        let policy = match self.trial(live, &given) {
            Some((trial, policy)) => {
                given.trial = Some(trial);
                policy
            }
            None => live.chooser.policy(self.learning.policy()),
        };
        given.kept_prompt = self.keep_prompts.of(&prompt.ask);
        if policy.wants_context() {
            (given.context, given.encoding) = self.reader.context(prompt).await;
        }
        let started = Instant::now();
        let candidates = Candidates {
            eligible: &eligible,
            default,
            policy: &*policy,
            exploration: route.exploration,
            turn: live.next_turn(),
            allowance: Allowance::UNBOUNDED,
        };
        let (decision, ticket) = self.decide_within(candidates, prompt, given, scopes)?;
        self.metrics.decided(started.elapsed());
        if let Some(fault) = &decision.fault {
            tracing::warn!(decision = %decision.id, route = %route.name, %fault, "the default serves: the policy had no answer");
        }
        Ok((decision, ticket))
    }

    /// The arms of OpenRouter's `models`, in the caller's order.
    fn caller_fallbacks(&self, request: &ChatRequest, caller: &Caller) -> Result<Vec<ArmId>, ServiceError> {
        let arm = |name: &String| match self.destination_of(name, caller, "models")? {
            Destination::Arm(arm) => Ok(arm.id.clone()),
            Destination::Route(..) => {
                Err(ServiceError::invalid("models", format!("{name:?} is a route; fallbacks must be models")))
            }
        };
        request.fallback_models().iter().map(arm).collect()
    }
}

/// Whether the caller makes the call itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecisionOnly {
    /// It does.
    Yes,
    /// We do.
    No,
}

/// A conversation that nobody named is known by how it began: its system prompt and its first user message, hashed.
fn session_by_start(request: &ChatRequest, prompt: &Prompt) -> Option<String> {
    let first = request.messages().iter().find(|m| m.role == Role::User)?;
    let hash =
        Sha256::new().chain_update(prompt.system_family.to_be_bytes()).chain_update(first.text()).finalize();
    let half: [u8; 16] = std::array::from_fn(|i| hash[i]);
    Some(format!("start-{:032x}", u128::from_be_bytes(half)))
}

fn circumstances(
    route: RouteName,
    wishes: &Wishes,
    caller: &Caller,
    decision_only: DecisionOnly,
) -> Circumstances {
    Circumstances {
        id: DecisionId::from_uuid(Uuid::now_v7()),
        at: now(),
        route,
        preference: wishes.preference,
        constraints: wishes.constraints,
        context: Ok(None),
        encoding: Encoding::none(),
        kept_prompt: None,
        key: caller.key.clone(),
        session: wishes.session.clone(),
        pin: None,
        user: wishes.user.clone(),
        tags: wishes.tags.clone(),
        decision_only: decision_only == DecisionOnly::Yes,
        trial: None,
    }
}
