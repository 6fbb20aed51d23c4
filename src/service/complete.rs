//! A completion: choose, log, call, account.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::account::Account;
use super::cache::Looked;
use super::choose::{Chosen, DecisionOnly};
use super::judge::content;
use super::rates::expected_tokens;
use super::{AnswerStream, CacheOutcome, Caller, RouteAnswer, Service, ServiceError};
use crate::dispatch::{self, Cause, DispatchFailed, Dispatched, Plan, Target};
use crate::domain::{
    ArmId, AttemptEnd, CompletionEnd, Decision, DecisionId, PolicyVersion, Reason, RouteName, Strategy,
};
use crate::provider::Reply;
use crate::wire::chat::ChatRequest;

/// What every answer says about its decision, errors included.
#[derive(Debug, Clone)]
pub struct Head {
    /// Which decision.
    pub decision: DecisionId,
    /// Who served; for an error the drawn arm.
    pub model: ArmId,
    /// Which route.
    pub route: RouteName,
    /// Of which kind the policy was.
    pub strategy: Strategy,
    /// Which policy.
    pub policy: PolicyVersion,
    /// Why this arm.
    pub reason: Reason,
    /// Number of calls made.
    pub attempts: usize,
    /// Known at once on plain answers only.
    pub cost_usd: Option<f64>,
    /// Whether the answer came from the response cache; `None`: there is none for it.
    pub cache: Option<CacheOutcome>,
}

impl Head {
    pub(super) fn of(decision: &Decision) -> Self {
        Self {
            decision: decision.id,
            model: decision.arm.clone(),
            route: decision.route.clone(),
            strategy: decision.strategy,
            policy: decision.policy.clone(),
            reason: decision.reason,
            attempts: 0,
            cost_usd: None,
            cache: None,
        }
    }
}

/// A completion's answer.
pub enum Answer {
    /// The whole body.
    Full(Head, WholeAnswer),
    /// Chunks as they come.
    Stream(Head, Box<AnswerStream>),
    /// The caller asked for the decision alone.
    DryRun(Head, Box<RouteAnswer>),
}

/// An answer to come. Dropping it cancels whatever call is under way.
pub type Answering = BoxFuture<'static, Result<Answer, Refusal>>;

/// A completion whose decision is taken and logged.
pub struct Begun {
    /// What is known so far; who serves in the end is told with the answer.
    pub head: Head,
    /// Whether the caller wants a stream.
    pub is_stream: bool,
    /// The rest.
    pub answer: Answering,
}

/// A whole answer.
pub struct WholeAnswer {
    /// In OpenAI's form.
    pub body: Bytes,
    /// As the upstream gave it, when it speaks the client's own format.
    pub native: Option<Bytes>,
}

/// An error, and what is known of the decision.
#[derive(Debug)]
pub struct Refusal {
    /// What went wrong.
    pub error: ServiceError,
    /// Set once a decision was taken.
    pub head: Option<Box<Head>>,
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        Self { error, head: None }
    }
}

impl Service {
    /// Takes the decision for one chat completion; the calls are made while its answer is awaited, and fail when everybody does.
    ///
    /// # Errors
    /// When the request is wrong or nobody can serve it.
    pub async fn begin(&self, request: ChatRequest, caller: &Caller) -> Result<Begun, Refusal> {
        if request.extension().dry_run {
            let (head, answer) = self.route(&request, caller).await?;
            let ready = Answer::DryRun(head.clone(), Box::new(answer));
            return Ok(Begun { head, is_stream: false, answer: Box::pin(async { Ok(ready) }) });
        }
        let recording = match self.look_in_cache(&request, caller) {
            Looked::Hit(begun) => return Ok(*begun),
            Looked::Miss(pending) => Some(pending),
            Looked::Off => None,
        };
        let request = Arc::new(request);
        let meter = caller.meter.as_ref().filter(|meter| meter.counts_tokens());
        let held = meter.map(|meter| meter.hold(expected_tokens(request.prompt()))).transpose();
        let held = held.map_err(ServiceError::from)?;
        let mut chosen = self.choose(&request, caller, DecisionOnly::No).await?;
        let caps = self.caps(&request, &mut chosen);
        let cache = recording.is_some().then_some(CacheOutcome::Miss);
        let head = Head { cache, ..Head::of(&chosen.decision) };
        let plan = self.plan(&chosen, &caps);
        self.book(&chosen.decision, &chosen.ticket);
        let mut account = Account::open(self, head.decision, chosen.ticket);
        account.asked_tokens = chosen.decision.input_tokens;
        account.thread = chosen.thread;
        account.held = held;
        account.recording = recording.flatten().map(|pending| pending.begin(head.clone()));
        account.watched = self.implicit.as_ref().map(|i| Box::new(i.watch(&request, &chosen.decision)));
        account.hearing =
            self.judge.as_ref().and_then(|j| j.sample(&chosen.decision, &request.prompt().ask)).map(Box::new);
        self.log(chosen.decision);
        let (is_stream, decided) = (request.stream(), head.clone());
        Ok(Begun { head: decided, is_stream, answer: Box::pin(call(plan, request, head, account)) })
    }

