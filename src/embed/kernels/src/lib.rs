//! The inner loops of the encoder: matrix products and what stands between them, for one thread.
//!
//! A crate of their own, because the profiles of `pointsman` optimise dependencies fully and the crate itself hardly when it is tested:
//! unoptimised, a prompt would take seconds. Nothing here knows what the numbers mean; `src/embed` does, and tests them.

mod pointwise;
mod product;
mod simd;

pub use pointwise::{Norm, exp_all, gelu_all, softmax};
pub use product::{Blocks, Panels, Product, Then, WIDTH};
pub use simd::Level;
