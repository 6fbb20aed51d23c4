//! The tables, brought up to date by whichever replica comes first; the others wait for it.

use std::time::Duration;

use super::super::StoreError;
use super::super::address::PostgresUrl;
use super::super::db::{DbError, Result, params};
use super::Session;

/// One entry for each schema version; an entry never changes once released.
const SCHEMA: &[&str] = &[include_str!("../schema/postgres/0001_log.sql")];
/// Our tables are in a name space of their own, so that they may share a database with others.
pub(super) const GREETING: &str =
    "SET search_path = pointsman; SET client_min_messages = warning; SET synchronous_commit = on";
/// For a step of the schema over a large log, and for another replica that is at one.
const PATIENCE: Duration = Duration::from_secs(600);

/// Makes or completes the tables.
///
/// # Errors
/// When the database cannot be reached or written, or a newer version made its tables.
pub(super) fn migrate(url: &PostgresUrl) -> std::result::Result<(), StoreError> {
    let fault = StoreError::doing("bringing the schema up to date");
    let session = Session::connect(url, PATIENCE, GREETING).map_err(StoreError::doing("connecting"))?;
    // 0x506e7473: "Pnts". The lock goes with the session.
    session.say("SELECT pg_advisory_lock(1349416051)").map_err(&fault)?;
    let found = version(&session).map_err(&fault)?;
    let known = i64::try_from(SCHEMA.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { store: url.to_string(), found, known });
    }
    for (before, step) in (0..).zip(SCHEMA).skip(usize::try_from(found).unwrap_or(0)) {
        let done = session.say("BEGIN").and_then(|()| session.say(step)).and_then(|()| {
            session.execute("UPDATE schema_version SET version = ?1", params![before + 1_i64])?;
            session.say("COMMIT")
        });
        done.map_err(&fault)?;
    }
    Ok(())
}

/// 0: nothing is there yet.
fn version(session: &Session) -> Result<i64> {
    let one = |sql| -> Result<bool> {
        let rows = session.query(sql, &[])?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
    };
    if !one("SELECT to_regnamespace('pointsman') IS NOT NULL")? {
        session.say("CREATE SCHEMA pointsman")?;
    }
    if !one("SELECT to_regclass('pointsman.schema_version') IS NOT NULL")? {
        session.say(
            "BEGIN; CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (0); COMMIT",
        )?;
    }
    let rows = session.query("SELECT version FROM schema_version", &[])?;
    let missing = || DbError::Column { column: 0, why: "the schema's version is missing".to_owned() };
    Ok(rows.first().ok_or_else(missing)?.try_get(0)?)
}
