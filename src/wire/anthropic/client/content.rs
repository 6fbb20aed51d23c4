//! Turns and content blocks as chat messages.

use serde_json::{Value, json};

use super::request::anthropic_only;
use crate::wire::WireError;
use crate::wire::chat::Fields;
use crate::wire::signed;

/// Messages in the making.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Chat messages.
    pub(super) messages: Vec<Value>,
    /// The first block that has no words there.
    pub(super) beyond: Option<WireError>,
}

/// The parts of one turn, apart.
#[derive(Debug, Default)]
struct Turn {
    /// Text, images and files.
    parts: Vec<Value>,
    calls: Vec<Value>,
    /// Messages of the role `tool`.
    results: Vec<Value>,
    /// Images inside of results: a tool's message holds text alone, so they follow in the user's.
    shown: Vec<Value>,
}

impl Turns {
    /// Reads `system`, a text or text blocks.
    ///
    /// # Errors
    /// The block that is wrong.
    pub(super) fn system(&mut self, top: Fields<'_>) -> Result<(), WireError> {
        let Some(system) = top.get("system") else { return Ok(()) };
        let content = match system {
            Value::String(text) => json!(text),
            Value::Array(blocks) => {
                let texts = blocks.iter().enumerate().map(|(i, block)| {
                    let path = format!("system[{i}]");
                    Ok(text_part(Fields::of(block, &path)?.required_text("text")?))
                });
                plain(texts.collect::<Result<Vec<Value>, WireError>>()?)
            }
            _ => return Err(WireError::must("system", "a string or an array of text blocks")),
        };
        if content.as_array().is_none_or(|parts| !parts.is_empty()) {
            self.messages.push(json!({ "role": "system", "content": content }));
        }
        Ok(())
    }

    /// Reads `messages`.
    ///
    /// # Errors
    /// The message or block that is wrong, by its path.
    pub(super) fn messages(&mut self, top: Fields<'_>) -> Result<(), WireError> {
        let list = top.get("messages").and_then(Value::as_array).filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| WireError::must("messages", "an array with at least one message"))?;
        for (i, message) in list.iter().enumerate() {
            let path = format!("messages[{i}]");
            let fields = Fields::of(message, &path)?;
            let role = fields.required_text("role")?;
            if !matches!(role, "user" | "assistant" | "system") {
                return Err(WireError::must(fields.path("role"), "user or assistant"));
            }
            let turn = self.turn(fields)?;
            match role {
                "assistant" => self.push_assistant(turn),
                role => self.push_user(role, turn),
            }
        }
        Ok(())
    }

    fn turn(&mut self, fields: Fields<'_>) -> Result<Turn, WireError> {
        let mut turn = Turn::default();
        let path = fields.path("content");
        match fields.get("content") {
            Some(Value::String(text)) => turn.parts.push(text_part(text)),
            Some(Value::Array(blocks)) => {
                for (i, block) in blocks.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    self.block(Fields::of(block, &path)?, &mut turn)?;
                }
            }
            _ => return Err(WireError::must(path, "a string or an array of blocks")),
        }
        Ok(turn)
    }

    fn block(&mut self, block: Fields<'_>, turn: &mut Turn) -> Result<(), WireError> {
        match block.required_text("type")? {
            // Nobody else reads the vendor's thinking.
            "thinking" | "redacted_thinking" => {}
            "tool_use" => turn.calls.push(call(block)?),
            "tool_result" => self.result(block, turn)?,
            _ => {
                if let Some(part) = self.part(block)? {
                    turn.parts.push(part);
                }
            }
        }
        Ok(())
    }

    /// Text, an image or a file; `None` for what is noted as beyond chat completions.
    fn part(&mut self, block: Fields<'_>) -> Result<Option<Value>, WireError> {
        let part = match block.required_text("type")? {
            "text" => Some(text_part(block.required_text("text")?)),
            "image" => source(block, "image")?,
            "document" => source(block, "document")?,
            _ => None,
        };
        if part.is_none() {
            self.beyond.get_or_insert_with(|| anthropic_only(block.path("type")));
        }
        Ok(part)
    }

    fn result(&mut self, block: Fields<'_>, turn: &mut Turn) -> Result<(), WireError> {
        let mut texts = Vec::new();
        let path = block.path("content");
        match block.get("content") {
            None => {}
            Some(Value::String(text)) => texts.push(text_part(text)),
            Some(Value::Array(blocks)) => {
                for (i, inner) in blocks.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    match self.part(Fields::of(inner, &path)?)? {
                        Some(part) if part["type"] == "text" => texts.push(part),
                        Some(part) => turn.shown.push(part),
                        None => {}
                    }
                }
            }
            Some(_) => return Err(WireError::must(path, "a string or an array of blocks")),
        }
        if block.flag("is_error")? == Some(true) {
            mark_error(&mut texts);
        }
        if texts.is_empty() {
            texts.push(text_part(if turn.shown.is_empty() { "" } else { "(shown in the next message)" }));
        }
        let (id, _) = signed::open(block.required_text("tool_use_id")?);
        turn.results.push(json!({ "role": "tool", "tool_call_id": id, "content": plain(texts) }));
        Ok(())
    }

    fn push_assistant(&mut self, turn: Turn) {
        let mut message = json!({ "role": "assistant" });
        if !turn.parts.is_empty() {
            message["content"] = plain(turn.parts);
        }
        if !turn.calls.is_empty() {
            message["tool_calls"] = Value::Array(turn.calls);
        }
        if message.get("content").is_none() {
            message["content"] = if message.get("tool_calls").is_some() { Value::Null } else { json!("") };
        }
        self.messages.push(message);
    }

    /// Results come first: they must follow the calls at once.
    fn push_user(&mut self, role: &str, turn: Turn) {
        let only_results = !turn.results.is_empty();
        self.messages.extend(turn.results);
        let mut parts = turn.shown;
        parts.extend(turn.parts);
        if !(parts.is_empty() && only_results) {
            self.messages.push(json!({ "role": role, "content": plain(parts) }));
        }
    }
}

