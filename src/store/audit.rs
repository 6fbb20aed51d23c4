//! Who changed what: one row for each order of an operator.

use serde::Serialize;

use super::db::{Result as DbResult, Row, params};
use super::log::Log;
use super::{Store, StoreError};
use crate::domain::UnixMs;

/// Longest text of an entry that comes from outside, characters.
const LONGEST: usize = 200;

/// A row to be written.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    who: String,
    what: &'static str,
    subject: String,
    detail: Option<String>,
}

impl Entry {
    pub(super) fn new(who: String, what: &'static str, subject: &str) -> Self {
        let subject = subject.chars().take(LONGEST).collect();
        Self { who, what, subject, detail: None }
    }

    /// With what holds since.
    pub(super) fn with(mut self, detail: &impl Serialize) -> Result<Self, StoreError> {
        let text = serde_json::to_string(detail).map_err(|e| StoreError::Encode(e.into()))?;
        self.detail = Some(text);
        Ok(self)
    }

    pub(super) fn write(self, log: &Log<'_>) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit (at_ms, who, what, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
        let bound = params![log.now().0, &self.who, self.what, &self.subject, self.detail.as_ref()];
        log.db().execute(sql, bound).map(drop).map_err(StoreError::doing("writing the audit table"))
    }
}

/// One row of the audit table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditRow {
    /// Its number; later rows have higher ones.
    pub id: i64,
    /// When.
    pub at_ms: UnixMs,
    /// Id of an admin key, `cli`, or `loopback` where there are no keys.
    pub who: String,
    /// For example `key_created`.
    pub what: String,
    /// What it was done to.
    pub subject: String,
    /// What holds since, as JSON.
    pub detail: Option<serde_json::Value>,
}

impl Store {
    /// Notes what an operator did; answers after the commit.
    ///
    /// # Errors
    /// When it is not on disk.
    pub async fn note_order(
        &self,
        who: impl Into<String>,
        what: &'static str,
        subject: &str,
    ) -> Result<(), StoreError> {
        let entry = Entry::new(who.into(), what, subject);
        self.perform(move |log| entry.write(log)).await
    }

    /// As [`Self::note_order`], for threads outside the async runtime.
    ///
    /// # Errors
    /// When it is not on disk.
    pub fn note_order_blocking(
        &self,
        who: &str,
        what: &'static str,
        subject: &str,
    ) -> Result<(), StoreError> {
        let entry = Entry::new(who.to_owned(), what, subject);
        self.perform_blocking(move |log| entry.write(log))
    }

    /// At most `limit` rows before the one of the number `before` (`None`: the newest), newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn audit(&self, before: Option<i64>, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let sql =
            "SELECT id, at_ms, who, what, subject, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        self.readers().with(|db| db.query(sql, params![before.unwrap_or(i64::MAX), limit as u64], read))
    }
}

fn read(row: &Row<'_>) -> DbResult<AuditRow> {
    let detail: Option<String> = row.get(5)?;
    Ok(AuditRow {
        id: row.get(0)?,
        at_ms: UnixMs(row.get(1)?),
        who: row.get(2)?,
        what: row.get(3)?,
        subject: row.get(4)?,
        detail: detail.and_then(|text| serde_json::from_str(&text).ok()),
    })
}
