//! `POST /v1/route`: the decision alone, for callers who make the call themselves.

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};

use super::body::Incoming;
use super::error::HttpError;
use super::{Api, headers};
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
pub(super) async fn create(State(api): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let request = ChatRequest::parse(&incoming.bytes).map_err(ServiceError::from)?;
    let (head, answer) = Box::pin(api.service().route(&request, &incoming.caller)).await?;
    let mut response = Json(answer).into_response();
    headers::put(&head, &mut response);
    Ok(response)
}
