//! Anthropic's Messages. As an upstream: requests are translated to it, answers and streams from it. As what a client speaks
//! ([`client`]): the other way round; where both ends speak it, bodies and events pass through.

mod blocks;
pub mod client;
mod effort;
mod reply;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod turns;

pub(in crate::wire) use blocks::split_data_url;
pub use reply::translate_reply;
pub use request::{DEFAULT_MAX_TOKENS, cannot_say, translate_request};
pub use stream::AnthropicReader;
