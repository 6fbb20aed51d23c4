//! Client keys as operators handle them: made, changed, listed, revoked.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::Service;
use super::clock::now;
use crate::domain::{BudgetLimits, KeyId, RateLimits, RouteName, UnixMs, hex};
use crate::store::{KeyRow, KeyTerms, NewKey, Scope, Store, StoreError};

/// Longest name of a key, characters.
const LONGEST_NAME: usize = 100;
/// Most routes that one key may list.
const MOST_ROUTES: usize = 1000;
/// Highest limit per minute.
const MOST_PER_MINUTE: u32 = 1_000_000_000;
const DAY_MS: i64 = 86_400_000;

/// What is to hold of a key. What is left out stays as it is, or has its default in a new key; `null` takes a limit away.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyOrder {
    /// What the operator calls it.
    pub name: Option<String>,
    /// What it may be used for; of a new key all but `admin`.
    pub scopes: Option<Vec<Scope>>,
    /// When it ends, as RFC 3339 has it.
    #[serde(default, deserialize_with = "given")]
    pub expires: Option<Option<String>>,
    /// The same in days from now.
    pub expires_in_days: Option<u16>,
    /// Routes that it may ask for.
    #[serde(default, deserialize_with = "given")]
    pub routes: Option<Option<Vec<RouteName>>>,
    /// Requests per minute.
    #[serde(default, deserialize_with = "given")]
    pub rpm: Option<Option<u32>>,
    /// Tokens per minute.
    #[serde(default, deserialize_with = "given")]
    pub tpm: Option<Option<u32>>,
    /// What may be spent with it.
    #[serde(default, deserialize_with = "given")]
    pub budget: Option<Option<BudgetLimits>>,
}

/// Tells `null` from what is left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(value).map(Some)
}

/// An order that was checked.
#[derive(Debug, Clone)]
pub struct KeyChange {
    name: Option<String>,
    scopes: Option<Vec<Scope>>,
    expires: Option<Option<UnixMs>>,
    routes: Option<Option<Arc<[RouteName]>>>,
    rpm: Option<Option<u32>>,
    tpm: Option<Option<u32>>,
    budget: Option<BudgetLimits>,
}

/// A field of an order that is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} {message}")]
pub struct KeyOrderError {
    /// Which.
    pub field: &'static str,
    /// What it must be.
    pub message: String,
}

impl KeyOrderError {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl KeyOrder {
    /// Checks every field; `known`: the routes that there are, where that is known.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn check(self, at: UnixMs, known: Option<&[RouteName]>) -> Result<KeyChange, KeyOrderError> {
        if let Some(name) = &self.name
            && (name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control))
        {
            let must = format!("must have at most {LONGEST_NAME} characters and no control characters");
            return Err(KeyOrderError::new("name", must));
        }
        let per_minute = |field, limit: Option<Option<u32>>| match limit.flatten() {
            Some(n) if !(1..=MOST_PER_MINUTE).contains(&n) => {
                Err(KeyOrderError::new(field, format!("must be a whole number of 1 to {MOST_PER_MINUTE}")))
            }
            _ => Ok(limit),
        };
        let budget = self.budget.map(|limits| limits.unwrap_or_default().checked()).transpose();
        Ok(KeyChange {
            name: self.name,
            scopes: self.scopes.map(scopes).transpose()?,
            expires: expires(self.expires, self.expires_in_days, at)?,
            routes: self.routes.map(|list| routes(list, known)).transpose()?,
            rpm: per_minute("rpm", self.rpm)?,
            tpm: per_minute("tpm", self.tpm)?,
            budget: budget.map_err(|e| KeyOrderError::new("budget", e.to_string()))?,
        })
    }
}

fn scopes(mut scopes: Vec<Scope>) -> Result<Vec<Scope>, KeyOrderError> {
    scopes.sort_by_key(|scope| scope.as_str());
    scopes.dedup();
    if scopes.is_empty() {
        let must = "must be some of infer, feedback, read, admin; to end a key, revoke it";
        return Err(KeyOrderError::new("scopes", must));
    }
    Ok(scopes)
}

