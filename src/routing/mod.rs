//! To come.

pub mod featurize;
mod route;
pub mod statistics;

pub use route::{Route, RouteStrategy};
