//! A client and an upstream that both speak Messages: bodies and events pass through, and are read on the way.

use serde_json::Value;

use super::super::reply::is_signed;
use super::super::{AnthropicReader, DEFAULT_MAX_TOKENS};
use crate::wire::chat::ChatRequest;
use crate::wire::{ChunkError, ChunkFacts, ChunkReader, ClientFormat, RawChunk, sse};

/// The body to send when the client wrote Messages: its own bytes, with `model` replaced, and `max_tokens` where it is missing or
/// capped.
pub fn body(request: &ChatRequest, model: &str, max_output: Option<u32>) -> Option<Vec<u8>> {
    let origin = request.origin_of(ClientFormat::Messages)?;
    let missing = || (!origin.has("max_tokens")).then(|| max_output.unwrap_or(DEFAULT_MAX_TOKENS));
    let bound = request.cap().or_else(missing).map(|most| ("max_tokens", most));
    Some(origin.body(model, bound).into_bytes())
}

/// Thinking that came from a model of another vendor has no signature, and Anthropic refuses it: such blocks are taken out of the
/// conversation.
pub(super) fn drop_unsigned(origin: &mut [(String, Box<serde_json::value::RawValue>)], messages: &Value) {
    let is_foreign = |block: &Value| block["type"] == "thinking" && !is_signed(block);
    let blocks = |message: &Value| message["content"].as_array().is_some_and(|b| b.iter().any(is_foreign));
    let Some(list) = messages.as_array().filter(|list| list.iter().any(blocks)) else { return };
    let mut list = list.clone();
    for content in list.iter_mut().filter_map(|m| m.get_mut("content")?.as_array_mut()) {
        content.retain(|block| !is_foreign(block));
    }
    list.retain(|message| message["content"].as_array().is_none_or(|content| !content.is_empty()));
    let slot = origin.iter_mut().find(|(name, _)| name == "messages");
    if let (Some((_, raw)), Ok(bytes)) = (slot, serde_json::value::to_raw_value(&list)) {
        *raw = bytes;
    }
}

/// Reads a Messages stream and passes its events on as they came.
#[derive(Debug)]
pub struct NativeReader(AnthropicReader);

impl NativeReader {
    /// `created`: Unix seconds.
    pub fn new(created: i64) -> Self {
        Self(AnthropicReader::new(created))
    }
}

impl ChunkReader for NativeReader {
    fn read(&mut self, event: &sse::Event) -> Result<Vec<RawChunk>, ChunkError> {
        if self.0.is_done() || event.data.trim().is_empty() {
            return Ok(Vec::new());
        }
        let mut chunks = self.0.read(event)?;
        let kind = serde_json::from_str::<Value>(&event.data)
            .ok()
            .and_then(|v| Some(v["type"].as_str()?.to_owned()));
        let kind = kind.unwrap_or_default();
        // A piece of a block that has no translation is a piece of the answer all the same.
        let facts = ChunkFacts { has_content: kind == "content_block_delta", ..ChunkFacts::default() };
        let native = Some(sse::encode_named(&kind, &event.data));
        match chunks.first_mut() {
            Some(first) => first.native = native,
            None => chunks.push(RawChunk { data: String::new(), facts, native }),
        }
        Ok(chunks)
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }

    fn is_whole(&self) -> bool {
        self.0.is_whole()
    }

    fn finish(&mut self) -> Vec<RawChunk> {
        self.0.finish()
    }
}
