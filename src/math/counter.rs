//! Uniform numbers by counter: the same seed and counter give the same number, in any order and on any thread. Nothing is drawn.

/// A stream of uniform numbers (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    seed: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Counter {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed: mixed(seed.wrapping_add(GOLDEN)) }
    }

    /// 64 uniform bits.
    pub fn bits(&self, counter: u64) -> u64 {
        mixed(self.seed.wrapping_add(counter.wrapping_mul(GOLDEN)))
    }

    /// A uniform number in [0, 1).
    pub fn uniform(&self, counter: u64) -> f64 {
        (self.bits(counter) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number (Box and Muller); uses the counters `2 n` and `2 n + 1`.
    pub fn normal(&self, n: u64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform(2 * n)).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform(2 * n + 1)).cos()
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions_and_seeds_differ() {
        let counter = Counter::new(7);
        let n = 200_000;
        let mean = |value: &dyn Fn(u64) -> f64| (0..n).map(value).sum::<f64>() / n as f64;
        assert!((mean(&|i| counter.uniform(i)) - 0.5).abs() < 0.003);
        assert!((mean(&|i| counter.uniform(i).powi(2)) - 1.0 / 3.0).abs() < 0.003);
        assert!(mean(&|i| counter.normal(i)).abs() < 0.01);
        assert!((mean(&|i| counter.normal(i).powi(2)) - 1.0).abs() < 0.01);
        assert!(mean(&|i| (counter.uniform(i) - 0.5) * (counter.uniform(i + 1) - 0.5)).abs() < 0.001);
        assert_ne!(Counter::new(8).bits(0), counter.bits(0));
    }
}
