//! `POST /v1/completions`: the legacy text form, by way of a chat with one message.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;

use super::Api;
use super::answer::{Translated, respond};
use super::body::Incoming;
use super::error::HttpError;
use crate::service::{ServiceError, WholeAnswer};
use crate::wire::completions::{CompletionsWriter, parse, reply};

/// Serves a text completion: by a route's choice or by the model asked for.
#[utoipa::path(
    post, path = "/v1/completions", tag = "inference",
    request_body(content = super::openapi::CompletionsRequest),
    responses(
        (status = 200, description = "A text completion; with `stream: true` server-sent events",
         content((super::openapi::OrChoice<super::openapi::CompletionsAnswer> = "application/json"), (super::openapi::ServerSentEvent = "text/event-stream"))),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn create(State(api): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let request = parse(&incoming.bytes).map_err(ServiceError::from)?;
    respond(&api, request, &incoming.caller, CompletionsWriter).await
}

impl Translated for CompletionsWriter {
    fn whole(&self, answer: WholeAnswer) -> Result<Bytes, HttpError> {
        reply(&answer.body).map(Bytes::from).map_err(|_| HttpError::unreadable_answer())
    }
}
