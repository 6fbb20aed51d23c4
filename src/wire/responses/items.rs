//! Output items: what a model thought, said and called, in the order in which it did.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domain::hex;
use crate::wire::signed;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reasoning,
    Text,
    Refusal,
    /// A call, by its index among the calls of the answer.
    Call(u64),
}

/// One item, as far as it has come.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) id: String,
    /// The text, or a call's arguments.
    pub(super) text: String,
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) is_done: bool,
}

impl Item {
    /// The item at `place` of the answer `answer`; its id is one that the same answer always has.
    pub(super) fn new(kind: Kind, answer: &Value, place: usize) -> Self {
        let prefix = match kind {
            Kind::Reasoning => "rs_",
            Kind::Text | Kind::Refusal => "msg_",
            Kind::Call(_) => "fc_",
        };
        let id = made_id(prefix, answer, place as u64);
        Self { kind, id, text: String::new(), call_id: String::new(), name: String::new(), is_done: false }
    }

    /// Takes what a call's piece tells: the first id and name count.
    pub(super) fn note_call(&mut self, call: &Value, answer: &Value) {
        if let Some(name) = call["function"]["name"].as_str().filter(|_| self.name.is_empty()) {
            name.clone_into(&mut self.name);
        }
        if self.call_id.is_empty() {
            let given = call["id"].as_str().filter(|id| !id.is_empty());
            let Kind::Call(index) = self.kind else { return };
            let id = given.map_or_else(|| made_id("call_", answer, index), str::to_owned);
            self.call_id = signed::seal(id, call);
        }
    }

    /// The one part of a message.
    pub(super) fn part(&self) -> Value {
        match self.kind {
            Kind::Refusal => json!({ "type": "refusal", "refusal": self.text }),
            Kind::Reasoning => json!({ "type": "summary_text", "text": self.text }),
            _ => json!({ "type": "output_text", "text": self.text, "annotations": [], "logprobs": [] }),
        }
    }

    /// The item as it stands.
    pub(super) fn to_json(&self, is_cut: bool) -> Value {
        let status = match (self.is_done, is_cut) {
            (false, _) => "in_progress",
            (true, true) => "incomplete",
            (true, false) => "completed",
        };
        let has_begun = !self.text.is_empty() || self.is_done;
        let parts: Vec<Value> = has_begun.then(|| self.part()).into_iter().collect();
        match self.kind {
            Kind::Reasoning => json!({ "id": self.id, "type": "reasoning", "summary": parts }),
            Kind::Text | Kind::Refusal => {
                json!({ "id": self.id, "type": "message", "status": status, "role": "assistant", "content": parts })
            }
            Kind::Call(_) => json!({
                "id": self.id, "type": "function_call", "status": status, "call_id": self.call_id, "name": self.name,
                "arguments": self.text,
            }),
        }
    }
}

fn made_id(prefix: &str, answer: &Value, place: u64) -> String {
    let digest = Sha256::digest(format!("{prefix} {answer} {place}"));
    format!("{prefix}{}", hex(&digest[..12]))
}
