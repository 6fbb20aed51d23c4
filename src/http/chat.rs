//! `POST /v1/chat/completions`, plain and as an event stream.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Json, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};

use super::body::Incoming;
use super::error::HttpError;
use super::{Api, headers};
use crate::service::{Answer, AnswerStream, Head, ServiceError};
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
    Ok(match Box::pin(api.service.complete(request, &incoming.caller)).await? {
        Answer::Full(head, body) => with_head(&head, json(body)),
        Answer::Stream(head, chunks) => with_head(&head, event_stream(*chunks)),
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

fn event_stream(chunks: AnswerStream) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, Body::from_stream(events(chunks))).into_response()
}

/// A break ends as an error event, then the connection is torn: no `[DONE]`, no invented finish reason, so that nobody takes half an
/// answer for a whole one.
fn events(chunks: AnswerStream) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    enum Next {
        Chunk(Box<AnswerStream>),
        Tear,
        End,
    }
    stream::unfold(Next::Chunk(Box::new(chunks)), |next| async move {
        match next {
            Next::Chunk(mut chunks) => Some(match chunks.next().await {
                Some(Ok(data)) => (Ok(event(&data)), Next::Chunk(chunks)),
                Some(Err(error)) => {
                    let body = HttpError::from(error).body().to_string();
                    (Ok(event(body.as_bytes())), Next::Tear)
                }
                None => (Ok(event(b"[DONE]")), Next::End),
            }),
            Next::Tear => {
                // A body that has to wait is flushed first; without this the error event would be lost with the connection.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("the upstream broke off")), Next::End))
            }
            Next::End => None,
        }
    })
}

fn event(data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(data.len() + 8);
    event.put_slice(b"data: ");
    event.put_slice(data);
    event.put_slice(b"\n\n");
    event.freeze()
}
