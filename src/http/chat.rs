//! `POST /v1/chat/completions`, plain and as an event stream.

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;

use super::Api;
use super::answer::{Translated, respond};
use super::body::Incoming;
use super::error::HttpError;
use crate::service::{ServiceError, WholeAnswer};
use crate::wire::AnswerWriter;
use crate::wire::chat::ChatRequest;

/// Serves a chat completion: by a route's choice or by the model asked for.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "inference",
    request_body(content = super::openapi::ChatRequestBody),
    responses(
        (status = 200, description = "An OpenAI chat completion; with `stream: true` server-sent events",
         content((super::openapi::OrChoice<super::openapi::ChatCompletion> = "application/json"), (super::openapi::ServerSentEvent = "text/event-stream"))),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn create(State(api): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let request = ChatRequest::parse(&incoming.bytes).map_err(ServiceError::from)?;
    respond(&api, request, &incoming.caller, Chat).await
}

/// Answers as they are in here.
struct Chat;

impl Translated for Chat {
    fn whole(&self, answer: WholeAnswer) -> Result<bytes::Bytes, HttpError> {
        Ok(answer.body)
    }
}

impl AnswerWriter for Chat {
    fn write(&mut self, chunk: &[u8], _: Option<&[u8]>) -> String {
        event(&String::from_utf8_lossy(chunk))
    }

    fn end(&mut self) -> String {
        event("[DONE]")
    }

    fn fail(&mut self, error: &Value) -> String {
        event(&error.to_string())
    }
}

fn event(data: &str) -> String {
    ["data: ", data, "\n\n"].concat()
}
