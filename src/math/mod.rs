//! Pure numerics in `f64`: no I/O, no clock, no randomness, nothing of the field.
//!
//! Symmetric matrices are packed by rows of the lower triangle: row `i` is the `i + 1` numbers from `i * (i + 1) / 2` on.

pub mod bucket;
pub mod cholesky;
pub mod counter;
pub mod ewma;
pub mod normal;
mod pca;

pub use pca::{Pca, PcaError};
