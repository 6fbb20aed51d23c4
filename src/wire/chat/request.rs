//! The request: its own bytes and a typed view of them.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::extension::{self, Extension};
use super::fields::Fields;
use super::messages::{self, Message};
use super::options::Options;
use super::prompt;
use crate::domain::Prompt;
use crate::wire::origin::push_json_text;
use crate::wire::{ClientFormat, Origin, WireError, json};

/// What a client may call a bound on the answer.
const BOUNDS: [&str; 2] = ["max_completion_tokens", "max_tokens"];
/// Longest model name, in bytes.
const MAX_MODEL: usize = 256;

/// A chat completion request.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// Top-level fields in the client's order, ours taken out.
    fields: Vec<(String, Box<RawValue>)>,
    model: String,
    messages: Vec<Message>,
    options: Options,
    extension: Extension,
    fallback_models: Vec<String>,
    prompt: Prompt,
    /// A bound on the answer below the client's.
    cap: Option<u32>,
    /// What the client wrote, when it was no chat completion.
    origin: Option<Origin>,
}

/// A body of any of the clients' formats, field by field: `model` and our own fields mean the same in all.
#[derive(Debug)]
pub(in crate::wire) struct Body {
    /// Top-level fields in the client's order, ours taken out.
    pub(in crate::wire) fields: Vec<(String, Box<RawValue>)>,
    /// The same, parsed.
    pub(in crate::wire) view: Map<String, Value>,
    extension: Extension,
    fallback_models: Vec<String>,
}

impl Body {
    /// # Errors
    /// `Malformed` when it is no JSON object; `InvalidField` when a field of ours is wrong or one is given twice.
    pub(in crate::wire) fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let text = json::checked_text(bytes)?;
        let mut reader = serde_json::Deserializer::from_str(text);
        let all = reader.deserialize_map(TopLevel).map_err(|e| malformed(&e))?;
        reader.end().map_err(|e| malformed(&e))?;

        let mut extension = Extension::default();
        let mut fallback_models = Vec::new();
        let mut fields = Vec::with_capacity(all.len());
        let mut view = Map::new();
        for (name, raw) in all {
            match name.as_str() {
                "pointsman" => extension = Extension::read(&raw)?,
                "models" => fallback_models = extension::read_fallback_models(&raw)?,
                _ => {
                    let value = serde_json::from_str(raw.get())
                        .map_err(|e| WireError::invalid(&name, format!("{name}: {e}")))?;
                    if view.insert(name.clone(), value).is_some() {
                        return Err(WireError::invalid(
                            &name,
                            format!("{name} is given twice; give it once"),
                        ));
                    }
                    fields.push((name, raw));
                }
            }
        }
        Ok(Self { fields, view, extension, fallback_models })
    }
}

