//! The end of the log, handed over in memory: whoever follows the log need not read and parse again what this process has just written.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{ScannedRow, Store, StoreError};
use crate::domain::Seq;

/// Transactions that may wait for the follower. What does not fit is read from the file.
const WAITING: usize = 2;

/// Where the writer hands over.
pub(super) type HandOver = SyncSender<Vec<ScannedRow>>;

/// The follower's end. It gives the rows that a scan of the file would give, in the same order and without gaps: what other processes
/// write, and what the follower was too slow for, it reads there.
#[derive(Debug)]
pub struct Tail {
    committed: Receiver<Vec<ScannedRow>>,
    /// Taken from the queue before its turn.
    ahead: Option<Vec<ScannedRow>>,
}

impl Tail {
    pub(super) fn new() -> (HandOver, Self) {
        let (hand_over, committed) = sync_channel(WAITING);
        (hand_over, Self { committed, ahead: None })
    }

    /// Rows after `after`, in order: those of one transaction, or at most `limit` from the file. Empty: there are none yet.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn read(&mut self, store: &Store, after: Seq, limit: usize) -> Result<Vec<ScannedRow>, StoreError> {
        while let Some(mut rows) = self.ahead.take().or_else(|| self.committed.try_recv().ok()) {
            rows.retain(|row| row.seq > after);
            let Some(first) = rows.first().map(|row| row.seq) else { continue };
            let missing = first.0 - after.0 - 1;
            if missing == 0 {
                return Ok(rows);
            }
            self.ahead = Some(rows);
            return store.scan(after, limit.min(usize::try_from(missing).unwrap_or(limit)));
        }
        store.scan(after, limit)
    }
}
