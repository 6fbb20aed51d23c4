//! What stands between the matrix products, over plain slices: written so that the compiler vectorises it.
//!
//! The ready tensor operations take over half of an encode at 32 tokens (scalar erf, copies, a pool of spinning threads); these take
//! about a tenth.

/// `x = gelu(x + bias)` for rows of the bias's width, with the exact (erf) form that the network was trained with.
pub(super) fn bias_gelu(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (x, b) in row.iter_mut().zip(bias) {
            *x = gelu(*x + b);
        }
    }
}

/// `x = x + bias` for rows of the bias's width.
pub(super) fn add_bias(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (x, b) in row.iter_mut().zip(bias) {
            *x += b;
        }
    }
}

/// Scale and shift of a layer norm, and its epsilon.
pub(super) struct Norm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub epsilon: f32,
}

impl Norm {
    /// Normalises each row, of the weight's width, to mean 0 and variance 1, then scales and shifts.
    pub fn apply(&self, rows: &mut [f32]) {
        let width = self.weight.len();
        for row in rows.chunks_exact_mut(width) {
            let mean = lanes(row, |x| x) / width as f32;
            let variance = lanes(row, |x| (x - mean) * (x - mean)) / width as f32;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            for ((x, w), b) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
                *x = (*x - mean) * scale * w + b;
            }
        }
    }

    /// `norm(x + bias + residual)`.
    pub fn apply_residual(&self, rows: &mut [f32], bias: &[f32], residual: &[f32]) {
        for (row, residual) in rows.chunks_exact_mut(bias.len()).zip(residual.chunks_exact(bias.len())) {
            for ((x, b), r) in row.iter_mut().zip(bias).zip(residual) {
                *x += b + r;
            }
        }
        self.apply(rows);
    }
}

/// `softmax(scale * x)` of each row.
pub(super) fn softmax(rows: &mut [f32], width: usize, scale: f32) {
    for row in rows.chunks_exact_mut(width) {
        let largest = row.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
        for x in row.iter_mut() {
            *x = exp((*x - largest) * scale);
        }
        let inverse = 1.0 / lanes(row, |x| x);
        for x in row.iter_mut() {
            *x *= inverse;
        }
    }
}

/// Sum of `f(x)` in eight lanes: an order that the compiler may vectorise and that is the same everywhere.
fn lanes(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    let chunks = row.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|x| f(*x)).sum();
    for chunk in chunks {
        for i in 0..8 {
            sums[i] += f(chunk[i]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[inline]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// Abramowitz and Stegun 7.1.26, error at most 1.5e-7, about what f32 holds.
#[inline]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let poly =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152_1 + t * 1.061_405_4))));
    (1.0 - poly * exp(-a * a)).copysign(x)
}

/// `e^x` to about 2e-7 relative, for x <= 0 as used here up to 88; very small results become 0 or nearly.
///
/// `2^n` from the exponent bits times a polynomial for `2^f`, `f` in [-1/2, 1/2] (Taylor, degree 6); adding and taking away 1.5 * 2^23
/// rounds without a call.
#[inline]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let y = x.clamp(-87.0, 88.0) * std::f32::consts::LOG2_E;
    let n = (y + ROUND) - ROUND;
    let f = (y - n) * std::f32::consts::LN_2;
    let poly = 1.0
        + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    let power = f32::from_bits((((n as i32) + 127) << 23) as u32);
    poly * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gelu_is_the_exact_form() {
        // x * Phi(x) to eight digits.
        let known =
            [(-3.0, -0.00404970), (-1.0, -0.15865525), (0.0, 0.0), (0.5, 0.34573123), (2.0, 1.954_499_7)];
        for (x, y) in known {
            assert!((gelu(x) - y).abs() < 1e-6, "gelu({x}) = {}, not {y}", gelu(x));
        }
        assert_eq!(gelu(40.0), 40.0);
        assert!(gelu(f32::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn exp_is_within_rounding(x in -80.0f32..80.0) {
            let truth = f64::from(x).exp();
            let relative = (f64::from(exp(x)) - truth).abs() / truth;
            prop_assert!(relative < 8e-6, "{relative}");
        }

        #[test]
        fn softmax_rows_sum_to_one_and_keep_order(row in proptest::collection::vec(-300.0f32..300.0, 1..40)) {
            let mut out = row.clone();
            softmax(&mut out, row.len(), 0.2);
            prop_assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            for i in 0..row.len() {
                for j in 0..row.len() {
                    prop_assert!(row[i] <= row[j] || out[i] >= out[j]);
                }
            }
        }

        #[test]
        fn a_normalised_row_has_mean_zero_and_variance_one(row in proptest::collection::vec(-9.0f32..9.0, 24)) {
            prop_assume!(row.iter().any(|x| (x - row[0]).abs() > 0.1));
            let norm = Norm { weight: vec![1.0; 24], bias: vec![0.0; 24], epsilon: 1e-12 };
            let mut out = row;
            norm.apply(&mut out);
            let mean = out.iter().sum::<f32>() / 24.0;
            let variance = out.iter().map(|x| x * x).sum::<f32>() / 24.0;
            prop_assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3);
        }
    }
}
