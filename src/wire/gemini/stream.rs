//! A `streamGenerateContent` stream as OpenAI chunks. Each event is an answer in part; the last holds the finish reason.

use serde_json::{Value, json};

use super::reply::{self, Head, Pieces};
use crate::wire::facts;
use crate::wire::{ChunkError, ChunkReader, RawChunk, WireError, sse};

/// Calls of one answer that are followed.
const MAX_CALLS: usize = 1024;

/// Reads a stream. The format has no end mark: it is whole once a finish reason came and the bytes end.
#[derive(Debug)]
pub struct GeminiReader {
    created: i64,
    model: String,
    id: String,
    head: Option<Head>,
    calls_begun: usize,
    usage: Value,
    has_finished: bool,
}

impl GeminiReader {
    /// `created`: Unix seconds; `model` and `id` stand in where the stream names none.
    pub fn new(created: i64, model: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            created,
            model: model.into(),
            id: id.into(),
            head: None,
            calls_begun: 0,
            usage: Value::Null,
            has_finished: false,
        }
    }

    fn chunk(&self, choices: &Value) -> Option<Value> {
        let head = self.head.as_ref()?;
        Some(json!({
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": head.model,
            "choices": choices,
        }))
    }

    fn delta(&self, delta: &Value, logprobs: Value, reason: Option<&str>) -> Vec<RawChunk> {
        let choice = json!({ "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason });
        self.chunk(&json!([choice])).and_then(raw).into_iter().collect()
    }

    fn candidate(&mut self, head: &Head, candidate: &Value) -> Result<Vec<RawChunk>, ChunkError> {
        let mut pieces = Pieces { calls_begun: self.calls_begun, ..Pieces::default() };
        pieces.read(head, candidate);
        self.calls_begun = pieces.calls_begun;
        if self.calls_begun > MAX_CALLS {
            return Err(malformed("the stream has too many tool calls"));
        }
        let mut chunks = Vec::new();
        if !pieces.thinking.is_empty() {
            chunks.extend(self.delta(&json!({ "reasoning_content": pieces.thinking }), Value::Null, None));
        }
        if !pieces.text.is_empty() {
            let logprobs = reply::logprobs(candidate);
            chunks.extend(self.delta(&json!({ "content": pieces.text }), logprobs, None));
        }
        if !pieces.calls.is_empty() {
            chunks.extend(self.delta(&json!({ "tool_calls": pieces.calls }), Value::Null, None));
        }
        if let Some(reason) = candidate["finishReason"].as_str().filter(|_| !self.has_finished) {
            self.has_finished = true;
            let reason = reply::finish_reason(reason, self.calls_begun > 0);
            chunks.extend(self.delta(&json!({}), Value::Null, Some(reason)));
        }
        Ok(chunks)
    }
}

impl ChunkReader for GeminiReader {
    fn read(&mut self, event: &sse::Event) -> Result<Vec<RawChunk>, ChunkError> {
        if event.data.trim().is_empty() {
            return Ok(Vec::new());
        }
        let value = facts::parse(event.data.as_bytes())?;
        reply::check(&value)?;
        let mut chunks = Vec::new();
        let head = match &self.head {
            Some(head) => head.clone(),
            None => {
                let head = Head::of(&value, &self.model, &self.id);
                self.head = Some(head.clone());
                chunks = self.delta(&json!({ "role": "assistant", "content": "" }), Value::Null, None);
                head
            }
        };
        if value["usageMetadata"].is_object() {
            self.usage = value["usageMetadata"].clone();
        }
        if let Some(why) = reply::blocked(&value) {
            self.has_finished = true;
            chunks.extend(self.delta(&json!({ "refusal": why }), Value::Null, Some("content_filter")));
            return Ok(chunks);
        }
        chunks.extend(self.candidate(&head, &value["candidates"][0])?);
        Ok(chunks)
    }

    fn is_done(&self) -> bool {
        false
    }

    fn is_whole(&self) -> bool {
        self.has_finished
    }

    fn finish(&mut self) -> Vec<RawChunk> {
        let Some(mut chunk) = self.chunk(&json!([])).filter(|_| self.usage.is_object()) else {
            return Vec::new();
        };
        chunk["usage"] = reply::usage(&self.usage);
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
