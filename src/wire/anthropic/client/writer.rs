//! OpenAI chunks as the events of a Messages stream.
//!
//! One block is open at a time, as the vendor does it. Parallel calls of which a server sends pieces in turns are kept until the
//! call before them is complete.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::reply::{call_id, error_body, stop_reason, usage};
use crate::wire::{AnswerWriter, sse};

/// Writes a Messages stream. Events of an upstream of the same format pass as they are.
#[derive(Debug, Default)]
pub struct MessagesWriter {
    out: String,
    id: Value,
    has_started: bool,
    open: Option<Open>,
    blocks: usize,
    /// Calls by their index that are not written to the end yet.
    calls: BTreeMap<u64, Call>,
    /// Calls that are.
    written: BTreeSet<u64>,
    stop_reason: Value,
    usage: Value,
    /// Our own object of the usage chunk.
    pointsman: Value,
    is_native: bool,
    has_native_end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call(u64),
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
    /// How much of the arguments went out.
    sent: usize,
}

impl AnswerWriter for MessagesWriter {
    fn write(&mut self, chunk: &[u8], native: Option<&[u8]>) -> String {
        if let Some(event) = native {
            self.is_native = true;
            self.has_native_end |= event.starts_with(b"event: message_stop");
            return String::from_utf8_lossy(event).into_owned();
        }
        if !self.is_native
            && let Ok(chunk) = serde_json::from_slice::<Value>(chunk)
        {
            self.chunk(&chunk);
        }
        std::mem::take(&mut self.out)
    }

    fn end(&mut self) -> String {
        if self.is_native {
            // The bytes may end after the stop reason: the answer is whole then, and clients wait for the mark.
            return if self.has_native_end { String::new() } else { stop_event() };
        }
        self.close();
        self.flush_calls(true);
        self.close();
        let mut event = json!({
            "type": "message_delta",
            "delta": { "stop_reason": self.stop_reason, "stop_sequence": null },
            "usage": usage(&self.usage),
        });
        if !self.pointsman.is_null() {
            event["pointsman"] = self.pointsman.take();
        }
        self.event(&event);
        self.out.push_str(&stop_event());
        std::mem::take(&mut self.out)
    }

    fn fail(&mut self, error: &Value) -> String {
        sse::encode_named("error", &error_body(500, error, None).to_string())
    }
}

fn stop_event() -> String {
    sse::encode_named("message_stop", &json!({ "type": "message_stop" }).to_string())
}

impl MessagesWriter {
    fn event(&mut self, event: &Value) {
        let name = event["type"].as_str().unwrap_or_default();
        self.out.push_str(&sse::encode_named(name, &event.to_string()));
    }

    fn chunk(&mut self, chunk: &Value) {
        self.start(chunk);
        if chunk["usage"].is_object() {
            self.usage = chunk["usage"].clone();
        }
        if chunk["pointsman"].is_object() {
            self.pointsman = chunk["pointsman"].clone();
        }
        let choice = &chunk["choices"][0];
        let delta = &choice["delta"];
        for name in ["reasoning_content", "reasoning"] {
            self.text(Open::Thinking, &delta[name]);
        }
        for block in delta["thinking_blocks"].as_array().into_iter().flatten() {
            self.signature(&block["signature"]);
        }
        self.text(Open::Text, &delta["content"]);
        self.text(Open::Text, &delta["refusal"]);
        for (i, piece) in delta["tool_calls"].as_array().into_iter().flatten().enumerate() {
            self.call(piece, i);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.stop_reason = json!(stop_reason(reason));
        }
    }

    fn start(&mut self, chunk: &Value) {
        if std::mem::replace(&mut self.has_started, true) {
            return;
        }
        self.id = chunk["id"].clone();
        let message = json!({
            "id": chunk["id"], "type": "message", "role": "assistant", "model": chunk["model"], "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage(&Value::Null),
        });
        self.event(&json!({ "type": "message_start", "message": message }));
        self.event(&json!({ "type": "ping" }));
    }

