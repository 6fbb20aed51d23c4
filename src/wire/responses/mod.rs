//! Clients that speak OpenAI's Responses. Stateless: nothing is stored, so what refers to an earlier response is refused by name.

mod input;
mod items;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod writer;

pub use reply::{Echo, reply};
pub use request::parse;
pub use writer::ResponsesWriter;
