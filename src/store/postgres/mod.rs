//! Postgres for several replicas of one service: sessions, the schema, the lease of the one that leads.
//!
//! A session blocks its thread, with a limit on every answer, as a connection of SQLite does: the store's writer and its readers are
//! threads of their own, so the rest of the store is the same for both. A write transaction begins by locking the row of the log's end.
//! So sequence numbers are handed out in the order of the commits and without gaps, whoever writes, and a report is judged against
//! everything that was committed before it.

mod lease;
mod link;
mod pool;
mod schema;
mod session;
mod tls;
mod transaction;

pub(super) use lease::{Lease, is_of_epoch};
pub(super) use link::Link;
pub(super) use pool::Pool;
pub(super) use session::{Session, said};
pub(super) use transaction::PostgresTransaction;
