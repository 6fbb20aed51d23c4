//! Client keys on disk: making, changing, revoking and reading them. Every change has its rows in the log and in the audit table,
//! in one transaction.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::audit::Entry;
use super::db::{Db, DbError, Result as DbResult, Row, params};
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
            let fault = StoreError::doing("storing a key");
            let sql =
                "INSERT INTO client_keys (id, hash, name, scopes, created_ms) VALUES (?1, ?2, '', '', ?3)";
            log.db().execute(sql, params![key.id.as_str(), &key.hash, log.now().0]).map_err(&fault)?;
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
            let sql =
                concat!("SELECT ", key_columns!(), " FROM client_keys WHERE id = ?1 AND revoked_ms IS NULL");
            let found = log
                .db()
                .first(sql, params![id.as_str()], read_key)
                .map_err(StoreError::doing("reading a key"))?;
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
            let sql = "UPDATE client_keys SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL";
            let changed = log
                .db()
                .execute(sql, params![id.as_str(), log.now().0])
                .map_err(StoreError::doing("revoking a key"))?;
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
        self.readers().with(|db| Ok(select_keys(db)?.into_iter().map(|(_, row)| row).collect()))
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
    let scopes = scopes.join(",");
    let bound = params![
        id.as_str(),
        &terms.name,
        &scopes,
        terms.expires.map(|e| e.0),
        budget.as_ref(),
        routes.as_ref(),
        terms.rate.rpm,
        terms.rate.tpm
    ];
    let sql = "UPDATE client_keys SET name = ?2, scopes = ?3, expires_ms = ?4, budget = ?5, routes = ?6, rpm = ?7, tpm = ?8
               WHERE id = ?1";
    log.db().execute(sql, bound).map(drop).map_err(StoreError::doing("storing a key"))
}

/// JSON; `None` when nothing is limited.
fn json<T: Serialize + ?Sized>(value: Option<&T>) -> Result<Option<String>, StoreError> {
    value.map(|v| serde_json::to_string(v).map_err(|e| StoreError::Encode(e.into()))).transpose()
}

/// The table for requests.
pub(super) fn load_keys(db: Db<'_>) -> Result<KeyTable, StoreError> {
    let mut table = KeyTable::default();
    for (hash, row) in select_keys(db).map_err(StoreError::doing("reading the client keys"))? {
        table.insert(hash, row);
    }
    Ok(table)
}

fn select_keys(db: Db<'_>) -> DbResult<Vec<([u8; 32], KeyRow)>> {
    let sql = concat!("SELECT ", key_columns!(), " FROM client_keys ORDER BY created_ms, id");
    db.query(sql, &[], read_key)
}

fn read_key(row: &Row<'_>) -> DbResult<([u8; 32], KeyRow)> {
    let id: String = row.get(0)?;
    let scopes: String = row.get(3)?;
    let terms = KeyTerms {
        name: row.get(2)?,
        scopes: scopes.split(',').filter_map(Scope::from_name).collect(),
        expires: row.get::<Option<i64>>(5)?.map(UnixMs),
        budget: parsed::<BudgetLimits>(row, 7)?.unwrap_or_default(),
        routes: parsed::<Vec<RouteName>>(row, 8)?.map(Arc::from),
        rate: RateLimits { rpm: limit(row, 9)?, tpm: limit(row, 10)? },
    };
    let key = KeyRow {
        id: KeyId::new(id),
        terms,
        created: UnixMs(row.get(4)?),
        revoked: row.get::<Option<i64>>(6)?.map(UnixMs),
    };
    Ok((row.array(1)?, key))
}

fn limit<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> DbResult<Option<T>> {
    let limit = |n: i64| {
        T::try_from(n).map_err(|_| DbError::Column { column, why: "the limit is out of range".to_owned() })
    };
    row.get::<Option<i64>>(column)?.map(limit).transpose()
}

/// Limits that cannot be read are an error: a key must not be without bounds because its row is damaged.
fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> DbResult<Option<T>> {
    let Some(text) = row.get::<Option<String>>(column)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|e| DbError::Column { column, why: e.to_string() })
}
