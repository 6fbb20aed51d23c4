//! Pure numerics over `ndarray`: no clock, no randomness, nothing of the field.

mod pca;

pub use pca::{Pca, PcaError};
