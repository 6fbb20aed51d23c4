//! A Messages stream as OpenAI chunks.
//!
//! After <https://docs.anthropic.com/en/docs/build-with-claude/streaming>. Events and block types that are newer than this code are
//! passed over, as that page asks; events out of order are an error.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::reply::{Tokens, finish_reason};
use crate::wire::facts::{self, ChunkFacts};
use crate::wire::{ChunkError, ChunkReader, RawChunk, UpstreamError, WireError, sse};

/// Content blocks of one answer that are followed.
const MAX_BLOCKS: usize = 1024;

/// Reads a Messages stream.
#[derive(Debug)]
pub struct AnthropicReader {
    created: i64,
    head: Option<Head>,
    tokens: Tokens,
    /// Tool calls by the index of their block.
    calls: BTreeMap<u64, Call>,
    calls_begun: usize,
    /// The thinking block that is open: its text and, at its end, its signature.
    thinking: Option<(String, String)>,
    has_stop_reason: bool,
    is_done: bool,
}

/// What each chunk repeats.
#[derive(Debug)]
struct Head {
    id: Value,
    model: Value,
}

/// A tool call whose block is open.
#[derive(Debug)]
struct Call {
    /// Among the calls of the answer, from 0.
    index: usize,
    /// Arguments that came with the start of the block; sent at its end if no piece follows.
    input: Value,
    has_pieces: bool,
}

impl AnthropicReader {
    /// `created`: Unix seconds, which the format does not tell.
    pub fn new(created: i64) -> Self {
        Self {
            created,
            head: None,
            tokens: Tokens::default(),
            calls: BTreeMap::new(),
            calls_begun: 0,
            thinking: None,
            has_stop_reason: false,
            is_done: false,
        }
    }

    fn start(&mut self, message: &Value) -> Vec<RawChunk> {
        self.head = Some(Head { id: message["id"].clone(), model: message["model"].clone() });
        self.tokens = self.tokens.updated(&message["usage"]);
        self.delta(json!({ "role": "assistant", "content": "" }))
    }

    fn start_block(&mut self, event: &Value) -> Result<Vec<RawChunk>, ChunkError> {
        let block = &event["content_block"];
        match block["type"].as_str() {
            Some("tool_use") => {}
            Some("text") => return Ok(self.text("content", &block["text"])),
            Some("thinking") => {
                self.thinking = Some((text_of(&block["thinking"]), text_of(&block["signature"])));
                return Ok(self.text("reasoning_content", &block["thinking"]));
            }
            Some("redacted_thinking") => return Ok(self.delta(json!({ "thinking_blocks": [block] }))),
            _ => return Ok(Vec::new()),
        }
        if self.calls_begun >= MAX_BLOCKS {
            return Err(malformed("the stream has too many tool calls"));
        }
        let index = self.calls_begun;
        self.calls_begun += 1;
        let call = Call { index, input: block["input"].clone(), has_pieces: false };
        self.calls.insert(block_index(event)?, call);
        let function = json!({ "name": block["name"], "arguments": "" });
        let call = json!({ "index": index, "id": block["id"], "type": "function", "function": function });
        Ok(self.delta(json!({ "tool_calls": [call] })))
    }

