//! The conversation, typed.

use serde_json::Value;

use super::fields::{Fields, Path};
use crate::wire::WireError;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The application.
    System,
    /// The application, to reasoning models.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
    /// A function's result, the legacy form of `tool`.
    Function,
}

impl Role {
    /// Whether it is the system prompt.
    pub fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "function" => Self::Function,
            _ => return None,
        })
    }
}

/// A piece of a message's content.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text {
        /// The words.
        text: String,
        /// Anthropic's cache mark, which some clients send through this format.
        cache_control: Option<Value>,
    },
    /// An image by URL, often a `data:` URL; never fetched here.
    Image {
        /// Where it is.
        url: String,
    },
    /// Sound, in base64.
    Audio {
        /// Length of the base64, in bytes.
        base64_bytes: usize,
    },
    /// A file.
    File {
        /// Its `data:` URL, when it came with the request.
        data: Option<String>,
        /// Its name.
        name: Option<String>,
    },
    /// The model refused.
    Refusal(String),
    /// A kind of part that is newer than this code.
    Other {
        /// Its `type`.
        kind: String,
    },
}

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Links the result to the call.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// JSON as text, not always valid: models write it. A custom tool's input is free text.
    pub arguments: String,
    /// Whether the tool is a `custom` one.
    pub is_custom: bool,
    /// Gemini's thought signature, where an answer gave it (`extra_content.google.thought_signature`).
    pub signature: Option<String>,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
    /// The model's calls of tools.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's message answers.
    pub tool_call_id: Option<String>,
    /// Anthropic's thinking blocks with their signatures, as an answer gave them in `thinking_blocks`.
    pub thinking: Vec<Value>,
}

impl Message {
    /// All text parts, joined by newlines.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|p| match p {
            Part::Text { text, .. } | Part::Refusal(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// Reads `messages`.
///
/// # Errors
/// An empty list, or the first message that is wrong, by its path.
pub(super) fn read(value: &Value) -> Result<Vec<Message>, WireError> {
    let items = value.as_array().ok_or_else(|| WireError::must("messages", "an array of messages"))?;
    if items.is_empty() {
        return Err(WireError::invalid("messages", "messages must hold at least one message"));
    }
    items.iter().enumerate().map(|(i, item)| read_message(item, Path::item("messages", i))).collect()
}

fn read_message(value: &Value, path: Path<'_>) -> Result<Message, WireError> {
    let fields = Fields::of(value, path)?;
    let role = Role::parse(fields.required_text("role")?).ok_or_else(|| {
        WireError::must(fields.path("role"), "one of system, developer, user, assistant, tool, function")
    })?;
    let parts = read_content(fields)?;
    let tool_calls = read_tool_calls(fields)?;
    // An assistant may say nothing but call; everybody else must say something.
    if role != Role::Assistant && fields.get("content").is_none() && role != Role::Function {
        return Err(WireError::must(fields.path("content"), "a string or an array of parts"));
    }
    let tool_call_id = fields.text("tool_call_id")?.map(str::to_owned);
    if role == Role::Tool && tool_call_id.is_none() {
        return Err(WireError::must(
            fields.path("tool_call_id"),
            "given: the id of the call that this answers",
        ));
    }
    let thinking = fields.list("thinking_blocks")?.to_vec();
    Ok(Message { role, parts, tool_calls, tool_call_id, thinking })
}

fn read_content(fields: Fields<'_>) -> Result<Vec<Part>, WireError> {
    match fields.get("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::Text { text: text.clone(), cache_control: None }]),
        Some(Value::Array(items)) => {
            let path = fields.path("content");
            items.iter().enumerate().map(|(i, p)| read_part(p, Path::item(&path, i))).collect()
        }
        Some(_) => Err(WireError::must(fields.path("content"), "a string or an array of parts")),
    }
}

fn read_part(value: &Value, path: Path<'_>) -> Result<Part, WireError> {
    let fields = Fields::of(value, path)?;
    let inner = |name: &'static str| -> Result<(&Value, String), WireError> {
        let value = fields.get(name).ok_or_else(|| WireError::must(fields.path(name), "an object"))?;
        Ok((value, fields.path(name)))
    };
    Ok(match fields.required_text("type")? {
        "text" => Part::Text {
            text: fields.required_text("text")?.to_owned(),
            cache_control: fields.get("cache_control").cloned(),
        },
        "image_url" => {
            let (value, path) = inner("image_url")?;
            // Many clients send the URL alone, and many servers take it.
            let url = match value {
                Value::String(url) => url,
                _ => Fields::of(value, &path)?.required_text("url")?,
            };
            Part::Image { url: url.to_owned() }
        }
        "input_audio" => {
            let (value, path) = inner("input_audio")?;
            Part::Audio { base64_bytes: Fields::of(value, &path)?.required_text("data")?.len() }
        }
        "file" => {
            let (value, path) = inner("file")?;
            let file = Fields::of(value, &path)?;
            Part::File {
                data: file.text("file_data")?.map(str::to_owned),
                name: file.text("filename")?.map(str::to_owned),
            }
        }
        "refusal" => Part::Refusal(fields.required_text("refusal")?.to_owned()),
        kind => Part::Other { kind: kind.to_owned() },
    })
}

fn read_tool_calls(fields: Fields<'_>) -> Result<Vec<ToolCall>, WireError> {
    let calls = fields.list("tool_calls")?;
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let path = fields.path("tool_calls");
    calls.iter().enumerate().map(|(i, call)| read_tool_call(call, Path::item(&path, i))).collect()
}

fn read_tool_call(value: &Value, path: Path<'_>) -> Result<ToolCall, WireError> {
    let fields = Fields::of(value, path)?;
    let signature = value.pointer("/extra_content/google/thought_signature");
    let is_custom = fields.text("type")? == Some("custom");
    let (group, input) = if is_custom { ("custom", "input") } else { ("function", "arguments") };
    let group_path = fields.path(group);
    let inner = fields.get(group).ok_or_else(|| WireError::must(&group_path, "an object"))?;
    let inner = Fields::of(inner, &group_path)?;
    Ok(ToolCall {
        id: fields.required_text("id")?.to_owned(),
        name: inner.required_text("name")?.to_owned(),
        arguments: inner.text(input)?.unwrap_or_default().to_owned(),
        is_custom,
        signature: signature.and_then(Value::as_str).map(str::to_owned),
    })
}
