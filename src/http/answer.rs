//! From an answer of `service` to a response, in the client's format.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use tokio::time::timeout;

use super::error::HttpError;
use super::sse::{self, Source};
use super::{Api, headers};
use crate::service::{Answer, Caller, Head, WholeAnswer};
use crate::wire::AnswerWriter;
use crate::wire::chat::ChatRequest;

/// A client's format: streams by [`AnswerWriter`], whole answers here.
pub(super) trait Translated: AnswerWriter + 'static {
    /// The body of a whole answer.
    ///
    /// # Errors
    /// When the answer is not what it was checked to be.
    fn whole(&self, answer: WholeAnswer) -> Result<Bytes, HttpError>;
}

/// Serves `request` and answers in the client's format.
///
/// # Errors
/// As [`crate::service::Service::begin`] and its answer.
pub(super) async fn respond(
    api: &Api,
    request: ChatRequest,
    caller: &Caller,
    format: impl Translated,
) -> Result<Response, HttpError> {
    let begun = Box::pin(api.service().begin(request, caller)).await?;
    let (mut answer, keep_alive) = (begun.answer, api.keep_alive);
    let outcome = if begun.is_stream {
        match timeout(keep_alive, &mut answer).await {
            Ok(outcome) => outcome,
            // Who serves is not known yet; the decision is.
            Err(_) => {
                let response = sse::response(Source::Pending(answer), format, keep_alive);
                return Ok(with_head(&begun.head, response));
            }
        }
    } else {
        answer.await
    };
    Ok(match outcome? {
        Answer::Full(head, answer) => with_head(&head, json(format.whole(answer)?)),
        Answer::Stream(head, pieces) => {
            with_head(&head, sse::response(Source::Pieces(pieces), format, keep_alive))
        }
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
