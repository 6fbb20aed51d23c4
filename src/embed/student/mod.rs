//! The student: a table that says in a tenth of a millisecond about what MiniLM would.
//!
//! One short row a token, and one a bucket of neighbouring pairs; their weighted sum over a text predicts the whitened components of
//! MiniLM's vector, so that whatever was learned on those works on these. The rows are fitted by `pointsman train encoder` with
//! MiniLM as the teacher, kept under `models/student/`, and built into the binary.

mod table;
mod terms;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use table::{Numbers, Shape, pack};
pub use terms::{LENGTH_TERMS, Terms, terms};

use super::{EmbedError, TokenWindow, Windower};
use crate::domain::{Cut, hex};
use table::Table;

const MANIFEST: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/student/manifest.json"));
const TABLE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/student/table.bin"));

/// What the table is and where it comes from; `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentManifest {
    /// The features' schema whose components it predicts.
    pub schema: String,
    /// When it was fitted, for example `2026-11-27`.
    pub date: String,
    /// The command that fitted it.
    pub command: String,
    /// SHA-256 of the teacher's weights.
    pub encoder_sha256: String,
    /// Most tokens that teacher and student read of a text.
    pub max_tokens: usize,
    /// Numbers of a row: the features' components.
    pub components: usize,
    /// Rows of tokens.
    pub vocabulary: usize,
    /// Rows of pairs.
    pub buckets: usize,
    /// Weight of a token is `a / (a + share)`, its share counted over the fitted texts.
    pub frequency: f64,
    /// Ridge.
    pub ridge: f64,
    /// Texts of each source that were fitted on.
    pub sources: Vec<StudentSource>,
    /// Texts of fold 1 that the R2 were measured on.
    pub held_out: usize,
    /// Mean R2 of the first eight components on those.
    pub r2_first8: f64,
    /// Mean R2 of all components on those.
    pub r2_all: f64,
    /// SHA-256 of `table.bin`.
    pub table_sha256: String,
}

/// Where texts came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentSource {
    /// The set's name.
    pub name: String,
    /// Texts fitted on, those of another source left out.
    pub rows: usize,
    /// SHA-256 over those texts in their order, each with its length.
    pub sha256: String,
}

/// What the student says of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance {
    /// Whitened components, shape `[k]`.
    pub components: Vec<f32>,
    /// Set when the ask was longer than what is read.
    pub cut: Option<Cut>,
}

/// The student, ready to read. Costs 0.05 to 0.2 ms a text, of a very long one below a millisecond: it may run where it is asked.
pub struct Student {
    table: Table,
    windower: Windower,
    schema: String,
}

impl Student {
    /// The one that is built into the binary.
    ///
    /// # Errors
    /// When the built-in files do not fit each other, which a test rules out.
    pub fn built_in(windower: Windower) -> Result<Self, EmbedError> {
        Self::parse(MANIFEST, Cow::Borrowed(TABLE), windower)
    }

    /// From a `manifest.json` and its `table.bin`.
    ///
    /// # Errors
    /// When they do not fit each other.
    pub fn parse(manifest: &[u8], table: Cow<'static, [u8]>, windower: Windower) -> Result<Self, EmbedError> {
        let manifest: StudentManifest = serde_json::from_slice(manifest)
            .map_err(|e| EmbedError::Student(format!("manifest.json: {e}")))?;
        let found = sha256_hex(&table);
        if found != manifest.table_sha256 {
            let message =
                format!("table.bin: sha256 is {found}, the manifest says {}", manifest.table_sha256);
            return Err(EmbedError::Student(message));
        }
        let StudentManifest { vocabulary, buckets, components, schema, .. } = manifest;
        let bytes = table.len();
        let table = Table::new(Shape { vocabulary, buckets, components }, table)
            .ok_or_else(|| EmbedError::Student(format!("table.bin: {bytes} bytes are not of its shape")))?;
        Ok(Self { table, windower, schema })
    }

    /// The features' schema whose components it predicts.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The components of an ask with a little of its context, most recent first.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn read(&self, ask: &str, context: &str) -> Result<Glance, EmbedError> {
        let tokenized = self.windower.quick_window(ask, context)?;
        Ok(Glance { components: self.components(&tokenized.window), cut: tokenized.cut })
    }

    /// The components of a token sequence, shape `[k]`.
    pub fn components(&self, window: &TokenWindow) -> Vec<f32> {
        let terms = terms(&window.ids, self.table.weights(), self.table.shape().buckets as u32);
        let mut sums = self.table.at_length(terms.length);
        terms.values.iter().for_each(|(row, value)| self.table.add_row(*row, *value, &mut sums));
        sums
    }
}

impl std::fmt::Debug for Student {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Student").field("schema", &self.schema).field("shape", &self.table.shape()).finish()
    }
}

/// SHA-256 in hex, as manifests hold it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
