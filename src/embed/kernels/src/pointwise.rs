//! What stands between the matrix products, over plain slices, in vectors as wide as the machine has.

use pulp::{Simd, WithSimd};

use crate::simd::Level;

/// Scale and shift of a layer norm, and its epsilon.
#[derive(Debug)]
pub struct Norm {
    /// Scale, as wide as a row.
    pub weight: Vec<f32>,
    /// Shift, as wide as a row.
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Norm {
    /// Normalises each row, of the weight's width, to mean 0 and variance 1, then scales and shifts.
    pub fn apply(&self, level: Level, rows: &mut [f32]) {
        level.loops(
            #[inline(always)]
            || rows.chunks_exact_mut(self.weight.len()).for_each(|row| self.row(row)),
        );
    }

    /// `norm(x + residual)`.
    pub fn apply_residual(&self, level: Level, rows: &mut [f32], residual: &[f32]) {
        level.loops(
            #[inline(always)]
            || {
                let width = self.weight.len();
                for (row, residual) in rows.chunks_exact_mut(width).zip(residual.chunks_exact(width)) {
                    row.iter_mut().zip(residual).for_each(|(x, r)| *x += r);
                    self.row(row);
                }
            },
        );
    }

    #[inline(always)]
    fn row(&self, row: &mut [f32]) {
        let width = row.len() as f32;
        let mean = lanes(row, |x| x) / width;
        let variance = lanes(row, |x| (x - mean) * (x - mean)) / width;
        let scale = 1.0 / (variance + self.epsilon).sqrt();
        for ((x, w), b) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
            *x = (*x - mean) * scale * w + b;
        }
    }
}

/// Sum of `f(x)` in sixteen lanes: an order that the compiler may vectorise and that is the same everywhere.
#[inline(always)]
fn lanes(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            sums[i] += f(chunk[i]);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| f(*x)).sum::<f32>()
}

/// `softmax(x)` of the first `width` numbers of each row, of a stride that is a multiple of a panel's width; what follows them becomes
/// 0, or about 1e-38.
pub fn softmax(level: Level, rows: &mut [f32], stride: usize, width: usize) {
    level.run(Softmax { rows, stride, width });
}

struct Softmax<'a> {
    rows: &'a mut [f32],
    stride: usize,
    width: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact_mut(self.stride) {
            row[self.width..].fill(f32::NEG_INFINITY);
            let largest = row.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
            let vectors = S::as_mut_simd_f32s(row).0;
            let shift = simd.splat_f32s(largest);
            let mut sums = simd.splat_f32s(0.0);
            for x in vectors.iter_mut() {
                *x = exp(simd, simd.sub_f32s(*x, shift));
                sums = simd.add_f32s(sums, *x);
            }
            let inverse = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(sums));
            vectors.iter_mut().for_each(|x| *x = simd.mul_f32s(*x, inverse));
        }
    }
}

/// `x Phi(x)`, the exact (erf) form that the network was trained with, to 1.5e-6.
///
/// erf as a ratio of polynomials in x^2 for |x| <= 4 (Eigen's coefficients, error at most 5e-7); beyond, it is 1 to f32's last digit.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const ABOVE: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_2e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const BELOW: [f32; 5] =
        [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_3e-3, -1.426_473_9e-2];
    let scaled = simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    // In this order a NaN stays one: the maximum and minimum of x86 give their second argument then.
    let z = simd.max_f32s(simd.splat_f32s(-4.0), simd.min_f32s(simd.splat_f32s(4.0), scaled));
    let square = simd.mul_f32s(z, z);
    let above = simd.mul_f32s(z, polynomial(simd, square, &ABOVE));
    let erf = simd.div_f32s(above, polynomial(simd, square, &BELOW));
    let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
    simd.mul_add_e_f32s(half, erf, half)
}

/// Highest power first.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::f32s, coefficients: &[f32]) -> S::f32s {
    coefficients.iter().fold(simd.splat_f32s(0.0), |sum, c| simd.mul_add_e_f32s(sum, x, simd.splat_f32s(*c)))
}

/// `e^x` for x <= 0, to 8e-6 relative; below -87 about 1e-38.
///
/// `2^n` from the exponent bits times a polynomial for `2^f`, `f` in [-1/2, 1/2] (Taylor, degree 6); adding 1.5 * 2^23 rounds and leaves
/// `n` in the lowest bits.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const TAYLOR: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let round = simd.splat_f32s(12_582_912.0);
    let y =
        simd.mul_f32s(simd.max_f32s(simd.splat_f32s(-87.0), x), simd.splat_f32s(std::f32::consts::LOG2_E));
    let shifted = simd.add_f32s(y, round);
    let f = simd
        .mul_f32s(simd.sub_f32s(y, simd.sub_f32s(shifted, round)), simd.splat_f32s(std::f32::consts::LN_2));
    let biased = simd.add_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(127));
    let power = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(biased, simd.splat_u32s(23)));
    simd.mul_f32s(power, polynomial(simd, f, &TAYLOR))
}

/// `gelu` of each number, in whole panels of [`crate::WIDTH`].
pub fn gelu_all(level: Level, numbers: &mut [f32]) {
    level.run(Each { numbers, what: What::Gelu });
}

/// `exp` of each number, none above 0, in whole panels of [`crate::WIDTH`].
pub fn exp_all(level: Level, numbers: &mut [f32]) {
    level.run(Each { numbers, what: What::Exp });
}

enum What {
    Gelu,
    Exp,
}

struct Each<'a> {
    numbers: &'a mut [f32],
    what: What,
}

impl WithSimd for Each<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for x in S::as_mut_simd_f32s(self.numbers).0 {
            *x = match self.what {
                What::Gelu => gelu(simd, *x),
                What::Exp => exp(simd, *x),
            };
        }
    }
}
