//! The ledger: what calls came to, beside their decisions, and the price tables that they were billed by.

use super::db::{Result as DbResult, Row, params};
use super::rows::from_sql_int;
use super::{Store, StoreError};
use crate::domain::UnixMs;

/// By what the ledger is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerGroup {
    /// The callers' users.
    User,
    /// `tag=value`; a call counts for each of its tags.
    Tag,
}

/// Sums over the decisions of one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LedgerLine {
    /// The user, or `tag=value`.
    pub name: String,
    /// Decisions.
    pub requests: u64,
    /// Calls that ended with an answer.
    pub answered: u64,
    /// Calls that nobody answered.
    pub failed: u64,
    /// Tokens.
    pub input_tokens: u64,
    /// Tokens.
    pub output_tokens: u64,
    /// Tokens.
    pub cached_tokens: u64,
    /// Tokens.
    pub cache_write_tokens: u64,
    /// Tokens.
    pub reasoning_tokens: u64,
    /// USD, as budgets were charged.
    pub settled_usd: f64,
    /// USD of it that rest on our own count of tokens.
    pub estimated_usd: f64,
    /// USD that were set aside before the calls.
    pub reserved_usd: f64,
    /// Calls of unknown cost.
    pub unpriced: u64,
    /// Answers that came from the response cache.
    pub from_cache: u64,
}

/// One price table.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PriceTable {
    /// What rows of the ledger call it.
    pub version: String,
    /// Since when it holds, Unix milliseconds.
    pub at_ms: UnixMs,
    /// By model, USD per million tokens.
    pub prices: serde_json::Value,
}

/// The columns of [`line()`].
macro_rules! sums {
    () => {
        "count(*), count(served), count(CASE WHEN ending = 'failed' THEN 1 END), CAST(coalesce(sum(input_tokens), 0) AS BIGINT),
         CAST(coalesce(sum(output_tokens), 0) AS BIGINT), CAST(coalesce(sum(cached_tokens), 0) AS BIGINT),
         CAST(coalesce(sum(cache_write_tokens), 0) AS BIGINT), CAST(coalesce(sum(reasoning_tokens), 0) AS BIGINT),
         coalesce(sum(coalesce(settled_usd, cost_usd)), 0.0) AS usd,
         coalesce(sum(CASE WHEN basis = 'estimate' THEN cost_usd END), 0.0), coalesce(sum(reserved_usd), 0.0),
         count(CASE WHEN ending <> 'failed' AND cost_usd IS NULL THEN 1 END), count(CASE WHEN basis = 'cache' THEN 1 END)"
    };
}

impl Store {
    /// What was asked and spent since `from` by user or tag: at most `limit` groups, the dearest first. Reads every decision of that
    /// time: for a thread that may wait.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn spend_by(
        &self,
        group: LedgerGroup,
        from: UnixMs,
        limit: usize,
    ) -> Result<Vec<LedgerLine>, StoreError> {
        let tags_of_postgres = concat!(
            "SELECT (t.key || '=' || t.value) COLLATE \"C\" AS tag, ",
            sums!(),
            // An escaped U+0000 is one that its functions refuse.
            " FROM decisions d, json_each_text(CAST(d.tags AS json)) t
             WHERE d.id >= ?1 AND d.tags IS NOT NULL AND strpos(d.tags, '\\u0000') = 0
             GROUP BY tag ORDER BY usd DESC, tag LIMIT ?2"
        );
        let of_sqlite = match group {
            LedgerGroup::User => concat!(
                "SELECT \"user\", ",
                sums!(),
                " FROM decisions WHERE id >= ?1 AND \"user\" IS NOT NULL GROUP BY \"user\" ORDER BY usd DESC, \"user\" LIMIT ?2"
            ),
            LedgerGroup::Tag => concat!(
                "SELECT t.key || '=' || t.value AS tag, ",
                sums!(),
                " FROM decisions d, json_each(d.tags) t WHERE d.id >= ?1 AND d.tags IS NOT NULL
                 GROUP BY tag ORDER BY usd DESC, tag LIMIT ?2"
            ),
        };
        self.readers().with(|db| {
            let sql = match group {
                LedgerGroup::User => of_sqlite,
                LedgerGroup::Tag => db.pick(of_sqlite, tags_of_postgres),
            };
            db.query(sql, params![&first_id(from), limit as u64], line)
        })
    }

    /// Keeps a price table, once. Blocks: call it at the start.
    ///
    /// # Errors
    /// When it is not on disk.
    pub fn keep_prices(&self, version: &str, prices: &serde_json::Value) -> Result<(), StoreError> {
        let (version, prices) = (version.to_owned(), prices.to_string());
        self.perform_blocking(move |log| {
            let sql = "INSERT INTO price_tables (version, at_ms, prices) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            log.db()
                .execute(sql, params![&version, log.now().0, &prices])
                .map(drop)
                .map_err(StoreError::doing("keeping the prices"))
        })
    }

    /// All price tables, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn price_tables(&self) -> Result<Vec<PriceTable>, StoreError> {
        let read = |row: &Row<'_>| {
            let prices: String = row.get(2)?;
            Ok(PriceTable {
                version: row.get(0)?,
                at_ms: UnixMs(row.get(1)?),
                prices: serde_json::from_str(&prices).unwrap_or_default(),
            })
        };
        let sql = "SELECT version, at_ms, prices FROM price_tables ORDER BY at_ms DESC, version";
        self.readers().with(|db| db.query(sql, &[], read))
    }
}

/// The least id of a decision at that time: the first 48 bits of a UUID v7 are its milliseconds.
fn first_id(from: UnixMs) -> [u8; 16] {
    let ms = u64::try_from(from.0).unwrap_or(0).to_be_bytes();
    let mut id = [0; 16];
    id[..6].copy_from_slice(&ms[2..]);
    id
}

fn line(row: &Row<'_>) -> DbResult<LedgerLine> {
    let count = |column| row.get(column).map(from_sql_int);
    Ok(LedgerLine {
        name: row.get(0)?,
        requests: count(1)?,
        answered: count(2)?,
        failed: count(3)?,
        input_tokens: count(4)?,
        output_tokens: count(5)?,
        cached_tokens: count(6)?,
        cache_write_tokens: count(7)?,
        reasoning_tokens: count(8)?,
        settled_usd: row.get(9)?,
        estimated_usd: row.get(10)?,
        reserved_usd: row.get(11)?,
        unpriced: count(12)?,
        from_cache: count(13)?,
    })
}