fn expires(
    end: Option<Option<String>>,
    days: Option<u16>,
    at: UnixMs,
) -> Result<Option<Option<UnixMs>>, KeyOrderError> {
    match (end, days) {
        (Some(_), Some(_)) => {
            Err(KeyOrderError::new("expires_in_days", "cannot be given beside expires; give one of them"))
        }
        (None, Some(0)) => Err(KeyOrderError::new("expires_in_days", "must be 1 or more")),
        (None, Some(days)) => Ok(Some(Some(UnixMs(at.0 + i64::from(days) * DAY_MS)))),
        (None, None) => Ok(None),
        (Some(None), None) => Ok(Some(None)),
        (Some(Some(text)), None) => {
            let end = text.parse::<jiff::Timestamp>().map_err(|_| {
                KeyOrderError::new("expires", format!("must look like 2027-01-31T12:00:00Z, got {text:?}"))
            })?;
            Ok(Some(Some(UnixMs(end.as_millisecond()))))
        }
    }
}

type Routes = Option<Arc<[RouteName]>>;

fn routes(list: Option<Vec<RouteName>>, known: Option<&[RouteName]>) -> Result<Routes, KeyOrderError> {
    let Some(mut list) = list else { return Ok(None) };
    list.sort();
    list.dedup();
    if list.is_empty() || list.len() > MOST_ROUTES {
        let must = format!("must be 1 to {MOST_ROUTES} names of routes; null allows all");
        return Err(KeyOrderError::new("routes", must));
    }
    if let (Some(unknown), Some(known)) = (list.iter().find(|r| known.is_some_and(|k| !k.contains(r))), known)
    {
        let known: Vec<&str> = known.iter().map(RouteName::as_str).collect();
        let (unknown, known): (String, _) = (unknown.as_str().chars().take(80).collect(), known.join(", "));
        return Err(KeyOrderError::new("routes", format!("names {unknown:?}; there are: {known}")));
    }
    Ok(Some(list.into()))
}

impl KeyChange {
    /// Carries it out.
    pub fn apply(self, terms: &mut KeyTerms) {
        terms.name = self.name.unwrap_or(std::mem::take(&mut terms.name));
        terms.scopes = self.scopes.unwrap_or(std::mem::take(&mut terms.scopes));
        terms.expires = self.expires.unwrap_or(terms.expires);
        terms.routes = self.routes.unwrap_or(terms.routes.take());
        terms.rate =
            RateLimits { rpm: self.rpm.unwrap_or(terms.rate.rpm), tpm: self.tpm.unwrap_or(terms.rate.tpm) };
        terms.budget = self.budget.unwrap_or(terms.budget);
    }
}

/// A key as operators see it; never the key itself.
#[derive(Debug, Clone, Serialize)]
pub struct KeyView {
    /// Its public id.
    pub id: KeyId,
    /// What the operator calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made, in UTC.
    pub created: String,
    /// When it ends; `None`: never.
    pub expires: Option<String>,
    /// When it was revoked.
    pub revoked: Option<String>,
    /// Routes that it may ask for; `None`: all.
    pub routes: Option<Arc<[RouteName]>>,
    /// Requests per minute.
    pub rpm: Option<u32>,
    /// Tokens per minute.
    pub tpm: Option<u32>,
    /// What may be spent with it.
    pub budget: BudgetLimits,
}

impl From<KeyRow> for KeyView {
    fn from(row: KeyRow) -> Self {
        let KeyTerms { name, scopes, expires, budget, routes, rate } = row.terms;
        Self {
            id: row.id,
            name,
            scopes,
            created: time(row.created),
            expires: expires.map(time),
            revoked: row.revoked.map(time),
            routes,
            rpm: rate.rpm,
            tpm: rate.tpm,
            budget,
        }
    }
}

/// In UTC, to the second.
fn time(at: UnixMs) -> String {
    let second = jiff::Timestamp::from_second(at.0.div_euclid(1000));
    second.map_or_else(|_| at.0.to_string(), |t| t.to_string())
}

