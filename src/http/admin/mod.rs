//! What operators call: everything under `/admin`. The scope `admin` is needed (see `auth`); without any key, loopback is enough, as in
//! the rest of the API. Requests are never held up by it.

pub(super) mod drift;
pub(super) mod judge;
pub(super) mod keys;
pub(super) mod models;
pub(super) mod policies;
mod query;
pub(super) mod reload;
pub(super) mod stats;

use std::collections::HashMap;

use axum::Router;
use axum::routing::{get, patch, post};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Api;
use super::body::Incoming;
use super::error::HttpError;
use crate::service::Service;
use crate::store::StoreError;

/// All paths under `/admin`.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/admin/stats", get(stats::get))
        .route("/admin/prices", get(stats::prices))
        .route("/admin/drift", get(drift::get))
        .route("/admin/judge", get(judge::get))
        .route("/admin/models", get(models::get))
        .route("/admin/keys", get(keys::list).post(keys::create))
        .route("/admin/keys/{id}", patch(keys::change).delete(keys::revoke))
        .route("/admin/audit", get(keys::audit))
        .route("/admin/policies", get(policies::get))
        .route("/admin/policies/promote", post(policies::promote))
        .route("/admin/policies/rollback", post(policies::roll_back))
        .route("/admin/reload", post(reload::reload))
        .route("/admin/experiments", get(policies::experiments).post(policies::start))
        .route("/admin/experiments/{name}/{order}", post(policies::end))
}

/// Reads from the store on a thread that may wait.
async fn blocking<T: Send + 'static>(
    api: &Api,
    read: impl FnOnce(&Service) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, HttpError> {
    let service = api.service();
    let done = tokio::task::spawn_blocking(move || read(&service)).await;
    let said = || "the store is not available".to_owned();
    done.map_err(|cause| HttpError::no_store(&cause, said()))?
        .map_err(|cause| HttpError::no_store(&cause, said()))
}

/// Who gives an order, for the audit table.
fn who(incoming: &Incoming) -> String {
    incoming.caller.key.as_ref().map_or_else(|| "loopback".to_owned(), ToString::to_string)
}

/// An order's body.
fn read<T: for<'de> Deserialize<'de>>(incoming: &Incoming) -> Result<T, HttpError> {
    serde_json::from_slice(&incoming.bytes)
        .map_err(|error| HttpError::bad_request(format!("the body cannot be read: {error}")))
}

/// The body of an order that needs no words: an object, or nothing at all.
///
/// # Errors
/// When it is something else: whoever sent it meant something that is not done.
fn read_no_words(incoming: &Incoming) -> Result<(), HttpError> {
    if incoming.bytes.is_empty() {
        return Ok(());
    }
    read::<HashMap<String, IgnoredAny>>(incoming).map(drop)
}
