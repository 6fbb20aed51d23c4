//! OpenAI chat completions, the format that clients speak and that every answer has.
//!
//! [`ChatRequest`] keeps the body it was parsed from, field by field in order and byte by byte, beside a typed view of the fields
//! that routing and translation need. Our own fields (`pointsman`, `models`) are taken out; everything unknown is passed on.

mod extension;
mod fields;
mod messages;
mod options;
mod prompt;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod tokens;

pub use extension::Extension;
pub(in crate::wire) use fields::Fields;
pub use messages::{Message, Part, Role, ToolCall};
pub use options::{Options, ResponseFormat, Tool, ToolChoice};
pub use prompt::prompt_of_text;
pub use reply::{OpenAiReader, read_chunk, read_completion};
pub(in crate::wire) use request::Body;
pub use request::ChatRequest;
pub(in crate::wire) use tokens::of_text;
