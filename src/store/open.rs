//! Opening the database: every check that refuses a file we must not touch, then the pragmas, then the migrations.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::StoreError;

/// SQLite 3.51.3, the first version without the WAL-reset bug.
const LOWEST_SQLITE: i32 = 3_051_003;
/// Marks a file as ours: "Pnts".
const APPLICATION_ID: i64 = 0x506e_7473;
/// One entry for each schema version; an entry never changes once released.
const SCHEMA: &[M<'static>] = &[
    M::up(include_str!("schema/0001_log.sql")),
    M::up(include_str!("schema/0002_key_budgets.sql")),
    M::up(include_str!("schema/0003_policies.sql")),
    M::up(include_str!("schema/0004_comparisons_episodes.sql")),
    M::up(include_str!("schema/0005_admin_events.sql")),
    M::up(include_str!("schema/0006_key_terms.sql")),
    M::up(include_str!("schema/0007_ledger.sql")),
    M::up(include_str!("schema/0008_feedback_index.sql")),
];
/// The write-ahead log is cut back to this after a checkpoint, bytes.
const JOURNAL_SIZE_LIMIT: i64 = 64 << 20;
/// Pages in the write-ahead log that start a checkpoint.
const WAL_AUTOCHECKPOINT: i64 = 4000;

/// The version number of the SQLite library in use, for example 3053001.
pub fn sqlite_version_number() -> i32 {
    rusqlite::version_number()
}

/// The writer's connection, checked and migrated.
pub(super) fn open_writer(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    check_library(sqlite_version_number())?;
    create_or_check_file(path)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy_timeout)?;
    if connection.is_readonly("main").map_err(StoreError::opening(path))? {
        return Err(StoreError::ReadOnly(path.to_owned()));
    }
    check_content(&connection, path)?;
    set_pragmas(&connection, path)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, busy_timeout)
}

fn connect(path: &Path, mode: OpenFlags, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(StoreError::opening(path))?;
    connection.busy_timeout(busy_timeout).map_err(StoreError::opening(path))?;
    connection.set_prepared_statement_cache_capacity(64);
    // Else SQLite plans a prepared statement anew whenever a number bound to it changes.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(StoreError::opening(path))?;
    Ok(connection)
}

fn check_library(found: i32) -> Result<(), StoreError> {
    if found < LOWEST_SQLITE {
        return Err(StoreError::OldSqlite { found, wanted: LOWEST_SQLITE });
    }
    Ok(())
}

/// Makes a new file that only its owner reads, or looks at the one that is there.
fn create_or_check_file(path: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source: Arc::new(source) };
    let folder = folder_of(path);
    let folder_is_read_only =
        fs::metadata(&folder).map_err(|e| StoreError::Io { path: folder.clone(), source: Arc::new(e) })?;
    if folder_is_read_only.permissions().readonly() {
        return Err(StoreError::ReadOnly(folder));
    }
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => create_private(path).map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(folder),
            _ => io(e),
        }),
        Err(e) => Err(io(e)),
        Ok(file) if !file.is_file() => Err(StoreError::NotADatabase(path.to_owned())),
        Ok(file) if file.len() == 0 => Err(StoreError::Empty(path.to_owned())),
        Ok(file) if file.permissions().readonly() => Err(StoreError::ReadOnly(path.to_owned())),
        Ok(file) => {
            close_to_others(path, &file);
            Ok(())
        }
    }
}

/// A log that everybody on the machine can read is closed to them; SQLite gives the files beside it the same mode.
#[cfg(unix)]
fn close_to_others(path: &Path, file: &fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.permissions().mode();
    if mode & 0o007 == 0 {
        return;
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o770)) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), "the database could be read by everybody on this machine; no longer")
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the database can be read by everybody on this machine")
        }
    }
}

#[cfg(not(unix))]
fn close_to_others(_: &Path, _: &fs::Metadata) {}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => PathBuf::from("/"),
    }
}

fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Whether the file is a whole database, of ours, of a schema that we know.
fn check_content(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let opening = StoreError::opening(path);
    let objects = number("SELECT count(*) FROM sqlite_master").map_err(&opening)?;
    let application = number("PRAGMA application_id").map_err(&opening)?;
    if objects > 0 && application != APPLICATION_ID {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    let found = number("PRAGMA user_version").map_err(&opening)?;
    let known = i64::try_from(SCHEMA.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { store: path.display().to_string(), found, known });
    }
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(&opening)?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged { path: path.to_owned(), detail: verdict }),
    }
}

fn set_pragmas(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let opening = StoreError::opening(path);
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(&opening)?;
    if !mode.eq_ignore_ascii_case("wal") {
        tracing::warn!(mode, "the database does not take the WAL journal; is it on a network file system?");
    }
    for (name, value) in [
        ("synchronous", 2), // FULL: an answered report survives a power cut
        ("application_id", APPLICATION_ID),
        ("foreign_keys", 0),
        ("temp_store", 2), // MEMORY: what undoes a job within its transaction is a few pages, and would be a file each time
    ] {
        connection.pragma_update(None, name, value).map_err(&opening)?;
    }
    for (name, value) in
        [("journal_size_limit", JOURNAL_SIZE_LIMIT), ("wal_autocheckpoint", WAL_AUTOCHECKPOINT)]
    {
        connection.pragma_update_and_check(None, name, value, |_| Ok(())).map_err(&opening)?;
    }
    Ok(())
}

/// Each step is one transaction together with its version number.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    Migrations::from_slice(SCHEMA)
        .to_latest(connection)
        .map_err(|source| StoreError::Migration { path: path.to_owned(), source: Arc::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_sqlite_has_no_wal_reset_bug_and_an_older_one_is_refused() {
        assert!(sqlite_version_number() >= LOWEST_SQLITE, "{}", sqlite_version_number());
        assert!(matches!(check_library(3_050_002), Err(StoreError::OldSqlite { found: 3_050_002, .. })));
    }

    #[test]
    fn the_migrations_are_valid_sql() {
        Migrations::from_slice(SCHEMA).validate().unwrap();
    }
}
