//! Accepting a report, inside the writer's transaction: find the decision, see whether the report is new, the same again
//! or a revision, credit the arm that answered, and log it.

mod comparison;
mod episode;
mod pairing;

use uuid::Uuid;

use super::db::params;
use super::log::Log;
use super::readers::{Found, find};
use super::rows::from_sql_int;
use super::{FeedbackRejected, StoreError};
use crate::domain::{
    ArmId, Attempt, AttemptEnd, Completed, CompletionEnd, DecisionId, EventBody, Feedback, FeedbackId,
    FeedbackRef, Judged, KeyId, Replaced, Seq, Source, Usage, Verdict,
};

pub use comparison::NewComparison;
pub(super) use comparison::accept as accept_comparison;
pub use episode::NewEpisode;
pub(super) use episode::accept as accept_episode;

/// The one metric that the learner learns from; only its reports move an arm's clock.
const LEARNED_METRIC: &str = "quality";

/// A report as it comes in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFeedback {
    /// On what.
    pub to: FeedbackRef,
    /// Whose key reports; `None` without keys: any decision may be reported on.
    pub by: Option<KeyId>,
    /// What it says.
    pub report: Report,
    /// How long after a decision reports on it are taken; `None`: for ever. The same again is always answered.
    pub within_ms: Option<i64>,
}

/// What a report says; the fields are those of [`Feedback`].
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which metric.
    pub name: String,
    /// In [0, 1].
    pub value: Option<f64>,
    /// The judgement; the caller has already turned it into a value.
    pub verdict: Option<Verdict>,
    /// Who reports.
    pub source: Source,
    /// The reporter's own weight in (0, 1].
    pub weight: f64,
    /// Free text.
    pub comment: Option<String>,
    /// The reporter's key against doubles.
    pub idempotency_key: Option<String>,
    /// Tokens of a call that the reporter made itself.
    pub usage: Option<Usage>,
    /// Cost of that call, USD.
    pub cost_usd: Option<f64>,
    /// Total time of that call, milliseconds.
    pub latency_ms: Option<f64>,
    /// Whether that call failed.
    pub error: Option<String>,
    /// Set by our own judge.
    pub judged: Option<Judged>,
}

impl Report {
    /// A plain quality report by a user with weight 1.
    pub fn quality(value: f64) -> Self {
        Self {
            name: LEARNED_METRIC.to_owned(),
            value: Some(value),
            verdict: None,
            source: Source::User,
            weight: 1.0,
            comment: None,
            idempotency_key: None,
            usage: None,
            cost_usd: None,
            latency_ms: None,
            error: None,
            judged: None,
        }
    }
}

/// What the log made of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// The first of its kind on this decision.
    New,
    /// It was there already; nothing was written.
    Again,
    /// It replaces an earlier one.
    Revised,
}

/// Proof that a report is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its id; the same again gives the same id.
    pub id: FeedbackId,
    /// Its place in the log.
    pub seq: Seq,
    /// The decision that it is on.
    pub decision: DecisionId,
    /// Whether it counts; always true for an accepted report.
    pub applied: bool,
    /// New, again, or a revision.
    pub kind: ReceiptKind,
}

impl Receipt {
    fn of(feedback: &Feedback, seq: Seq, kind: ReceiptKind) -> Self {
        Self { id: feedback.id, seq, decision: feedback.decision, applied: true, kind }
    }
}

/// An accepted report that is in the log.
type Logged = (Seq, Box<Feedback>);

/// What a report is to those before it.
enum Standing {
    /// It needs no writing: the same again, or refused.
    Settled(Result<Receipt, FeedbackRejected>),
    /// It replaces this one.
    Revises(Box<Feedback>),
    /// It is the first of its kind.
    New,
}

/// Takes `item` or refuses it; a refusal changes nothing.
pub(super) fn accept(
    log: &mut Log<'_>,
    item: NewFeedback,
) -> Result<Result<Receipt, FeedbackRejected>, StoreError> {
    let found =
        find(log.db(), &item.to, item.by.as_ref()).map_err(StoreError::doing("finding a decision"))?;
    let Some(found) = found else { return Ok(Err(FeedbackRejected::NotFound)) };
    let feedback = match draft(log, found.id, item.by, item.report).checked() {
        Ok(feedback) => feedback,
        Err(fault) => return Ok(Err(fault.into())),
    };
    let standing = standing(log, &feedback, current(log, &feedback)?)?;
    if let Standing::Settled(answer) = standing {
        return Ok(answer);
    }
    if found.is_closed(log, item.within_ms) {
        return Ok(Err(FeedbackRejected::Closed));
    }
    match standing {
        Standing::Revises(earlier) => revise(log, feedback, &earlier).map(Ok),
        _ => first(log, feedback, &found).map(Ok),
    }
}

