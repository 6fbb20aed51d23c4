//! The store: one ordered event log in SQLite or Postgres, and the look-ups that are written with it.
//!
//! What is in the log happened, and nothing else did; learned state is a fold over it. Invariants:
//! - Sequence numbers start at 1 and have no gaps, whoever appends. A look-up table changes only in the transaction that
//!   logs the reason.
//! - One thread writes. Callers hand it jobs through a bounded queue; up to 4,096 of them, or what comes within 5 ms of the
//!   first (25 ms where nobody waits), share one transaction and one fsync (`synchronous=FULL`). An answer is given after the commit, never before.
//! - A job that fails is undone alone. A failed commit fails every caller that waits for it; events that nobody waits for
//!   are counted as dropped. The next transaction starts afresh, so a lock that is let go or a disk that has room again
//!   needs no restart.
//! - A file that is not ours, damaged, empty, read-only or from a newer version is refused. It is never replaced.
//! - With Postgres several processes write one log, each with a thread and a queue of its own; see `postgres`. What only the one that
//!   leads may write asks for a [`Lead`].
//!
//! The store computes no reward and knows no policy: it credits a report to an arm and counts, no more. SQL text is
//! constant everywhere; values are bound.
//!
//! SQLite must be 3.51.3 or newer: older ones can lose committed writes of a WAL database
//! (<https://sqlite.org/wal.html#the_wal_reset_bug>).

mod address;
mod audit;
mod backend;
mod checkpoints;
mod db;
mod error;
mod experiments;
mod feedback;
mod handle;
mod history;
mod index;
mod key_rows;
mod keys;
mod ledger;
mod log;
mod open;
mod policies;
mod postgres;
mod queue;
mod readers;
mod rows;
mod tail;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use address::{PASSWORD_ENV, PostgresUrl, StoreAddress};
pub use audit::AuditRow;
pub use checkpoints::SavedCheckpoint;
pub use error::{FeedbackRejected, StoreError};
pub use experiments::{NotStarted, stage};
pub use feedback::{NewComparison, NewEpisode, NewFeedback, Receipt, ReceiptKind, Report};
pub use handle::{Lead, Store, StoreOptions};
pub use history::Appended;
pub use keys::{KeyRow, KeyTable, KeyTerms, NewKey, Scope};
pub use ledger::{LedgerGroup, LedgerLine, PriceTable};
pub use open::sqlite_version_number;
pub use policies::{KeptPolicy, NewPolicy, Promotion};
pub use readers::Record;
pub use rows::ScannedRow;
pub use tail::Tail;
