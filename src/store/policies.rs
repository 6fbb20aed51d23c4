//! Bundles that were promoted: their states, and which took over when. Written in the transaction that logs it.

use super::db::params;
use super::log::Log;
use super::rows::from_sql_int;
use super::{Store, StoreError};
use crate::domain::{AdminEvent, EventBody, PolicyVersion, Seq, UnixMs};

/// A bundle to take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPolicy {
    /// Its name.
    pub version: PolicyVersion,
    /// The last event of this log in its state; 0: it has seen none.
    pub cut: Seq,
    /// Its manifest, JSON.
    pub manifest: String,
    /// Its state.
    pub state: Vec<u8>,
}

/// A bundle that is kept, without its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPolicy {
    /// Its name.
    pub version: PolicyVersion,
    /// The last event of this log in its state; 0: it has seen none.
    pub cut: Seq,
    /// Its manifest, JSON.
    pub manifest: String,
    /// Length of its state.
    pub state_bytes: u64,
}

/// A promotion as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// Its event.
    pub seq: Seq,
    /// Which bundle.
    pub version: PolicyVersion,
    /// When.
    pub at: UnixMs,
    /// The last event of the log in the bundle's own state.
    pub cut: Seq,
}

impl Store {
    /// Keeps a bundle and logs that it takes over; gives the event's place. A bundle that is known by its name stays as it is. Blocks
    /// until the commit: for threads outside the async runtime.
    ///
    /// # Errors
    /// When it is not on disk.
    pub fn promote(&self, policy: NewPolicy) -> Result<Seq, StoreError> {
        self.perform_blocking(move |log| {
            keep(log, &policy)?;
            take_over(log, &policy.version)
        })
    }

    /// Keeps a bundle and changes nothing else. Blocks as above.
    ///
    /// # Errors
    /// When it is not on disk.
    pub fn keep_policy(&self, policy: NewPolicy) -> Result<(), StoreError> {
        self.perform_blocking(move |log| keep(log, &policy))
    }

    /// All bundles that are kept, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn policies(&self) -> Result<Vec<KeptPolicy>, StoreError> {
        let sql =
            "SELECT version, cut, manifest, CAST(length(state) AS BIGINT) FROM policies ORDER BY version";
        self.readers().with(|db| {
            db.query(sql, &[], |row| {
                Ok(KeptPolicy {
                    version: PolicyVersion::new(row.get::<String>(0)?),
                    cut: Seq(from_sql_int(row.get(1)?)),
                    manifest: row.get(2)?,
                    state_bytes: from_sql_int(row.get(3)?),
                })
            })
        })
    }

    /// The last event in a kept bundle's state, its manifest, and the state.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn policy(&self, version: &PolicyVersion) -> Result<Option<NewPolicy>, StoreError> {
        let sql = "SELECT cut, manifest, state FROM policies WHERE version = ?1";
        self.readers().with(|db| {
            db.first(sql, params![version.as_str()], |row| {
                Ok(NewPolicy {
                    version: version.clone(),
                    cut: Seq(from_sql_int(row.get(0)?)),
                    manifest: row.get(1)?,
                    state: row.get(2)?,
                })
            })
        })
    }

    /// All promotions, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn promotions(&self) -> Result<Vec<Promotion>, StoreError> {
        let sql =
            "SELECT p.seq, p.version, p.at_ms, k.cut FROM promotions p JOIN policies k ON k.version = p.version
             ORDER BY p.seq DESC";
        self.readers().with(|db| {
            db.query(sql, &[], |row| {
                Ok(Promotion {
                    seq: Seq(from_sql_int(row.get(0)?)),
                    version: PolicyVersion::new(row.get::<String>(1)?),
                    at: UnixMs(row.get(2)?),
                    cut: Seq(from_sql_int(row.get(3)?)),
                })
            })
        })
    }
}

/// A bundle that is known by its name stays as it is.
pub(super) fn keep(log: &Log<'_>, policy: &NewPolicy) -> Result<(), StoreError> {
    let NewPolicy { version, cut, manifest, state } = policy;
    let sql =
        "INSERT INTO policies (version, cut, manifest, state) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    log.db()
        .execute(sql, params![version.as_str(), cut.0, manifest, state])
        .map(drop)
        .map_err(StoreError::doing("keeping a policy"))
}

pub(super) fn is_kept(log: &Log<'_>, version: &PolicyVersion) -> Result<bool, StoreError> {
    log.db()
        .first("SELECT cut FROM policies WHERE version = ?1", params![version.as_str()], |_| Ok(()))
        .map(|found| found.is_some())
        .map_err(StoreError::doing("finding a policy"))
}

/// Logs that a kept bundle takes over.
pub(super) fn take_over(log: &mut Log<'_>, version: &PolicyVersion) -> Result<Seq, StoreError> {
    let now = log.now().0;
    let promoted = AdminEvent::PolicyPromoted { policy: version.clone() };
    let seq = log.append(EventBody::Admin(promoted))?;
    let sql = "INSERT INTO promotions (seq, version, at_ms) VALUES (?1, ?2, ?3)";
    log.db()
        .execute(sql, params![seq.0, version.as_str(), now])
        .map(|_| seq)
        .map_err(StoreError::doing("keeping a promotion"))
}
