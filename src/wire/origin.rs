//! The request as the client wrote it, when that was not a chat completion.

use serde_json::Value;
use serde_json::value::RawValue;

use super::WireError;

/// Which format a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFormat {
    /// OpenAI's chat completions.
    Chat,
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's legacy text completions.
    Completions,
}

/// A request in a format of its own, beside its translation.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Which format.
    pub format: ClientFormat,
    /// Its top-level fields in order, byte by byte; ours taken out.
    pub fields: Vec<(String, Box<RawValue>)>,
    /// The first thing in it that chat completions have no words for: only an upstream of the same format can serve it.
    pub beyond_chat: Option<WireError>,
}

impl Origin {
    /// The body for an upstream of the same format: the client's bytes with `model` replaced, and `bound`, a field and its value.
    pub fn body(&self, model: &str, bound: Option<(&str, u32)>) -> String {
        let size: usize = self.fields.iter().map(|(name, raw)| name.len() + raw.get().len() + 8).sum();
        let mut out = String::with_capacity(size + model.len() + 64);
        out.push_str("{\"model\":");
        push_json_text(&mut out, model);
        let replaced = |name: &str| name == "model" || bound.is_some_and(|(bound, _)| bound == name);
        for (name, raw) in self.fields.iter().filter(|(name, _)| !replaced(name)) {
            out.push(',');
            push_json_text(&mut out, name);
            out.push(':');
            out.push_str(raw.get());
        }
        if let Some((name, value)) = bound {
            out.push_str(&format!(",\"{name}\":{value}"));
        }
        out.push('}');
        out
    }

    /// Whether the client gave a field of that name.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(given, _)| given == name)
    }
}

/// `text` as a JSON string.
pub(super) fn push_json_text(out: &mut String, text: &str) {
    out.push_str(&Value::String(text.to_owned()).to_string());
}
