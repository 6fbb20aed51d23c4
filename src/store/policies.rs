//! Bundles that were promoted: their states, and which took over when. Written in the transaction that logs it.

use rusqlite::{OptionalExtension, params};

use super::rows::{from_sql_int, sql_int};
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
            let fault = StoreError::sqlite("keeping a policy");
            let (name, now) = (policy.version.as_str().to_owned(), log.now().0);
            log.tx()
                .prepare_cached(
                    "INSERT OR IGNORE INTO policies (version, cut, manifest, state) VALUES (?1, ?2, ?3, ?4)",
                )
                .and_then(|mut insert| {
                    insert.execute(params![name, sql_int(policy.cut.0), policy.manifest, policy.state])
                })
                .map_err(&fault)?;
            let promoted = AdminEvent::PolicyPromoted { policy: policy.version.clone() };
            let seq = log.append(&mut EventBody::Admin(promoted))?;
            log.tx()
                .prepare_cached("INSERT INTO promotions (seq, version, at_ms) VALUES (?1, ?2, ?3)")
                .and_then(|mut insert| insert.execute(params![sql_int(seq.0), name, now]))
                .map(|_| seq)
                .map_err(&fault)
        })
    }

    /// The last event in a kept bundle's state, its manifest, and the state.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn policy(&self, version: &PolicyVersion) -> Result<Option<NewPolicy>, StoreError> {
        self.readers().with(|connection| {
            connection
                .prepare_cached("SELECT cut, manifest, state FROM policies WHERE version = ?1")?
                .query_row([version.as_str()], |row| {
                    Ok(NewPolicy {
                        version: version.clone(),
                        cut: Seq(from_sql_int(row.get(0)?)),
                        manifest: row.get(1)?,
                        state: row.get(2)?,
                    })
                })
                .optional()
        })
    }

    /// All promotions, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn promotions(&self) -> Result<Vec<Promotion>, StoreError> {
        self.readers().with(|connection| {
            connection
                .prepare_cached(
                    "SELECT p.seq, p.version, p.at_ms, k.cut FROM promotions p JOIN policies k ON k.version = p.version
                     ORDER BY p.seq DESC",
                )?
                .query_map([], |row| {
                    Ok(Promotion {
                        seq: Seq(from_sql_int(row.get(0)?)),
                        version: PolicyVersion::new(row.get::<_, String>(1)?),
                        at: UnixMs(row.get(2)?),
                        cut: Seq(from_sql_int(row.get(3)?)),
                    })
                })?
                .collect()
        })
    }
}
