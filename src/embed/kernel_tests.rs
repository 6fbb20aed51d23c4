//! The kernels against their definitions, on this machine's level and the baseline.

use pointsman_kernels::{Blocks, Level, Norm, Panels, Product, Then, WIDTH, exp_all, gelu_all, softmax};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_product_is_what_the_definition_says(rows in 1usize..20, depth in 1usize..40, columns in 1usize..40, seed in 0usize..1000) {
        let number = |i: usize| ((i * 7919 + seed * 104_729) % 201) as f32 / 100.0 - 1.0;
        let a: Vec<f32> = (0..rows * depth).map(number).collect();
        let b = |row: usize, column: usize| number(row * columns + column + 5);
        let (mut left, mut right) = (Blocks::default(), Panels::default());
        left.fill(&a, (rows, depth, depth), 0.5);
        right.fill(depth, columns, b);
        let stride = right.padded();
        let bias: Vec<f32> = (0..stride).map(|j| number(j + 11)).collect();
        let mut out = vec![f32::NAN; rows * stride];
        Product { left: &left, right: &right, bias: &bias, then: Then::Keep, out: &mut out, stride }
            .run(Level::detect());
        for i in 0..rows {
            for j in 0..columns {
                let exact: f32 = (0..depth).map(|d| 0.5 * a[i * depth + d] * b(d, j)).sum::<f32>() + bias[j];
                prop_assert!((out[i * stride + j] - exact).abs() < 1e-4, "{} {exact}", out[i * stride + j]);
            }
        }
    }
}

fn on_all(x: f32, each: fn(Level, &mut [f32])) -> f32 {
    let (mut numbers, mut baseline) = ([x; WIDTH], [x; WIDTH]);
    each(Level::detect(), &mut numbers);
    each(Level::baseline(), &mut baseline);
    assert!(numbers.iter().all(|y| y.to_bits() == numbers[0].to_bits()));
    assert!(x.is_nan() || (baseline[0] - numbers[0]).abs() <= 1e-6 + 1e-6 * numbers[0].abs());
    numbers[0]
}

#[test]
fn gelu_is_the_exact_form() {
    // x * Phi(x) to eight digits.
    let known = [
        (-3.0, -0.004_049_7),
        (-1.0, -0.158_655_25),
        (0.0, 0.0),
        (0.5, 0.345_731_23),
        (2.0, 1.954_499_7),
        (-5.0, -1.433_258e-6),
    ];
    for (x, y) in known {
        let found = on_all(x, gelu_all);
        assert!((found - y).abs() < 1.5e-6, "gelu({x}) = {found}, not {y}");
    }
    assert!((on_all(40.0, gelu_all) - 40.0).abs() < 1e-4);
    assert!(on_all(f32::NAN, gelu_all).is_nan());
}

proptest! {
    #[test]
    fn exp_is_within_rounding(x in -80.0f32..=0.0) {
        let truth = f64::from(x).exp();
        let relative = (f64::from(on_all(x, exp_all)) - truth).abs() / truth;
        prop_assert!(relative < 8e-6, "{relative}");
    }

    #[test]
    fn softmax_rows_sum_to_one_and_keep_order(row in proptest::collection::vec(-60.0f32..60.0, 1..40)) {
        let stride = row.len().div_ceil(16) * 16;
        let mut out = row.clone();
        out.resize(stride, 7.0);
        softmax(Level::detect(), &mut out, stride, row.len());
        prop_assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        prop_assert!(out[row.len()..].iter().all(|x| *x < 1e-30));
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
        norm.apply(Level::detect(), &mut out);
        let mean = out.iter().sum::<f32>() / 24.0;
        let variance = out.iter().map(|x| x * x).sum::<f32>() / 24.0;
        prop_assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3);
    }
}