    fn plan(&self, chosen: &Chosen, caps: &BTreeMap<ArmId, u32>) -> Plan {
        let targets = chosen
            .order
            .iter()
            .filter_map(|id| Some(Target { output_cap: caps.get(id).copied(), ..self.fleet.target(id)? }));
        let targets = targets.collect();
        let mut conduct = chosen.conduct;
        if !chosen.ticket.is_free() {
            // What is reserved pays for one call at a time.
            conduct.hedge = None;
        }
        Plan::starting_now(targets, conduct, Arc::clone(&self.health))
    }
}

async fn call(
    plan: Plan,
    request: Arc<ChatRequest>,
    mut head: Head,
    mut account: Account,
) -> Result<Answer, Refusal> {
    let wants_usage = request.wants_usage_chunk();
    match dispatch::run(&plan, request).await {
        Ok(dispatched) => {
            head.attempts = dispatched.attempts.len();
            if dispatched.served.id != head.model {
                head.reason = Reason::Fallback;
                head.model = dispatched.served.id.clone();
            }
            Ok(answer(dispatched, head, account, wants_usage))
        }
        Err(failed) => {
            head.attempts = failed.attempts.len();
            log_failure(&head, &failed.cause);
            account.attempts.clone_from(&failed.attempts);
            account.close(CompletionEnd::Failed);
            let error = refusal(failed, &head);
            Err(Refusal { error, head: Some(Box::new(head)) })
        }
    }
}

fn answer(dispatched: Dispatched, mut head: Head, mut account: Account, wants_usage: bool) -> Answer {
    account.served_by(dispatched.served, dispatched.started, dispatched.attempts);
    account.first_token_ms = Some(dispatched.first_content_ms);
    if let Some(recording) = &mut account.recording {
        recording.served_as(&head);
    }
    match dispatched.reply {
        Reply::Full { body, facts, native } => {
            account.completion_id.clone_from(&facts.id);
            account.usage = facts.usage;
            account.reported_cost_usd = facts.cost_usd;
            account.finish_reason.clone_from(&facts.finish_reason);
            (account.has_content, account.is_refusal) = (facts.has_content, facts.is_refusal);
            account.keep_whole((&body, &native), &facts);
            head.cost_usd = account.cost_usd();
            if let Some(hearing) = &mut account.hearing {
                hearing.hear(&content(&body).unwrap_or_default());
            }
            account.close(CompletionEnd::Complete);
            Answer::Full(head, whole(body, native))
        }
        Reply::Stream(chunks) => {
            let stream = AnswerStream::new(chunks, account, wants_usage);
            Answer::Stream(head, Box::new(stream))
        }
    }
}

pub(super) fn whole(body: Bytes, native: Option<Bytes>) -> WholeAnswer {
    WholeAnswer { body, native }
}

fn refusal(failed: DispatchFailed, head: &Head) -> ServiceError {
    let (decision, attempts) = (head.decision, failed.attempts);
    match failed.cause {
        Cause::Call(cause) => ServiceError::Upstream { decision, attempts, cause: Box::new(cause) },
        Cause::PassedOver(refused) => ServiceError::NobodyAsked { decision, refused },
    }
}

/// A provider that refuses our key is the operator's to mend, and at once.
fn log_failure(head: &Head, cause: &Cause) {
    if matches!(cause, Cause::Call(error) if error.attempt_end() == AttemptEnd::Credentials) {
        tracing::error!(decision = %head.decision, model = %head.model, %cause, "a provider refuses our key");
    } else {
        tracing::warn!(decision = %head.decision, model = %head.model, attempts = head.attempts, %cause, "no model answered");
    }
}
