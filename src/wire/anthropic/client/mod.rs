//! Clients that speak Messages.

mod content;
mod native;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod writer;

pub use native::{NativeReader, body};
pub use reply::{error_body, reply};
pub use request::parse;
pub use writer::MessagesWriter;
