//! A streamed answer as server-sent events.
//!
//! Two things are committed one after the other. The *status* goes out with the first byte, and a client that waits long for the first
//! content gets one as a comment, so that nothing on the way cuts a silent connection. The *content* begins later; until then another
//! model may still be asked, which is the dispatch's affair. Once the status is out every failure is an error event.

use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::time::timeout;

use super::error::HttpError;
use crate::service::{Answer, AnswerStream, Answering, Piece, ServiceError};
use crate::wire::AnswerWriter;

/// Pieces that are there already go out together, up to about so many bytes: each frame of a body costs as much as several pieces.
const MOST_TOGETHER: usize = 16 * 1024;
/// Clients ignore it; whatever lies between sees that the connection lives.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Where the events come from.
pub(super) enum Source {
    /// Somebody answers already.
    Pieces(Box<AnswerStream>),
    /// Nobody does yet, but the client has waited long enough for a status.
    Pending(Answering),
}

/// The events of `source` as `writer` has them, with a comment after each silence of `keep_alive`.
pub(super) fn response(
    source: Source,
    writer: impl AnswerWriter + 'static,
    keep_alive: Duration,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    let is_early = matches!(source, Source::Pending(_));
    let first = stream::iter(is_early.then(|| Ok(Bytes::from_static(KEEP_ALIVE))));
    (headers, Body::from_stream(first.chain(events(Box::new((source, writer)), keep_alive)))).into_response()
}

enum Next<W> {
    From(Box<(Source, W)>),
    Tear,
    End,
}

type Step<W> = (Result<Bytes, std::io::Error>, Next<W>);

/// A break ends as an error event, then the connection is torn: no `[DONE]`, no invented finish reason, so that nobody takes half an
/// answer for a whole one.
fn events<W: AnswerWriter + 'static>(
    from: Box<(Source, W)>,
    keep_alive: Duration,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold(Next::From(from), move |next| async move {
        match next {
            Next::From(from) => Some(step(from, keep_alive).await),
            Next::Tear => {
                // A body that has to wait is flushed first; without this the error event would be lost with the connection.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("the upstream broke off")), Next::End))
            }
            Next::End => None,
        }
    })
}

async fn step<W: AnswerWriter>(mut from: Box<(Source, W)>, keep_alive: Duration) -> Step<W> {
    loop {
        let (source, writer) = &mut *from;
        let event = match source {
            Source::Pieces(pieces) => match timeout(keep_alive, pieces.next()).await {
                Ok(first) => {
                    let (events, end) = together(first, pieces, writer).await;
                    match end {
                        Some(end) => return (Ok(events), end),
                        None => events,
                    }
                }
                Err(_) => Bytes::from_static(KEEP_ALIVE),
            },
            Source::Pending(answer) => match timeout(keep_alive, answer).await {
                Ok(Ok(Answer::Stream(_, pieces))) => {
                    *source = Source::Pieces(pieces);
                    continue;
                }
                Ok(Ok(Answer::Full(..) | Answer::DryRun(..))) => {
                    return fail(writer, &HttpError::no_stream());
                }
                Ok(Err(refusal)) => return fail(writer, &refusal.into()),
                Err(_) => Bytes::from_static(KEEP_ALIVE),
            },
        };
        // Some pieces say nothing in the client's format.
        if !event.is_empty() {
            return (Ok(event), Next::From(from));
        }
    }
}

type Item = Option<Result<Piece, ServiceError>>;

/// The events of `first` and of what else is there without waiting; how the body goes on, when that was the end.
async fn together<W: AnswerWriter>(
    first: Item,
    pieces: &mut AnswerStream,
    writer: &mut W,
) -> (Bytes, Option<Next<W>>) {
    let mut events = String::new();
    let mut next = first;
    loop {
        match next {
            Some(Ok(piece)) => events.push_str(&writer.write(&piece.data, piece.native.as_deref())),
            Some(Err(error)) => {
                events.push_str(&writer.fail(&HttpError::from(error).body()));
                return (events.into(), Some(Next::Tear));
            }
            None => {
                events.push_str(&writer.end());
                return (events.into(), Some(Next::End));
            }
        }
        if events.len() >= MOST_TOGETHER {
            return (events.into(), None);
        }
        match futures::poll!(pieces.next()) {
            Poll::Ready(item) => next = item,
            Poll::Pending => return (events.into(), None),
        }
    }
}

fn fail<W: AnswerWriter>(writer: &mut W, error: &HttpError) -> Step<W> {
    (Ok(Bytes::from(writer.fail(&error.body()))), Next::Tear)
}
