//! `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's form of the same service.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use serde_json::json;

use super::Api;
use super::answer::{Translated, respond};
use super::body::Incoming;
use super::error::{ErrorObject, HttpError};
use crate::service::{ServiceError, WholeAnswer};
use crate::wire::anthropic::client::{MessagesWriter, error_body, parse, reply};

const PATH: &str = "/v1/messages";
/// What the vendor's SDKs read.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Serves a Messages request: by a route's choice or by the model asked for.
#[utoipa::path(
    post, path = "/v1/messages", tag = "inference",
    request_body(content = super::openapi::MessagesRequest),
    responses(
        (status = 200, description = "An Anthropic message; with `stream: true` the events of the format",
         content((super::openapi::OrChoice<super::openapi::MessagesAnswer> = "application/json"), (super::openapi::ServerSentEvent = "text/event-stream"))),
        (status = "default", description = "An error in Anthropic's shape", body = super::openapi::MessagesError),
    )
)]
pub(super) async fn create(State(api): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let request = parse(&incoming.bytes).map_err(ServiceError::from)?;
    respond(&api, request, &incoming.caller, MessagesWriter::default()).await
}

impl Translated for MessagesWriter {
    fn whole(&self, answer: WholeAnswer) -> Result<Bytes, HttpError> {
        match answer.native {
            Some(native) => Ok(native),
            None => reply(&answer.body).map(Bytes::from).map_err(|_| HttpError::unreadable_answer()),
        }
    }
}

/// Estimates the input tokens of a Messages request; no model is asked.
#[utoipa::path(
    post, path = "/v1/messages/count_tokens", tag = "inference",
    request_body(content = super::openapi::MessagesRequest),
    responses(
        (status = 200, description = "The estimate, good to about a fifth on prose", body = super::openapi::TokenCount),
        (status = "default", description = "An error in Anthropic's shape", body = super::openapi::MessagesError),
    )
)]
pub(super) async fn count_tokens(State(_): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let request = parse(&incoming.bytes).map_err(ServiceError::from)?;
    Ok(Json(json!({ "input_tokens": request.prompt().input_tokens })).into_response())
}

/// Whether a path speaks Anthropic's format.
pub(super) fn is_ours(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Puts errors on these paths into Anthropic's shape, wherever they were made.
pub(super) fn in_its_shape(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let id = parts.headers.get("x-request-id").cloned();
    let error = parts.extensions.remove::<ErrorObject>();
    if let Some(id) = &id {
        parts.headers.insert(REQUEST_ID, id.clone());
    }
    let Some(ErrorObject(error)) = error else { return Response::from_parts(parts, body) };
    let id = id.as_ref().and_then(|id| id.to_str().ok());
    let body = error_body(parts.status.as_u16(), &error, id).to_string();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Response::from_parts(parts, Body::from(body))
}
