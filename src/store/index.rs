//! The row of each decision: what reports and the ledger need to find it, written in the transaction that logs the event.

use std::collections::{HashMap, HashSet};

use super::db::{Db, Param, Result};
use crate::domain::{Completed, Decision, DecisionId, EventBody, Seq};

/// The end of a call, and its place.
type End<'b> = (Seq, &'b Completed);

/// Most requests begin and end within one transaction: then the row is written once, whole. The first of two with one id counts.
pub(super) fn write(db: Db<'_>, run: &[(Seq, &EventBody)]) -> Result<()> {
    let mut ends: HashMap<DecisionId, End<'_>> = HashMap::new();
    for (seq, body) in run {
        if let EventBody::Completed(completed) = body {
            ends.entry(completed.decision).or_insert((*seq, completed));
        }
    }
    let mut rows = Vec::new();
    let mut begun = HashSet::new();
    for (seq, body) in run {
        match body {
            EventBody::Decided(decision) if begun.insert(decision.id) => {
                let end = ends.get(&decision.id).filter(|(ended, _)| ended > seq).copied();
                rows.push((&**decision, *seq, end));
            }
            _ => {}
        }
    }
    insert(db, &rows, &mut ends)?;
    complete(db, run, &ends)
}

/// Those whose row was written leave `ends`: an end is in the row, or came before it and found none.
fn insert(
    db: Db<'_>,
    rows: &[(&Decision, Seq, Option<End<'_>>)],
    ends: &mut HashMap<DecisionId, End<'_>>,
) -> Result<()> {
    let sql = "INSERT INTO decisions (completed_seq, completion_id, served, ending, input_tokens, output_tokens,
             cached_tokens, cache_write_tokens, reasoning_tokens, cost_usd, basis, settled_usd, reserved_usd, prices,
             id, seq, key_id, session, arm, has_context, decision_only, route, \"user\", tags)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)
         ON CONFLICT DO NOTHING";
    let tags = |decision: &Decision| {
        (!decision.tags.is_empty()).then(|| serde_json::json!(decision.tags).to_string())
    };
    let tags: Vec<Option<String>> = rows.iter().map(|(decision, ..)| tags(decision)).collect();
    let bound = rows.iter().zip(&tags).map(|((decision, seq, end), tags)| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = end.map_or([Param::Null; 14], end_columns);
        let own: [Param<'_>; 10] = [
            decision.id.as_bytes().into(),
            seq.0.into(),
            decision.key.as_ref().map(|k| k.as_str()).into(),
            decision.session.as_deref().into(),
            decision.arm.as_str().into(),
            decision.context.is_some().into(),
            decision.decision_only.into(),
            decision.route.as_str().into(),
            decision.user.as_deref().into(),
            tags.as_ref().into(),
        ];
        let [o, p, q, r, s, t, u, v, w, x] = own;
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x]
    });
    let written = db.execute_all(sql, bound)?;
    for ((decision, ..), written) in rows.iter().zip(written) {
        if written > 0 {
            ends.remove(&decision.id);
        }
    }
    Ok(())
}

/// Ends of calls that began in an earlier transaction.
fn complete(db: Db<'_>, run: &[(Seq, &EventBody)], ends: &HashMap<DecisionId, End<'_>>) -> Result<()> {
    let sql = "UPDATE decisions SET completed_seq = ?1, completion_id = ?2, served = ?3, ending = ?4, input_tokens = ?5,
             output_tokens = ?6, cached_tokens = ?7, cache_write_tokens = ?8, reasoning_tokens = ?9, cost_usd = ?10,
             basis = ?11, settled_usd = ?12, reserved_usd = ?13, prices = ?14
         WHERE id = ?15 AND completed_seq IS NULL";
    let left = run.iter().filter_map(|(seq, body)| match body {
        EventBody::Completed(completed) => {
            ends.get(&completed.decision).filter(|(ended, _)| ended == seq).copied()
        }
        _ => None,
    });
    let left: Vec<_> = left.collect();
    let bound = left.into_iter().map(|end| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = end_columns(end);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, end.1.decision.as_bytes().into()]
    });
    db.execute_all(sql, bound).map(drop)
}

/// The first fourteen parameters of both.
fn end_columns<'b>((seq, completed): End<'b>) -> [Param<'b>; 14] {
    let (usage, billing) = (completed.usage, completed.billing.as_ref());
    [
        seq.0.into(),
        completed.completion_id.as_ref().into(),
        completed.served.as_ref().map(|a| a.as_str()).into(),
        completed.end.as_str().into(),
        usage.map(|u| u.input_tokens).into(),
        usage.map(|u| u.output_tokens).into(),
        usage.map(|u| u.cached_tokens).into(),
        usage.map(|u| u.cache_write_tokens).into(),
        usage.map(|u| u.reasoning_tokens).into(),
        completed.cost_usd.into(),
        billing.and_then(|b| b.basis).map(|b| b.as_str()).into(),
        billing.map(|b| b.settled_usd).into(),
        billing.and_then(|b| b.reserved_usd).into(),
        billing.map(|b| &*b.prices).into(),
    ]
}
