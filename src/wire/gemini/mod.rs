//! Google's Gemini (`generateContent`), as an upstream: requests are translated to it, answers and streams from it.

mod parts;
mod reply;
mod request;
mod stream;
#[cfg(test)]
mod tests;

pub use reply::translate_reply;
pub use request::{cannot_say, translate_request};
pub use stream::GeminiReader;