/// The report as it would stand in the log, not yet credited.
fn draft(log: &Log<'_>, decision: DecisionId, by: Option<KeyId>, r: Report) -> Feedback {
    Feedback {
        id: FeedbackId::from_uuid(Uuid::now_v7()),
        at: log.now(),
        decision,
        name: r.name,
        value: r.value,
        verdict: r.verdict,
        source: r.source,
        weight: r.weight,
        comment: r.comment,
        idempotency_key: r.idempotency_key,
        usage: r.usage,
        cost_usd: r.cost_usd,
        latency_ms: r.latency_ms,
        error: r.error,
        key: by,
        arm: None,
        tick: 0,
        replaces: None,
        versus: None,
        episode: None,
        judged: r.judged,
        overlaps: Vec::new(),
    }
}

/// `holds` is the report of the same identity that holds now. The same again also binds its idempotency key.
fn standing(log: &Log<'_>, feedback: &Feedback, holds: Option<Logged>) -> Result<Standing, StoreError> {
    if let Some((seq, earlier)) = with_same_idempotency_key(log, feedback)? {
        return Ok(Standing::Settled(match earlier.same_report(feedback) {
            true => Ok(Receipt::of(&earlier, seq, ReceiptKind::Again)),
            false => Err(FeedbackRejected::Conflict),
        }));
    }
    match holds {
        Some((seq, earlier)) if earlier.same_report(feedback) => {
            remember_key(log, feedback, seq)?;
            Ok(Standing::Settled(Ok(Receipt::of(&earlier, seq, ReceiptKind::Again))))
        }
        Some((_, earlier)) => Ok(Standing::Revises(earlier)),
        None => Ok(Standing::New),
    }
}

/// A revision keeps arm and tick, so that the learner ends where it would be had only the last been sent.
fn revise(log: &mut Log<'_>, mut feedback: Feedback, earlier: &Feedback) -> Result<Receipt, StoreError> {
    take_back(&mut feedback, earlier);
    feedback.overlaps = pairing::counterparts(log, &feedback)?;
    write(log, feedback, ReceiptKind::Revised)
}

fn take_back(feedback: &mut Feedback, earlier: &Feedback) {
    feedback.arm = earlier.arm.clone();
    feedback.tick = earlier.tick;
    feedback.replaces = earlier.value.map(|value| Replaced { value, weight: earlier.weight });
}

fn first(log: &mut Log<'_>, mut feedback: Feedback, found: &Found) -> Result<Receipt, StoreError> {
    let (arm, learnable) = found.credit();
    if learnable && feedback.name == LEARNED_METRIC && feedback.value.is_some() {
        feedback.tick = next_tick(log, &found.arm)?;
    }
    feedback.arm = Some(arm);
    feedback.overlaps = pairing::counterparts(log, &feedback)?;
    if found.decision_only && found.completed_seq.is_none() && reports_a_call(&feedback) {
        let drawn = ArmId::new(found.arm.as_str());
        log.append(EventBody::Completed(Box::new(reported_call(&feedback, drawn))))?;
    }
    write(log, feedback, ReceiptKind::New)
}

impl Found {
    /// Who gets the credit, and whether anything can be learned from it: only the drawn arm's own answer to a prompt whose
    /// features are known. Before the call's end is logged nobody knows of a fallback: the drawn arm gets the credit.
    fn credit(&self) -> (ArmId, bool) {
        let answered = self.decision_only || self.completed_seq.is_none();
        let credited = if answered { Some(self.arm.as_str()) } else { self.served.as_deref() };
        let learnable = credited == Some(self.arm.as_str()) && self.has_context;
        (ArmId::new(credited.unwrap_or(&self.arm)), learnable)
    }

    /// Whether reports came to an end; a clock that went back closes nothing.
    fn is_closed(&self, log: &Log<'_>, within_ms: Option<i64>) -> bool {
        within_ms.is_some_and(|within| log.now().0.saturating_sub(self.decided_ms) > within)
    }
}

