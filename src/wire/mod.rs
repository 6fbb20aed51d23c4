//! Wire formats as pure functions: bytes to values and back.
//!
//! [`chat`] reads OpenAI's chat completions, the hub: requests of other formats become one, answers of other formats come in its
//! form. [`anthropic`] translates to and from Anthropic's Messages, for upstreams and for clients; [`gemini`] and [`cohere`] to and
//! from theirs; [`responses`] and [`completions`] are what other clients of OpenAI's speak; [`sse`] frames event streams. A request keeps its own bytes: what a client sent
//! and we do not know survives on the way to an upstream of the same format. Translation happens between formats only.
//!
//! Invariants: nothing here awaits, reads a clock, draws randomness, or knows a host, a key or a status of ours. No input makes it
//! panic: depth, sizes and counts are bounded. A stream is never finished off: only an end mark or a finish reason that the
//! upstream sent is passed on.

pub mod anthropic;
pub mod chat;
pub mod cohere;
pub mod completions;
pub mod gemini;
pub mod responses;
pub mod sse;

mod error;
mod facts;
mod json;
mod origin;
mod signed;
mod stream;
#[cfg(test)]
mod testing;

pub use error::{UpstreamError, WireError, WireErrorKind};
pub use facts::{ChunkFacts, ReplyFacts};
pub use origin::{ClientFormat, Origin};
pub use stream::{AnswerWriter, ChunkError, ChunkReader, RawChunk};
