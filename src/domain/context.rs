//! The feature vector that a policy sees. It never travels without its schema.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names what each position of a feature vector means; vectors of two schemas are never mixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureSchema(Arc<str>);

impl FeatureSchema {
    /// Wraps a schema's name, for example `minilm-pca32-stats12-v1`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FeatureSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a vector is no context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// A NaN or an infinity.
    #[error("feature {position} of schema {schema} is not finite")]
    NotFinite {
        /// Index in the vector.
        position: usize,
        /// The schema of the vector.
        schema: FeatureSchema,
    },
    /// Features are standardised; one of this size is a mistake that would drown all others.
    #[error(
        "feature {position} of schema {schema} lies beyond {limit} either way: features must be standardised"
    )]
    TooLarge {
        /// Index in the vector.
        position: usize,
        /// The schema of the vector.
        schema: FeatureSchema,
        /// What it must not exceed.
        limit: u32,
    },
    /// A policy was given a context of another schema.
    #[error("context has schema {found}, the policy wants {wanted}")]
    WrongSchema {
        /// What the policy was built for.
        wanted: FeatureSchema,
        /// What came.
        found: FeatureSchema,
    },
}

/// Features of one prompt, shape `[d]`, all finite; the last is the constant 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Context {
    schema: FeatureSchema,
    features: Arc<[f32]>,
}

impl Context {
    /// # Errors
    /// When a feature is NaN or infinite.
    pub fn new(schema: FeatureSchema, features: impl Into<Arc<[f32]>>) -> Result<Self, ContextError> {
        let features = features.into();
        match features.iter().position(|x| !x.is_finite()) {
            Some(position) => Err(ContextError::NotFinite { position, schema }),
            None => Ok(Self { schema, features }),
        }
    }

    /// What the positions mean.
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// The values, shape `[d]`.
    pub fn features(&self) -> &[f32] {
        &self.features
    }
}

/// How much of a text the encoder read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Tokens of the whole text.
    pub total_tokens: u32,
    /// Tokens that were embedded.
    pub used_tokens: u32,
}

/// How the prompt was embedded; part of each decision's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoding {
    /// Which embedder answered: `minilm`, `student` in its place, or `none` when the prompt was not read.
    pub embedder: String,
    /// Set when the text was longer than what the encoder reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

impl Encoding {
    /// Who reads a prompt that nobody read.
    pub const NOBODY: &str = "none";

    /// The prompt was not read.
    pub fn none() -> Self {
        Self { embedder: Self::NOBODY.to_owned(), cut: None }
    }
}
