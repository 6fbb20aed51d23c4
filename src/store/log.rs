//! One open write transaction: appending to the log with the look-ups that belong to each kind of event.

use rusqlite::{Transaction, params};

use super::rows::{ScannedRow, event_columns, from_sql_int, read, sql_int, write};
use super::{StoreError, index};
use crate::domain::{Event, EventBody, Seq, UnixMs};

/// The log inside a transaction. Dropped without a commit it leaves no trace.
pub(super) struct Log<'c> {
    tx: Transaction<'c>,
    now: UnixMs,
    last: Option<Seq>,
    /// Set by jobs that change client keys, so that the snapshot is read anew.
    pub(super) keys_changed: bool,
    /// What a job found wrong with the disk or the file, though others may have gone through.
    fault: Option<StoreError>,
    told: Vec<ScannedRow>,
}

impl<'c> Log<'c> {
    pub(super) fn new(tx: Transaction<'c>, now: UnixMs) -> Self {
        Self { tx, now, last: None, keys_changed: false, fault: None, told: Vec::new() }
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
        let before = (self.last, self.keys_changed, self.told.len());
        self.command("SAVEPOINT job")?;
        let result = work(self);
        let Err(error) = &result else {
            self.command("RELEASE job")?;
            return Ok(result);
        };
        if self.tx.is_autocommit() {
            return Err(error.clone());
        }
        (self.last, self.keys_changed) = (before.0, before.1);
        self.told.truncate(before.2);
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
    pub(super) fn append(&mut self, mut body: EventBody) -> Result<Seq, StoreError> {
        let seq = self.insert(&mut body)?;
        self.index_run(&[(seq, &body)])?;
        self.told.push(ScannedRow { seq, event: Ok(Event { seq, at: self.now, body }) });
        Ok(seq)
    }

    /// Appends those that came together, which is less work for each; they are told by the caller, who has them.
    pub(super) fn append_run<'b>(
        &mut self,
        bodies: impl Iterator<Item = &'b mut EventBody>,
    ) -> Result<Vec<Seq>, StoreError> {
        let run: Vec<(Seq, &EventBody)> =
            bodies.map(|body| self.insert(body).map(|seq| (seq, &*body))).collect::<Result<_, _>>()?;
        self.index_run(&run)?;
        Ok(run.iter().map(|(seq, _)| *seq).collect())
    }

    /// What was appended one by one, in order.
    pub(super) fn take_told(&mut self) -> Vec<ScannedRow> {
        std::mem::take(&mut self.told)
    }

    fn insert(&mut self, body: &mut EventBody) -> Result<Seq, StoreError> {
        let written = write(body).map_err(|e| StoreError::Encode(e.into()))?;
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
            .map_err(StoreError::sqlite("appending to the log"))?;
        let seq = Seq(from_sql_int(self.tx.last_insert_rowid()));
        self.last = Some(seq);
        Ok(seq)
    }

    fn index_run(&self, run: &[(Seq, &EventBody)]) -> Result<(), StoreError> {
        index::write(&self.tx, run).map_err(StoreError::sqlite("indexing the log"))
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
}