fn write(log: &mut Log<'_>, feedback: Feedback, kind: ReceiptKind) -> Result<Receipt, StoreError> {
    let seq = log.append(EventBody::Feedback(Box::new(feedback.clone())))?;
    let sql = "INSERT INTO reports (decision, name, source, rated, seq) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (decision, name, source, rated) DO UPDATE SET seq = excluded.seq";
    let (decision, source) = (feedback.decision.as_bytes(), feedback.source.as_str());
    log.db()
        .execute(sql, params![decision, &feedback.name, source, feedback.value.is_some(), seq.0])
        .map_err(StoreError::doing("indexing a report"))?;
    remember_key(log, &feedback, seq)?;
    Ok(Receipt::of(&feedback, seq, kind))
}

/// The report that holds now for the same decision, name and source.
fn current(log: &Log<'_>, feedback: &Feedback) -> Result<Option<Logged>, StoreError> {
    let sql = "SELECT seq FROM reports WHERE decision = ?1 AND name = ?2 AND source = ?3 AND rated = ?4";
    let (decision, source) = (feedback.decision.as_bytes(), feedback.source.as_str());
    let seq: Option<i64> = log
        .db()
        .first(sql, params![decision, &feedback.name, source, feedback.value.is_some()], |row| row.get(0))
        .map_err(StoreError::doing("finding a report"))?;
    seq.map(|seq| logged(log, seq)).transpose()
}

fn with_same_idempotency_key(log: &Log<'_>, feedback: &Feedback) -> Result<Option<Logged>, StoreError> {
    let Some(key) = &feedback.idempotency_key else { return Ok(None) };
    let sql = "SELECT seq FROM idempotency WHERE scope = ?1 AND key = ?2";
    let seq: Option<i64> = log
        .db()
        .first(sql, params![scope(feedback), key], |row| row.get(0))
        .map_err(StoreError::doing("finding an idempotency key"))?;
    seq.map(|seq| logged(log, seq)).transpose()
}

fn remember_key(log: &Log<'_>, feedback: &Feedback, seq: Seq) -> Result<(), StoreError> {
    let Some(key) = &feedback.idempotency_key else { return Ok(()) };
    let sql = "INSERT INTO idempotency (scope, key, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    log.db()
        .execute(sql, params![scope(feedback), key, seq.0])
        .map(drop)
        .map_err(StoreError::doing("keeping an idempotency key"))
}

fn scope(feedback: &Feedback) -> &str {
    feedback.key.as_ref().map_or("", |k| k.as_str())
}

fn logged(log: &Log<'_>, seq: i64) -> Result<Logged, StoreError> {
    let seq = Seq(from_sql_int(seq));
    match log.event(seq)?.body {
        EventBody::Feedback(feedback) => Ok((seq, feedback)),
        _ => Err(StoreError::Unreadable { seq, why: "a report was expected here".to_owned() }),
    }
}

fn next_tick(log: &Log<'_>, arm: &str) -> Result<u64, StoreError> {
    let sql = "INSERT INTO arm_ticks (arm, n) VALUES (?1, 1)
               ON CONFLICT (arm) DO UPDATE SET n = arm_ticks.n + 1 RETURNING n";
    log.db()
        .first(sql, params![arm], |row| row.get(0))
        .map(|n| n.map_or(0, from_sql_int))
        .map_err(StoreError::doing("counting a report"))
}

fn reports_a_call(feedback: &Feedback) -> bool {
    feedback.usage.is_some()
        || feedback.cost_usd.is_some()
        || feedback.latency_ms.is_some()
        || feedback.error.is_some()
}

/// The call that a `decision_only` caller made itself; `total_ms` 0 stands for "not told".
fn reported_call(feedback: &Feedback, arm: ArmId) -> Completed {
    let failed = feedback.error.is_some();
    let total_ms = feedback.latency_ms.unwrap_or(0.0);
    let end = if failed { AttemptEnd::ServerError } else { AttemptEnd::Answered };
    Completed {
        decision: feedback.decision,
        at: feedback.at,
        served: (!failed).then(|| arm.clone()),
        completion_id: None,
        end: CompletionEnd::Reported,
        usage: feedback.usage,
        cost_usd: feedback.cost_usd,
        first_token_ms: None,
        total_ms,
        finish_reason: None,
        attempts: vec![Attempt { arm, end, status: None, ms: total_ms, cost_usd: None }],
        kind: None,
        billing: None,
    }
}
