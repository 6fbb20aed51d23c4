//! The forward pass of BERT (Devlin et al. 2019) over windows that lie end to end.
//!
//! All tokens of all windows form one matrix `[T, d]`, so the products of the linear layers see no padding; only attention goes window
//! by window, head by head. Everything runs on the calling thread.

use std::borrow::Cow;

use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Error, Result, Tensor};
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

/// The weights, widened to f32 except for the word table, which stays where it is: a pass reads only a few of its rows.
pub(super) struct Network {
    level: Level,
    words: Words,
    /// Position plus type 0, shape `[positions * d]`.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    dim: usize,
}

/// The word table within the file, shape `[vocabulary, d]`, f16.
struct Words {
    file: Cow<'static, [u8]>,
    from: usize,
    rows: usize,
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
    pub fn load(safetensors: Cow<'static, [u8]>, config: &Config) -> Result<Self> {
        let weights =
            Weights { tensors: SliceSafetensors::new(&safetensors)?, epsilon: config.layer_norm_eps };
        let types = weights.numbers("embeddings.token_type_embeddings.weight")?;
        let mut positions = weights.numbers("embeddings.position_embeddings.weight")?;
        for row in positions.chunks_exact_mut(config.hidden_size) {
            row.iter_mut().zip(&types).for_each(|(x, t)| *x += t);
        }
        let norm = weights.norm("embeddings.LayerNorm")?;
        let layers = (0..config.num_hidden_layers).map(|i| weights.layer(i)).collect::<Result<_>>()?;
        drop(weights);
        Ok(Self {
            level: Level::detect(),
            words: Words::within(safetensors, config.hidden_size)?,
            positions,
            norm,
            layers,
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
        let mut x = self.words.of(windows.iter().flat_map(|w| &w.ids).copied())?;
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

impl Words {
    fn within(file: Cow<'static, [u8]>, dim: usize) -> Result<Self> {
        let tensors = SliceSafetensors::new(&file)?;
        let table = tensors.get("embeddings.word_embeddings.weight")?;
        let rows = match (DType::try_from(table.dtype())?, table.shape()) {
            (DType::F16, &[rows, width]) if width == dim => rows,
            (found, shape) => {
                return Err(Error::Msg(format!(
                    "the word table must be f16 [words, {dim}], got {found:?} {shape:?}"
                )));
            }
        };
        let from = table.data().as_ptr() as usize - file.as_ptr() as usize;
        Ok(Self { file, from, rows, dim })
    }

    /// The rows of `ids`, end to end, in f32.
    fn of(&self, ids: impl Iterator<Item = u32>) -> Result<Vec<f32>> {
        let width = self.dim * DType::F16.size_in_bytes();
        let mut bytes = Vec::new();
        for id in ids {
            let id = id as usize;
            if id >= self.rows {
                return Err(Error::Msg(format!("token {id} is not among the {} words", self.rows)));
            }
            let at = self.from + id * width;
            bytes.extend_from_slice(&self.file[at..at + width]);
        }
        let shape = [bytes.len() / width, self.dim];
        Tensor::from_raw_buffer(&bytes, DType::F16, &shape, &Device::Cpu)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1()
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
