//! OpenAI chunks as the typed events of a Responses stream, each with its number.

use serde_json::{Value, json};

use super::items::{Item, Kind};
use super::reply::{Echo, ending, usage};
use crate::wire::{AnswerWriter, sse};

/// Most items of one answer; what a stream brings beyond them is left out of account.
const MAX_ITEMS: usize = 1024;

/// Writes a Responses stream. Calls stay open until the end, for their pieces may come in turns.
#[derive(Debug)]
pub struct ResponsesWriter {
    /// What of the request the answer repeats.
    echo: Echo,
    out: String,
    number: u64,
    /// Id, creation and model, of the first chunk.
    head: Option<Value>,
    items: Vec<Item>,
    reason: Option<String>,
    usage: Value,
    pointsman: Value,
}

impl ResponsesWriter {
    /// `echo`: as the request was parsed.
    pub fn new(echo: Echo) -> Self {
        Self {
            echo,
            out: String::new(),
            number: 0,
            head: None,
            items: Vec::new(),
            reason: None,
            usage: Value::Null,
            pointsman: Value::Null,
        }
    }

    /// What of the request the answer repeats.
    pub fn echo(&self) -> &Echo {
        &self.echo
    }
}

impl AnswerWriter for ResponsesWriter {
    fn write(&mut self, chunk: &[u8], _: Option<&[u8]>) -> String {
        if let Ok(chunk) = serde_json::from_slice::<Value>(chunk) {
            self.chunk(&chunk);
        }
        std::mem::take(&mut self.out)
    }

    fn end(&mut self) -> String {
        let (status, details) = ending(self.reason.as_deref());
        let is_cut = status != "completed";
        (0..self.items.len()).for_each(|place| self.close(place, is_cut));
        let output: Vec<Value> = self.items.iter().map(|item| item.to_json(is_cut)).collect();
        let head = self.head.take().unwrap_or_default();
        let mut response = self.echo.response(&head, status, &output);
        response["incomplete_details"] = details;
        response["usage"] = usage(&self.usage);
        if self.pointsman.is_object() {
            response["pointsman"] = self.pointsman.take();
        }
        let kind = if is_cut { "response.incomplete" } else { "response.completed" };
        self.event(kind, json!({ "response": response }));
        std::mem::take(&mut self.out)
    }

    fn fail(&mut self, error: &Value) -> String {
        let error = &error["error"];
        let event = json!({ "code": error["code"], "message": error["message"], "param": error["param"] });
        self.event("error", event);
        std::mem::take(&mut self.out)
    }
}

impl ResponsesWriter {
    fn event(&mut self, kind: &str, mut event: Value) {
        event["type"] = json!(kind);
        event["sequence_number"] = json!(self.number);
        self.number += 1;
        self.out.push_str(&sse::encode_named(kind, &event.to_string()));
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
        self.text(Kind::Reasoning, &delta["reasoning_content"]);
        self.text(Kind::Reasoning, &delta["reasoning"]);
        self.text(Kind::Text, &delta["content"]);
        self.text(Kind::Refusal, &delta["refusal"]);
        for (i, call) in delta["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let index = call["index"].as_u64().unwrap_or(i as u64);
            self.call(index, call);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.reason = Some(reason.to_owned());
        }
    }

    fn start(&mut self, chunk: &Value) {
        if self.head.is_some() {
            return;
        }
        let head = json!({ "id": chunk["id"], "created": chunk["created"], "model": chunk["model"] });
        let response = self.echo.response(&head, "in_progress", &[]);
        self.head = Some(head);
        self.event("response.created", json!({ "response": response }));
        self.event("response.in_progress", json!({ "response": response }));
    }

    fn text(&mut self, kind: Kind, text: &Value) {
        let Some(text) = text.as_str().filter(|text| !text.is_empty()) else { return };
        let is_open = self.items.last().is_some_and(|item| item.kind == kind && !item.is_done);
        if !is_open {
            self.close_texts();
            if !self.open(kind, &Value::Null) {
                return;
            }
        }
        let place = self.items.len() - 1;
        self.piece(place, text);
    }