    fn text(&mut self, kind: Open, text: &Value) {
        let Some(text) = text.as_str().filter(|text| !text.is_empty()) else { return };
        if self.open != Some(kind) {
            self.close();
            self.flush_calls(true);
            self.close();
            let block = match kind {
                Open::Thinking => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                _ => json!({ "type": "text", "text": "" }),
            };
            self.open_block(kind, &block);
        }
        self.delta(&match kind {
            Open::Thinking => json!({ "type": "thinking_delta", "thinking": text }),
            _ => json!({ "type": "text_delta", "text": text }),
        });
    }

    fn signature(&mut self, signature: &Value) {
        if self.open == Some(Open::Thinking)
            && let Some(signature) = signature.as_str().filter(|s| !s.is_empty())
        {
            self.delta(&json!({ "type": "signature_delta", "signature": signature }));
        }
    }

    fn call(&mut self, piece: &Value, place: usize) {
        let index = piece["index"].as_u64().unwrap_or(place as u64);
        if self.written.contains(&index) {
            return;
        }
        let answer = self.id.clone();
        let call = self.calls.entry(index).or_default();
        let function = &piece["function"];
        if call.id.is_empty() {
            call.id = call_id(&answer, usize::try_from(index).unwrap_or(usize::MAX), piece);
        }
        if let Some(name) = function["name"].as_str().filter(|_| call.name.is_empty()) {
            name.clone_into(&mut call.name);
        }
        call.arguments.push_str(function["arguments"].as_str().unwrap_or_default());
        if !matches!(self.open, Some(Open::Call(_))) {
            self.close();
        }
        self.flush_calls(false);
    }

    /// Writes what may go out: of the open call everything; of the next ones when the one before is complete, or all of it at the end.
    fn flush_calls(&mut self, is_over: bool) {
        while let Some((index, call)) = self.next_call() {
            if self.open != Some(Open::Call(index)) {
                let block = json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": {} });
                self.end_block();
                self.open_block(Open::Call(index), &block);
            }
            self.send_arguments(index);
            let waits = self.calls.len() > 1;
            let is_complete = || self.calls.get(&index).is_some_and(|c| is_json(&c.arguments));
            let may_go_on = is_over || (waits && is_complete());
            if !may_go_on {
                return;
            }
            self.calls.remove(&index);
            self.written.insert(index);
        }
    }

    /// The call whose block is open; one that came later may have a lower index, and waits all the same.
    fn next_call(&self) -> Option<(u64, &Call)> {
        if let Some(Open::Call(index)) = self.open
            && let Some(call) = self.calls.get(&index)
        {
            return Some((index, call));
        }
        self.calls.first_key_value().map(|(&index, call)| (index, call))
    }

    fn send_arguments(&mut self, index: u64) {
        let Some(call) = self.calls.get_mut(&index) else { return };
        let rest = call.arguments.get(call.sent..).unwrap_or_default().to_owned();
        call.sent = call.arguments.len();
        if !rest.is_empty() {
            self.delta(&json!({ "type": "input_json_delta", "partial_json": rest }));
        }
    }

    fn open_block(&mut self, kind: Open, block: &Value) {
        self.event(&json!({ "type": "content_block_start", "index": self.blocks, "content_block": block }));
        self.open = Some(kind);
        self.blocks += 1;
    }

    fn delta(&mut self, delta: &Value) {
        let index = self.blocks.saturating_sub(1);
        self.event(&json!({ "type": "content_block_delta", "index": index, "delta": delta }));
    }

    /// Ends the open block; a call's only once all of it went out.
    fn close(&mut self) {
        if let Some(Open::Call(index)) = self.open
            && self.calls.contains_key(&index)
        {
            self.flush_calls(true);
        }
        self.end_block();
    }

    fn end_block(&mut self) {
        if self.open.take().is_some() {
            let index = self.blocks.saturating_sub(1);
            self.event(&json!({ "type": "content_block_stop", "index": index }));
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
