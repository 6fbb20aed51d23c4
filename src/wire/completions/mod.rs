//! Clients that speak OpenAI's legacy text completions: a prompt in, its continuation out, by way of a chat with one message.

use serde_json::{Map, Value, json};

use super::chat::{Body, ChatRequest, Fields};
use super::{AnswerWriter, ChunkError, ClientFormat, WireError, facts, sse};

#[cfg(test)]
mod tests;

/// Bound on the answer where the client gives none, as the format has it.
const DEFAULT_MAX_TOKENS: u32 = 16;
/// Fields that mean the same in a chat.
const SAME: [&str; 12] = [
    "model",
    "temperature",
    "top_p",
    "n",
    "stream",
    "stream_options",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
];

/// Reads a text completion's body.
///
/// # Errors
/// `Malformed` when it is no JSON object; `InvalidField` with the field's path; `Untranslatable` for what a chat cannot do.
pub fn parse(bytes: &[u8]) -> Result<ChatRequest, WireError> {
    let mut body = Body::read(bytes)?;
    let view = Value::Object(std::mem::take(&mut body.view));
    let top = Fields::of(&view, "")?;
    refuse(top)?;
    let mut chat = Map::new();
    for name in SAME {
        if let Some(value) = top.get(name) {
            chat.insert(name.to_owned(), value.clone());
        }
    }
    let most = top.count("max_tokens", 1)?.unwrap_or(DEFAULT_MAX_TOKENS);
    chat.insert("max_tokens".to_owned(), json!(most));
    chat.insert("messages".to_owned(), json!([{ "role": "user", "content": prompt(top)? }]));
    ChatRequest::translated(body, chat, ClientFormat::Completions, None)
}

fn refuse(top: Fields<'_>) -> Result<(), WireError> {
    let why = "a chat model cannot do it; leave it out";
    let is_set = |v: &Value| *v != Value::Bool(false) && v.as_u64() != Some(0);
    for name in ["echo", "logprobs", "suffix"] {
        if top.get(name).is_some_and(is_set) {
            return Err(WireError::untranslatable(name, why));
        }
    }
    if top.count("best_of", 1)?.is_some_and(|n| n > 1) {
        return Err(WireError::untranslatable("best_of", why));
    }
    Ok(())
}

fn prompt(top: Fields<'_>) -> Result<&str, WireError> {
    let must = || WireError::must("prompt", "a text, or a list of one text");
    match top.get("prompt") {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(list)) => match list.as_slice() {
            [Value::String(text)] => Ok(text),
            _ => Err(must()),
        },
        _ => Err(must()),
    }
}

/// A chat completion, or a chunk of one, as a text completion.
fn translated(value: &Value, part: &str) -> Value {
    let choice = |choice: &Value| {
        let text =
            choice[part]["content"].as_str().or_else(|| choice[part]["refusal"].as_str()).unwrap_or_default();
        json!({ "text": text, "index": choice["index"], "logprobs": null, "finish_reason": choice["finish_reason"] })
    };
    let mut out = json!({
        "id": value["id"],
        "object": "text_completion",
        "created": value["created"],
        "model": value["model"],
        "choices": value["choices"].as_array().into_iter().flatten().map(choice).collect::<Vec<_>>(),
    });
    for name in ["usage", "pointsman"] {
        if let Some(object) = value.get(name).filter(|v| v.is_object()) {
            out[name] = object.clone();
        }
    }
    out
}

/// Translates a chat completion.
///
/// # Errors
/// When it is none; the readers of answers have checked that before.
pub fn reply(completion: &[u8]) -> Result<Vec<u8>, ChunkError> {
    Ok(translated(&facts::parse(completion)?, "message").to_string().into_bytes())
}

/// Writes a stream of text completions.
#[derive(Debug, Default)]
pub struct CompletionsWriter;

impl AnswerWriter for CompletionsWriter {
    /// Chunks that say nothing in this format, such as the first with its role, are left out.
    fn write(&mut self, chunk: &[u8], _: Option<&[u8]>) -> String {
        let Ok(chunk) = serde_json::from_slice::<Value>(chunk) else { return String::new() };
        let out = translated(&chunk, "delta");
        let is_mute = |choice: &Value| choice["text"] == "" && choice["finish_reason"].is_null();
        let choices = out["choices"].as_array().filter(|choices| !choices.is_empty());
        if choices.is_some_and(|choices| choices.iter().all(is_mute)) {
            return String::new();
        }
        sse::encode(&out.to_string())
    }

    fn end(&mut self) -> String {
        sse::DONE.to_owned()
    }

    fn fail(&mut self, error: &Value) -> String {
        sse::encode(&error.to_string())
    }
}