/// Why a key was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A field is wrong.
    #[error(transparent)]
    Order(#[from] KeyOrderError),
    /// There is no such key, or it is revoked.
    #[error("there is no key {0:?} that is not revoked")]
    NoKey(String),
    /// No random bytes are to be had.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(String),
    /// It is not on disk.
    #[error("the store is not available: {0}")]
    Store(#[from] StoreError),
}

/// Makes a key of 256 random bits for `who`; its text is in the answer and nowhere else.
///
/// # Errors
/// When there is no randomness, or it is not on disk.
pub async fn make_key(store: &Store, change: KeyChange, who: &str) -> Result<(KeyView, String), KeyError> {
    let (mut secret, mut id) = ([0u8; 32], [0u8; 6]);
    for bytes in [&mut secret[..], &mut id[..]] {
        getrandom::fill(bytes).map_err(|e| KeyError::NoRandomness(e.to_string()))?;
    }
    let key = format!("pm-{}", hex(&secret));
    let mut terms =
        KeyTerms { scopes: vec![Scope::Feedback, Scope::Infer, Scope::Read], ..KeyTerms::default() };
    change.apply(&mut terms);
    let id = KeyId::new(format!("key_{}", hex(&id)));
    let row = KeyRow { id: id.clone(), terms: terms.clone(), created: now(), revoked: None };
    let new = NewKey { id, hash: Sha256::digest(key.as_bytes()).into(), terms };
    store.create_key(new, who).await?;
    Ok((row.into(), key))
}

impl Service {
    fn checked(&self, order: KeyOrder) -> Result<KeyChange, KeyOrderError> {
        let routes = self.fleet.routes();
        let names = routes.iter().map(|live| live.route.name.clone());
        let known: Vec<RouteName> = names.chain([RouteName::from(super::EMBEDDING_MODEL)]).collect();
        order.check(now(), Some(&known))
    }

    /// Makes a key; `who` wants it.
    ///
    /// # Errors
    /// When a field is wrong, or it is not on disk.
    pub async fn create_key(&self, order: KeyOrder, who: &str) -> Result<(KeyView, String), KeyError> {
        make_key(&self.store, self.checked(order)?, who).await
    }

    /// Changes a key, from the next request on.
    ///
    /// # Errors
    /// When a field is wrong, there is no such key, or it is not on disk.
    pub async fn change_key(&self, id: &str, order: KeyOrder, who: &str) -> Result<KeyView, KeyError> {
        let change = self.checked(order)?;
        let changed = self.store.change_key(KeyId::from(id), move |terms| change.apply(terms), who).await?;
        changed.map(KeyView::from).ok_or_else(|| no_key(id))
    }

    /// Revokes a key, from the next request on.
    ///
    /// # Errors
    /// When there is no such key, or it is not on disk.
    pub async fn revoke_key(&self, id: &str, who: &str) -> Result<(), KeyError> {
        let revoked = self.store.revoke_key(KeyId::from(id), who).await?;
        revoked.then_some(()).ok_or_else(|| no_key(id))
    }
}

fn no_key(id: &str) -> KeyError {
    KeyError::NoKey(id.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(json: &str) -> KeyOrder {
        serde_json::from_str(json).unwrap()
    }

    fn applied(json: &str, terms: &KeyTerms) -> KeyTerms {
        let mut terms = terms.clone();
        order(json).check(UnixMs(0), None).unwrap().apply(&mut terms);
        terms
    }

    #[test]
    fn what_is_left_out_stays_and_null_takes_a_limit_away() {
        let all = r#"{"name": "a", "scopes": ["read", "infer", "read"], "expires": "1970-01-02T00:00:00Z", "routes": ["b", "a"],
                      "rpm": 5, "tpm": 7, "budget": {"usd_per_day": 1}}"#;
        let terms = applied(all, &KeyTerms::default());
        assert_eq!(terms.expires, Some(UnixMs(DAY_MS)));
        assert_eq!(terms.scopes, [Scope::Infer, Scope::Read]);
        assert_eq!(terms.routes.as_deref(), Some(&[RouteName::from("a"), RouteName::from("b")][..]));
        assert_eq!(applied("{}", &terms), terms);
        let freed =
            applied(r#"{"expires": null, "routes": null, "rpm": null, "tpm": null, "budget": null}"#, &terms);
        let bare = KeyTerms { name: "a".into(), scopes: terms.scopes.clone(), ..KeyTerms::default() };
        assert_eq!(freed, bare);
        assert_eq!(applied(r#"{"expires_in_days": 2}"#, &bare).expires, Some(UnixMs(2 * DAY_MS)));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let known = [RouteName::from("auto")];
        for (json, field) in [
            (r#"{"name": "a\nb"}"#, "name"),
            (r#"{"scopes": []}"#, "scopes"),
            (r#"{"expires": "tomorrow"}"#, "expires"),
            (r#"{"expires": null, "expires_in_days": 3}"#, "expires_in_days"),
            (r#"{"routes": []}"#, "routes"),
            (r#"{"routes": ["auto", "other"]}"#, "routes"),
            (r#"{"rpm": 0}"#, "rpm"),
            (r#"{"tpm": 4000000000}"#, "tpm"),
            (r#"{"budget": {"usd_per_day": -1}}"#, "budget"),
        ] {
            assert_eq!(order(json).check(UnixMs(0), Some(&known)).unwrap_err().field, field, "{json}");
        }
        assert!(serde_json::from_str::<KeyOrder>(r#"{"colour": 1}"#).is_err());
    }
}
