//! The writer's connection to either database.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;
use super::address::StoreAddress;
use super::db::{Db, Row};
use super::key_rows::load_keys;
use super::keys::KeyTable;
use super::log::Tx;
use super::open::open_writer;
use super::postgres::{Lease, Link};
use super::rows::from_sql_int;
use crate::domain::Seq;

/// The epoch of a store that has one process only, which always leads.
const ALONE: u64 = 1;

/// See the module.
pub(super) enum Backend {
    Sqlite { connection: Connection, data_version: i64 },
    Postgres(Box<Shared>),
}

/// A database that other processes write as well.
pub(super) struct Shared {
    link: Link,
    lease: Lease,
    /// The log's end at the last look.
    end: Option<i64>,
}

/// What others may have changed.
pub(super) struct Look {
    /// The keys and the log's end, when anything was written since the last look.
    pub(super) changed: Option<(KeyTable, Seq)>,
    /// The epoch in which this process leads.
    pub(super) leads: Option<u64>,
}

impl Backend {
    pub(super) fn open(address: &StoreAddress, busy_timeout: Duration) -> Result<Self, StoreError> {
        match address {
            StoreAddress::File(path) => {
                Ok(Self::Sqlite { connection: open_writer(path, busy_timeout)?, data_version: -1 })
            }
            StoreAddress::Postgres(url) => {
                let shared = Shared { link: Link::open(url)?, lease: Lease::new(), end: None };
                Ok(Self::Postgres(Box::new(shared)))
            }
        }
    }

    /// Begins a write transaction.
    pub(super) fn begin(&mut self) -> Result<Tx<'_>, StoreError> {
        match self {
            Self::Sqlite { connection, .. } => connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map(Tx::Sqlite)
                .map_err(|error| StoreError::doing("starting a transaction")(error.into())),
            Self::Postgres(shared) => shared.link.begin().map(Tx::Postgres),
        }
    }

    /// Looks what others did. With `may_lead` it renews or takes the lease.
    pub(super) fn look(&mut self, may_lead: bool) -> Result<Look, StoreError> {
        match self {
            Self::Sqlite { connection, data_version } => {
                let db = Db::Sqlite(connection);
                let version = number(db, "PRAGMA data_version")?;
                let changed = (version != *data_version).then(|| state(db)).transpose()?;
                *data_version = version;
                Ok(Look { changed, leads: Some(ALONE) })
            }
            Self::Postgres(shared) => {
                let Shared { link, lease, end } = &mut **shared;
                let session = link.session()?;
                let db = Db::Postgres(session);
                let now = number(db, "SELECT seq FROM log_end")?;
                let changed = (*end != Some(now)).then(|| state(db)).transpose()?;
                *end = Some(now);
                let fault = StoreError::doing("looking what others did");
                let leads = if may_lead { lease.renew(session).map_err(fault)? } else { None };
                Ok(Look { changed, leads })
            }
        }
    }

    pub(super) fn keys(&mut self) -> Result<KeyTable, StoreError> {
        match self {
            Self::Sqlite { connection, .. } => load_keys(Db::Sqlite(connection)),
            Self::Postgres(shared) => load_keys(Db::Postgres(shared.link.session()?)),
        }
    }

    /// Whether several processes share it, each with a queue of its own.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The file, as messages name it.
    pub(super) fn file(&self) -> &str {
        match self {
            Self::Sqlite { connection, .. } => connection.path().unwrap_or_default(),
            Self::Postgres(_) => "",
        }
    }

    /// After a clean stop the one file holds everything, and another replica may lead at once.
    pub(super) fn close(&mut self) {
        let closed = match self {
            Self::Sqlite { connection, .. } => connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .map_err(|error| StoreError::doing("closing")(error.into())),
            Self::Postgres(shared) => {
                let Shared { link, lease, .. } = &mut **shared;
                link.session()
                    .and_then(|session| lease.release(session).map_err(StoreError::doing("closing")))
            }
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "the store was left as after a crash, which loses nothing");
        }
    }
}

fn state(db: Db<'_>) -> Result<(KeyTable, Seq), StoreError> {
    let end = number(db, db.pick("SELECT coalesce(max(seq), 0) FROM events", "SELECT seq FROM log_end"))?;
    Ok((load_keys(db)?, Seq(from_sql_int(end))))
}

fn number(db: Db<'_>, sql: &'static str) -> Result<i64, StoreError> {
    let read = |row: &Row<'_>| row.get(0);
    Ok(db.first(sql, &[], read).map_err(StoreError::doing("reading"))?.unwrap_or(0))
}
