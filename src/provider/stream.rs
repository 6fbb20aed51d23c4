//! Streams of OpenAI chunks, whatever the upstream speaks.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use http::header::CONTENT_TYPE;

use super::body::{Body, Clock, MAX_STREAM};
use super::transport::Response;
use super::{Fault, ProviderError};
use crate::wire::sse::Decoder;
use crate::wire::{ChunkFacts, ChunkReader, RawChunk};

/// One chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// One OpenAI chunk as JSON, without `data: `.
    pub data: Bytes,
    /// What it says.
    pub facts: ChunkFacts,
    /// The upstream's own event, ready to send, when the client speaks its format; `data` may be empty then.
    pub native: Option<Bytes>,
}

/// Chunks in order. It ends after the upstream's end mark; an error is its last item. Dropping it closes the upstream call.
pub struct ChunkStream(BoxStream<'static, Result<Chunk, ProviderError>>);

impl ChunkStream {
    /// Wraps any stream of chunks.
    pub fn new(chunks: impl Stream<Item = Result<Chunk, ProviderError>> + Send + 'static) -> Self {
        Self(chunks.boxed())
    }
}

impl fmt::Debug for ChunkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkStream")
    }
}

impl Stream for ChunkStream {
    type Item = Result<Chunk, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

/// Reads `response` as an event stream with `reader`.
///
/// # Errors
/// When it is no event stream by its content type.
pub(super) fn read<R: ChunkReader + 'static>(
    response: Response,
    reader: R,
    clock: Clock,
) -> Result<ChunkStream, ProviderError> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("text/event-stream") {
        let status = Some(response.status().as_u16());
        return Err(ProviderError::Malformed { fault: Fault::WrongContentType, status });
    }
    let source = Source {
        body: Body::new(response, MAX_STREAM),
        decoder: Decoder::default(),
        reader,
        clock,
        ready: VecDeque::new(),
        failed: None,
        is_over: false,
    };
    Ok(ChunkStream::new(stream::unfold(source, |mut source| async move {
        let item = source.next().await?;
        Some((item, source))
    })))
}

/// One upstream stream being read. One packet at a time: when the client reads slowly, nothing is read ahead.
struct Source<R> {
    body: Body,
    decoder: Decoder,
    reader: R,
    clock: Clock,
    ready: VecDeque<Chunk>,
    /// The fault that ends the stream, once what came before it has gone out.
    failed: Option<ProviderError>,
    is_over: bool,
}

impl<R: ChunkReader> Source<R> {
    async fn next(&mut self) -> Option<Result<Chunk, ProviderError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.is_over {
                return self.failed.take().map(Err);
            }
            if let Err(error) = self.advance().await {
                self.failed = Some(error);
                self.is_over = true;
            }
        }
    }

    /// Reads one packet and queues the chunks in it.
    async fn advance(&mut self) -> Result<(), ProviderError> {
        let Some(packet) = self.body.next(&mut self.clock).await? else { return self.end() };
        let too_large = ProviderError::Malformed { fault: Fault::TooLarge, status: Some(200) };
        for event in self.decoder.push(&packet).map_err(|_| too_large)? {
            let chunks = self.reader.read(&event).map_err(ProviderError::of_answer)?;
            self.queue(chunks);
        }
        if self.reader.is_done() {
            self.close();
        }
        Ok(())
    }

    /// The bytes are over: either the answer is whole, or it was cut.
    fn end(&mut self) -> Result<(), ProviderError> {
        // An end mark without its blank line counts; any other rest is a cut event.
        if let Some(event) = std::mem::take(&mut self.decoder).finish()
            && let Ok(chunks) = self.reader.read(&event)
        {
            self.queue(chunks);
        }
        if !self.reader.is_whole() {
            return Err(ProviderError::Cut);
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        let last = self.reader.finish();
        self.queue(last);
        self.is_over = true;
    }

    fn queue(&mut self, chunks: Vec<RawChunk>) {
        for RawChunk { data, facts, native } in chunks {
            self.clock.has_begun |= facts.has_content || facts.finish_reason.is_some();
            self.ready.push_back(Chunk { data: Bytes::from(data), facts, native: native.map(Bytes::from) });
        }
    }
}
