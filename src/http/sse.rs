//! A streamed answer as server-sent events.
//!
//! Two things are committed one after the other. The *status* goes out with the first byte, and a client that waits long for the first
//! content gets one as a comment, so that nothing on the way cuts a silent connection. The *content* begins later; until then another
//! model may still be asked, which is the dispatch's affair. Once the status is out every failure is an error event.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use tokio::time::timeout;

use super::error::HttpError;
use crate::service::{Answer, AnswerStream, Answering};

/// Clients ignore it; whatever lies between sees that the connection lives.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Where the events come from.
pub(super) enum Source {
    /// Somebody answers already.
    Chunks(Box<AnswerStream>),
    /// Nobody does yet, but the client has waited long enough for a status.
    Pending(Answering),
}

/// The events of `source`, with a comment after each silence of `keep_alive`.
pub(super) fn response(source: Source, keep_alive: Duration) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    let is_early = matches!(source, Source::Pending(_));
    let first = stream::iter(is_early.then(|| Ok(Bytes::from_static(KEEP_ALIVE))));
    (headers, Body::from_stream(first.chain(events(source, keep_alive)))).into_response()
}

enum Next {
    From(Source),
    Tear,
    End,
}

/// A break ends as an error event, then the connection is torn: no `[DONE]`, no invented finish reason, so that nobody takes half an
/// answer for a whole one.
fn events(source: Source, keep_alive: Duration) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold(Next::From(source), move |next| async move {
        match next {
            Next::From(source) => Some(step(source, keep_alive).await),
            Next::Tear => {
                // A body that has to wait is flushed first; without this the error event would be lost with the connection.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("the upstream broke off")), Next::End))
            }
            Next::End => None,
        }
    })
}

async fn step(mut source: Source, keep_alive: Duration) -> (Result<Bytes, std::io::Error>, Next) {
    loop {
        let event = match &mut source {
            Source::Chunks(chunks) => match timeout(keep_alive, chunks.next()).await {
                Ok(Some(Ok(data))) => event(&data),
                Ok(Some(Err(error))) => return fail(&error.into()),
                Ok(None) => return (Ok(event(b"[DONE]")), Next::End),
                Err(_) => Bytes::from_static(KEEP_ALIVE),
            },
            Source::Pending(answer) => match timeout(keep_alive, answer).await {
                Ok(Ok(Answer::Stream(_, chunks))) => {
                    source = Source::Chunks(chunks);
                    continue;
                }
                Ok(Ok(Answer::Full(..) | Answer::DryRun(..))) => return fail(&HttpError::no_stream()),
                Ok(Err(refusal)) => return fail(&refusal.into()),
                Err(_) => Bytes::from_static(KEEP_ALIVE),
            },
        };
        return (Ok(event), Next::From(source));
    }
}

fn fail(error: &HttpError) -> (Result<Bytes, std::io::Error>, Next) {
    (Ok(event(error.body().to_string().as_bytes())), Next::Tear)
}

fn event(data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(data.len() + 8);
    event.put_slice(b"data: ");
    event.put_slice(data);
    event.put_slice(b"\n\n");
    event.freeze()
}
