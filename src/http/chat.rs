//! `POST /v1/chat/completions`, plain and as an event stream.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use tokio::time::timeout;

use super::body::Incoming;
use super::error::HttpError;
use super::sse::{self, Source};
use super::{Api, headers};
use crate::service::{Answer, Head, ServiceError};
use crate::wire::chat::ChatRequest;

/// Serves a chat completion: by a route's choice or by the model asked for.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "inference",
    request_body(content = super::openapi::ChatRequestBody),
    responses(
        (status = 200, description = "An OpenAI chat completion; with `stream: true` server-sent events",
         content((super::openapi::ChatCompletion = "application/json"), (String = "text/event-stream"))),
        (status = "default", description = "An error", body = super::openapi::ErrorBody),
    )
)]
pub(super) async fn create(State(api): State<Api>, incoming: Incoming) -> Result<Response, HttpError> {
    let request = ChatRequest::parse(&incoming.bytes).map_err(ServiceError::from)?;
    let begun = Box::pin(api.service.begin(request, &incoming.caller)).await?;
    let (mut answer, keep_alive) = (begun.answer, api.keep_alive);
    let outcome = if begun.is_stream {
        match timeout(keep_alive, &mut answer).await {
            Ok(outcome) => outcome,
            // Who serves is not known yet; the decision is.
            Err(_) => return Ok(with_head(&begun.head, sse::response(Source::Pending(answer), keep_alive))),
        }
    } else {
        answer.await
    };
    Ok(match outcome? {
        Answer::Full(head, body) => with_head(&head, json(body)),
        Answer::Stream(head, chunks) => with_head(&head, sse::response(Source::Chunks(chunks), keep_alive)),
        Answer::DryRun(head, answer) => with_head(&head, Json(answer).into_response()),
    })
}

fn with_head(head: &Head, mut response: Response) -> Response {
    headers::put(head, &mut response);
    response
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
