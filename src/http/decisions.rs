//! `GET /v1/decisions/{id}`: the full explanation.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Json, Response};

use super::error::HttpError;
use super::{Api, auth, headers};

/// Why this model, what would have changed the choice, what became of it. Takes a decision's id or a completion's.
#[utoipa::path(
    get, path = "/v1/decisions/{id}", tag = "inference",
    params(("id" = String, Path, description = "A decision's id, or the id in a completion's body")),
    responses(
        (status = 200, description = "The decision", body = super::openapi::DecisionView),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn get(
    State(api): State<Api>,
    Extension(key): Extension<auth::Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let caller = headers::caller(&headers, &key)?;
    Ok(Json(api.service().decision(&id, &caller).await?).into_response())
}
