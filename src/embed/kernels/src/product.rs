//! Matrix products for one thread: the right side is packed once in panels of [`WIDTH`] columns, the left in blocks of at most
//! [`HEIGHT`] rows, so that the inner loop reads both end to end and keeps its sums in registers (Goto and van de Geijn 2008).
//!
//! The ready product packs the weights anew in each call, which costs a third of an encode at 32 tokens.

use pulp::{Simd, WithSimd};

use crate::pointwise::gelu;
use crate::simd::Level;

/// Columns of a panel.
pub const WIDTH: usize = 16;
/// Most rows of a block: with two vectors of eight a row, twelve sums of sixteen registers.
const HEIGHT: usize = 6;

/// A right side, shape `[depth, columns]`, in panels; the last one is filled up with zeros.
#[derive(Debug, Clone, Default)]
pub struct Panels {
    numbers: Vec<f32>,
    depth: usize,
    columns: usize,
}

impl Panels {
    /// From `at(row, column)`.
    pub fn fill(&mut self, depth: usize, columns: usize, at: impl Fn(usize, usize) -> f32) {
        (self.depth, self.columns) = (depth, columns);
        self.numbers.clear();
        self.numbers.resize(depth * columns.div_ceil(WIDTH) * WIDTH, 0.0);
        for (p, panel) in self.numbers.chunks_exact_mut((depth * WIDTH).max(1)).enumerate() {
            let width = WIDTH.min(columns - p * WIDTH);
            for (row, numbers) in panel.chunks_exact_mut(WIDTH).enumerate() {
                for (j, x) in numbers[..width].iter_mut().enumerate() {
                    *x = at(row, p * WIDTH + j);
                }
            }
        }
    }

    /// Rows.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns with the filling.
    pub fn padded(&self) -> usize {
        self.columns.div_ceil(WIDTH) * WIDTH
    }
}

/// A left side, shape `[rows, depth]`, in blocks of nearly equal height.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    numbers: Vec<f32>,
    rows: usize,
    depth: usize,
}

impl Blocks {
    /// From rows of `depth` numbers, `stride` apart, each times `scale`.
    pub fn fill(&mut self, from: &[f32], (rows, depth, stride): (usize, usize, usize), scale: f32) {
        (self.rows, self.depth) = (rows, depth);
        self.numbers.clear();
        self.numbers.resize(rows * depth, 0.0);
        let mut rest = self.numbers.as_mut_slice();
        for (first, height) in heights(rows) {
            let (block, after) = rest.split_at_mut(height * depth);
            for i in 0..height {
                let row = &from[(first + i) * stride..][..depth];
                for (x, y) in block[i..].iter_mut().step_by(height).zip(row) {
                    *x = y * scale;
                }
            }
            rest = after;
        }
    }
}

/// First row and height of each block.
fn heights(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let blocks = rows.div_ceil(HEIGHT);
    let (least, more) = (rows / blocks.max(1), rows % blocks.max(1));
    (0..blocks).map(move |b| (b * least + b.min(more), least + usize::from(b < more)))
}

/// What becomes of a sum before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Keep,
    /// `x Phi(x)`.
    Gelu,
}

/// `out = then(left right + bias)`: rows of the result lie `stride` apart. An empty bias is none. Both are as wide as the panels.
pub struct Product<'a> {
    /// The left side.
    pub left: &'a Blocks,
    /// The right side, as deep.
    pub right: &'a Panels,
    /// Added to each row; empty: nothing.
    pub bias: &'a [f32],
    /// What becomes of each sum.
    pub then: Then,
    /// Where the result goes, one row each `stride`.
    pub out: &'a mut [f32],
    /// Numbers from row to row of `out`.
    pub stride: usize,
}

impl Product<'_> {
    /// Computes it.
    ///
    /// # Panics
    /// When the sides are not equally deep or `out` is too short.
    pub fn run(self, level: Level) {
        assert_eq!(self.left.depth, self.right.depth, "the sides of a product must fit");
        level.run(self);
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => panels::<S, 1>(simd, self),
            8 => panels::<S, 2>(simd, self),
            4 => panels::<S, 4>(simd, self),
            _ => panels::<S, WIDTH>(simd, self),
        }
    }
}

#[inline(always)]
fn panels<S: Simd, const V: usize>(simd: S, product: Product<'_>) {
    let Product { left, right, bias, then, out, stride } = product;
    for (p, panel) in right.numbers.chunks_exact((right.depth * WIDTH).max(1)).enumerate() {
        let (rows, _) = S::as_simd_f32s(panel).0.as_chunks::<V>();
        let bias = bias.get(p * WIDTH..(p + 1) * WIDTH).unwrap_or(&[]);
        let start = S::as_simd_f32s(bias).0.first_chunk::<V>().copied().unwrap_or([simd.splat_f32s(0.0); V]);
        let mut rest = left.numbers.as_slice();
        for (first, height) in heights(left.rows) {
            let (block, after) = rest.split_at(height * left.depth);
            let out = &mut out[first * stride + p * WIDTH..];
            let tile = Tile { panel: rows, start, then, out, stride };
            match height {
                6 => tile.run::<6>(simd, block),
                5 => tile.run::<5>(simd, block),
                4 => tile.run::<4>(simd, block),
                3 => tile.run::<3>(simd, block),
                2 => tile.run::<2>(simd, block),
                _ => tile.run::<1>(simd, block),
            }
            rest = after;
        }
    }
}

/// One block against one panel.
struct Tile<'a, S: Simd, const V: usize> {
    panel: &'a [[S::f32s; V]],
    start: [S::f32s; V],
    then: Then,
    out: &'a mut [f32],
    stride: usize,
}

impl<S: Simd, const V: usize> Tile<'_, S, V> {
    #[inline(always)]
    fn run<const M: usize>(self, simd: S, block: &[f32]) {
        let mut sums = [self.start; M];
        for (left, right) in block.as_chunks::<M>().0.iter().zip(self.panel) {
            for i in 0..M {
                let x = simd.splat_f32s(left[i]);
                for j in 0..V {
                    sums[i][j] = simd.mul_add_e_f32s(x, right[j], sums[i][j]);
                }
            }
        }
        for (sums, out) in sums.iter().zip(self.out.chunks_mut(self.stride)) {
            let out = S::as_mut_simd_f32s(&mut out[..WIDTH]).0;
            for (sum, out) in sums.iter().zip(out) {
                *out = if self.then == Then::Gelu { gelu(simd, *sum) } else { *sum };
            }
        }
    }
}
