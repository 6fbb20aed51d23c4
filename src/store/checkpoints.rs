//! Checkpoints of learned state, each with the last event in it and a checksum; and the list of rows that were set aside.
//! The store does not look inside a state.

use sha2::{Digest, Sha256};

use super::db::params;
use super::queue::Work;
use super::rows::from_sql_int;
use super::{Lead, Store, StoreError};
use crate::domain::Seq;

/// How many are kept.
const KEPT: i64 = 3;

/// A checkpoint as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedCheckpoint {
    /// All events up to this one are in the state.
    pub seq: Seq,
    /// The state, or why it cannot be trusted.
    pub state: Result<Vec<u8>, String>,
}

impl Store {
    /// Stores a state and forgets all but the last few. Blocks until the commit: for threads outside the async runtime.
    ///
    /// # Errors
    /// When it is not on disk, also because another replica leads by now.
    pub fn save_checkpoint(&self, lead: Lead, seq: Seq, state: Vec<u8>) -> Result<(), StoreError> {
        self.perform_blocking(move |log| {
            log.lead(lead.0)?;
            let fault = StoreError::doing("saving a checkpoint");
            let checksum = checksum(seq, &state);
            let insert = "INSERT INTO checkpoints (seq, state, sha256, at_ms) VALUES (?1, ?2, ?3, ?4)";
            log.db().execute(insert, params![seq.0, &state, &checksum, log.now().0]).map_err(&fault)?;
            let delete =
                "DELETE FROM checkpoints WHERE id NOT IN (SELECT id FROM checkpoints ORDER BY id DESC LIMIT ?1)";
            log.db().execute(delete, params![KEPT]).map(drop).map_err(fault)
        })
    }

    /// The stored checkpoints, newest first, each checked against its checksum.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<SavedCheckpoint>, StoreError> {
        self.readers().with(|db| {
            db.query("SELECT seq, state, sha256 FROM checkpoints ORDER BY id DESC", &[], |row| {
                let seq = Seq(from_sql_int(row.get(0)?));
                let (state, stored): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
                let state = match checksum(seq, &state).as_slice() == stored {
                    true => Ok(state),
                    false => Err("its checksum does not match".to_owned()),
                };
                Ok(SavedCheckpoint { seq, state })
            })
        })
    }

    /// Notes that the learner could not use a row. Nobody waits for it; a note that is lost is found again by the next fold.
    pub fn set_aside(&self, seq: Seq, why: String) {
        let note = move |log: &mut super::log::Log<'_>| {
            let sql = "INSERT INTO set_aside (seq, why, at_ms) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            log.db()
                .execute(sql, params![seq.0, &why, log.now().0])
                .map(drop)
                .map_err(StoreError::doing("setting a row aside"))
        };
        if let Err(error) = self.submit(Work::new(note, Box::new(|_| ()))) {
            tracing::debug!(%seq, %error, "the note on a row set aside was not written");
        }
    }

    /// Rows that the learner could not use, with the reason, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list_set_aside(&self, limit: usize) -> Result<Vec<(Seq, String)>, StoreError> {
        let sql = "SELECT seq, why FROM set_aside ORDER BY seq LIMIT ?1";
        self.readers().with(|db| {
            db.query(sql, params![limit as u64], |row| Ok((Seq(from_sql_int(row.get(0)?)), row.get(1)?)))
        })
    }
}

/// SHA-256 over the sequence number and the state.
fn checksum(seq: Seq, state: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(seq.0.to_le_bytes());
    hash.update(state);
    hash.finalize().to_vec()
}
