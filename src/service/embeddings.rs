//! The local encoder as a service of its own.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::{Caller, Service, ServiceError};
use crate::domain::{Cut, RouteName};

/// What the local encoder is called where models are asked for.
pub const EMBEDDING_MODEL: &str = "pointsman/minilm";
/// Longer than a routing decision may wait: the vector is the answer here.
const DEADLINE: Duration = Duration::from_secs(30);
/// How many texts of one request are in the encoder's queue at a time; the rest is left to others.
const AT_ONCE: usize = 8;

/// One text's vector.
#[derive(Debug, Clone)]
pub struct EmbeddedText {
    /// Shape `[384]`, unit norm.
    pub vector: Arc<[f32]>,
    /// Set when the text was longer than what the encoder reads.
    pub cut: Option<Cut>,
}

impl Service {
    /// Embeds texts in order, shape `[n]`.
    ///
    /// # Errors
    /// When the caller's key has routes and the encoder is not among them, the encoder's queue is full, it fails, or it does not run.
    pub async fn embed(
        &self,
        texts: Vec<String>,
        caller: &Caller,
    ) -> Result<Vec<EmbeddedText>, ServiceError> {
        if !caller.may_ask(&RouteName::from(EMBEDDING_MODEL)) {
            return Err(ServiceError::NotAllowed { param: "model", model: EMBEDDING_MODEL.to_owned() });
        }
        let encoder = self.reader.encoder().ok_or(ServiceError::NoEncoder)?;
        stream::iter(texts)
            .map(|text| async move {
                let embedded = encoder.embed(&text, "", DEADLINE).await.map_err(|error| {
                    tracing::warn!(%error, "a text was not embedded");
                    ServiceError::EncoderBusy
                })?;
                Ok(EmbeddedText { vector: embedded.vector, cut: embedded.cut })
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }
}
