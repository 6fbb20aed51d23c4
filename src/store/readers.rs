//! Reading the log: a few connections, and rows as domain values. Reads block; async callers hand them to a
//! blocking thread when they are more than one row.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::address::StoreAddress;
use super::db::{Db, Result as DbResult, Row, params};
use super::open::open_reader;
use super::postgres::Pool;
use super::rows::{ScannedRow, decision_id, event_columns, from_sql_int, read};
use super::{Store, StoreError};
use crate::domain::{
    Completed, Decision, DecisionId, Event, EventBody, Feedback, FeedbackRef, KeyId, Seq, UnixMs, hex,
};

/// Idle connections that are kept.
const IDLE: usize = 4;

/// Connections that read, opened as needed.
pub(super) enum Readers {
    Sqlite(Files),
    Postgres(Box<Pool>),
}

impl Readers {
    pub(super) fn new(address: StoreAddress, busy_timeout: Duration) -> Self {
        match address {
            StoreAddress::File(path) => {
                Self::Sqlite(Files { path, busy_timeout, idle: Mutex::new(Vec::new()) })
            }
            StoreAddress::Postgres(url) => Self::Postgres(Box::new(Pool::new(*url))),
        }
    }

    /// Lends a connection to `reading`, which is called again when the connection turns out to be lost.
    pub(super) fn with<T: Send>(
        &self,
        reading: impl Fn(Db<'_>) -> DbResult<T> + Sync,
    ) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(files) => files.with(reading),
            Self::Postgres(pool) => pool.with(reading),
        }
    }
}

/// Read-only connections to one file.
pub(super) struct Files {
    path: PathBuf,
    busy_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Files {
    fn with<T>(&self, reading: impl Fn(Db<'_>) -> DbResult<T>) -> Result<T, StoreError> {
        let lent = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match lent {
            Some(connection) => connection,
            None => open_reader(&self.path, self.busy_timeout)?,
        };
        let result = reading(Db::Sqlite(&connection)).map_err(StoreError::doing("reading"))?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
        Ok(result)
    }
}

/// All that the log knows of one decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The decision.
    pub decision: Decision,
    /// What became of it.
    pub completed: Option<Completed>,
    /// Reports on it in the order they came, revised ones included.
    pub feedback: Vec<Feedback>,
}

impl Store {
    /// At most `limit` rows after `after`, in order.
    ///
    /// # Errors
    /// When the database cannot be read; a single damaged row is told in its place instead.
    pub fn scan(&self, after: Seq, limit: usize) -> Result<Vec<ScannedRow>, StoreError> {
        let sql =
            concat!("SELECT ", event_columns!(), " FROM events e WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2");
        self.readers().with(|db| db.query(sql, params![after.0, limit as u64], read))
    }

    /// SHA-256 over an event's place, time and text, in hexadecimal: what a log is known by. `None`: it has no such event.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn fingerprint(&self, seq: Seq) -> Result<Option<String>, StoreError> {
        self.readers().with(|db| fingerprint(db, seq))
    }

    /// The event that logged this decision, when it stands before `before`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn decided(&self, id: DecisionId, before: Seq) -> Result<Option<ScannedRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            event_columns!(),
            " FROM decisions d JOIN events e ON e.seq = d.seq WHERE d.id = ?1 AND d.seq < ?2"
        );
        self.readers().with(|db| db.first(sql, params![id.as_bytes(), before.0], read))
    }

    /// All about one decision, by its id or its completion's. With `key`, another key's decision is not found; without,
    /// all are seen (an operator, or a server without keys).
    ///
    /// # Errors
    /// When the database or one of the rows cannot be read.
    pub fn record(&self, to: &FeedbackRef, key: Option<&KeyId>) -> Result<Option<Record>, StoreError> {
        let rows = self.readers().with(|db| {
            let Some(found) = find(db, to, key)? else { return Ok(Vec::new()) };
            let sql = concat!(
                "SELECT ",
                event_columns!(),
                " FROM decisions d JOIN events e ON e.seq IN (d.seq, d.completed_seq) WHERE d.id = ?1 UNION ALL SELECT ",
                event_columns!(),
                " FROM events e WHERE e.decision = ?1 AND e.kind = 'feedback' ORDER BY 1"
            );
            db.query(sql, params![found.id.as_bytes()], read)
        })?;
        assemble(rows)
    }

    /// The latest decisions of a session, newest first; `key` as in [`Self::record`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn session_decisions(
        &self,
        session: &str,
        key: Option<&KeyId>,
        limit: usize,
    ) -> Result<Vec<DecisionId>, StoreError> {
        self.readers().with(|db| session_decisions(db, session, key, limit as u64))
    }
}

/// See [`Store::session_decisions`].
pub(super) fn session_decisions(
    db: Db<'_>,
    session: &str,
    key: Option<&KeyId>,
    limit: u64,
) -> DbResult<Vec<DecisionId>> {
    let sql = "SELECT id FROM decisions
               WHERE session = ?1 AND (CAST(?2 AS TEXT) IS NULL OR key_id = ?2) ORDER BY seq DESC LIMIT ?3";
    db.query(sql, params![session, key.map(|k| k.as_str()), limit], |row| row.array(0).map(decision_id))
}