    fn delta_of_block(&mut self, event: &Value) -> Result<Vec<RawChunk>, ChunkError> {
        let delta = &event["delta"];
        match delta["type"].as_str() {
            Some("text_delta") => Ok(self.text("content", &delta["text"])),
            Some("thinking_delta") => {
                if let (Some((text, _)), Some(piece)) = (&mut self.thinking, delta["thinking"].as_str()) {
                    text.push_str(piece);
                }
                Ok(self.text("reasoning_content", &delta["thinking"]))
            }
            Some("signature_delta") => {
                if let (Some((_, signature)), Some(piece)) = (&mut self.thinking, delta["signature"].as_str())
                {
                    signature.push_str(piece);
                }
                Ok(Vec::new())
            }
            Some("input_json_delta") => {
                self.arguments(event, delta["partial_json"].as_str().unwrap_or_default())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn arguments(&mut self, event: &Value, piece: &str) -> Result<Vec<RawChunk>, ChunkError> {
        let Some(call) = self.calls.get_mut(&block_index(event)?) else {
            // A server's own tool: nothing that the client is to run.
            return Ok(Vec::new());
        };
        if piece.is_empty() {
            return Ok(Vec::new());
        }
        call.has_pieces = true;
        let index = call.index;
        Ok(self.argument_piece(index, piece))
    }

    /// Without any piece the arguments are still JSON for the client: what the start held, at least `{}`.
    fn stop_block(&mut self, event: &Value) -> Result<Vec<RawChunk>, ChunkError> {
        if let Some((thinking, signature)) = self.thinking.take()
            && !signature.is_empty()
        {
            let block = json!({ "type": "thinking", "thinking": thinking, "signature": signature });
            return Ok(self.delta(json!({ "thinking_blocks": [block] })));
        }
        match self.calls.remove(&block_index(event)?) {
            Some(call) if !call.has_pieces => {
                let input = if call.input.is_object() { call.input.to_string() } else { "{}".to_owned() };
                Ok(self.argument_piece(call.index, &input))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn end_message(&mut self, event: &Value) -> Vec<RawChunk> {
        self.tokens = self.tokens.updated(&event["usage"]);
        let Some(reason) = event["delta"]["stop_reason"].as_str() else { return Vec::new() };
        self.has_stop_reason = true;
        self.chunk(json!([choice(json!({}), json!(finish_reason(reason)))]))
    }

    fn argument_piece(&self, index: usize, piece: &str) -> Vec<RawChunk> {
        let call = json!({ "index": index, "function": { "arguments": piece } });
        self.delta(json!({ "tool_calls": [call] }))
    }

    fn text(&self, field: &str, text: &Value) -> Vec<RawChunk> {
        match text.as_str() {
            Some(text) if !text.is_empty() => self.delta(json!({ field: text })),
            _ => Vec::new(),
        }
    }

    fn delta(&self, delta: Value) -> Vec<RawChunk> {
        self.chunk(json!([choice(delta, Value::Null)]))
    }

    fn chunk(&self, choices: Value) -> Vec<RawChunk> {
        self.envelope(choices).and_then(raw).into_iter().collect()
    }

    fn envelope(&self, choices: Value) -> Option<Value> {
        let head = self.head.as_ref()?;
        Some(json!({
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": head.model,
            "choices": choices,
        }))
    }
}

impl ChunkReader for AnthropicReader {
    fn read(&mut self, event: &sse::Event) -> Result<Vec<RawChunk>, ChunkError> {
        if self.is_done || event.data.trim().is_empty() {
            return Ok(Vec::new());
        }
        let value = facts::parse(event.data.as_bytes())?;
        let kind = value["type"].as_str().ok_or_else(|| malformed("an event has no type"))?;
        match kind {
            "error" => {
                return Err(ChunkError::Upstream(UpstreamError::from_value(&value).unwrap_or_default()));
            }
            "message_start" if self.head.is_none() => return Ok(self.start(&value["message"])),
            "message_start" => return Err(malformed("the stream starts twice")),
            "ping" => return Ok(Vec::new()),
            _ if self.head.is_none() => {
                return Err(malformed("the stream does not begin with message_start"));
            }
            _ => {}
        }
        match kind {
            "content_block_start" => self.start_block(&value),
            "content_block_delta" => self.delta_of_block(&value),
            "content_block_stop" => self.stop_block(&value),
            "message_delta" => Ok(self.end_message(&value)),
            "message_stop" if self.has_stop_reason => {
                self.is_done = true;
                Ok(Vec::new())
            }
            "message_stop" => Err(malformed("the stream ends without a stop_reason")),
            _ => Ok(Vec::new()),
        }
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn is_whole(&self) -> bool {
        self.has_stop_reason
    }

    fn finish(&mut self) -> Vec<RawChunk> {
        let Some(mut chunk) = self.envelope(json!([])) else { return Vec::new() };
        chunk["usage"] = self.tokens.to_openai();
        raw(chunk).into_iter().collect()
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn choice(delta: Value, finish_reason: Value) -> Value {
    json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason })
}

fn raw(chunk: Value) -> Option<RawChunk> {
    let facts: ChunkFacts = facts::chunk_facts(&chunk).ok()?;
    Some(RawChunk { data: chunk.to_string(), facts, native: None })
}

fn block_index(event: &Value) -> Result<u64, ChunkError> {
    event["index"].as_u64().ok_or_else(|| malformed("a content block has no index"))
}

fn malformed(what: &str) -> ChunkError {
    ChunkError::Malformed(WireError::malformed(what))
}