/// Chat completions cannot mark a failed call; the word at its beginning does.
fn mark_error(texts: &mut Vec<Value>) {
    match texts.first_mut() {
        Some(first) => {
            let text = first["text"].as_str().unwrap_or_default();
            if !text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error")) {
                first["text"] = json!(format!("Error: {text}"));
            }
        }
        None => texts.push(text_part("Error")),
    }
}

fn text_part(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// One text is a string, which every server reads; more are parts.
fn plain(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [] => json!(""),
        [only] if only["type"] == "text" => only["text"].take(),
        _ => Value::Array(parts),
    }
}

fn call(block: Fields<'_>) -> Result<Value, WireError> {
    let arguments = block.get("input").map_or_else(|| "{}".to_owned(), ToString::to_string);
    Ok(signed::call(block.required_text("id")?, block.required_text("name")?, &arguments))
}

/// An image or a document; `None` when its source is of a kind that only the vendor can read.
fn source(block: Fields<'_>, what: &str) -> Result<Option<Value>, WireError> {
    let path = block.path("source");
    let source = block.get("source").ok_or_else(|| WireError::must(&path, "an object"))?;
    let source = Fields::of(source, &path)?;
    let is_image = what == "image";
    Ok(match source.required_text("type")? {
        "base64" => {
            let url = format!(
                "data:{};base64,{}",
                source.required_text("media_type")?,
                source.required_text("data")?
            );
            Some(if is_image {
                json!({ "type": "image_url", "image_url": { "url": url } })
            } else {
                let name = block.text("title")?.unwrap_or("document.pdf");
                json!({ "type": "file", "file": { "filename": name, "file_data": url } })
            })
        }
        "url" if is_image => {
            Some(json!({ "type": "image_url", "image_url": { "url": source.required_text("url")? } }))
        }
        "text" if !is_image => Some(text_part(source.required_text("data")?)),
        _ => None,
    })
}
