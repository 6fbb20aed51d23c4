//! What is wrong with bytes: ours to the client ([`WireError`]) and the upstream's to us ([`UpstreamError`]).

use serde_json::Value;

/// Longest message of an upstream that is kept, in characters.
const MAX_MESSAGE: usize = 2000;

/// Which fault it is; the caller chooses the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireErrorKind {
    /// Not JSON, or not JSON of this format at all.
    Malformed,
    /// A field is missing, has the wrong type or is out of range.
    InvalidField,
    /// The field is fine, but the format of the upstream has no words for it.
    Untranslatable,
}

/// Bytes that cannot be read, or a value that cannot be said. The message names the field and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// Which fault it is.
    pub kind: WireErrorKind,
    /// The field, for example `messages[2].content`.
    pub param: Option<String>,
    /// For people.
    pub message: String,
}

impl WireError {
    /// Not JSON, or not this format.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self { kind: WireErrorKind::Malformed, param: None, message: message.into() }
    }

    /// `param` must be something else; reads "`param` must be ...".
    pub fn must(param: impl Into<String>, must_be: &str) -> Self {
        let param = param.into();
        let message = format!("{param} must be {must_be}");
        Self { kind: WireErrorKind::InvalidField, param: Some(param), message }
    }

    /// `param` is wrong in the way `message` says.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: WireErrorKind::InvalidField, param: Some(param.into()), message: message.into() }
    }

    /// `param` cannot be said in the upstream's format.
    pub fn untranslatable(param: impl Into<String>, why: &str) -> Self {
        let param = param.into();
        let message = format!("{param} cannot be sent to this model: {why}");
        Self { kind: WireErrorKind::Untranslatable, param: Some(param), message }
    }
}

/// The error object of an upstream, of OpenAI's or Anthropic's shape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpstreamError {
    /// The upstream's text, at most 2,000 characters.
    pub message: String,
    /// For example `invalid_request_error`.
    pub kind: Option<String>,
    /// The field at fault.
    pub param: Option<String>,
    /// For example `context_length_exceeded`; agents act on it.
    pub code: Option<String>,
}

impl UpstreamError {
    /// Reads `{"error": {...}}`, `{"error": "..."}`, Anthropic's `{"type": "error", "error": {...}}`, and the bare
    /// `{"message": ...}` of some servers; `None` when `body` is none of them.
    pub fn read(body: &[u8]) -> Option<Self> {
        Self::from_value(&serde_json::from_slice(body).ok()?)
    }

    /// As [`Self::read`], from a parsed value.
    pub fn from_value(value: &Value) -> Option<Self> {
        let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
        let object = match value.get("error") {
            Some(Value::String(message)) => return Some(Self::from_text(message)),
            Some(object @ Value::Object(_)) => object,
            Some(_) => return None,
            // vLLM of old: {"object": "error", "message": ...}; FastAPI: {"detail": ...}.
            None if value.get("message").is_some_and(Value::is_string) && value.get("choices").is_none() => {
                value
            }
            None => return value.get("detail").and_then(Value::as_str).map(Self::from_text),
        };
        let text = |name: &str| object.get(name).and_then(scalar_text);
        let mut error = Self::from_text(&text("message").unwrap_or_default());
        error.kind = text("type").or_else(|| text("status"));
        error.param = text("param");
        error.code = text("code").or(error.code);
        if error.is_context_length() {
            error.code = Some("context_length_exceeded".to_owned());
        }
        Some(error)
    }

    /// An error of which only the text is known.
    pub fn from_text(message: &str) -> Self {
        let mut error = Self { message: message.chars().take(MAX_MESSAGE).collect(), ..Self::default() };
        if error.is_context_length() {
            error.code = Some("context_length_exceeded".to_owned());
        }
        error
    }

    /// Whether the input was too long for the model: by code, else by the words that vendors and servers use.
    pub fn is_context_length(&self) -> bool {
        if self.code.as_deref() == Some("context_length_exceeded") {
            return true;
        }
        let message = self.message.to_ascii_lowercase();
        [
            "maximum context length",
            "prompt is too long",
            "context window",
            "exceeds the context",
            "context length",
        ]
        .iter()
        .any(|words| message.contains(words))
    }

    /// The HTTP status that an error inside a 200 stands for: a numeric code, else what the type says, else 500.
    pub fn implied_status(&self) -> u16 {
        let numeric = self.code.as_deref().and_then(|c| c.parse().ok()).filter(|c| (400..600).contains(c));
        if let Some(status) = numeric {
            return status;
        }
        let word = |w: &str| [&self.kind, &self.code].into_iter().flatten().any(|t| t.contains(w));
        match () {
            () if self.is_context_length() => 400,
            () if word("rate_limit") || word("insufficient_quota") => 429,
            () if word("overloaded") => 529,
            () if word("authentication") || word("permission") || word("invalid_api_key") => 401,
            () if word("invalid_request") => 400,
            () => 500,
        }
    }
}

/// A string as it is, a number as its digits; others are no text.
fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_vendors_shapes_are_read() {
        let openai = br#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
        let error = UpstreamError::read(openai).unwrap();
        assert_eq!(error.param.as_deref(), Some("messages"));
        assert!(error.is_context_length());
        assert_eq!(error.implied_status(), 400);

        let anthropic = br#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#;
        let error = UpstreamError::read(anthropic).unwrap();
        assert_eq!(error.code.as_deref(), Some("context_length_exceeded"));

        let overloaded = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        assert_eq!(UpstreamError::read(overloaded).unwrap().implied_status(), 529);
    }

    #[test]
    fn odd_servers_are_read_and_non_errors_are_not() {
        let openrouter = br#"{"error":{"code":429,"message":"slow down"}}"#;
        let error = UpstreamError::read(openrouter).unwrap();
        assert_eq!((error.code.as_deref(), error.implied_status()), (Some("429"), 429));
        assert_eq!(
            UpstreamError::read(br#"{"error":"model not found"}"#).unwrap().message,
            "model not found"
        );
        assert_eq!(UpstreamError::read(br#"{"detail":"nope"}"#).unwrap().message, "nope");
        assert_eq!(UpstreamError::read(br#"[{"error":{"message":"listed"}}]"#).unwrap().message, "listed");
        assert_eq!(UpstreamError::read(br#"{"choices":[]}"#), None);
        assert_eq!(UpstreamError::read(b"<html>"), None);
        assert_eq!(UpstreamError::read(br#"{"error":null}"#), None);
    }
}
