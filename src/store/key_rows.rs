//! Client keys on disk: making, changing, revoking and reading them. Every change has its rows in the log and in the audit table,
//! in one transaction.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::audit::Entry;
use super::keys::{KeyRow, KeyTable, KeyTerms, NewKey, Scope};
use super::log::Log;
use super::{Store, StoreError};
use crate::domain::{AdminEvent, BudgetLimits, EventBody, KeyId, RateLimits, RouteName, UnixMs};

/// Columns that [`read_key`] wants, in its order.
macro_rules! key_columns {
    () => {
        "id, hash, name, scopes, created_ms, expires_ms, revoked_ms, budget, routes, rpm, tpm"
    };
}

impl Store {
    /// Stores a new key and logs it; `who` made it. The snapshot has it when this returns.
    ///
    /// # Errors
    /// When it is not on disk; also when its id or hash is taken.
    pub async fn create_key(&self, key: NewKey, who: impl Into<String>) -> Result<(), StoreError> {
        let who = who.into();
        self.perform(move |log| {
            let fault = StoreError::sqlite("storing a key");
            let bound = params![key.id.as_str(), key.hash, log.now().0];
            log.tx()
                .prepare_cached(
                    "INSERT INTO client_keys (id, hash, name, scopes, created_ms) VALUES (?1, ?2, '', '', ?3)",
                )
                .and_then(|mut insert| insert.execute(bound))
                .map_err(&fault)?;
            write_terms(log, &key.id, &key.terms)?;
            note(log, Entry::new(who, "key_created", key.id.as_str()).with(&key.terms)?)?;
            log.append(EventBody::Admin(AdminEvent::KeyCreated { key: key.id.clone() })).map(drop)
        })
        .await
    }

    /// Changes what a key may and logs it; the key as it is then. `None`: there is no such key, or it is revoked. The snapshot
    /// knows when this returns.
    ///
    /// # Errors
    /// When it is not on disk.
    pub async fn change_key(
        &self,
        id: KeyId,
        change: impl FnOnce(&mut KeyTerms) + Send + 'static,
        who: impl Into<String>,
    ) -> Result<Option<KeyRow>, StoreError> {
        let who = who.into();
        self.perform(move |log| {
            let found = log
                .tx()
                .prepare_cached(concat!(
                    "SELECT ",
                    key_columns!(),
                    " FROM client_keys WHERE id = ?1 AND revoked_ms IS NULL"
                ))
                .and_then(|mut select| select.query_row([id.as_str()], read_key).optional())
                .map_err(StoreError::sqlite("reading a key"))?;
            let Some((_, mut row)) = found else { return Ok(None) };
            change(&mut row.terms);
            write_terms(log, &id, &row.terms)?;
            note(log, Entry::new(who, "key_changed", id.as_str()).with(&row.terms)?)?;
            log.append(EventBody::Admin(AdminEvent::KeyChanged { key: id.clone() }))?;
            Ok(Some(row))
        })
        .await
    }

    /// Revokes a key and logs it; whether there was one to revoke. The snapshot knows when this returns.
    ///
    /// # Errors
    /// When it is not on disk.
    pub async fn revoke_key(&self, id: KeyId, who: impl Into<String>) -> Result<bool, StoreError> {
        let who = who.into();
        self.perform(move |log| {
            let changed = log
                .tx()
                .prepare_cached("UPDATE client_keys SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL")
                .and_then(|mut update| update.execute(params![id.as_str(), log.now().0]))
                .map_err(StoreError::sqlite("revoking a key"))?;
            if changed == 0 {
                return Ok(false);
            }
            note(log, Entry::new(who, "key_revoked", id.as_str()))?;
            log.append(EventBody::Admin(AdminEvent::KeyRevoked { key: id.clone() })).map(|_| true)
        })
        .await
    }

    /// All keys, revoked ones included, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list_keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        self.readers()
            .with(|connection| Ok(select_keys(connection)?.into_iter().map(|(_, row)| row).collect()))
    }
}

fn note(log: &mut Log<'_>, entry: Entry) -> Result<(), StoreError> {
    log.keys_changed = true;
    entry.write(log)
}

fn write_terms(log: &Log<'_>, id: &KeyId, terms: &KeyTerms) -> Result<(), StoreError> {
    let scopes: Vec<_> = terms.scopes.iter().map(|s| s.as_str()).collect();
    let budget = json(Some(&terms.budget).filter(|limits| !limits.is_empty()))?;
    let routes = json(terms.routes.as_deref())?;
    let bound = params![
        id.as_str(),
        terms.name,
        scopes.join(","),
        terms.expires.map(|e| e.0),
        budget,
        routes,
        terms.rate.rpm,
        terms.rate.tpm
    ];
    log.tx()
        .prepare_cached(
            "UPDATE client_keys SET name = ?2, scopes = ?3, expires_ms = ?4, budget = ?5, routes = ?6, rpm = ?7, tpm = ?8
             WHERE id = ?1",
        )
        .and_then(|mut update| update.execute(bound))
        .map(drop)
        .map_err(StoreError::sqlite("storing a key"))
}

/// JSON; `None` when nothing is limited.
fn json<T: Serialize + ?Sized>(value: Option<&T>) -> Result<Option<String>, StoreError> {
    value.map(|v| serde_json::to_string(v).map_err(|e| StoreError::Encode(e.into()))).transpose()
}

/// The table for requests.
pub(super) fn load_keys(connection: &Connection) -> Result<KeyTable, StoreError> {
    let mut table = KeyTable::default();
    for (hash, row) in select_keys(connection).map_err(StoreError::sqlite("reading the client keys"))? {
        table.insert(hash, row);
    }
    Ok(table)
}

fn select_keys(connection: &Connection) -> rusqlite::Result<Vec<([u8; 32], KeyRow)>> {
    connection
        .prepare_cached(concat!("SELECT ", key_columns!(), " FROM client_keys ORDER BY created_ms, id"))?
        .query_map([], read_key)?
        .collect()
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<([u8; 32], KeyRow)> {
    let id: String = row.get(0)?;
    let scopes: String = row.get(3)?;
    let terms = KeyTerms {
        name: row.get(2)?,
        scopes: scopes.split(',').filter_map(Scope::from_name).collect(),
        expires: row.get::<_, Option<i64>>(5)?.map(UnixMs),
        budget: parsed::<BudgetLimits>(row, 7)?.unwrap_or_default(),
        routes: parsed::<Vec<RouteName>>(row, 8)?.map(Arc::from),
        rate: RateLimits { rpm: row.get(9)?, tpm: row.get(10)? },
    };
    let key = KeyRow {
        id: KeyId::new(id),
        terms,
        created: UnixMs(row.get(4)?),
        revoked: row.get::<_, Option<i64>>(6)?.map(UnixMs),
    };
    Ok((row.get(1)?, key))
}

/// Limits that cannot be read are an error: a key must not be without bounds because its row is damaged.
fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    let unreadable = |e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e));
    serde_json::from_str(&text).map(Some).map_err(unreadable)
}
