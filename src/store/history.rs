//! Finding one's way in the log by time.

use super::db::params;
use super::rows::from_sql_int;
use super::{Store, StoreError};
use crate::domain::{AdminEvent, EventBody, Seq, UnixMs};

/// What became of orders that were right at one place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// They are in the log; the last of them.
    Here(Seq),
    /// Somebody else gave an order in between, the one of that place: what was wanted has to be looked at again.
    Elsewhere(Seq),
}

impl Store {
    /// Appends orders that are right as long as no other has been given after `seen`; answers after the commit.
    ///
    /// # Errors
    /// When they are not on disk.
    pub async fn append_orders(&self, seen: Seq, orders: Vec<AdminEvent>) -> Result<Appended, StoreError> {
        self.perform(move |log| {
            let sql = "SELECT seq FROM events WHERE kind = 'admin' AND seq > ?1 ORDER BY seq DESC LIMIT 1";
            let other = log
                .db()
                .first(sql, params![seen.0], |row| row.get(0).map(from_sql_int))
                .map_err(StoreError::doing("reading the log"))?;
            if let Some(other) = other {
                return Ok(Appended::Elsewhere(Seq(other)));
            }
            let mut last = seen;
            for order in orders {
                last = log.append(EventBody::Admin(order))?;
            }
            Ok(Appended::Here(last))
        })
        .await
    }

    /// When the event was written; `None` when there is none of that number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn time_of(&self, seq: Seq) -> Result<Option<UnixMs>, StoreError> {
        let sql = "SELECT at_ms FROM events WHERE seq = ?1";
        self.readers().with(|db| db.first(sql, params![seq.0], |row| row.get(0).map(UnixMs)))
    }

    /// The last event before `at`, by bisection: times rise with the numbers, but for clocks that were set back. 0 when there is
    /// none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_before(&self, at: UnixMs) -> Result<Seq, StoreError> {
        let (mut before, mut beyond) = (0, self.committed().borrow().0 + 1);
        while before + 1 < beyond {
            let middle = before + (beyond - before) / 2;
            // A number without an event was purged: it is older than what is left.
            let is_before = self.time_of(Seq(middle))?.is_none_or(|then| then < at);
            if is_before { before = middle } else { beyond = middle }
        }
        Ok(Seq(before))
    }
}
