//! One open write transaction: appending to the log with the look-ups that belong to each kind of event.

use rusqlite::{Transaction, params};

use super::StoreError;
use super::rows::{event_columns, from_sql_int, read, sql_int, write};
use crate::domain::{Completed, Decision, Event, EventBody, Seq, UnixMs};

/// The log inside a transaction. Dropped without a commit it leaves no trace.
pub(super) struct Log<'c> {
    tx: Transaction<'c>,
    now: UnixMs,
    last: Option<Seq>,
    /// Set by jobs that change client keys, so that the snapshot is read anew.
    pub(super) keys_changed: bool,
    /// What a job found wrong with the disk or the file, though others may have gone through.
    fault: Option<StoreError>,
}

impl<'c> Log<'c> {
    pub(super) fn new(tx: Transaction<'c>, now: UnixMs) -> Self {
        Self { tx, now, last: None, keys_changed: false, fault: None }
    }

    /// The transaction, for look-ups.
    pub(super) fn tx(&self) -> &Transaction<'c> {
        &self.tx
    }

    /// The time of this transaction.
    pub(super) fn now(&self) -> UnixMs {
        self.now
    }

    /// The last event appended in this transaction.
    pub(super) fn last(&self) -> Option<Seq> {
        self.last
    }

    /// What a job found wrong with the disk or the file.
    pub(super) fn fault(&self) -> Option<StoreError> {
        self.fault.clone()
    }

    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().map_err(StoreError::sqlite("committing"))
    }

    /// Runs `work`, and takes back what it did when it fails; the others in the transaction are spared.
    ///
    /// # Errors
    /// When the transaction itself is lost (SQLite ends it on some faults of the disk).
    pub(super) fn undone_on_error<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        let before = (self.last, self.keys_changed);
        self.command("SAVEPOINT job")?;
        let result = work(self);
        let Err(error) = &result else {
            self.command("RELEASE job")?;
            return Ok(result);
        };
        if self.tx.is_autocommit() {
            return Err(error.clone());
        }
        (self.last, self.keys_changed) = before;
        if error.is_of_the_disk() {
            self.fault = Some(error.clone());
        }
        self.command("ROLLBACK TO job")?;
        self.command("RELEASE job")?;
        Ok(result)
    }

    fn command(&self, sql: &'static str) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(sql)
            .and_then(|mut command| command.execute([]))
            .map(drop)
            .map_err(StoreError::sqlite("keeping jobs apart"))
    }

    /// Appends `body` at the end of the log.
    pub(super) fn append(&mut self, body: &mut EventBody) -> Result<Seq, StoreError> {
        let written = write(body).map_err(|e| StoreError::Encode(e.into()))?;
        let fault = StoreError::sqlite("appending to the log");
        self.tx
            .prepare_cached(
                "INSERT INTO events (at_ms, kind, decision, body, schema, features) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    self.now.0,
                    written.kind,
                    written.decision.as_ref().map(|d| d.as_bytes()),
                    written.body,
                    written.schema.as_ref().map(|s| s.as_str()),
                    written.features,
                ])
            })
            .map_err(&fault)?;
        let seq = Seq(from_sql_int(self.tx.last_insert_rowid()));
        match body {
            EventBody::Decided(decision) => self.index_decision(decision, seq).map_err(&fault)?,
            EventBody::Completed(completed) => self.index_completion(completed, seq).map_err(&fault)?,
            EventBody::Feedback(_) | EventBody::Admin(_) => {}
        }
        self.last = Some(seq);
        Ok(seq)
    }

    /// An event that is in the log.
    pub(super) fn event(&self, seq: Seq) -> Result<Event, StoreError> {
        let row = self
            .tx
            .prepare_cached(concat!("SELECT ", event_columns!(), " FROM events e WHERE e.seq = ?1"))
            .and_then(|mut select| select.query_row([sql_int(seq.0)], read))
            .map_err(StoreError::sqlite("reading the log"))?;
        row.event.map_err(|why| StoreError::Unreadable { seq, why })
    }

    fn index_decision(&self, decision: &Decision, seq: Seq) -> rusqlite::Result<()> {
        let tags = (!decision.tags.is_empty()).then(|| serde_json::json!(decision.tags).to_string());
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO decisions (id, seq, key_id, session, arm, has_context, decision_only, route, user, tags)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                decision.id.as_bytes(),
                sql_int(seq.0),
                decision.key.as_ref().map(|k| k.as_str()),
                decision.session,
                decision.arm.as_str(),
                decision.context.is_some(),
                decision.decision_only,
                decision.route.as_str(),
                decision.user,
                tags,
            ])
            .map(drop)
    }

    fn index_completion(&self, completed: &Completed, seq: Seq) -> rusqlite::Result<()> {
        let (usage, billing) = (completed.usage, completed.billing.as_ref());
        self.tx
            .prepare_cached(
                "UPDATE decisions SET completed_seq = ?2, completion_id = ?3, served = ?4, ending = ?5, input_tokens = ?6,
                     output_tokens = ?7, cached_tokens = ?8, cache_write_tokens = ?9, reasoning_tokens = ?10, cost_usd = ?11,
                     basis = ?12, settled_usd = ?13, reserved_usd = ?14, prices = ?15
                 WHERE id = ?1 AND completed_seq IS NULL",
            )?
            .execute(params![
                completed.decision.as_bytes(),
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
            ])
            .map(drop)
    }
}
