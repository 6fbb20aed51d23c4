//! Conversations that stay on a model.

use serde::{Deserialize, Serialize};

use super::ArmId;

/// The model that a conversation was on when a decision about its next turn was taken. A row with one says nothing about what
/// another policy would have drawn: the choice before it decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// Which model.
    pub arm: ArmId,
    /// Input tokens that its provider is expected to read from its cache, by what it reported on the last turns; lost by a switch.
    pub cached_tokens: u32,
    /// By how much utility another must be better, the lost cache included, to be switched to.
    pub margin: f64,
}
