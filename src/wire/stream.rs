//! What the readers of event streams have in common, whatever the vendor.

use super::{ChunkFacts, UpstreamError, WireError, sse};

/// One OpenAI chunk and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct RawChunk {
    /// The chunk as JSON, without `data: `.
    pub data: String,
    /// What it says.
    pub facts: ChunkFacts,
    /// The upstream's own event as bytes to send, when the client speaks its format. `data` is empty when the event has no chunk.
    pub native: Option<String>,
}

/// Why an answer, or an event of one, is not passed on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChunkError {
    /// Not of the format.
    #[error("malformed: {0}")]
    Malformed(WireError),
    /// The upstream reports a failure.
    #[error("upstream error")]
    Upstream(UpstreamError),
}

/// Writes a streamed answer in the format of one kind of client.
pub trait AnswerWriter: Send {
    /// The bytes for one chunk; `native` is the upstream's own event, when it speaks the client's format.
    fn write(&mut self, chunk: &[u8], native: Option<&[u8]>) -> String;

    /// The bytes after the last chunk of an answer that ended.
    fn end(&mut self) -> String;

    /// The bytes that tell of a break; `error` has OpenAI's shape. Nothing comes after them.
    fn fail(&mut self, error: &serde_json::Value) -> String;
}

/// Turns the events of one vendor's stream into OpenAI chunks.
pub trait ChunkReader: Send {
    /// Takes one event and gives the chunks that it completes.
    ///
    /// # Errors
    /// When the event is an error or of no known shape; the stream is over then.
    fn read(&mut self, event: &sse::Event) -> Result<Vec<RawChunk>, ChunkError>;

    /// Whether the upstream's end mark came; nothing after it counts.
    fn is_done(&self) -> bool;

    /// Whether the answer is whole should the bytes end here: the end mark came, or every choice has its finish reason.
    fn is_whole(&self) -> bool;

    /// Chunks held back until the end, namely the usage. Asked once, after the end.
    fn finish(&mut self) -> Vec<RawChunk>;
}
