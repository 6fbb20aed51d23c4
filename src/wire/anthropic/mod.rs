//! Anthropic's Messages, as an upstream: requests are translated to it, answers and streams from it.

mod blocks;
mod reply;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod turns;

pub use reply::translate_reply;
pub use request::{DEFAULT_MAX_TOKENS, translate_request};
pub use stream::AnthropicReader;
