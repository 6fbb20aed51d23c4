//! all-MiniLM-L6-v2 (Wang et al. 2020, fine-tuned by the sentence-transformers project): BERT, mean pooling over the attention mask,
//! unit norm.
//!
//! The weights are stored in f16 and widened on load; in f16 arithmetic the attention overflows to NaN.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use ndarray::{Array2, ArrayViewMut1};

use super::weights::Files;
use super::{EmbedError, Embedder, TokenWindow, WeightSource};
use std::sync::Arc;

/// The network, ready to run.
pub struct MiniLm {
    model: BertModel,
    dim: usize,
}

impl MiniLm {
    /// Loads and checks the weights: about 90 MB in memory.
    ///
    /// # Errors
    /// When a file is missing, is not the pinned one, or does not load.
    pub fn load(source: &WeightSource) -> Result<Self, EmbedError> {
        Self::from_files(&Files::load(source)?)
    }

    pub(super) fn from_files(files: &Files) -> Result<Self, EmbedError> {
        let config: Config =
            serde_json::from_slice(&files.config).map_err(|e| EmbedError::Config(Arc::new(e)))?;
        let weights = VarBuilder::from_slice_safetensors(&files.model, DType::F32, &Device::Cpu)?;
        Ok(Self { dim: config.hidden_size, model: BertModel::load(weights, &config)? })
    }

    /// Hidden states, shape `[n * t * d]`, of windows padded to `t` tokens.
    fn hidden(&self, inputs: &[TokenWindow], longest: usize) -> Result<Vec<f32>, EmbedError> {
        let mut ids = vec![0u32; inputs.len() * longest];
        let mut mask = vec![0u32; inputs.len() * longest];
        for (i, window) in inputs.iter().enumerate() {
            let from = i * longest;
            ids[from..from + window.ids.len()].copy_from_slice(&window.ids);
            mask[from..from + window.ids.len()].fill(1);
        }
        let shape = (inputs.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let types = ids.zeros_like()?;
        let hidden = self.model.forward(&ids, &types, Some(&mask))?;
        Ok(hidden.flatten_all()?.to_vec1()?)
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
        let mut out = Array2::zeros((inputs.len(), self.dim));
        let Some(longest) = inputs.iter().map(|w| w.ids.len()).max() else { return Ok(out) };
        let hidden = self.hidden(inputs, longest)?;
        let sequences = hidden.chunks_exact(longest * self.dim);
        for ((mut row, window), states) in out.rows_mut().into_iter().zip(inputs).zip(sequences) {
            pool(&mut row, &states[..window.ids.len() * self.dim]);
        }
        Ok(out)
    }
}

/// Mean of `states`, shape `[t * d]`, scaled to unit norm. Without a state the row becomes NaN, which the pool refuses.
fn pool(row: &mut ArrayViewMut1<'_, f32>, states: &[f32]) {
    for state in states.chunks_exact(row.len()) {
        for (sum, x) in row.iter_mut().zip(state) {
            *sum += x;
        }
    }
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.mapv_inplace(|x| x / length);
}
