//! The row of each decision: what reports and the ledger need to find it, written in the transaction that logs the event.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, Result, params};

use super::rows::sql_int;
use crate::domain::{Completed, Decision, DecisionId, EventBody, Seq};

/// Most requests begin and end within one transaction: then the row is written once, whole.
pub(super) fn write(tx: &Connection, run: &[(Seq, &EventBody)]) -> Result<()> {
    let mut ends: HashMap<DecisionId, (Seq, &Completed)> = HashMap::new();
    for (seq, body) in run {
        if let EventBody::Completed(completed) = body {
            ends.entry(completed.decision).or_insert((*seq, completed));
        }
    }
    for (seq, body) in run {
        match body {
            EventBody::Decided(decision) => {
                let end = ends.get(&decision.id).filter(|(ended, _)| ended > seq).copied();
                if insert(tx, decision, *seq, end)? {
                    ends.remove(&decision.id);
                }
            }
            EventBody::Completed(completed) => {
                if let Some((ended, completed)) = ends.remove(&completed.decision) {
                    complete(tx, completed, ended)?;
                }
            }
            EventBody::Feedback(_) | EventBody::Admin(_) => {}
        }
    }
    Ok(())
}

/// Whether there was no such row; the first of two with one id counts.
fn insert(tx: &Connection, decision: &Decision, seq: Seq, end: Option<(Seq, &Completed)>) -> Result<bool> {
    let tags = (!decision.tags.is_empty()).then(|| serde_json::json!(decision.tags).to_string());
    let mut row = tx.prepare_cached(
        "INSERT OR IGNORE INTO decisions (completed_seq, completion_id, served, ending, input_tokens, output_tokens,
             cached_tokens, cache_write_tokens, reasoning_tokens, cost_usd, basis, settled_usd, reserved_usd, prices,
             id, seq, key_id, session, arm, has_context, decision_only, route, user, tags)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)",
    )?;
    if let Some((ended, completed)) = end {
        bind_end(&mut row, ended, completed)?;
    }
    row.raw_bind_parameter(15, decision.id.as_bytes())?;
    row.raw_bind_parameter(16, sql_int(seq.0))?;
    row.raw_bind_parameter(17, decision.key.as_ref().map(|k| k.as_str()))?;
    row.raw_bind_parameter(18, decision.session.as_deref())?;
    row.raw_bind_parameter(19, decision.arm.as_str())?;
    row.raw_bind_parameter(20, decision.context.is_some())?;
    row.raw_bind_parameter(21, decision.decision_only)?;
    row.raw_bind_parameter(22, decision.route.as_str())?;
    row.raw_bind_parameter(23, decision.user.as_deref())?;
    row.raw_bind_parameter(24, tags)?;
    Ok(row.raw_execute()? > 0)
}

fn complete(tx: &Connection, completed: &Completed, seq: Seq) -> Result<()> {
    let mut row = tx.prepare_cached(
        "UPDATE decisions SET completed_seq = ?1, completion_id = ?2, served = ?3, ending = ?4, input_tokens = ?5,
             output_tokens = ?6, cached_tokens = ?7, cache_write_tokens = ?8, reasoning_tokens = ?9, cost_usd = ?10,
             basis = ?11, settled_usd = ?12, reserved_usd = ?13, prices = ?14
         WHERE id = ?15 AND completed_seq IS NULL",
    )?;
    bind_end(&mut row, seq, completed)?;
    row.raw_bind_parameter(15, completed.decision.as_bytes())?;
    row.raw_execute().map(drop)
}

/// The first fourteen parameters.
fn bind_end(row: &mut CachedStatement<'_>, seq: Seq, completed: &Completed) -> Result<()> {
    let (usage, billing) = (completed.usage, completed.billing.as_ref());
    let end = params![
        sql_int(seq.0),
        completed.completion_id,
        completed.served.as_ref().map(|a| a.as_str()),
        completed.end.as_str(),
        usage.map(|u| u.input_tokens),
        usage.map(|u| u.output_tokens),
        usage.map(|u| u.cached_tokens),
        usage.map(|u| u.cache_write_tokens),
        usage.map(|u| u.reasoning_tokens),
        completed.cost_usd,
        billing.and_then(|b| b.basis).map(|b| b.as_str()),
        billing.map(|b| b.settled_usd),
        billing.and_then(|b| b.reserved_usd),
        billing.map(|b| &*b.prices),
    ];
    for (column, value) in (1..).zip(end) {
        row.raw_bind_parameter(column, value)?;
    }
    Ok(())
}
