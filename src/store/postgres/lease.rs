//! Who leads: a lease by the server's clock. Its holder renews it; when it stops, another takes over and raises the epoch.
//!
//! A lock of a session would stay with a process that is stopped but not dead. What a former leader may still do when it wakes is settled
//! by the epoch: each of a leader's writes checks it in its own transaction, and holds the row until the commit.

use uuid::Uuid;

use super::super::db::{Db, Result, params};
use super::Session;

/// How long a lease holds that is not renewed. The writer renews it twice a second.
pub(in crate::store) const LEASE_S: f64 = 2.0;

/// The part of one process in it.
pub(in crate::store) struct Lease {
    holder: String,
    epoch: i64,
}

impl Lease {
    pub(in crate::store) fn new() -> Self {
        Self { holder: format!("{}-{}", std::process::id(), Uuid::now_v7()), epoch: 0 }
    }

    /// Renews the lease, or takes one that has run out. The epoch that this process leads in; `None`: another leads.
    pub(in crate::store) fn renew(&mut self, session: &Session) -> Result<Option<u64>> {
        let sql = "UPDATE leadership SET epoch = CASE WHEN holder = ?1 AND epoch = ?2 THEN epoch ELSE epoch + 1 END, holder = ?1,
                       until = clock_timestamp() + make_interval(secs => ?3)
                   WHERE (holder = ?1 AND epoch = ?2) OR until < clock_timestamp() RETURNING epoch";
        let bound = params![&self.holder, self.epoch, LEASE_S];
        let renewed = Db::Postgres(session).first(sql, bound, |row| row.get::<i64>(0))?;
        self.epoch = renewed.unwrap_or(0);
        Ok(renewed.and_then(|epoch| u64::try_from(epoch).ok()))
    }

    /// Lets another take over at once.
    pub(in crate::store) fn release(&self, session: &Session) -> Result<()> {
        let sql = "UPDATE leadership SET until = '-infinity' WHERE holder = ?1 AND epoch = ?2";
        session.execute(sql, params![&self.holder, self.epoch]).map(drop)
    }
}

/// Whether `epoch` still holds; until the transaction ends nobody takes over.
pub(in crate::store) fn is_of_epoch(session: &Session, epoch: u64) -> Result<bool> {
    let held = Db::Postgres(session).first(
        "SELECT epoch FROM leadership WHERE epoch = ?1 FOR SHARE",
        params![epoch],
        |row| row.get::<i64>(0),
    )?;
    Ok(held.is_some())
}
