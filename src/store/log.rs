//! One open write transaction: appending to the log with the look-ups that belong to each kind of event.

use rusqlite::Transaction;

use super::db::{Db, Param, params};
use super::postgres::{PostgresTransaction, is_of_epoch};
use super::rows::{ScannedRow, Written, event_columns, from_sql_int, read, sql_int, write};
use super::{StoreError, index};
use crate::domain::{Event, EventBody, Seq, UnixMs};

/// A write transaction of either database. Dropped without a commit it leaves no trace.
pub(super) enum Tx<'c> {
    Sqlite(Transaction<'c>),
    Postgres(PostgresTransaction<'c>),
}

impl<'c> From<Transaction<'c>> for Tx<'c> {
    fn from(tx: Transaction<'c>) -> Self {
        Self::Sqlite(tx)
    }
}

/// The log inside a transaction. Dropped without a commit it leaves no trace.
pub(super) struct Log<'c> {
    tx: Tx<'c>,
    now: UnixMs,
    last: Option<Seq>,
    /// Set by jobs that change client keys, so that the snapshot is read anew.
    pub(super) keys_changed: bool,
    /// What a job found wrong with the disk or the file, though others may have gone through.
    fault: Option<StoreError>,
    told: Vec<ScannedRow>,
}

impl<'c> Log<'c> {
    pub(super) fn new(tx: impl Into<Tx<'c>>, now: UnixMs) -> Self {
        Self { tx: tx.into(), now, last: None, keys_changed: false, fault: None, told: Vec::new() }
    }

    /// The connection inside of the transaction.
    pub(super) fn db(&self) -> Db<'_> {
        match &self.tx {
            Tx::Sqlite(tx) => Db::Sqlite(tx),
            Tx::Postgres(tx) => Db::Postgres(tx.session()),
        }
    }

    /// Goes on only where this process leads, in the epoch that it thinks it does: whoever took over since is not written over.
    ///
    /// # Errors
    /// [`StoreError::NotLeading`].
    pub(super) fn lead(&self, epoch: u64) -> Result<(), StoreError> {
        let leads = match &self.tx {
            Tx::Sqlite(_) => Ok(true),
            Tx::Postgres(tx) => is_of_epoch(tx.session(), epoch),
        };
        match leads.map_err(StoreError::doing("seeing who leads"))? {
            true => Ok(()),
            false => Err(StoreError::NotLeading),
        }
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
        let committed = match self.tx {
            Tx::Sqlite(tx) => tx.commit().map_err(Into::into),
            Tx::Postgres(tx) => {
                let last = self.last.map_or(tx.end(), |last| sql_int(last.0));
                tx.commit(last)
            }
        };
        committed.map_err(StoreError::doing("committing"))
    }

    /// Runs `work`, and takes back what it did when it fails; the others in the transaction are spared.
    ///
    /// # Errors
    /// When the transaction itself is lost (SQLite ends it on some faults of the disk, Postgres with the connection).
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
        if self.is_lost() {
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

    fn is_lost(&self) -> bool {
        match &self.tx {
            Tx::Sqlite(tx) => tx.is_autocommit(),
            Tx::Postgres(tx) => tx.session().is_broken(),
        }
    }

    fn command(&self, sql: &'static str) -> Result<(), StoreError> {
        self.db().execute(sql, &[]).map(drop).map_err(StoreError::doing("keeping jobs apart"))
    }

    /// Appends `body` at the end of the log.
    pub(super) fn append(&mut self, mut body: EventBody) -> Result<Seq, StoreError> {
        let seq = self.insert(std::slice::from_ref(&write(&mut body).map_err(encode)?))?;
        let seq = seq.last().copied().unwrap_or_default();
        self.index_run(&[(seq, &body)])?;
        self.told.push(ScannedRow { seq, event: Ok(Event { seq, at: self.now, body }) });
        Ok(seq)
    }

    /// Appends those that came together, which is less work for each; they are told by the caller, who has them.
    pub(super) fn append_run<'b>(
        &mut self,
        bodies: impl Iterator<Item = &'b mut EventBody>,
    ) -> Result<Vec<Seq>, StoreError> {
        let mut run = Vec::new();
        let mut written = Vec::new();
        for body in bodies {
            written.push(write(body).map_err(encode)?);
            run.push(&*body);
        }
        let places = self.insert(&written)?;
        let run: Vec<(Seq, &EventBody)> = places.iter().copied().zip(run).collect();
        self.index_run(&run)?;
        Ok(places)
    }

    /// What was appended one by one, in order.
    pub(super) fn take_told(&mut self) -> Vec<ScannedRow> {
        std::mem::take(&mut self.told)
    }

    fn insert(&mut self, written: &[Written]) -> Result<Vec<Seq>, StoreError> {
        let places = match &self.tx {
            Tx::Sqlite(tx) => {
                let sql = "INSERT INTO events (at_ms, kind, decision, body, schema, features) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let place = |row: &Written| {
                    Db::Sqlite(tx).execute(sql, &columns(self.now, row))?;
                    Ok(Seq(from_sql_int(tx.last_insert_rowid())))
                };
                written.iter().map(place).collect()
            }
            Tx::Postgres(tx) => {
                let sql = "INSERT INTO events (at_ms, kind, decision, body, schema, features, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let first = self.last.map_or(from_sql_int(tx.end()), |last| last.0) + 1;
                let places: Vec<Seq> = (first..).map(Seq).take(written.len()).collect();
                let rows = written.iter().zip(&places).map(|(row, seq)| {
                    let [a, b, c, d, e, f] = columns(self.now, row);
                    [a, b, c, d, e, f, seq.0.into()]
                });
                Db::Postgres(tx.session()).execute_all(sql, rows).map(|_| places)
            }
        };
        let places = places.map_err(StoreError::doing("appending to the log"))?;
        self.last = places.last().copied().or(self.last);
        Ok(places)
    }

    fn index_run(&self, run: &[(Seq, &EventBody)]) -> Result<(), StoreError> {
        index::write(self.db(), run).map_err(StoreError::doing("indexing the log"))
    }

    /// An event that is in the log.
    pub(super) fn event(&self, seq: Seq) -> Result<Event, StoreError> {
        let sql = concat!("SELECT ", event_columns!(), " FROM events e WHERE e.seq = ?1");
        let row = self.db().first(sql, params![seq.0], read).map_err(StoreError::doing("reading the log"))?;
        let row = row.ok_or_else(|| StoreError::Unreadable { seq, why: "there is none".to_owned() })?;
        row.event.map_err(|why| StoreError::Unreadable { seq, why })
    }
}

fn encode(error: serde_json::Error) -> StoreError {
    StoreError::Encode(error.into())
}

fn columns(now: UnixMs, row: &Written) -> [Param<'_>; 6] {
    [
        now.0.into(),
        row.kind.into(),
        row.decision.as_ref().map(|d| d.as_bytes()).into(),
        (&row.body).into(),
        row.schema.as_ref().map(|s| s.as_str()).into(),
        row.features.as_ref().into(),
    ]
}
