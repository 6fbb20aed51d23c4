//! One binary, the widest vectors that the machine has: each kernel is compiled for AVX2 with FMA as well as for the baseline, and the
//! choice is made at run time.

use pulp::{NullaryFnOnce, Scalar256b, Simd, WithSimd};

/// What the machine can do, asked once.
#[derive(Debug, Clone, Copy)]
pub struct Level {
    #[cfg(target_arch = "x86_64")]
    wide: Option<pulp::x86::V3>,
}

impl Level {
    /// Asks the machine.
    #[cfg(target_arch = "x86_64")]
    pub fn detect() -> Self {
        Self { wide: pulp::x86::V3::try_new() }
    }

    /// Runs a kernel at this level.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub fn run<K: WithSimd>(self, kernel: K) -> K::Output {
        match self.wide {
            Some(simd) => Simd::vectorize(simd, kernel),
            None => Simd::vectorize(Scalar256b, kernel),
        }
    }

    /// The instruction set of this architecture.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn detect() -> Self {
        Self {}
    }

    /// Runs a kernel at this level.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    pub fn run<K: WithSimd>(self, kernel: K) -> K::Output {
        pulp::Arch::new().dispatch(kernel)
    }

    /// What every machine of this architecture can do; the results differ from other levels' by rounding.
    #[cfg(target_arch = "x86_64")]
    pub fn baseline() -> Self {
        Self { wide: None }
    }

    /// The instruction set of this architecture.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn baseline() -> Self {
        Self::detect()
    }

    /// Compiles a loop for this level.
    #[inline]
    pub fn loops<F: NullaryFnOnce>(self, work: F) -> F::Output {
        self.run(work)
    }
}
