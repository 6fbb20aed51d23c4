//! Stable hashes: the world's noise is a pure function of the words, the same on every machine and in every version.

/// FNV-1a over the bytes, then mixed.
pub fn text(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv, 0)
}

/// The finaliser of SplitMix64 over `a` and `b`.
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Uniform in [0, 1), from the upper 53 bits.
pub fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// Standard normal to a good approximation: the sum of twelve uniforms less 6, so never beyond 6.
pub fn normal(hash: u64) -> f64 {
    (0..12).map(|i| unit(mix(hash, i))).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_has_mean_0_and_variance_1() {
        let draws: Vec<f64> = (0..20_000).map(|i| normal(mix(7, i))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn one_letter_changes_the_hash() {
        assert_ne!(text("route this"), text("route thus"));
        assert_eq!(text("route this"), text("route this"));
    }
}
