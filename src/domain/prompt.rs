//! What a request asks, free of any wire format.

use super::CapabilitySet;

/// The routing view of a request: its words and what it needs. Taken from the wire form once, then never parsed again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    /// Text of the last user message.
    pub ask: String,
    /// Text of what came just before it (system prompt, earlier turns), the most recent first, at most about 2,000 characters.
    pub context: String,
    /// Messages in the conversation, the system prompt not counted.
    pub turns: u32,
    /// Estimated input tokens of the whole request, tools and images included.
    pub input_tokens: u32,
    /// The caller's bound on the answer.
    pub max_output_tokens: Option<u32>,
    /// The caller's temperature.
    pub temperature: Option<f32>,
    /// What the serving arm must offer.
    pub needs: CapabilitySet,
    /// Number of tools declared.
    pub tools: u32,
    /// Whether the answer must be JSON of any kind.
    pub wants_json: bool,
    /// A stable hash of the system prompt, 0 when there is none: conversations of one application share it.
    pub system_family: u64,
    /// Whether the last message is a tool's result: the turn belongs to a running tool loop.
    pub in_tool_loop: bool,
}
