//! From text to a vector: the encoder, its queue and its cache.
//!
//! One encode costs as much CPU as hundreds of proxied requests, so it never runs on the async threads. [`Encoder`] is a handle to a
//! small pool of its own threads behind a bounded queue: a full queue and a passed deadline are errors that the caller answers by
//! routing without a context, never by waiting.
//!
//! What is embedded is the ask (the last user message) and, while the ask leaves room, a little of its context. A long ask is read in
//! windows (head, evenly spaced middle, tail), so that requests which share a prefix, a suffix or both keep apart; the words between
//! the windows still count through a `sketch`, and the cut is reported.
//!
//! [`Student`] answers in MiniLM's place, at once and on the caller's thread, when that is late or busy.
//!
//! Invariant: a vector that leaves here is finite and of unit norm. The module must not know routes, policies, HTTP or configuration.
//! Outside crates for tensors and tokens are used here only.

mod ascii;
mod batcher;
mod cache;
mod encoder;
mod load;
mod minilm;
mod network;
mod sketch;
pub mod student;
mod tokenizer;
mod weights;

use std::path::PathBuf;
use std::sync::Arc;

use ndarray::Array2;

pub use encoder::{Embedded, Encoder, EncoderOptions, Text};
pub use minilm::MiniLm;
pub use student::{Glance, Student};
pub use tokenizer::{READING_VERSION, TokenWindow, Tokenized, Windower};
pub use weights::{ENCODER_SHA256, WeightSource};

/// Turns token windows into vectors. Implementations do no queueing and no caching.
pub trait Embedder: Send + Sync {
    /// As decisions record it, for example `minilm`.
    fn name(&self) -> &'static str;

    /// Width of a vector.
    fn dim(&self) -> usize;

    /// Vectors of unit norm, one a window, shape `[n, d]`. Rows are independent of each other.
    ///
    /// # Errors
    /// When a window is too long or empty, or the arithmetic fails.
    fn embed(&self, inputs: &[TokenWindow]) -> Result<Array2<f32>, EmbedError>;
}

/// Why there is no vector.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EmbedError {
    /// More requests wait than the queue holds.
    #[error("the encoder's queue of {capacity} is full")]
    QueueFull {
        /// How many it holds.
        capacity: usize,
    },
    /// What waits before this text would take longer than there is time.
    #[error("the encoder is busy for about {expected_ms} ms")]
    Busy {
        /// How long, as far as can be foreseen.
        expected_ms: u64,
    },
    /// No answer in time.
    #[error("the encoder gave no answer within {after_ms} ms")]
    DeadlineExceeded {
        /// The time that was given.
        after_ms: u64,
    },
    /// The worker broke off (it panicked, or the pool has stopped).
    #[error("the encoder's worker broke off")]
    WorkerLost,
    /// A file is not the one this version was built for.
    #[error("{}: sha256 is {found}, expected {expected}; use the file of models/all-MiniLM-L6-v2", file.display())]
    WeightsMismatch {
        /// Which.
        file: PathBuf,
        /// The pinned hash.
        expected: &'static str,
        /// The hash of what was read.
        found: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// An option is out of range.
    #[error("encoder option {option} is {value}: {fix}")]
    BadOption {
        /// Which.
        option: &'static str,
        /// What it is.
        value: usize,
        /// What it may be.
        fix: &'static str,
    },
    /// A window is empty or longer than the network reads.
    #[error("a window of {tokens} tokens; the encoder reads 1 to {most}")]
    WindowLength {
        /// Its length.
        tokens: usize,
        /// The longest allowed.
        most: usize,
    },
    /// The network's arithmetic or its loading failed.
    #[error("the encoder failed: {0}")]
    Model(Arc<candle_core::Error>),
    /// The configuration of the network cannot be read.
    #[error("the encoder's config.json: {0}")]
    Config(Arc<serde_json::Error>),
    /// The tokenizer cannot be loaded or refuses a text.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(Arc<tokenizers::Error>),
    /// The student's files do not fit each other.
    #[error("models/student/{0}; run `pointsman train encoder` and build again")]
    Student(String),
    /// A worker thread cannot be started.
    #[error("cannot start an encoder thread: {0}")]
    Thread(Arc<std::io::Error>),
    /// The result has a NaN, an infinity or no length.
    #[error("the encoder gave a vector that is not finite or has no length")]
    NotFinite,
}

impl From<candle_core::Error> for EmbedError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(Arc::new(error))
    }
}

impl From<tokenizers::Error> for EmbedError {
    fn from(error: tokenizers::Error) -> Self {
        Self::Tokenizer(Arc::new(error))
    }
}

#[cfg(test)]
mod kernel_tests;
#[cfg(test)]
mod tests;
