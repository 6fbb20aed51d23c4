//! Client keys: what is kept of them, and the table in memory that requests are checked against.
//!
//! A key's text is known to its holder alone. What is stored is its SHA-256, which the caller computes.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::domain::{BudgetLimits, KeyId, RateLimits, RouteName, UnixMs};

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// What a key is called and what it may; all of it can be changed.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct KeyTerms {
    /// What the operator calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it ends; `None`: never.
    #[serde(rename = "expires_ms")]
    pub expires: Option<UnixMs>,
    /// What may be spent with it.
    pub budget: BudgetLimits,
    /// Routes that it may ask for; `None`: all.
    pub routes: Option<Arc<[RouteName]>>,
    /// How much it may ask within a minute.
    #[serde(flatten)]
    pub rate: RateLimits,
}

/// A key to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewKey {
    /// Its public id.
    pub id: KeyId,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// What it may.
    pub terms: KeyTerms,
}

/// A stored key, without its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// Its public id.
    pub id: KeyId,
    /// What it may.
    pub terms: KeyTerms,
    /// When it was made.
    pub created: UnixMs,
    /// When it was revoked.
    pub revoked: Option<UnixMs>,
}

impl KeyRow {
    /// Whether it may be used for `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.terms.scopes.contains(&scope)
    }

    fn is_active(&self, now: UnixMs) -> bool {
        self.revoked.is_none() && self.terms.expires.is_none_or(|end| now < end)
    }
}

/// A key beside its SHA-256.
type Hashed = ([u8; 32], Arc<KeyRow>);

/// All keys in memory.
#[derive(Debug, Default)]
pub struct KeyTable {
    /// By the first eight bytes of the hash; the whole is compared in constant time.
    by_prefix: HashMap<[u8; 8], Vec<Hashed>>,
    unrevoked: usize,
    /// Of the keys that have limits.
    budgets: HashMap<KeyId, BudgetLimits>,
}

impl KeyTable {
    /// The key with this SHA-256, unless it is revoked or has ended by `now`.
    pub fn find(&self, hash: &[u8; 32], now: UnixMs) -> Option<&Arc<KeyRow>> {
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

    pub(super) fn insert(&mut self, hash: [u8; 32], row: KeyRow) {
        self.unrevoked += usize::from(row.revoked.is_none());
        if !row.terms.budget.is_empty() {
            self.budgets.insert(row.id.clone(), row.terms.budget);
        }
        self.by_prefix.entry(prefix(&hash)).or_default().push((hash, Arc::new(row)));
    }
}

fn prefix(hash: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    [a, b, c, d, e, f, g, h]
}
