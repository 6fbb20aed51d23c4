//! A write transaction: it holds the end of the log from its first statement to its commit.

use super::super::db::{DbError, Result, params};
use super::Session;

/// Dropped without a commit it leaves no trace.
pub(in crate::store) struct PostgresTransaction<'c> {
    session: &'c Session,
    /// The log's last event when it began.
    end: i64,
    is_over: bool,
}

impl<'c> PostgresTransaction<'c> {
    pub(in crate::store) fn begin(session: &'c Session) -> Result<Self> {
        session.say("BEGIN")?;
        let mut begun = Self { session, end: 0, is_over: false };
        let end = session.query("SELECT seq FROM log_end FOR UPDATE", &[])?;
        let missing = || DbError::Column { column: 0, why: "the log's end is missing".to_owned() };
        begun.end = end.first().ok_or_else(missing)?.try_get(0)?;
        Ok(begun)
    }

    pub(in crate::store) fn session(&self) -> &'c Session {
        self.session
    }

    /// The log's last event before this transaction.
    pub(in crate::store) fn end(&self) -> i64 {
        self.end
    }

    /// `last` is the last event now. The update comes first in any case: it fails where a commit would quietly undo everything.
    pub(in crate::store) fn commit(mut self, last: i64) -> Result<()> {
        self.session.execute("UPDATE log_end SET seq = ?1", params![last])?;
        self.session.say("COMMIT")?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for PostgresTransaction<'_> {
    fn drop(&mut self) {
        if !self.is_over && !self.session.is_broken() {
            // Should it fail, the connection is lost, and with it the transaction.
            drop(self.session.say("ROLLBACK"));
        }
    }
}
