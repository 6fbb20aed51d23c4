//! The forward pass of BERT (Devlin et al. 2019) over windows that lie end to end.
//!
//! All tokens of all windows form one matrix `[T, d]`, so the products of the linear layers see no padding; only attention goes window
//! by window. The products are candle's, the rest is [`super::kernels`].

use candle_core::safetensors::SliceSafetensors;
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Result, Tensor};
use serde::Deserialize;

use super::TokenWindow;
use super::kernels::{Norm, add_bias, bias_gelu, softmax};

/// The part of `config.json` that the forward pass needs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub max_position_embeddings: usize,
    pub layer_norm_eps: f32,
}

/// The weights, widened to f32 except for the word table, of which a pass reads only a few rows.
pub(super) struct Network {
    /// Shape `[vocabulary, d]`, f16.
    words: Tensor,
    /// Position plus type 0, shape `[positions * d]`.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    dim: usize,
}

struct Layer {
    /// Query, key and value side by side, `[d, 3 * d]`.
    qkv: Linear,
    out: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    output_norm: Norm,
}

struct Linear {
    /// Shape `[in, out]`.
    weight: Tensor,
    bias: Vec<f32>,
}

impl Network {
    pub fn load(safetensors: &[u8], config: &Config) -> Result<Self> {
        let weights =
            Weights { tensors: SliceSafetensors::new(safetensors)?, epsilon: config.layer_norm_eps };
        let types = weights.numbers("embeddings.token_type_embeddings.weight")?;
        let mut positions = weights.numbers("embeddings.position_embeddings.weight")?;
        add_bias(&mut positions, &types[..config.hidden_size]);
        Ok(Self {
            words: weights.raw("embeddings.word_embeddings.weight")?,
            positions,
            norm: weights.norm("embeddings.LayerNorm")?,
            layers: (0..config.num_hidden_layers).map(|i| weights.layer(i)).collect::<Result<_>>()?,
            heads: config.num_attention_heads,
            dim: config.hidden_size,
        })
    }

    /// Hidden states of the last layer, shape `[T * d]`, the windows end to end. No window may be empty.
    pub fn forward(&self, windows: &[TokenWindow]) -> Result<Vec<f32>> {
        let mut x = self.embed(windows)?;
        for layer in &self.layers {
            x = self.layer(layer, &x, windows)?;
        }
        x.flatten_all()?.to_vec1()
    }

    fn embed(&self, windows: &[TokenWindow]) -> Result<Tensor> {
        let ids: Vec<u32> = windows.iter().flat_map(|w| &w.ids).copied().collect();
        let ids = Tensor::new(ids, &Device::Cpu)?;
        let x = self.words.index_select(&ids, 0)?.to_dtype(DType::F32)?;
        change(&x, |rows| {
            let mut rest = &mut *rows;
            for window in windows {
                let (own, after) = rest.split_at_mut(window.ids.len() * self.dim);
                own.iter_mut().zip(&self.positions).for_each(|(x, p)| *x += p);
                rest = after;
            }
            self.norm.apply(rows);
        })?;
        Ok(x)
    }

    fn layer(&self, layer: &Layer, x: &Tensor, windows: &[TokenWindow]) -> Result<Tensor> {
        let mixed = self.attention(layer, x, windows)?;
        let y = mixed.matmul(&layer.out.weight)?;
        let residual = x.flatten_all()?.to_vec1::<f32>()?;
        change(&y, |rows| layer.attention_norm.apply_residual(rows, &layer.out.bias, &residual))?;
        let wide = y.matmul(&layer.up.weight)?;
        change(&wide, |rows| bias_gelu(rows, &layer.up.bias))?;
        let z = wide.matmul(&layer.down.weight)?;
        let residual = y.flatten_all()?.to_vec1::<f32>()?;
        change(&z, |rows| layer.output_norm.apply_residual(rows, &layer.down.bias, &residual))?;
        Ok(z)
    }

    /// What each token takes from the others of its window, shape `[T, d]`.
    fn attention(&self, layer: &Layer, x: &Tensor, windows: &[TokenWindow]) -> Result<Tensor> {
        let qkv = x.matmul(&layer.qkv.weight)?;
        change(&qkv, |rows| add_bias(rows, &layer.qkv.bias))?;
        let width = self.dim / self.heads;
        let scale = 1.0 / (width as f32).sqrt();
        let mut from = 0;
        let mut mixed = Vec::with_capacity(windows.len());
        for window in windows {
            let tokens = window.ids.len();
            // [t, 3 * d] -> [3, heads, t, width]
            let parts = qkv.narrow(0, from, tokens)?.reshape((tokens, 3, self.heads, width))?;
            let parts = parts.permute((1, 2, 0, 3))?.contiguous()?;
            let weights = parts.get(0)?.matmul(&parts.get(1)?.t()?)?;
            change(&weights, |rows| softmax(rows, tokens, scale))?;
            let taken = weights.matmul(&parts.get(2)?)?;
            mixed.push(taken.transpose(0, 1)?.reshape((tokens, self.dim))?);
            from += tokens;
        }
        Tensor::cat(&mixed, 0)
    }
}

struct Weights<'a> {
    tensors: SliceSafetensors<'a>,
    epsilon: f32,
}

impl Weights<'_> {
    fn raw(&self, name: &str) -> Result<Tensor> {
        self.tensors.load(name, &Device::Cpu)
    }

    fn wide(&self, name: &str) -> Result<Tensor> {
        self.raw(name)?.to_dtype(DType::F32)
    }

    fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        self.wide(name)?.flatten_all()?.to_vec1()
    }

    fn norm(&self, name: &str) -> Result<Norm> {
        Ok(Norm {
            weight: self.numbers(&format!("{name}.weight"))?,
            bias: self.numbers(&format!("{name}.bias"))?,
            epsilon: self.epsilon,
        })
    }

    /// Stored as `[out, in]`; several names are put side by side.
    fn linear(&self, names: &[String]) -> Result<Linear> {
        let weights: Vec<Tensor> =
            names.iter().map(|name| self.wide(&format!("{name}.weight"))).collect::<Result<_>>()?;
        let mut bias = Vec::new();
        for name in names {
            bias.extend(self.numbers(&format!("{name}.bias"))?);
        }
        // Laid out as it is read: a transposed view costs the product 1.1 to 1.8 times the time.
        Ok(Linear { weight: Tensor::cat(&weights, 0)?.t()?.contiguous()?, bias })
    }

    fn layer(&self, number: usize) -> Result<Layer> {
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        let own = |part: &str| name(&format!("attention.self.{part}"));
        Ok(Layer {
            qkv: self.linear(&[own("query"), own("key"), own("value")])?,
            out: self.linear(&[name("attention.output.dense")])?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"))?,
            up: self.linear(&[name("intermediate.dense")])?,
            down: self.linear(&[name("output.dense")])?,
            output_norm: self.norm(&name("output.LayerNorm"))?,
        })
    }
}

/// Runs `f` over the numbers of a tensor that nothing else reads yet.
fn change(tensor: &Tensor, f: impl Fn(&mut [f32])) -> Result<()> {
    tensor.inplace_op1(&Change(f))
}

struct Change<F>(F);

impl<F: Fn(&mut [f32])> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(numbers), Some((from, to))) => {
                (self.0)(&mut numbers[from..to]);
                Ok(())
            }
            _ => Err(candle_core::Error::Msg("expected contiguous f32".into())),
        }
    }
}
