//! Finding one's way in the log by time.

use rusqlite::{OptionalExtension, params};

use super::rows::sql_int;
use super::{Store, StoreError};
use crate::domain::{Seq, UnixMs};

impl Store {
    /// When the event was written; `None` when there is none of that number.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn time_of(&self, seq: Seq) -> Result<Option<UnixMs>, StoreError> {
        self.readers().with(|connection| {
            connection
                .prepare_cached("SELECT at_ms FROM events WHERE seq = ?1")?
                .query_row(params![sql_int(seq.0)], |row| row.get(0).map(UnixMs))
                .optional()
        })
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
