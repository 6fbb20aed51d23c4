//! The routing view of a request.

use sha2::{Digest, Sha256};

use super::messages::{Message, Part, Role};
use super::options::{Options, ResponseFormat};
use super::tokens;
use crate::domain::{Capability, CapabilitySet, Prompt};

/// Most characters of context.
const CONTEXT_CHARS: usize = 2000;

/// The routing view of a bare text: of a request whose one message it is, with no options. What is learned offline sees prompts as
/// requests show them.
pub fn prompt_of_text(text: &str) -> Prompt {
    let message = Message {
        role: Role::User,
        parts: vec![Part::Text { text: text.to_owned(), cache_control: None }],
        tool_calls: Vec::new(),
        tool_call_id: None,
        thinking: Vec::new(),
    };
    of(&[message], &Options::default())
}

/// Takes the routing view of a conversation and its options.
pub(super) fn of(messages: &[Message], options: &Options) -> Prompt {
    let asked =
        messages.iter().rposition(|m| m.role == Role::User).unwrap_or(messages.len().saturating_sub(1));
    let input_tokens: f64 = messages.iter().map(tokens::of_message).sum::<f64>() + option_tokens(options);
    Prompt {
        ask: messages.get(asked).map(Message::text).unwrap_or_default(),
        context: context(messages, asked),
        turns: u32::try_from(messages.iter().filter(|m| !m.role.is_system()).count()).unwrap_or(u32::MAX),
        // A float cast saturates.
        input_tokens: input_tokens.ceil() as u32,
        max_output_tokens: options.max_output_tokens,
        temperature: options.temperature.map(|t| t as f32),
        needs: needs(messages, options),
        tools: u32::try_from(options.tools.len()).unwrap_or(u32::MAX),
        wants_json: options.response_format != ResponseFormat::Text,
        system_family: system_family(messages),
        in_tool_loop: messages.last().is_some_and(|m| matches!(m.role, Role::Tool | Role::Function)),
    }
}

/// Text of all messages but the ask, the latest first, cut at [`CONTEXT_CHARS`].
fn context(messages: &[Message], asked: usize) -> String {
    let mut out = String::new();
    let mut left = CONTEXT_CHARS;
    for (_, message) in messages.iter().enumerate().rev().filter(|(i, _)| *i != asked) {
        let text = message.text();
        if left == 0 || text.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
            left -= 1;
        }
        let end = text.char_indices().nth(left).map_or(text.len(), |(i, _)| i);
        left -= text[..end].chars().count();
        out.push_str(&text[..end]);
    }
    out
}

fn option_tokens(options: &Options) -> f64 {
    let tools = options.tools.iter().map(|t| {
        let parameters = t.parameters.as_ref().map(ToString::to_string).unwrap_or_default();
        tokens::of_text(&t.name)
            + tokens::of_text(t.description.as_deref().unwrap_or_default())
            + tokens::of_text(&parameters)
    });
    let schema = match &options.response_format {
        ResponseFormat::JsonSchema { schema } => tokens::of_text(&schema.to_string()),
        ResponseFormat::Text | ResponseFormat::JsonObject => 0.0,
    };
    tools.sum::<f64>() + schema
}

fn needs(messages: &[Message], options: &Options) -> CapabilitySet {
    let has = |wanted: fn(&Part) -> bool| messages.iter().flat_map(|m| &m.parts).any(wanted);
    let called = messages.iter().any(|m| !m.tool_calls.is_empty());
    let functions = options.openai_only.contains(&"functions");
    let checks = [
        (Capability::Tools, !options.tools.is_empty() || called || functions),
        (Capability::Images, has(|p| matches!(p, Part::Image { .. }))),
        (
            Capability::Audio,
            has(|p| matches!(p, Part::Audio { .. })) || options.openai_only.contains(&"audio"),
        ),
        (Capability::JsonSchema, matches!(options.response_format, ResponseFormat::JsonSchema { .. })),
    ];
    checks.into_iter().filter_map(|(capability, needed)| needed.then_some(capability)).collect()
}

/// The first eight bytes of SHA-256 over the system texts; stable over processes and versions. 0 without any.
fn system_family(messages: &[Message]) -> u64 {
    let mut hash = Sha256::new();
    let mut any = false;
    for message in messages.iter().filter(|m| m.role.is_system()) {
        any = true;
        hash.update(message.text().as_bytes());
        hash.update([0]);
    }
    if !any {
        return 0;
    }
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
