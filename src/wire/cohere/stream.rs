//! A v2 chat stream as OpenAI chunks. Events that are newer than this code are passed over.

use serde_json::{Value, json};

use super::reply::{finish_reason, usage};
use crate::wire::facts;
use crate::wire::{ChunkError, ChunkReader, RawChunk, UpstreamError, WireError, sse};

/// Calls of one answer that are followed.
const MAX_CALLS: usize = 1024;

/// Reads a stream.
#[derive(Debug)]
pub struct CohereReader {
    created: i64,
    model: String,
    id: Option<Value>,
    calls_begun: usize,
    usage: Value,
    is_done: bool,
}

impl CohereReader {
    /// `created`: Unix seconds and `model`: which the format does not tell.
    pub fn new(created: i64, model: impl Into<String>) -> Self {
        Self { created, model: model.into(), id: None, calls_begun: 0, usage: Value::Null, is_done: false }
    }

    fn chunk(&self, choices: &Value) -> Option<Value> {
        Some(json!({
            "id": self.id.as_ref()?,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }))
    }

    fn delta(&self, delta: &Value, reason: Option<&str>) -> Vec<RawChunk> {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason });
        self.chunk(&json!([choice])).and_then(raw).into_iter().collect()
    }

    fn text(&self, field: &str, text: &Value) -> Vec<RawChunk> {
        match text.as_str() {
            Some(text) if !text.is_empty() => self.delta(&json!({ field: text }), None),
            _ => Vec::new(),
        }
    }

    fn content(&self, content: &Value) -> Vec<RawChunk> {
        let mut chunks = self.text("reasoning_content", &content["thinking"]);
        chunks.extend(self.text("content", &content["text"]));
        chunks
    }

    fn start_call(&mut self, call: &Value) -> Result<Vec<RawChunk>, ChunkError> {
        if self.calls_begun >= MAX_CALLS {
            return Err(malformed("the stream has too many tool calls"));
        }
        let index = self.calls_begun;
        self.calls_begun += 1;
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let function = json!({ "name": call["function"]["name"], "arguments": arguments });
        let call = json!({ "index": index, "id": call["id"], "type": "function", "function": function });
        Ok(self.delta(&json!({ "tool_calls": [call] }), None))
    }

    fn arguments(&self, call: &Value) -> Vec<RawChunk> {
        let (Some(index), Some(piece)) = (
            self.calls_begun.checked_sub(1),
            call["function"]["arguments"].as_str().filter(|a| !a.is_empty()),
        ) else {
            return Vec::new();
        };
        let call = json!({ "index": index, "function": { "arguments": piece } });
        self.delta(&json!({ "tool_calls": [call] }), None)
    }

    fn end(&mut self, delta: &Value) -> Result<Vec<RawChunk>, ChunkError> {
        let reason =
            delta["finish_reason"].as_str().ok_or_else(|| malformed("the stream ends without a reason"))?;
        if let Some(error) = delta["error"].as_str() {
            return Err(ChunkError::Upstream(UpstreamError::from_text(error)));
        }
        let reason = finish_reason(reason)?;
        self.usage = delta["usage"].clone();
        self.is_done = true;
        Ok(self.delta(&json!({}), Some(reason)))
    }
}

impl ChunkReader for CohereReader {
    fn read(&mut self, event: &sse::Event) -> Result<Vec<RawChunk>, ChunkError> {
        if self.is_done || event.data.trim().is_empty() || event.data.trim() == "[DONE]" {
            return Ok(Vec::new());
        }
        let value = facts::parse(event.data.as_bytes())?;
        let Some(kind) = value["type"].as_str() else {
            let error = UpstreamError::from_value(&value).map(ChunkError::Upstream);
            return Err(error.unwrap_or_else(|| malformed("an event has no type")));
        };
        if kind == "message-start" {
            self.id = Some(value["id"].clone());
            return Ok(self.delta(&json!({ "role": "assistant", "content": "" }), None));
        }
        if self.id.is_none() {
            return Err(malformed("the stream does not begin with message-start"));
        }
        let message = &value["delta"]["message"];
        match kind {
            "content-start" | "content-delta" => Ok(self.content(&message["content"])),
            "tool-plan-delta" => Ok(self.text("content", &message["tool_plan"])),
            "tool-call-start" => self.start_call(&message["tool_calls"]),
            "tool-call-delta" => Ok(self.arguments(&message["tool_calls"])),
            "message-end" => self.end(&value["delta"]),
            _ => Ok(Vec::new()),
        }
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn is_whole(&self) -> bool {
        self.is_done
    }

    fn finish(&mut self) -> Vec<RawChunk> {
        let Some(mut chunk) = self.chunk(&json!([])).filter(|_| self.usage.is_object()) else {
            return Vec::new();
        };
        chunk["usage"] = usage(&self.usage);
        raw(chunk).into_iter().collect()
    }
}

fn raw(chunk: Value) -> Option<RawChunk> {
    let facts = facts::chunk_facts(&chunk).ok()?;
    Some(RawChunk { data: chunk.to_string(), facts, native: None })
}

fn malformed(what: &str) -> ChunkError {
    ChunkError::Malformed(WireError::malformed(what))
}
