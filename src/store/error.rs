//! What can go wrong with the store. Cloneable: one failed commit answers many callers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

use super::db::DbError;
use super::postgres::said;
use crate::domain::{FeedbackError, Seq};

/// Why the store cannot be opened, or did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The write queue is full; nothing was written.
    #[error("the store's write queue is full ({0} jobs)")]
    QueueFull(usize),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Another process holds the database.
    #[error("the database is locked by another process")]
    Locked,
    /// No room on the disk.
    #[error("the database cannot grow: disk or quota full")]
    DiskFull,
    /// Any other fault of SQLite.
    #[error("SQLite failed while {doing}: {source}")]
    Sqlite {
        /// What the store was doing.
        doing: &'static str,
        /// The fault.
        source: Arc<rusqlite::Error>,
    },
    /// Any other fault of Postgres.
    #[error("Postgres failed while {doing}: {}", said(source))]
    Postgres {
        /// What the store was doing.
        doing: &'static str,
        /// The fault.
        source: Arc<tokio_postgres::Error>,
    },
    /// The database cannot be reached.
    #[error("the database of store.url cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("the database of store.url does not answer in time (while {doing})")]
    Slow {
        /// What the store was doing.
        doing: &'static str,
    },
    /// All connections that read are in use.
    #[error("all {connections} connections to the database are in use")]
    Busy {
        /// How many there are.
        connections: usize,
    },
    /// Another replica leads by now; nothing was written.
    #[error("another replica leads: what only the leader writes was not written")]
    NotLeading,
    /// A column holds what we never write.
    #[error("the database holds something that this version does not read ({doing}): {why}")]
    Unexpected {
        /// What the store was doing.
        doing: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A row of the log cannot be read back.
    #[error("event {seq} cannot be read: {why}")]
    Unreadable {
        /// Which.
        seq: Seq,
        /// What is wrong with it.
        why: String,
    },
    /// An event that has no written form.
    #[error("the event cannot be written as JSON: {0}")]
    Encode(Arc<serde_json::Error>),
    /// The library is too old.
    #[error(
        "SQLite {found} can lose committed writes; {wanted} or newer is needed: rebuild with the bundled SQLite"
    )]
    OldSqlite {
        /// Its version number.
        found: i32,
        /// The lowest good one.
        wanted: i32,
    },
    /// The file or its folder cannot be reached.
    #[error("cannot open {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The fault.
        source: Arc<std::io::Error>,
    },
    /// The writer's thread cannot be started.
    #[error("the store's writer cannot be started: {0}")]
    Thread(Arc<std::io::Error>),
    /// The file is there but holds nothing.
    #[error("{0} is empty, not a database: restore it from a backup, or delete it to start with a new log")]
    Empty(PathBuf),
    /// The file holds something else.
    #[error(
        "{0} is not a SQLite database: name another file in store.url, or restore this one from a backup"
    )]
    NotADatabase(PathBuf),
    /// The file is a database of another program.
    #[error("{0} is a database of another program: name another file in store.url")]
    Foreign(PathBuf),
    /// The file is damaged.
    #[error(
        "{path} is damaged ({detail}): restore it from a backup, or salvage it with `sqlite3 {path} .recover`"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What SQLite found first.
        detail: String,
    },
    /// The file or its folder cannot be written.
    #[error("{0} is read-only: give this user write permission on the file and on its folder")]
    ReadOnly(PathBuf),
    /// A newer version wrote the file.
    #[error("{store} has schema {found}, this version knows {known}: use the newer pointsman that wrote it")]
    NewerSchema {
        /// Which.
        store: String,
        /// Its schema.
        found: i64,
        /// The newest known schema.
        known: i64,
    },
    /// The schema could not be brought up to date; the file is as it was.
    #[error("{path}: the schema cannot be brought up to date: {source}")]
    Migration {
        /// Which.
        path: PathBuf,
        /// The fault.
        source: Arc<rusqlite_migration::Error>,
    },
}

impl StoreError {
    /// Whether the disk or the file is to blame, and not what was asked.
    pub(super) fn is_of_the_disk(&self) -> bool {
        use ErrorCode::{CannotOpen, SystemIoFailure};
        let of_sqlite =
            |e: &rusqlite::Error| matches!(e.sqlite_error_code(), Some(SystemIoFailure | CannotOpen));
        match self {
            Self::DiskFull | Self::Unreachable(_) | Self::Slow { .. } => true,
            Self::Sqlite { source, .. } => self.is_damage() || of_sqlite(source),
            _ => false,
        }
    }

    /// Whether the file no longer holds what was written to it.
    pub(super) fn is_damage(&self) -> bool {
        use ErrorCode::{DatabaseCorrupt, NotADatabase};
        matches!(self, Self::Sqlite { source, .. }
            if matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)))
    }

    /// Names a fault of the database while doing something.
    pub(super) fn doing(doing: &'static str) -> impl Fn(DbError) -> Self {
        move |fault| match fault {
            DbError::Sqlite(source) => Self::of_sqlite(doing, source),
            DbError::Postgres(source) => Self::of_postgres(doing, source),
            DbError::Unreachable(why) => Self::Unreachable(why),
            DbError::Slow(_) => Self::Slow { doing },
            DbError::Column { .. } => Self::Unexpected { doing, why: fault.to_string() },
        }
    }

    fn of_sqlite(doing: &'static str, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Sqlite { doing, source: Arc::new(source) },
        }
    }

    fn of_postgres(doing: &'static str, source: tokio_postgres::Error) -> Self {
        match source.code() {
            Some(&SqlState::DISK_FULL) => Self::DiskFull,
            Some(&(SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED)) => Self::Slow { doing },
            None if source.is_closed() => Self::Unreachable(said(&source)),
            _ => Self::Postgres { doing, source: Arc::new(source) },
        }
    }

    /// Names a fault of SQLite while opening `path`.
    pub(super) fn opening(path: &Path) -> impl Fn(rusqlite::Error) -> Self + '_ {
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase(path.to_owned()),
            Some(ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path: path.to_owned(), detail: source.to_string() }
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly(path.to_owned())
            }
            _ => Self::of_sqlite("opening the database", source),
        }
    }
}

/// Why a report was not accepted; nothing of it is kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FeedbackRejected {
    /// No such decision, or another key's: the caller cannot tell which.
    #[error("no decision or completion of that id")]
    NotFound,
    /// The idempotency key was used for another report.
    #[error("idempotency_key was used before with another report")]
    Conflict,
    /// It came too late; what is known by then stays as it is.
    #[error("reports on this decision are closed")]
    Closed,
    /// A field is out of range.
    #[error(transparent)]
    Invalid(#[from] FeedbackError),
    /// It could not be written; the caller may try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}
