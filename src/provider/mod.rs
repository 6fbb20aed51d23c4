//! Upstreams over HTTP: one request to one model, and its answer in OpenAI's format.
//!
//! A provider makes exactly one call and tells how it ended; who is asked next is `dispatch`'s affair. It knows nothing of
//! policies, decisions or routes, and picks none of our statuses.
//!
//! Invariants: host and key come from [`ProviderSettings`] and from nowhere else; no header of a client is sent on; redirects are
//! not followed, because the key would travel with them; link-local and metadata addresses are refused after names are resolved; everything read is bounded, after decompression; dropping a reply (or
//! the future that waits for one) closes the upstream call. An answer that ends without its end mark is an error, never mended.

mod anthropic;
mod body;
mod client;
mod cohere;
mod error;
mod gemini;
mod openai;
mod resolver;
mod retry_after;
mod settings;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod timeouts;
mod transport;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

pub use error::{Fault, ProviderError};
pub use resolver::is_link_local_host;
pub use retry_after::read as retry_after;
pub use settings::{Format, ProviderBuildError, ProviderSettings};
pub use stream::{Chunk, ChunkStream};
pub use timeouts::Timeouts;

use crate::domain::ProviderId;
use crate::wire::chat::ChatRequest;
use crate::wire::{ReplyFacts, WireError};

/// One call of one model.
#[derive(Debug, Clone)]
pub struct ProviderCall {
    /// What the client asked.
    pub request: Arc<ChatRequest>,
    /// The provider's own model name.
    pub model: String,
    /// The arm's longest answer in tokens, for formats that must state a bound.
    pub max_output: Option<u32>,
    /// Bounds on the phases of the call; `total` is not read here, `deadline` is.
    pub timeouts: Timeouts,
    /// When the request as a whole is over.
    pub deadline: Instant,
}

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// A whole one.
    Full {
        /// An OpenAI chat completion as JSON.
        body: Bytes,
        /// What it says.
        facts: ReplyFacts,
        /// The upstream's own body, when the client speaks its format.
        native: Option<Bytes>,
    },
    /// A stream; nothing of its content may have come yet.
    Stream(ChunkStream),
}

/// Something that answers chat completions.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Makes one call. A stream is returned as soon as its head is there; its timers run on inside.
    ///
    /// # Errors
    /// Everything that is no answer; see [`ProviderError`].
    async fn complete(&self, call: &ProviderCall) -> Result<Reply, ProviderError>;

    /// The first thing in `request` that this upstream's format has no words for.
    fn cannot_say(&self, request: &ChatRequest) -> Option<WireError>;

    /// Which upstream this is.
    fn id(&self) -> &ProviderId;
}

/// Makes the provider that `settings` describe.
///
/// # Errors
/// When the base URL or a header is unusable, or the TLS roots of the system cannot be read.
pub fn build(settings: ProviderSettings) -> Result<Arc<dyn Provider>, ProviderBuildError> {
    let client = client::Client::new(&settings)?;
    Ok(match settings.format {
        Format::OpenAi => Arc::new(openai::OpenAi::new(client, "max_completion_tokens", settings.path)),
        Format::OpenAiCompatible => Arc::new(openai::OpenAi::new(client, "max_tokens", settings.path)),
        Format::Anthropic => Arc::new(anthropic::Anthropic::new(client)),
        Format::Cohere => Arc::new(cohere::Cohere::new(client)),
        Format::Gemini => Arc::new(gemini::Gemini::new(client)),
    })
}
