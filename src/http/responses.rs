//! `POST /v1/responses`: OpenAI's newer form of the same service. Stateless.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;

use super::Api;
use super::answer::{Translated, respond};
use super::body::Incoming;
use super::error::HttpError;
use crate::service::{ServiceError, WholeAnswer};
use crate::wire::responses::{ResponsesWriter, parse, reply};

/// Serves a Responses request: by a route's choice or by the model asked for. Nothing is stored: what refers to an earlier response is
/// refused, and tools are functions.
#[utoipa::path(
    post, path = "/v1/responses", tag = "inference",
    request_body(content = super::openapi::ResponsesRequest),
    responses(
        (status = 200, description = "An OpenAI response; with `stream: true` its typed events",
         content((super::openapi::OrChoice<super::openapi::ResponsesAnswer> = "application/json"), (super::openapi::ServerSentEvent = "text/event-stream"))),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn create(State(api): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let (request, echo) = parse(&incoming.bytes).map_err(ServiceError::from)?;
    respond(&api, request, &incoming.caller, ResponsesWriter::new(echo)).await
}

impl Translated for ResponsesWriter {
    fn whole(&self, answer: WholeAnswer) -> Result<Bytes, HttpError> {
        reply(&answer.body, self.echo()).map(Bytes::from).map_err(|_| HttpError::unreadable_answer())
    }
}
