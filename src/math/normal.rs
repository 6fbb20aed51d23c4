//! The normal distribution.

/// Abramowitz and Stegun 26.2.17: what multiplies the argument, and the polynomial's coefficients, the highest power first.
const SCALE: f64 = 0.231_641_9;
const COEFFICIENTS: [f64; 5] = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];

/// Probability that a standard normal variable is above `z`, to 1e-7.
pub fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let t = 1.0 / (1.0 + SCALE * z);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, c| (sum + c) * t);
    polynomial * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let known = [
            (0.0, 0.5),
            (1.0, 0.158_655_254),
            (1.96, 0.024_997_895),
            (3.0, 0.001_349_898),
            (-1.0, 0.841_344_746),
        ];
        for (z, want) in known {
            assert!((upper_tail(z) - want).abs() < 1e-7, "{z}: {} is not {want}", upper_tail(z));
        }
        assert_eq!(upper_tail(f64::INFINITY), 0.0);
    }
}
