//! The forward pass of BERT (Devlin et al. 2019) over windows that lie end to end.
//!
//! All tokens of all windows form one matrix `[T, d]`, so the products of the linear layers see no padding; only attention goes window
//! by window, head by head. Everything runs on the calling thread.

use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Result, Tensor};
use pointsman_kernels::{Blocks, Level, Norm, Panels, Product, Then, softmax};
use serde::Deserialize;

use super::TokenWindow;

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
    level: Level,
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
    weight: Panels,
    bias: Vec<f32>,
}

/// Room for what a pass needs and throws away.
#[derive(Default)]
struct Scratch {
    left: Blocks,
    right: Panels,
    qkv: Vec<f32>,
    weights: Vec<f32>,
    mixed: Vec<f32>,
    after: Vec<f32>,
    wide: Vec<f32>,
}

impl Network {
    pub fn load(safetensors: &[u8], config: &Config) -> Result<Self> {
        let weights =
            Weights { tensors: SliceSafetensors::new(safetensors)?, epsilon: config.layer_norm_eps };
        let types = weights.numbers("embeddings.token_type_embeddings.weight")?;
        let mut positions = weights.numbers("embeddings.position_embeddings.weight")?;
        for row in positions.chunks_exact_mut(config.hidden_size) {
            row.iter_mut().zip(&types).for_each(|(x, t)| *x += t);
        }
        Ok(Self {
            level: Level::detect(),
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
        let mut scratch = Scratch::default();
        for layer in &self.layers {
            self.layer(layer, &mut x, windows, &mut scratch);
        }
        Ok(x)
    }

    fn embed(&self, windows: &[TokenWindow]) -> Result<Vec<f32>> {
        let ids: Vec<u32> = windows.iter().flat_map(|w| &w.ids).copied().collect();
        let ids = Tensor::new(ids, &Device::Cpu)?;
        let mut x = self.words.index_select(&ids, 0)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let mut rest = x.as_mut_slice();
        for window in windows {
            let (own, after) = rest.split_at_mut(window.ids.len() * self.dim);
            own.iter_mut().zip(&self.positions).for_each(|(x, p)| *x += p);
            rest = after;
        }
        self.norm.apply(self.level, &mut x);
        Ok(x)
    }

    /// `x` becomes the layer's output.
    fn layer(&self, layer: &Layer, x: &mut Vec<f32>, windows: &[TokenWindow], scratch: &mut Scratch) {
        self.attention(layer, x, windows, scratch);
        let Scratch { left, mixed, after, wide, .. } = scratch;
        self.linear(&layer.out, mixed, Then::Keep, (left, after));
        layer.attention_norm.apply_residual(self.level, after, x);
        self.linear(&layer.up, after, Then::Gelu, (left, wide));
        self.linear(&layer.down, wide, Then::Keep, (left, x));
        layer.output_norm.apply_residual(self.level, x, after);
    }

    /// `out = then(x weight + bias)`.
    fn linear(&self, linear: &Linear, x: &[f32], then: Then, (left, out): (&mut Blocks, &mut Vec<f32>)) {
        let (depth, stride) = (linear.weight.depth(), linear.bias.len());
        let rows = x.len() / depth;
        left.fill(x, (rows, depth, depth), 1.0);
        out.resize(rows * stride, 0.0);
        Product { left, right: &linear.weight, bias: &linear.bias, then, out, stride }.run(self.level);
    }

    /// What each token takes from the others of its window, shape `[T * d]`, into `scratch.mixed`.
    fn attention(&self, layer: &Layer, x: &[f32], windows: &[TokenWindow], scratch: &mut Scratch) {
        let Scratch { left, right, qkv, weights, mixed, .. } = scratch;
        self.linear(&layer.qkv, x, Then::Keep, (left, qkv));
        mixed.resize(x.len(), 0.0);
        let (d, width) = (self.dim, self.dim / self.heads);
        let scale = 1.0 / (width as f32).sqrt();
        let (mut qkv, mut mixed) = (qkv.as_slice(), mixed.as_mut_slice());
        for window in windows {
            let tokens = window.ids.len();
            let (own, qkv_after) = qkv.split_at(tokens * 3 * d);
            let (taken, mixed_after) = mixed.split_at_mut(tokens * d);
            for head in 0..self.heads {
                let at = head * width;
                let (keys, values) = (&own[d + at..], &own[2 * d + at..]);
                left.fill(&own[at..], (tokens, width, 3 * d), scale);
                right.fill(width, tokens, |i, token| keys[token * 3 * d + i]);
                let stride = right.padded();
                weights.resize(tokens * stride, 0.0);
                Product { left, right, bias: &[], then: Then::Keep, out: weights, stride }.run(self.level);
                softmax(self.level, weights, stride, tokens);
                left.fill(weights, (tokens, tokens, stride), 1.0);
                right.fill(tokens, width, |token, i| values[token * 3 * d + i]);
                Product { left, right, bias: &[], then: Then::Keep, out: &mut taken[at..], stride: d }
                    .run(self.level);
            }
            (qkv, mixed) = (qkv_after, mixed_after);
        }
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

    fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        self.raw(name)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
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
        let (mut numbers, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            numbers.extend(self.numbers(&format!("{name}.weight"))?);
            bias.extend(self.numbers(&format!("{name}.bias"))?);
        }
        let depth = numbers.len() / bias.len();
        let mut weight = Panels::default();
        weight.fill(depth, bias.len(), |i, out| numbers[out * depth + i]);
        Ok(Linear { weight, bias })
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
