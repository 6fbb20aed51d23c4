//! all-MiniLM-L6-v2 (Wang et al. 2020, fine-tuned by the sentence-transformers project): BERT, mean pooling over the attention mask,
//! unit norm.
//!
//! The weights are stored in f16 and computed with in f32; in f16 arithmetic the attention overflows to NaN.

use std::sync::Arc;

use ndarray::{Array2, ArrayViewMut1};

use super::network::{Config, Network};
use super::weights::Files;
use super::{EmbedError, Embedder, TokenWindow, WeightSource};

/// The network, ready to run.
pub struct MiniLm {
    network: Network,
    dim: usize,
    max_tokens: usize,
}

impl MiniLm {
    /// Loads the weights: about 45 MB in memory, beside the pages of the file that are read.
    ///
    /// # Errors
    /// When a file is missing, is not the pinned one, or does not load.
    pub fn load(source: &WeightSource) -> Result<Self, EmbedError> {
        Self::from_files(Files::load(source)?)
    }

    pub(super) fn from_files(files: Files) -> Result<Self, EmbedError> {
        let config: Config =
            serde_json::from_slice(&files.config).map_err(|e| EmbedError::Config(Arc::new(e)))?;
        let network = Network::load(files.model, &config)?;
        Ok(Self { network, dim: config.hidden_size, max_tokens: config.max_position_embeddings })
    }
}

impl Embedder for MiniLm {
    fn name(&self) -> &'static str {
        "minilm"
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, inputs: &[TokenWindow]) -> Result<Array2<f32>, EmbedError> {
        let fits = 1..=self.max_tokens;
        if let Some(bad) = inputs.iter().find(|w| !fits.contains(&w.ids.len())) {
            return Err(EmbedError::WindowLength { tokens: bad.ids.len(), most: self.max_tokens });
        }
        let mut out = Array2::zeros((inputs.len(), self.dim));
        if inputs.is_empty() {
            return Ok(out);
        }
        let hidden = self.network.forward(inputs)?;
        let mut rest = hidden.as_slice();
        for (mut row, window) in out.rows_mut().into_iter().zip(inputs) {
            let (states, after) = rest.split_at(window.ids.len() * self.dim);
            pool(&mut row, states);
            rest = after;
        }
        Ok(out)
    }
}

/// Mean of `states`, shape `[t * d]`, scaled to unit norm. Of states without length the row becomes NaN, which the pool refuses.
fn pool(row: &mut ArrayViewMut1<'_, f32>, states: &[f32]) {
    for state in states.chunks_exact(row.len()) {
        for (sum, x) in row.iter_mut().zip(state) {
            *sum += x;
        }
    }
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.mapv_inplace(|x| x / length);
}
