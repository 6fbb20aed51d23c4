//! Names and numbers of things. Text ids are cheap to clone (`Arc<str>`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is no id of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: {text:?}")]
pub struct IdError {
    /// What was expected, for example `decision id`.
    pub kind: &'static str,
    /// What came instead, cut to 80 characters.
    pub text: String,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a name as it is.
            pub fn new(name: impl Into<Arc<str>>) -> Self {
                Self(name.into())
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// One model behind one provider at one price, for example `openai/gpt-5-mini`.
    ArmId
);
text_id!(
    /// A configured upstream account or server, for example `openai` or `local`.
    ProviderId
);
text_id!(
    /// A name that clients ask for in `model`, for example `auto`.
    RouteName
);
text_id!(
    /// The public id of a client key; never the key itself.
    KeyId
);
text_id!(
    /// What an operator calls an experiment.
    ExperimentName
);
text_id!(
    /// Which policy took a decision: a strategy's name, or `learned@SEQ` for a snapshot of the learner.
    PolicyVersion
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a version 7 UUID that the caller made.
            pub fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The sixteen bytes, big-endian; ids made later sort later.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| IdError { kind: $kind, text: text.chars().take(80).collect() })
            }
        }
    };
}

uuid_id!(
    /// One draw of an arm.
    DecisionId,
    "decision id"
);
uuid_id!(
    /// One stored piece of feedback.
    FeedbackId,
    "feedback id"
);

/// Position of an event in the log, from 1, without gaps. The log's order is the only order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
