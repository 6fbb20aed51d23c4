//! Closed sets that are labels and nothing else.

/// Why this embedder read a prompt, or none did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmbedReason {
    /// It is the one to ask.
    Chosen,
    /// MiniLM had too much before it.
    Busy,
    /// MiniLM gave no answer in time.
    Late,
    /// MiniLM failed.
    Failed,
}

impl EmbedReason {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Busy => "busy",
            Self::Late => "late",
            Self::Failed => "failed",
        }
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedbackResult {
    /// Stored; whether the learner uses it shows in its own counters.
    Stored,
    /// It replaced an earlier value.
    Revised,
    /// The same as before.
    Repeated,
    /// It contradicts its idempotency key.
    Conflict,
    /// Nobody knows that decision.
    Unknown,
    /// It came after the feedback window.
    Late,
    /// Not finite, out of range, or not of the form.
    Invalid,
    /// It could not be written.
    Unavailable,
}

impl FeedbackResult {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Revised => "revised",
            Self::Repeated => "repeated",
            Self::Conflict => "conflict",
            Self::Unknown => "unknown",
            Self::Late => "late",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
        }
    }
}
