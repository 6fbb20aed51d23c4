//! To come.

mod route;

pub use route::{Route, RouteStrategy};
