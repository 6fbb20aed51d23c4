//! To come.

mod timeouts;

pub use timeouts::Timeouts;
