//! Accepting a comparison or a tie: two decisions of the same key, whichever order they are named in.

use super::super::db::params;
use super::super::log::Log;
use super::super::readers::{Found, find};
use super::super::{FeedbackRejected, StoreError};
use super::{
    LEARNED_METRIC, Logged, Receipt, ReceiptKind, Report, Standing, draft, logged, next_tick, remember_key,
    standing, take_back,
};
use crate::domain::{EventBody, Feedback, FeedbackError, FeedbackRef, KeyId, Versus};

/// A comparison as it comes in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewComparison {
    /// One decision,
    pub one: FeedbackRef,
    /// the other,
    pub other: FeedbackRef,
    /// and the score of `one`: 1 it is preferred, 0 the other is, 0.5 a tie.
    pub score: f64,
    /// As in [`super::NewFeedback`].
    pub by: Option<KeyId>,
    /// Name, source, weight, comment and idempotency key.
    pub report: Report,
    /// As in [`super::NewFeedback`].
    pub within_ms: Option<i64>,
}

/// Takes `item` or refuses it; a refusal changes nothing.
pub(in crate::store) fn accept(
    log: &mut Log<'_>,
    item: NewComparison,
) -> Result<Result<Receipt, FeedbackRejected>, StoreError> {
    let look = |to| find(log.db(), to, item.by.as_ref()).map_err(StoreError::doing("finding a decision"));
    let (Some(one), Some(other)) = (look(&item.one)?, look(&item.other)?) else {
        return Ok(Err(FeedbackRejected::NotFound));
    };
    if one.id == other.id {
        let fault = FeedbackError { field: "loser", must: "another decision than the first" };
        return Ok(Err(fault.into()));
    }
    // The lower id comes first, so that a comparison has one identity whichever way it is told.
    let (first, second, score) =
        if one.id < other.id { (one, other, item.score) } else { (other, one, 1.0 - item.score) };
    let report = Report { value: Some(score), ..item.report };
    let mut feedback = draft(log, first.id, item.by, report);
    feedback.versus = Some(Versus { decision: second.id, arm: None, tick: 0 });
    let feedback = match feedback.checked() {
        Ok(feedback) => feedback,
        Err(fault) => return Ok(Err(fault.into())),
    };
    let standing = standing(log, &feedback, current(log, &feedback, &second)?)?;
    if let Standing::Settled(answer) = standing {
        return Ok(answer);
    }
    if first.is_closed(log, item.within_ms) || second.is_closed(log, item.within_ms) {
        return Ok(Err(FeedbackRejected::Closed));
    }
    match standing {
        Standing::Revises(earlier) => revised(log, feedback, &earlier).map(Ok),
        _ => fresh(log, feedback, (&first, &second)).map(Ok),
    }
}

fn revised(log: &mut Log<'_>, mut feedback: Feedback, earlier: &Feedback) -> Result<Receipt, StoreError> {
    take_back(&mut feedback, earlier);
    feedback.versus.clone_from(&earlier.versus);
    write(log, feedback, ReceiptKind::Revised)
}

/// Both sides are numbered when both can be learned from; one arm's two answers say nothing of arms.
fn fresh(
    log: &mut Log<'_>,
    mut feedback: Feedback,
    (first, second): (&Found, &Found),
) -> Result<Receipt, StoreError> {
    let ((one, one_learns), (other, other_learns)) = (first.credit(), second.credit());
    let mut versus = Versus { decision: second.id, arm: None, tick: 0 };
    if one_learns && other_learns && one != other && feedback.name == LEARNED_METRIC {
        feedback.tick = next_tick(log, one.as_str())?;
        versus.tick = next_tick(log, other.as_str())?;
    }
    feedback.arm = Some(one);
    versus.arm = Some(other);
    feedback.versus = Some(versus);
    write(log, feedback, ReceiptKind::New)
}

fn write(log: &mut Log<'_>, feedback: Feedback, kind: ReceiptKind) -> Result<Receipt, StoreError> {
    let seq = log.append(EventBody::Feedback(Box::new(feedback.clone())))?;
    let second = feedback.versus.as_ref().map(|v| *v.decision.as_bytes());
    let sql = "INSERT INTO comparisons (first, second, name, source, seq) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (first, second, name, source) DO UPDATE SET seq = excluded.seq";
    let (first, source) = (feedback.decision.as_bytes(), feedback.source.as_str());
    log.db()
        .execute(sql, params![first, second.as_ref(), &feedback.name, source, seq.0])
        .map_err(StoreError::doing("indexing a comparison"))?;
    remember_key(log, &feedback, seq)?;
    Ok(Receipt::of(&feedback, seq, kind))
}

fn current(log: &Log<'_>, feedback: &Feedback, second: &Found) -> Result<Option<Logged>, StoreError> {
    let sql = "SELECT seq FROM comparisons WHERE first = ?1 AND second = ?2 AND name = ?3 AND source = ?4";
    let (first, source) = (feedback.decision.as_bytes(), feedback.source.as_str());
    let seq: Option<i64> = log
        .db()
        .first(sql, params![first, second.id.as_bytes(), &feedback.name, source], |row| row.get(0))
        .map_err(StoreError::doing("finding a comparison"))?;
    seq.map(|seq| logged(log, seq)).transpose()
}
