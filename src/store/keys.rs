//! Client keys: the rows that the store keeps of them, and the table in memory that requests are checked against.
//!
//! A key's text is known to its holder alone. What is stored is its SHA-256, which the caller computes.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};
use subtle::ConstantTimeEq;

use super::{Store, StoreError};
use crate::domain::{AdminEvent, BudgetLimits, EventBody, KeyId, UnixMs};

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Completions, embeddings, decisions.
    Infer,
    /// Reports.
    Feedback,
    /// Reading decisions.
    Read,
    /// Everything under `/admin`.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Infer, Self::Feedback, Self::Read, Self::Admin];

    /// The name used on the command line and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Feedback => "feedback",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// A key to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewKey {
    /// Its public id.
    pub id: KeyId,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// What the operator calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it ends; `None`: never.
    pub expires: Option<UnixMs>,
    /// What may be spent with it.
    pub budget: BudgetLimits,
}

/// A stored key, without its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// Its public id.
    pub id: KeyId,
    /// What the operator calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: UnixMs,
    /// When it ends; `None`: never.
    pub expires: Option<UnixMs>,
    /// When it was revoked.
    pub revoked: Option<UnixMs>,
    /// What may be spent with it.
    pub budget: BudgetLimits,
}

impl KeyRow {
    /// Whether it may be used for `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    fn is_active(&self, now: UnixMs) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}

/// All keys in memory.
#[derive(Debug, Default)]
pub struct KeyTable {
    /// By the first eight bytes of the hash; the whole is compared in constant time.
    by_prefix: HashMap<[u8; 8], Vec<([u8; 32], KeyRow)>>,
    unrevoked: usize,
    /// Of the keys that have limits.
    budgets: HashMap<KeyId, BudgetLimits>,
}

impl KeyTable {
    /// The key with this SHA-256, unless it is revoked or has ended by `now`.
    pub fn find(&self, hash: &[u8; 32], now: UnixMs) -> Option<&KeyRow> {
        self.by_prefix
            .get(&prefix(hash))?
            .iter()
            .find(|(stored, _)| bool::from(stored.ct_eq(hash)))
            .map(|(_, row)| row)
            .filter(|row| row.is_active(now))
    }

    /// What may be spent with a key; `None`: it has no limits.
    pub fn budget_of(&self, id: &KeyId) -> Option<BudgetLimits> {
        self.budgets.get(id).copied()
    }

    /// All limits of keys.
    pub fn budgets(&self) -> impl Iterator<Item = &BudgetLimits> {
        self.budgets.values()
    }

    /// Whether there is no key but revoked ones.
    pub fn is_empty(&self) -> bool {
        self.unrevoked == 0
    }

    fn insert(&mut self, hash: [u8; 32], row: KeyRow) {
        self.unrevoked += usize::from(row.revoked.is_none());
        if !row.budget.is_empty() {
            self.budgets.insert(row.id.clone(), row.budget);
        }
        self.by_prefix.entry(prefix(&hash)).or_default().push((hash, row));
    }
}

fn prefix(hash: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}

impl Store {
    /// Stores a new key and logs it. The snapshot has it when this returns.
    ///
    /// # Errors
    /// When it is not on disk; also when its id or hash is taken.
    pub async fn create_key(&self, key: NewKey) -> Result<(), StoreError> {
        self.perform(move |log| {
            let scopes: Vec<_> = key.scopes.iter().map(|s| s.as_str()).collect();
            let budget = write_budget(&key.budget)?;
            let bound = params![
                key.id.as_str(),
                key.hash,
                key.name,
                scopes.join(","),
                log.now().0,
                key.expires.map(|e| e.0),
                budget
            ];
            log.tx()
                .prepare_cached(
                    "INSERT INTO client_keys (id, hash, name, scopes, created_ms, expires_ms, budget)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )
                .and_then(|mut insert| insert.execute(bound))
                .map_err(StoreError::sqlite("storing a key"))?;
            log.keys_changed = true;
            log.append(&mut EventBody::Admin(AdminEvent::KeyCreated { key: key.id.clone() })).map(drop)
        })
        .await
    }

    /// Revokes a key and logs it; whether there was one to revoke. The snapshot knows when this returns.
    ///
    /// # Errors
    /// When it is not on disk.
    pub async fn revoke_key(&self, id: KeyId) -> Result<bool, StoreError> {
        self.perform(move |log| {
            let changed = log
                .tx()
                .prepare_cached("UPDATE client_keys SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL")
                .and_then(|mut update| update.execute(params![id.as_str(), log.now().0]))
                .map_err(StoreError::sqlite("revoking a key"))?;
            if changed == 0 {
                return Ok(false);
            }
            log.keys_changed = true;
            log.append(&mut EventBody::Admin(AdminEvent::KeyRevoked { key: id.clone() })).map(|_| true)
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
        .prepare_cached(
            "SELECT id, hash, name, scopes, created_ms, expires_ms, revoked_ms, budget FROM client_keys ORDER BY created_ms, id",
        )?
        .query_map([], read_key)?
        .collect()
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<([u8; 32], KeyRow)> {
    let id: String = row.get(0)?;
    let scopes: String = row.get(3)?;
    let key = KeyRow {
        id: KeyId::new(id),
        name: row.get(2)?,
        scopes: scopes.split(',').filter_map(Scope::from_name).collect(),
        created: UnixMs(row.get(4)?),
        expires: row.get::<_, Option<i64>>(5)?.map(UnixMs),
        revoked: row.get::<_, Option<i64>>(6)?.map(UnixMs),
        budget: read_budget(row)?,
    };
    Ok((row.get(1)?, key))
}

/// JSON; `None` when nothing is limited.
fn write_budget(limits: &BudgetLimits) -> Result<Option<String>, StoreError> {
    let text = || serde_json::to_string(limits).map_err(|e| StoreError::Encode(e.into()));
    (!limits.is_empty()).then(text).transpose()
}

/// Limits that cannot be read are an error: a key must not spend without bound because its row is damaged.
fn read_budget(row: &Row<'_>) -> rusqlite::Result<BudgetLimits> {
    let Some(text) = row.get::<_, Option<String>>(7)? else { return Ok(BudgetLimits::default()) };
    let unreadable =
        |e| rusqlite::Error::FromSqlConversionFailure(7, rusqlite::types::Type::Text, Box::new(e));
    serde_json::from_str(&text).map_err(unreadable)
}
