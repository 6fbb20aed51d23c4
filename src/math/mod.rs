//! Pure numerics over slices of `f64`: no I/O, no clock, no randomness.
//!
//! Symmetric matrices are packed by rows of the lower triangle: row `i` is the `i + 1` numbers from `i * (i + 1) / 2` on.
//! Nothing here knows what its numbers mean.

pub mod cholesky;
pub mod ewma;