    fn call(&mut self, index: u64, call: &Value) {
        let known = self.items.iter().position(|item| item.kind == Kind::Call(index));
        if known.is_none() {
            self.close_texts();
            if !self.open(Kind::Call(index), call) {
                return;
            }
        }
        let place = known.unwrap_or(self.items.len() - 1);
        if let Some(piece) = call["function"]["arguments"].as_str().filter(|piece| !piece.is_empty()) {
            self.piece(place, piece);
        }
    }

    /// Begins an item; whether there was room for it.
    fn open(&mut self, kind: Kind, call: &Value) -> bool {
        if self.items.len() >= MAX_ITEMS {
            return false;
        }
        let answer = self.head.as_ref().map_or(Value::Null, |head| head["id"].clone());
        let place = self.items.len();
        let mut item = Item::new(kind, &answer, place);
        item.note_call(call, &answer);
        let (id, begun, part) = (item.id.clone(), item.to_json(false), item.part());
        self.items.push(item);
        self.event("response.output_item.added", json!({ "output_index": place, "item": begun }));
        match kind {
            Kind::Call(_) => {}
            Kind::Reasoning => self.event(
                "response.reasoning_summary_part.added",
                json!({ "item_id": id, "output_index": place, "summary_index": 0, "part": part }),
            ),
            Kind::Text | Kind::Refusal => self.event(
                "response.content_part.added",
                json!({ "item_id": id, "output_index": place, "content_index": 0, "part": part }),
            ),
        }
        true
    }

    fn piece(&mut self, place: usize, piece: &str) {
        let Some(item) = self.items.get_mut(place).filter(|item| !item.is_done) else { return };
        item.text.push_str(piece);
        let (kind, id) = (item.kind, item.id.clone());
        let mut event = json!({ "item_id": id, "output_index": place, "delta": piece });
        let name = match kind {
            Kind::Call(_) => "response.function_call_arguments.delta",
            Kind::Reasoning => {
                event["summary_index"] = json!(0);
                "response.reasoning_summary_text.delta"
            }
            Kind::Text => {
                event["content_index"] = json!(0);
                event["logprobs"] = json!([]);
                "response.output_text.delta"
            }
            Kind::Refusal => {
                event["content_index"] = json!(0);
                "response.refusal.delta"
            }
        };
        self.event(name, event);
    }

    fn close_texts(&mut self) {
        for place in 0..self.items.len() {
            if !matches!(self.items[place].kind, Kind::Call(_)) {
                self.close(place, false);
            }
        }
    }

    fn close(&mut self, place: usize, is_cut: bool) {
        let Some(item) = self.items.get_mut(place).filter(|item| !item.is_done) else { return };
        item.is_done = true;
        let item = item.clone();
        let at = json!({ "item_id": item.id, "output_index": place });
        let with = |fields: Value| {
            let mut event = at.clone();
            for (name, value) in fields.as_object().into_iter().flatten() {
                event[name] = value.clone();
            }
            event
        };
        let (text, part) = (&item.text, item.part());
        match item.kind {
            Kind::Call(_) => {
                let event = with(json!({ "name": item.name, "arguments": text }));
                self.event("response.function_call_arguments.done", event);
            }
            Kind::Reasoning => {
                self.event(
                    "response.reasoning_summary_text.done",
                    with(json!({ "summary_index": 0, "text": text })),
                );
                self.event(
                    "response.reasoning_summary_part.done",
                    with(json!({ "summary_index": 0, "part": part })),
                );
            }
            Kind::Text => {
                let event = with(json!({ "content_index": 0, "text": text, "logprobs": [] }));
                self.event("response.output_text.done", event);
                self.event("response.content_part.done", with(json!({ "content_index": 0, "part": part })));
            }
            Kind::Refusal => {
                self.event("response.refusal.done", with(json!({ "content_index": 0, "refusal": text })));
                self.event("response.content_part.done", with(json!({ "content_index": 0, "part": part })));
            }
        }
        let event = json!({ "output_index": place, "item": item.to_json(is_cut) });
        self.event("response.output_item.done", event);
    }
}