impl ChatRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// `Malformed` when it is no JSON object; `InvalidField` with the field's path when a field that matters is missing or wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        Self::check(Body::read(bytes)?, None)
    }

    /// Takes the translation `chat` of a body of another format. `beyond_chat`: what of it chat completions cannot say.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(in crate::wire) fn translated(
        body: Body,
        chat: Map<String, Value>,
        format: ClientFormat,
        beyond_chat: Option<WireError>,
    ) -> Result<Self, WireError> {
        let raw = |value: &Value| {
            serde_json::value::to_raw_value(value).map_err(|e| WireError::malformed(e.to_string()))
        };
        let fields = chat
            .iter()
            .map(|(name, value)| Ok((name.clone(), raw(value)?)))
            .collect::<Result<_, WireError>>()?;
        let origin = Origin { format, fields: body.fields, beyond_chat };
        Self::check(Body { fields, view: chat, ..body }, Some(origin))
    }

    fn check(body: Body, origin: Option<Origin>) -> Result<Self, WireError> {
        let Body { mut fields, view, extension, fallback_models } = body;
        let view = Value::Object(view);
        let top = Fields::of(&view, "")?;
        let model = match (top.text("model")?, fallback_models.first()) {
            (Some(model), _) => model.to_owned(),
            (None, Some(first)) => first.clone(),
            (None, None) => {
                return Err(WireError::must("model", "given: a route such as auto, or a model's id"));
            }
        };
        if model.is_empty() || model.len() > MAX_MODEL {
            return Err(WireError::must("model", "1 to 256 bytes long"));
        }
        let missing = || WireError::must("messages", "given: an array of messages");
        let messages = messages::read(top.get("messages").ok_or_else(missing)?)?;
        let options = Options::read(top)?;
        if messages.iter().any(|m| !m.thinking.is_empty()) {
            without_thinking(&mut fields, top.get("messages"));
        }
        let prompt = prompt::of(&messages, &options);
        Ok(Self { fields, model, messages, options, extension, fallback_models, prompt, cap: None, origin })
    }

    /// The route or arm that the client asks for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether the client wants a stream.
    pub fn stream(&self) -> bool {
        self.options.stream
    }

    /// Whether the client wants the usage chunk at the end of a stream.
    pub fn wants_usage_chunk(&self) -> bool {
        self.options.stream && self.options.include_usage
    }

    /// The conversation.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Everything beside the conversation.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What the caller asks of the router itself.
    pub fn extension(&self) -> &Extension {
        &self.extension
    }

    /// OpenRouter's ordered fallbacks.
    pub fn fallback_models(&self) -> &[String] {
        &self.fallback_models
    }

    /// The format that the client speaks.
    pub fn client_format(&self) -> ClientFormat {
        self.origin.as_ref().map_or(ClientFormat::Chat, |o| o.format)
    }

    /// What the client wrote, when that was `format`: an upstream that speaks it too gets just that.
    pub fn origin_of(&self, format: ClientFormat) -> Option<&Origin> {
        self.origin.as_ref().filter(|o| o.format == format)
    }

    /// A bound on the answer below the client's own.
    pub fn cap(&self) -> Option<u32> {
        self.cap
    }

    /// The body's fields as the client wrote them, ours taken out.
    pub fn fields_as_sent(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.origin.as_ref().map_or(&self.fields, |origin| &origin.fields);
        fields.iter().map(|(name, raw)| (name.as_str(), raw.get()))
    }

    /// What of the request no upstream of chat completions can be told.
    pub fn beyond_chat(&self) -> Option<&WireError> {
        self.origin.as_ref()?.beyond_chat.as_ref()
    }

    /// The routing view.
    pub fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// The same request for an answer of at most `most` tokens; the client's own bound holds where it is lower.
    pub fn capped(&self, most: u32) -> Self {
        let most = self.options.max_output_tokens.map_or(most, |own| own.min(most));
        let mut capped = Self { cap: Some(most), ..self.clone() };
        capped.options.max_output_tokens = Some(most);
        capped.prompt.max_output_tokens = Some(most);
        capped
    }

    /// The body for an upstream of the same format: the client's bytes with `model` replaced, our fields gone, and on a stream the
    /// usage chunk asked for. `bound`: what a cap on the answer is called there, unless the client named one itself; a translated
    /// request's bound has that name too.
    pub fn openai_body(&self, model: &str, bound: &str) -> Vec<u8> {
        let size: usize = self.fields.iter().map(|(name, raw)| name.len() + raw.get().len() + 8).sum();
        let mut out = String::with_capacity(size + model.len() + 64);
        out.push_str("{\"model\":");
        push_json_text(&mut out, model);
        for (name, raw) in &self.fields {
            let is_bound = BOUNDS.contains(&name.as_str());
            if name == "model"
                || (self.options.stream && name == "stream_options")
                || (is_bound && self.cap.is_some())
            {
                continue;
            }
            out.push(',');
            push_json_text(&mut out, if is_bound { self.bound_name(name, bound) } else { name });
            out.push(':');
            out.push_str(raw.get());
        }
        if let Some(cap) = self.cap {
            let named = self.fields.iter().find(|(name, _)| BOUNDS.contains(&name.as_str()));
            out.push(',');
            push_json_text(&mut out, named.map_or(bound, |(name, _)| self.bound_name(name, bound)));
            out.push_str(&format!(":{cap}"));
        }
        if self.options.stream {
            out.push_str(",\"stream_options\":");
            out.push_str(&self.stream_options());
        }
        out.push('}');
        out.into_bytes()
    }

    /// A client of this format has chosen the name itself; a translation has not.
    fn bound_name<'a>(&self, given: &'a str, bound: &'a str) -> &'a str {
        if self.origin.is_some() { bound } else { given }
    }

    fn stream_options(&self) -> String {
        let given = self.fields.iter().find(|(name, _)| name == "stream_options");
        let given = given.and_then(|(_, raw)| serde_json::from_str::<Map<String, Value>>(raw.get()).ok());
        let mut options = given.unwrap_or_default();
        options.insert("include_usage".to_owned(), Value::Bool(true));
        Value::Object(options).to_string()
    }
}

fn malformed(error: &serde_json::Error) -> WireError {
    WireError::malformed(format!("the body must be a JSON object: {error}"))
}

/// Takes Anthropic's thinking blocks, which only its own models can read, out of the messages.
fn without_thinking(fields: &mut [(String, Box<RawValue>)], messages: Option<&Value>) {
    let Some(Value::Array(messages)) = messages else { return };
    let mut messages = messages.clone();
    for message in messages.iter_mut().filter_map(Value::as_object_mut) {
        message.remove("thinking_blocks");
    }
    let slot = fields.iter_mut().find(|(name, _)| name == "messages");
    if let (Some((_, raw)), Ok(bytes)) = (slot, serde_json::value::to_raw_value(&messages)) {
        *raw = bytes;
    }
}

/// Reads an object as ordered pairs of name and bytes.
struct TopLevel;

impl<'de> Visitor<'de> for TopLevel {
    type Value = Vec<(String, Box<RawValue>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}
