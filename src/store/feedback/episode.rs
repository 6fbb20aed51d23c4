//! Accepting the rating of a whole session: its weight is spread evenly over the session's decisions.

use super::super::db::params;
use super::super::log::Log;
use super::super::readers::{find, session_decisions};
use super::super::rows::{from_sql_int, sql_int};
use super::super::{FeedbackRejected, StoreError};
use super::{
    LEARNED_METRIC, Logged, Receipt, ReceiptKind, Report, Standing, draft, logged, next_tick, remember_key,
    scope, standing, take_back,
};
use crate::domain::{DecisionId, Episode, EventBody, Feedback, FeedbackRef, KeyId, Seq};

/// Decisions of a session that are credited; of a longer one the latest.
pub(in crate::store) const MOST_STEPS: u32 = 32;

/// The rating of a session as it comes in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEpisode {
    /// Which conversation.
    pub session: String,
    /// As in [`super::NewFeedback`].
    pub by: Option<KeyId>,
    /// What it says; its weight is that of the whole.
    pub report: Report,
    /// As in [`super::NewFeedback`], counted from the latest decision.
    pub within_ms: Option<i64>,
}

/// Takes `item` or refuses it; a refusal changes nothing.
pub(in crate::store) fn accept(
    log: &mut Log<'_>,
    item: NewEpisode,
) -> Result<Result<Receipt, FeedbackRejected>, StoreError> {
    let decisions = session(log, &item)?;
    let Some(latest) = decisions.last().copied() else { return Ok(Err(FeedbackRejected::NotFound)) };
    let mut whole = draft(log, decisions[0], item.by.clone(), item.report.clone());
    if let Err(fault) = whole.clone().checked() {
        return Ok(Err(fault.into()));
    }
    let holds = current(log, &whole, &item.session)?;
    // The weights of an episode are those of its first report, though the session may have grown since.
    let steps = holds.as_ref().map_or(decisions.len(), Vec::len);
    let steps = u32::try_from(steps).unwrap_or(MOST_STEPS).max(1);
    whole.weight = item.report.weight / f64::from(steps);
    whole.episode = Some(Episode { session: item.session.clone(), steps });
    let head = holds.as_ref().and_then(|steps| steps.first().cloned());
    if let Standing::Settled(answer) = standing(log, &whole, head)? {
        return Ok(answer);
    }
    let found = find(log.db(), &FeedbackRef::Decision(latest), item.by.as_ref());
    let found = found.map_err(StoreError::doing("finding a decision"))?;
    if found.is_some_and(|f| f.is_closed(log, item.within_ms)) {
        return Ok(Err(FeedbackRejected::Closed));
    }
    match holds {
        Some(earlier) => revised(log, &whole, &earlier).map(Ok),
        None => fresh(log, &whole, &decisions).map(Ok),
    }
}

fn revised(log: &mut Log<'_>, whole: &Feedback, earlier: &[Logged]) -> Result<Receipt, StoreError> {
    let mut steps = Vec::with_capacity(earlier.len());
    for (_, old) in earlier {
        let mut step = Feedback { decision: old.decision, ..whole.clone() };
        take_back(&mut step, old);
        steps.push(step);
    }
    write(log, steps, ReceiptKind::Revised)
}

fn fresh(log: &mut Log<'_>, whole: &Feedback, decisions: &[DecisionId]) -> Result<Receipt, StoreError> {
    let mut steps = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let mut step = Feedback { decision: *decision, ..whole.clone() };
        let found = find(log.db(), &FeedbackRef::Decision(*decision), None)
            .map_err(StoreError::doing("finding a decision"))?;
        if let Some((arm, learnable)) = found.map(|f| f.credit()) {
            if learnable && step.name == LEARNED_METRIC && step.value.is_some() {
                step.tick = next_tick(log, arm.as_str())?;
            }
            step.arm = Some(arm);
        }
        steps.push(step);
    }
    write(log, steps, ReceiptKind::New)
}

/// One row for each step, one after the other; the receipt is that of the first.
fn write(log: &mut Log<'_>, steps: Vec<Feedback>, kind: ReceiptKind) -> Result<Receipt, StoreError> {
    let count = steps.len();
    let mut head: Option<(Seq, Feedback)> = None;
    for step in steps {
        let seq = log.append(EventBody::Feedback(Box::new(step.clone())))?;
        head.get_or_insert((seq, step));
    }
    let Some((seq, first)) = head else { return Err(StoreError::Closed) };
    let sql = "INSERT INTO episodes (scope, session, name, source, seq, steps) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (scope, session, name, source) DO UPDATE SET seq = excluded.seq, steps = excluded.steps";
    let session = first.episode.as_ref().map(|e| e.session.as_str());
    let (name, source) = (first.name.as_str(), first.source.as_str());
    log.db()
        .execute(sql, params![scope(&first), session, name, source, seq.0, count as u64])
        .map_err(StoreError::doing("indexing an episode"))?;
    remember_key(log, &first, seq)?;
    Ok(Receipt::of(&first, seq, kind))
}

/// The steps of the report that holds now for the same session, name and source.
fn current(log: &Log<'_>, whole: &Feedback, session: &str) -> Result<Option<Vec<Logged>>, StoreError> {
    let sql =
        "SELECT seq, steps FROM episodes WHERE scope = ?1 AND session = ?2 AND name = ?3 AND source = ?4";
    let bound = params![scope(whole), session, &whole.name, whole.source.as_str()];
    let held: Option<(i64, i64)> = log
        .db()
        .first(sql, bound, |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(StoreError::doing("finding an episode"))?;
    let Some((seq, steps)) = held else { return Ok(None) };
    let rows = from_sql_int(seq)..from_sql_int(seq) + from_sql_int(steps);
    rows.map(|seq| logged(log, sql_int(seq))).collect::<Result<Vec<_>, _>>().map(Some)
}

/// The session's latest decisions, oldest first.
fn session(log: &Log<'_>, item: &NewEpisode) -> Result<Vec<DecisionId>, StoreError> {
    let mut decisions = session_decisions(log.db(), &item.session, item.by.as_ref(), MOST_STEPS.into())
        .map_err(StoreError::doing("finding a session"))?;
    decisions.reverse();
    Ok(decisions)
}
