//! How many tokens a request is, estimated without a tokenizer.
//!
//! A rule of thumb, good to about a fifth on prose: ASCII text has 3.6 bytes per token (English prose about 4.2, code about 3.2),
//! every other character counts 0.8 tokens (Cyrillic and accented Latin less, CJK about 1). It serves to price a call before it
//! is made and to see whether it fits a context window; what is charged afterwards is the provider's own count.

use super::messages::{Message, Part};

/// ASCII bytes per token.
const ASCII_BYTES_PER_TOKEN: f64 = 3.6;
/// Tokens per character beyond ASCII.
const TOKENS_PER_WIDE_CHAR: f64 = 0.8;
/// Tokens that the format spends on each message.
const TOKENS_PER_MESSAGE: f64 = 4.0;
/// A picture of middling size at the vendors' usual detail.
const TOKENS_PER_IMAGE: f64 = 800.0;
/// Bytes of sound per token: 16-bit mono at 16 kHz, 10 tokens a second.
const AUDIO_BYTES_PER_TOKEN: f64 = 3200.0;
/// Bytes of an attached file per token: a PDF page of about 50 kB has some 1,500 tokens of text and picture.
const FILE_BYTES_PER_TOKEN: f64 = 33.0;
/// Bytes that four characters of base64 stand for, per character.
const BYTES_PER_BASE64: f64 = 0.75;

/// Tokens of plain text or JSON.
pub(in crate::wire) fn of_text(text: &str) -> f64 {
    // Every character beyond ASCII begins with one byte of two set bits.
    let wide = text.bytes().filter(|byte| *byte >= 0xc0).count();
    let ascii = text.bytes().filter(u8::is_ascii).count();
    ascii as f64 / ASCII_BYTES_PER_TOKEN + wide as f64 * TOKENS_PER_WIDE_CHAR
}

/// Tokens of one message, its tool calls included.
pub(super) fn of_message(message: &Message) -> f64 {
    let parts: f64 = message.parts.iter().map(of_part).sum();
    let calls: f64 = message.tool_calls.iter().map(|c| of_text(&c.name) + of_text(&c.arguments)).sum();
    TOKENS_PER_MESSAGE + parts + calls
}

fn of_part(part: &Part) -> f64 {
    match part {
        Part::Text { text, .. } | Part::Refusal(text) => of_text(text),
        Part::Image { .. } | Part::Other { .. } => TOKENS_PER_IMAGE,
        Part::Audio { base64_bytes } => *base64_bytes as f64 * BYTES_PER_BASE64 / AUDIO_BYTES_PER_TOKEN,
        Part::File { data: Some(data), .. } => data.len() as f64 * BYTES_PER_BASE64 / FILE_BYTES_PER_TOKEN,
        Part::File { data: None, .. } => TOKENS_PER_IMAGE,
    }
}
