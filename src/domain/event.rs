//! The log's rows. State is a fold over them: whatever is not here did not happen.

use serde::{Deserialize, Serialize};

use super::{Completed, Decision, Feedback, KeyId, Seq, UnixMs};

/// Something an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum AdminEvent {
    /// A client key was made.
    KeyCreated {
        /// Which.
        key: KeyId,
    },
    /// A client key was revoked.
    KeyRevoked {
        /// Which.
        key: KeyId,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "body")]
pub enum EventBody {
    /// An arm was drawn.
    Decided(Box<Decision>),
    /// A call ended.
    Completed(Box<Completed>),
    /// A report was accepted.
    Feedback(Box<Feedback>),
    /// An operator changed something.
    Admin(AdminEvent),
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// When it was written.
    pub at: UnixMs,
    /// What happened.
    pub body: EventBody,
}
