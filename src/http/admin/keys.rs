//! `/admin/keys` and `/admin/audit`: client keys, and who changed what.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

use super::super::body::Incoming;
use super::super::error::HttpError;
use super::super::{Api, auth};
use crate::service::{KeyError, KeyOrder, KeyView};

/// Rows of the audit table in one answer.
const AUDIT_ROWS: (usize, usize) = (100, 1000);

/// All client keys, revoked ones included, oldest first; never the keys themselves.
#[utoipa::path(
    get, path = "/admin/keys", tag = "admin",
    responses(
        (status = 200, description = "Keys", body = crate::http::openapi::KeyList),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn list(State(api): State<Api>) -> Result<Response, HttpError> {
    let rows = super::blocking(&api, |service| service.store.list_keys()).await?;
    let keys: Vec<KeyView> = rows.into_iter().map(KeyView::from).collect();
    Ok(Json(json!({ "keys": keys })).into_response())
}

/// Makes a key. Its text is in this answer and is never shown again.
#[utoipa::path(
    post, path = "/admin/keys", tag = "admin",
    request_body(content = crate::http::openapi::KeyBody),
    responses(
        (status = 201, description = "The key", body = crate::http::openapi::KeyMade),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<auth::Caller>,
    incoming: Incoming,
) -> Result<Response, HttpError> {
    let order: KeyOrder = super::read(&incoming)?;
    let (view, key) = api.service().create_key(order, caller.name()).await.map_err(refusal)?;
    let mut body = json!(view);
    body["key"] = key.into();
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Changes a key, from the next request on: what is left out stays as it is, `null` takes a limit away.
#[utoipa::path(
    patch, path = "/admin/keys/{id}", tag = "admin",
    params(("id" = String, Path, description = "The key's id, as the list shows it")),
    request_body(content = crate::http::openapi::KeyBody),
    responses(
        (status = 200, description = "The key as it is now", body = crate::http::openapi::KeyStatusView),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn change(
    State(api): State<Api>,
    Path(id): Path<String>,
    Extension(caller): Extension<auth::Caller>,
    incoming: Incoming,
) -> Result<Response, HttpError> {
    let order: KeyOrder = super::read(&incoming)?;
    let view = api.service().change_key(&id, order, caller.name()).await.map_err(refusal)?;
    Ok(Json(view).into_response())
}

/// Revokes a key, from the next request on and for good.
#[utoipa::path(
    delete, path = "/admin/keys/{id}", tag = "admin",
    params(("id" = String, Path, description = "The key's id, as the list shows it")),
    responses(
        (status = 200, description = "It is revoked", body = crate::http::openapi::KeyRevoked),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn revoke(
    State(api): State<Api>,
    Path(id): Path<String>,
    Extension(caller): Extension<auth::Caller>,
) -> Result<Response, HttpError> {
    api.service().revoke_key(&id, caller.name()).await.map_err(refusal)?;
    Ok(Json(json!({"id": id, "revoked": true})).into_response())
}

/// Who changed what, the newest first.
#[utoipa::path(
    get, path = "/admin/audit", tag = "admin",
    params(
        ("limit" = Option<usize>, Query, description = "Rows at most; 100, up to 1000"),
        ("before" = Option<i64>, Query, description = "Rows before the one of this number"),
    ),
    responses(
        (status = 200, description = "Rows", body = crate::http::openapi::AuditView),
        (status = "default", description = "An error", body = crate::http::openapi::ErrorBody),
    )
)]
pub(in crate::http) async fn audit(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (limit, before) = asked(query.as_deref())?;
    let rows = super::blocking(&api, move |service| service.store.audit(before, limit)).await?;
    Ok(Json(json!({ "audit": rows })).into_response())
}

/// Rows at most, and the row that they stand before.
///
/// # Errors
/// A name or a value that is none of ours.
pub(in crate::http) fn asked(query: Option<&str>) -> Result<(usize, Option<i64>), HttpError> {
    let number = |name, text: &str| {
        let fault = || HttpError::invalid_field(name, "must be a whole number above 0".into());
        text.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(fault)
    };
    let (mut limit, mut before) = (AUDIT_ROWS.0, None);
    super::query::each(query, "limit and before", |name, text| {
        match name {
            "limit" => limit = (number("limit", text)? as usize).min(AUDIT_ROWS.1),
            "before" => before = Some(i64::from(number("before", text)?)),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((limit, before))
}

fn refusal(error: KeyError) -> HttpError {
    match error {
        KeyError::Order(order) => HttpError::invalid_field(order.field, order.message),
        KeyError::NoKey(_) => {
            HttpError::invalid_request(StatusCode::NOT_FOUND, "unknown_key", error.to_string())
        }
        KeyError::NoRandomness(_) | KeyError::Store(_) => {
            HttpError::no_store(&error, "the store is not available".to_owned())
        }
    }
}