/// See [`Store::fingerprint`].
pub(super) fn fingerprint(db: Db<'_>, seq: Seq) -> DbResult<Option<String>> {
    let read = |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<String>(1)?));
    let found = db.first("SELECT at_ms, body FROM events WHERE seq = ?1", params![seq.0], read)?;
    Ok(found.map(|(at_ms, body)| {
        let hash = Sha256::new()
            .chain_update(seq.0.to_le_bytes())
            .chain_update(at_ms.to_le_bytes())
            .chain_update(body)
            .finalize();
        hex(&hash)
    }))
}

impl Store {
    /// What judges have cost since `from`, USD. Rows are found by halving the log, for it is in the order of time.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn judge_spend_usd(&self, from: UnixMs) -> Result<f64, StoreError> {
        let next = "SELECT at_ms FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1";
        let of_sqlite = "SELECT coalesce(sum(json_extract(body, '$.body.judged.cost_usd')), 0.0) FROM events
                         WHERE seq >= ?1 AND at_ms >= ?2 AND kind = 'feedback' AND body LIKE '%\"judged\":%'";
        // As JSON and not as text: that would refuse a body with an escaped U+0000 in some other field.
        let of_postgres = "SELECT coalesce(sum(CAST(CAST(CAST(body AS json) #> '{body,judged,cost_usd}' AS text) AS double precision)), 0.0)
                           FROM events WHERE seq >= ?1 AND at_ms >= ?2 AND kind = 'feedback' AND body LIKE '%\"judged\":%'";
        self.readers().with(|db| {
            let number = |row: &Row<'_>| row.get::<i64>(0);
            let end = db.first("SELECT coalesce(max(seq), 0) FROM events", &[], number)?.unwrap_or(0);
            let (mut low, mut high) = (0, end + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                let at = db.first(next, params![middle], number)?;
                if at.is_some_and(|at| at < from.0) { low = middle + 1 } else { high = middle }
            }
            let spent = db.first(db.pick(of_sqlite, of_postgres), params![low, from.0], |row| row.get(0))?;
            Ok(spent.unwrap_or(0.0))
        })
    }
}

fn assemble(rows: Vec<ScannedRow>) -> Result<Option<Record>, StoreError> {
    let (mut decision, mut completed, mut feedback) = (None, None, Vec::new());
    for ScannedRow { seq, event } in rows {
        let Event { body, .. } = event.map_err(|why| StoreError::Unreadable { seq, why })?;
        match body {
            EventBody::Decided(d) => decision = decision.or(Some(*d)),
            EventBody::Completed(c) => completed = completed.or(Some(*c)),
            EventBody::Feedback(f) => feedback.push(*f),
            EventBody::Admin(_) => {}
        }
    }
    Ok(decision.map(|decision| Record { decision, completed, feedback }))
}

/// What a report needs to know of its decision.
pub(super) struct Found {
    pub(super) id: DecisionId,
    pub(super) arm: String,
    pub(super) has_context: bool,
    pub(super) decision_only: bool,
    pub(super) completed_seq: Option<Seq>,
    pub(super) served: Option<String>,
    /// When it was logged, Unix milliseconds.
    pub(super) decided_ms: i64,
}

/// Finds a decision that this key may see; of several with one completion id the last.
pub(super) fn find(db: Db<'_>, to: &FeedbackRef, key: Option<&KeyId>) -> DbResult<Option<Found>> {
    let by_id = "SELECT d.id, d.arm, d.has_context, d.decision_only, d.completed_seq, d.served, e.at_ms
                 FROM decisions d JOIN events e ON e.seq = d.seq
                 WHERE d.id = ?1 AND (CAST(?2 AS TEXT) IS NULL OR key_id = ?2)";
    let by_completion =
        "SELECT d.id, d.arm, d.has_context, d.decision_only, d.completed_seq, d.served, e.at_ms
                         FROM decisions d JOIN events e ON e.seq = d.seq
                         WHERE completion_id = ?1 AND (CAST(?2 AS TEXT) IS NULL OR key_id = ?2)
                         ORDER BY completed_seq DESC LIMIT 1";
    let key = key.map(|k| k.as_str());
    let found = |row: &Row<'_>| {
        Ok(Found {
            id: decision_id(row.array(0)?),
            arm: row.get(1)?,
            has_context: row.flag(2)?,
            decision_only: row.flag(3)?,
            completed_seq: row.get::<Option<i64>>(4)?.map(|n| Seq(from_sql_int(n))),
            served: row.get(5)?,
            decided_ms: row.get(6)?,
        })
    };
    match to {
        FeedbackRef::Decision(id) => db.first(by_id, params![id.as_bytes(), key], found),
        FeedbackRef::Completion(id) => db.first(by_completion, params![id, key], found),
    }
}
