//! `POST /v1/route`: the decision alone, for callers who make the call themselves.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Json, Response};

use super::error::HttpError;
use super::{Api, auth, body, headers};
use crate::service::ServiceError;
use crate::wire::chat::ChatRequest;

/// Chooses a model for a chat completion's body and calls nobody. Report what the call cost with feedback.
#[utoipa::path(
    post, path = "/v1/route", tag = "inference",
    request_body(content = super::openapi::ChatRequestBody),
    responses(
        (status = 200, description = "The choice and the ranking", body = super::openapi::RouteAnswer),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn create(
    State(api): State<Api>,
    Extension(key): Extension<auth::Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let bytes = body::read(&headers, body, api.max_body_bytes).await?;
    let caller = headers::caller(&headers, &key)?;
    let request = ChatRequest::parse(&bytes).map_err(ServiceError::from)?;
    Ok(Json(Box::pin(api.service.route(&request, &caller)).await?).into_response())
}
